"""From samples to a registered candidate: train, save the bundle, register it. Promotion is an act of staff."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from cras_core.bundle import save_bundle
from cras_core.config import CrasConfig
from cras_core.device import pick_device
from cras_core.training import Progress, train
from inspection.errors import StorageError
from inspection.settings import StoreSettings
from retraining.dataset import check_samples, normal_samples, sample_counts
from retraining.held_out import held_out_of
from storage import registry
from storage.database import Database
from storage.pictures import PictureStore
from storage.registry import Model
from storage.samples import Sample, list_samples

logger = logging.getLogger(__name__)

Tell = Callable[[float, str], object]  # fraction of the whole, words


class _Stopped(Exception):
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
    job_id: str | None = None,
) -> Model | None:
    """Trains on all active samples but those held out for the gate, and registers the model as a candidate; None when
    stopped before that.

    Settings of the method are the running model's, without one the defaults; `parameters` replaces single ones
    (`weights` names a backbone's state file). `source`: trained or retrained.

    Raises `StorageError` for samples that cannot be learned from, and `CrasError` for what the method refuses.
    """
    chosen = dict(parameters or {})
    everything = list_samples(database)
    held_out = {sample.id for sample in held_out_of(everything)}  # the gate's
    samples = [sample for sample in everything if sample.id not in held_out]
    running = registry.running_model(database)
    config, weights = _settings(chosen, samples, running)
    styles = running.manifest["styles"] if running else ()
    check_samples(samples, pictures, styles=styles, tile_px=config.tile_px, mm_per_px=config.mm_per_px)
    if threads > 0:
        torch.set_num_threads(threads)

    def progress(state: Progress) -> None:
        if stop.is_set():
            raise _Stopped
        tell(0.98 * state.fraction, _words(state))

    started = time.monotonic()
    try:
        trained = train(
            normal_samples(samples, pictures), config, device=pick_device(device), progress=progress, weights=weights
        )
    except _Stopped:
        return None
    tell(0.98, "saves the bundle")
    if stop.is_set():
        return None
    name = _free_name(store.models_dir, source)
    folder = store.models_dir / name
    seconds = round(time.monotonic() - started, 1)
    save_bundle(
        trained,
        folder,
        name=name,
        provenance=_provenance(samples, source=source, by=by, job_id=job_id),
        metrics={"training_s": seconds, "loss": trained.losses[-1]},
    )
    model = registry.import_bundle(database, folder, store.models_dir, source=source, by=by, job_id=job_id)
    logger.info("trained %s on %d samples in %.0f s", name, len(samples), seconds)
    tell(1.0, f"{name} is a candidate")
    return model


def _settings(
    parameters: dict[str, Any], samples: list[Sample], running: Model | None
) -> tuple[CrasConfig, Path | None]:
    base: dict[str, Any] = {}
    weights = parameters.pop("weights", "")
    if running is not None:
        base = dict(running.manifest["config"])
        if parameters.get("backbone", base["backbone"]) == base["backbone"]:
            weights = weights or running.manifest["backbone"]["weights_file"]
    elif samples:
        base["mm_per_px"] = samples[0].mm_per_px
    return CrasConfig.from_dict(base | parameters), Path(weights) if weights else None


def _words(state: Progress) -> str:
    if state.stage == "features":
        return "reads the samples"
    what = "sets thresholds" if state.stage == "calibration" else "trains"
    return f"{what}, epoch {state.epoch} of {state.epochs}" + (f", loss {state.loss:.3f}" if state.loss else "")


def _free_name(models_dir: Path, source: str) -> str:
    name = f"{source}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    for number in range(1, 1000):
        candidate = name if number == 1 else f"{name}-{number}"
        if not (models_dir / candidate).exists():
            return candidate
    raise StorageError(f"{models_dir} holds too many models called {name}: remove some")


def _provenance(samples: list[Sample], *, source: str, by: str, job_id: str | None) -> dict[str, Any]:
    """What it was learned from; `samples_sha256` tells two sets of samples apart."""
    keys = "\n".join(sorted(sample.picture for sample in samples))
    return {
        "source": source,
        "by": by,
        "job": job_id or "",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "samples": sample_counts(samples),
        "samples_sha256": hashlib.sha256(keys.encode()).hexdigest(),
    }
