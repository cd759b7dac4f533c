"""The model slot: the running model, swapped between two frames when staff promote another.

A new bundle is loaded and warmed aside; one that does not load leaves the old one running and says why. It starts on
PyTorch at once; the runtime for good is made and checked while frames are already inspected, then takes over.
"""

import logging
import threading
import time
from pathlib import Path

import numpy as np
import torch

from cras_core.bundle import load_bundle
from cras_core.errors import CrasError
from cras_core.runtimes.builders import REFERENCE
from cras_core.runtimes.selection import use_runtime
from cras_core.scoring import Scorer
from inspection.errors import LoomwatchError
from storage.database import Database
from storage.registry import running_model

log = logging.getLogger(__name__)


class ModelSlot:
    """Follows the registry. `scorer()` is cheap and called between frames; loading has a thread of its own."""

    def __init__(
        self, database: Database, *, device: torch.device, poll_s: float, runtime: str = REFERENCE, memory: Path
    ) -> None:
        """runtime: "auto", or one by name; memory: folder of the choices made and their exports."""
        self.problem = ""  # why the promoted model does not run, "" when it does
        self._database = database
        self._device = device
        self._poll_s = poll_s
        self._runtime = runtime
        self._memory = memory
        self._scorer: Scorer | None = None
        self._next: Scorer | None = None
        self._tried: tuple[int, str] | None = None  # id and path last loaded or refused
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="model-slot", daemon=True)

    def __enter__(self) -> "ModelSlot":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def scorer(self) -> Scorer | None:
        """The model for the next frame; None until the first one is promoted and loaded."""
        with self._changed:
            if self._next is not None:
                self._scorer, self._next = self._next, None
                log.info("running model %s", self._scorer.name)
            return self._scorer

    def wait(self, timeout_s: float) -> None:
        """Returns when something changed, or after the time."""
        with self._changed:
            if self._next is None:
                self._changed.wait(timeout_s)

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except LoomwatchError as error:  # the database is away: the running model goes on
                log.warning("cannot ask for the promoted model: %s", error)
            self._stop.wait(self._poll_s)

    def _look(self) -> None:
        model = running_model(self._database)
        if model is None:
            self.problem = "no model is promoted"
            return
        if self._tried == (model.id, model.path):
            return
        started = time.monotonic()
        try:
            scorer = load_bundle(Path(model.path), device=self._device)
            blank = np.zeros((1, scorer.tile_px, scorer.tile_px, 3), np.uint8)
            scorer.score(blank, style="")
        except (CrasError, OSError, RuntimeError) as error:
            self.problem = f"model {model.name} does not load: {error}"
            log.error("%s", self.problem)
        else:
            self.problem = ""
            log.info("loaded model %s in %.1f s", model.name, time.monotonic() - started)
            with self._changed:
                self._next = scorer
                self._changed.notify_all()
            self._speed_up(scorer, Path(model.path))
        self._tried = (model.id, model.path)

    def _speed_up(self, scorer: Scorer, bundle: Path) -> None:
        """Gives the running model its runtime; the reference stays when another cannot be had."""
        try:
            use_runtime(scorer, bundle, name=self._runtime, memory=self._memory, stop=self._stop.is_set)
        except (CrasError, RuntimeError) as error:
            self.problem = f"model {scorer.name} runs by {REFERENCE}: {error}"
            log.warning("%s", self.problem)
