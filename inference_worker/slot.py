"""The model slot: what is in force (`storage.registry.in_force`), swapped between two frames when that changes.

Models are loaded and warmed aside; one that does not load leaves everything as it was and says why. The first model
starts on PyTorch at once, its runtime for good is made and checked while frames are already inspected. Later ones take
over with their runtime, so that no frame waits for a slower one. What a roll back would need is kept loaded, so that
it takes no longer than a look.
"""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cras_core.bundle import load_bundle
from cras_core.errors import CrasError
from cras_core.runtimes.builders import REFERENCE
from cras_core.runtimes.selection import use_runtime
from cras_core.scoring import Scorer
from inference_worker.in_charge import InCharge
from inspection.errors import LoomwatchError
from storage.database import Database
from storage.registry import Model, in_force
from storage.sensitivity import factors

log = logging.getLogger(__name__)

Key = tuple[int, str]  # a model's id and path
Tried = tuple[int, frozenset[Key], frozenset[tuple[int, str, float]]]  # act, models, sensitivities


class ModelSlot:
    """Follows the registry. `scorer()` is cheap and called between frames; loading has a thread of its own."""

    def __init__(
        self,
        database: Database,
        *,
        device: torch.device,
        poll_s: float,
        runtime: str = REFERENCE,
        memory: Path,
        keep_former: bool = True,
    ) -> None:
        """runtime: "auto", or one by name; memory: folder of the choices made and their exports; keep_former: what a
        roll back would need stays loaded."""
        self.problem = ""  # why what was promoted does not run, "" when it does
        self._database = database
        self._device = device
        self._poll_s = poll_s
        self._runtime = runtime
        self._memory = memory
        self._keep_former = keep_former
        self._running: InCharge | None = None
        self._next: InCharge | None = None
        self._loaded: dict[Key, Scorer] = {}
        self._trouble: dict[Key, str] = {}  # why one does not have its runtime
        self._tried: Tried | None = None  # what was last put in force or refused
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="model-slot", daemon=True)

    def __enter__(self) -> "ModelSlot":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def scorer(self) -> InCharge | None:
        """The models for the next frame; None until the first one is promoted and loaded."""
        with self._changed:
            if self._next is not None:
                self._running, self._next = self._next, None
                self._running.move_thresholds()
                log.info("running model %s", self._running.words)
            return self._running

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
        force = in_force(self._database)
        if force is None:
            self.problem = "no model is promoted"
            return
        moved = factors(self._database)
        chosen = ((model.id, *pair) for model in force.models for pair in moved.get(model.id, {}).items())
        tried = force.act, frozenset(_key(model) for model in force.models), frozenset(chosen)
        if self._tried == tried:
            return
        first = self._running is None and self._next is None
        try:
            for model in force.models:
                self._load(model, with_runtime=not first)
        except _DoesNotLoad as error:
            self.problem = str(error)
            log.error("%s", self.problem)
            self._tried = tried
            return
        self._tried, self.problem = tried, ""
        with self._changed:
            self._next = InCharge(
                main=self._loaded[_key(force.model)],
                styles={style: self._loaded[_key(model)] for style, model in force.styles.items()},
                act=force.act,
                factors={model.name: moved.get(model.id, {}) for model in force.models},
            )
            self._changed.notify_all()
        if first:
            for model in force.models:
                self._speed_up(model, self._loaded[_key(model)])
        self.problem = "; ".join(filter(None, (self._trouble.get(_key(model), "") for model in force.models)))
        self._forget(force.models, force.former)
        if self._keep_former:
            self._make_ready(force.former)

    def _load(self, model: Model, *, with_runtime: bool) -> None:
        """Raises `_DoesNotLoad`."""
        if _key(model) in self._loaded:
            return
        started = time.monotonic()
        try:
            scorer = load_bundle(Path(model.path), device=self._device)
            scorer.score(np.zeros((1, scorer.tile_px, scorer.tile_px, 3), np.uint8), style="")
        except (CrasError, OSError, RuntimeError) as error:
            raise _DoesNotLoad(f"model {model.name} does not load: {error}") from error
        if with_runtime:
            self._speed_up(model, scorer)
        self._loaded[_key(model)] = scorer
        log.info("loaded model %s in %.1f s", model.name, time.monotonic() - started)

    def _make_ready(self, former: Sequence[Model]) -> None:
        for model in former:
            if self._stop.is_set():
                return
            try:
                self._load(model, with_runtime=True)
            except _DoesNotLoad as error:  # told when somebody rolls back; until then nobody needs it
                log.warning("a roll back would fail: %s", error)

    def _forget(self, models: Sequence[Model], former: Sequence[Model]) -> None:
        wanted = {_key(model) for model in (*models, *(former if self._keep_former else ()))}
        for key in self._loaded.keys() - wanted:
            del self._loaded[key]
            self._trouble.pop(key, None)

    def _speed_up(self, model: Model, scorer: Scorer) -> None:
        """Gives a model its runtime; the reference stays when another cannot be had."""
        try:
            use_runtime(scorer, Path(model.path), name=self._runtime, memory=self._memory, stop=self._stop.is_set)
        except (CrasError, RuntimeError) as error:
            self._trouble[_key(model)] = f"model {scorer.name} runs by {REFERENCE}: {error}"
            log.warning("%s", self._trouble[_key(model)])


class _DoesNotLoad(Exception):
    """One line: which model, and why."""


def _key(model: Model) -> Key:
    return model.id, model.path
