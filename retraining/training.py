"""From samples to a registered candidate: plan, train, save the bundle, register it. Promotion is an act of staff.

All of it until the last step happens in a folder of the training's own. A training that died anywhere goes on from what
lies there: the plan, the last checkpoint, or the saved bundle; the registry sees a whole model or none.
"""

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from cras_core import team
from cras_core.bundle import save_bundle
from cras_core.checkpoint import EVERY_S, TrainingFolder
from cras_core.config import CrasConfig
from cras_core.device import pick_device
from cras_core.errors import StaleCheckpointError
from cras_core.training import Progress, train
from inspection.settings import StoreSettings
from retraining.dataset import frozen_samples
from retraining.plan import TrainingPlan, make_plan, planned_samples
from storage import registry
from storage.database import Database
from storage.pictures import PictureStore
from storage.registry import Model
from storage.sample_sets import read_set

logger = logging.getLogger(__name__)

Tell = Callable[[float, str], object]  # fraction of the whole, words
Follow = Callable[[Progress], object]
Act = Callable[[Path], object]  # trains what the folder's plan says
Together = Callable[[Path, int], object]  # the same by so many processes
WORK, BUNDLE = "work", "bundle"
TRAINED = 0.98  # of the progress; the rest is saving


class Stopped(Exception):
    """Leaves the training from inside its progress callback."""


def train_candidate(
    store: StoreSettings,
    database: Database,
    pictures: PictureStore,
    *,
    source: str,
    by: str,
    device: str,
    tell: Tell,
    stop: threading.Event,
    parameters: Mapping[str, Any] | None = None,
    threads: int = 0,
    style: str = "",
    job_id: str | None = None,
    folder: Path | None = None,
    follow: Follow = lambda _: None,
    processes: int = 1,
    together: Together | None = None,
    checkpoint_s: float = EVERY_S,
) -> Model | None:
    """Trains as `make_plan` says and registers the model as a candidate; None when stopped before that.

    folder: where an earlier try may have left something, and this one leaves it; the caller removes it. `source`:
    trained or retrained. processes: by how many `together` trains what has no number of its own yet.

    Raises `StorageError` for samples that cannot be learned from, `ChangedMeanwhile` for those that are others by now,
    `CheckpointError` for a folder that cannot be written to, and `CrasError` for what the method refuses.
    """
    if folder is None:
        store.data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="training-", dir=store.data_dir) as temporary:
            return train_candidate(
                store, database, pictures, source=source, by=by, device=device, tell=tell, stop=stop,
                parameters=parameters, threads=threads, style=style, job_id=job_id, folder=Path(temporary) / "it",
                follow=follow, processes=processes, together=together, checkpoint_s=checkpoint_s,
            )  # fmt: skip
    plan = TrainingPlan.read(folder)
    if plan is None:
        plan = make_plan(
            database, pictures, folder, store.models_dir, source=source, by=by, parameters=parameters or {},
            style=style, job_id=job_id, device=device, threads=threads, processes=processes,
            tell=lambda _, words: tell(0.0, words), stop=stop.is_set,
        )  # fmt: skip
        if plan is None:
            return None
        TrainingFolder.begin(folder, resume=True)
        plan.write(folder)
    torch.set_num_threads(plan.threads)
    started = time.monotonic()

    def act(folder: Path) -> None:
        if together is not None and plan.processes > 1:
            together(folder, plan.processes)
            return
        train_planned(
            plan, database, pictures, folder, device=pick_device(device), tell=tell, follow=follow, stop=stop,
            checkpoint_s=checkpoint_s,
        )  # fmt: skip

    try:
        _fresh_if_stale(folder, act)
    except Stopped:
        return None
    tell(TRAINED, "registers the model")
    if stop.is_set():
        return None
    planned_samples(database, plan)  # the styles are still what they were
    bundle = folder / BUNDLE
    model = registry.import_bundle(database, bundle, store.models_dir, source=source, by=by, job_id=job_id)
    seconds = time.monotonic() - started
    logger.info("trained %s on %d samples in %.0f s", model.name, len(plan.samples), seconds)
    tell(1.0, f"{model.name} is a candidate")
    return model


def train_planned(
    plan: TrainingPlan,
    database: Database,
    pictures: PictureStore,
    folder: Path,
    *,
    device: torch.device,
    tell: Tell,
    follow: Follow,
    stop: threading.Event,
    checkpoint_s: float = EVERY_S,
) -> None:
    """Leaves FOLDER/bundle, whole; what lies there already is not made again. One of several processes may call it
    (`cras_core.team`), the first of which saves."""
    if (folder / BUNDLE).is_dir():
        return

    def progress(state: Progress) -> None:
        if stop.is_set():
            raise Stopped
        follow(state)
        tell(TRAINED * state.fraction, _words(state))

    started = time.monotonic()
    planned_samples(database, plan)
    samples = frozen_samples(read_set(database, plan.set).learned, pictures)
    work = TrainingFolder.begin(folder / WORK, resume=True, every_s=checkpoint_s)
    if work.begun:
        logger.info("goes on from the last checkpoint")
    trained = train(
        samples,
        CrasConfig.from_dict(plan.config),
        device=device,
        progress=progress,
        weights=Path(plan.weights) if plan.weights else None,
        folder=work,
    )
    if team.rank() == 0:
        metrics = {"training_s": round(time.monotonic() - started, 1), "loss": trained.losses[-1]}
        save_bundle(trained, folder / BUNDLE, name=plan.name, provenance=plan.provenance, metrics=metrics)
        work.remove()


def _fresh_if_stale(folder: Path, act: Act) -> None:
    """A checkpoint that is damaged, or of another machine's device or PyTorch, is no reason to fail: from the start."""
    try:
        act(folder)
    except StaleCheckpointError as error:
        logger.warning("starts anew: %s", error)
        shutil.rmtree(folder / WORK, ignore_errors=True)
        act(folder)


def _words(state: Progress) -> str:
    if state.stage == "features":
        return "reads the samples"
    what = "sets thresholds" if state.stage == "calibration" else "trains"
    return f"{what}, epoch {state.epoch} of {state.epochs}" + (f", loss {state.loss:.3f}" if state.loss else "")
