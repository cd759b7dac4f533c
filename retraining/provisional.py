"""A new style at once: from its golden roll's samples, by statistics alone, onto the model that runs; provisional
until a training has learned it. The other styles score as before, to the bit."""

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cras_core.added_style import LEAST_FRAMES, add_style, remove_style
from cras_core.bundle import load_model, save_bundle
from cras_core.device import pick_device
from inspection.errors import StorageError
from inspection.settings import StoreSettings, TrainerSettings, load
from retraining.dataset import count_tiles, frozen_samples, sample_counts
from retraining.gate import Tell
from retraining.guard import guard_samples
from retraining.held_out import held_out_of
from retraining.training import BUNDLE
from storage import registry
from storage.database import Database
from storage.pictures import PictureStore
from storage.registry import Model
from storage.sample_sets import SampleSet, freeze_set, read_set
from storage.samples import Sample, list_samples

log = logging.getLogger(__name__)

MOST_TILES = 1200  # about what two cores learn in a minute


def add_provisional(
    store: StoreSettings,
    database: Database,
    pictures: PictureStore,
    style: str,
    *,
    by: str,
    device: str = "auto",
    false_alarms_per_100m: float | None = None,
    again: SampleSet | None = None,
    tell: Tell = lambda *_: None,
    job_id: str | None = None,
    folder: Path | None = None,
) -> Model:
    """Registers the running model with one more style, source "added". A style it knows provisionally only is learned
    anew. What it is learned from is frozen as a set. Promotion is another act.

    again: such a set, from which the same model is made again, whatever runs and whatever samples there are now.
    folder: where an earlier try may have left the bundle, and this one leaves it; the caller removes it.

    Raises `StorageError` without a running model or samples, and for a style that the model in charge of it was trained
    on; `ChangedMeanwhile` for a set's picture that is not as it was; `CrasError` for samples that the method refuses.
    """
    with ExitStack() as stack:
        if folder is None:
            store.data_dir.mkdir(parents=True, exist_ok=True)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="training-", dir=store.data_dir)))
        bundle = folder / BUNDLE
        if not bundle.is_dir():
            frozen = again or _freeze(
                database, pictures, style, by=by, device=device, false_alarms_per_100m=false_alarms_per_100m
            )
            _make_bundle(store, database, pictures, frozen, bundle, by=by, device=device, tell=tell)
        return registry.import_bundle(database, bundle, store.models_dir, source="added", by=by, job_id=job_id)


def added_set(database: Database, parameters: Mapping[str, Any]) -> SampleSet | None:
    """The set that a training is asked to learn again, when a style was added with it; None for any other training.
    Raises `StorageError` for an unknown set."""
    number = parameters.get("set", 0)
    frozen = read_set(database, number) if isinstance(number, int) and number > 0 else None
    return frozen if frozen is not None and "added" in frozen.recipe else None


def _freeze(
    database: Database,
    pictures: PictureStore,
    style: str,
    *,
    by: str,
    device: str,
    false_alarms_per_100m: float | None,
) -> SampleSet:
    """What the style is learned from now, onto which model and how."""
    force = registry.in_force(database)
    if force is None:
        raise StorageError("no model is in charge: promote one first, a style is added to it")
    running = force.model
    for model in (force.styles.get(style, running), running):
        known = model.manifest["styles"].get(style)
        if known is not None and not known.get("provisional"):
            raise StorageError(f"model {model.name} was trained on style {style}: retrain it instead")
    guard_samples(database, pictures, share=load(TrainerSettings).guard_share, device=device)
    own = [sample for sample in list_samples(database, learnable=True) if sample.style == style]
    held_out = {sample.id for sample in held_out_of(own)}
    learned = [sample for sample in own if sample.id not in held_out]
    chosen = spread(learned, pictures, tile_px=running.manifest["tile_px"])
    if not chosen:
        raise StorageError(
            f"style {style} has no accepted samples: capture its golden roll, or loomwatch samples add FOLDER, "
            "and accept what is held"
        )
    scale = running.manifest["mm_per_px"]
    for sample in chosen:
        if abs(sample.mm_per_px - scale) > 0.01 * scale:
            raise StorageError(
                f"style {style} has a sample at {sample.mm_per_px:g} mm/px, the model sees {scale:g} mm/px: "
                f"capture it at the model's ({sample.picture})"
            )
    recipe = {
        "added": style,
        "to": running.name,
        "of": len(learned),
        "config": running.manifest["config"],
        "false_alarms_per_100m": false_alarms_per_100m,
        "device": str(pick_device(device)),
        "threads": torch.get_num_threads(),
    }
    rest = [sample for sample in own if sample.id in held_out]
    return freeze_set(database, pictures, learned=chosen, held_out=rest, recipe=recipe, by=by)


def _make_bundle(
    store: StoreSettings,
    database: Database,
    pictures: PictureStore,
    frozen: SampleSet,
    bundle: Path,
    *,
    by: str,
    device: str,
    tell: Tell,
) -> None:
    recipe, count = frozen.recipe, len(frozen.learned)
    style, base = recipe["added"], registry.get_model(database, recipe["to"])

    def progress(fraction: float) -> None:
        tell(fraction, f"learns {style} from {count} frames")

    started = time.monotonic()
    torch.set_num_threads(recipe["threads"])
    model = load_model(Path(base.path))
    if style in model.styles:
        model = remove_style(model, style)
    changed = add_style(
        model,
        frozen_samples(frozen.learned, pictures),
        device=pick_device(device),
        false_alarms_per_100m=recipe["false_alarms_per_100m"],
        provenance={"samples": count, "of": recipe.get("of", count), "by": by, "at": _now(), "model": base.name},
        progress=progress,
    )
    seconds = round(time.monotonic() - started, 1)
    save_bundle(
        changed,
        bundle,
        name=_free_name(store.models_dir, style),
        provenance={
            "source": "added",
            "style": style,
            "by": by,
            "at": _now(),
            "samples": sample_counts(frozen.learned),
            "set": frozen.id,
            "samples_sha256": frozen.sha256,
        },
        metrics={"added_s": seconds},
    )
    log.info("added %s to %s on %d frames in %.0f s", style, base.name, count, seconds)


def spread(samples: Sequence[Sample], pictures: PictureStore, *, tile_px: int) -> list[Sample]:
    """As many as give `MOST_TILES`, but `LEAST_FRAMES` at least, evenly over all: a roll's end differs from its
    beginning."""
    if not samples:
        return []
    tiles = count_tiles(samples[0], pictures, tile_px=tile_px)
    count = min(len(samples), max(LEAST_FRAMES, MOST_TILES // tiles))
    return [samples[place] for place in np.linspace(0, len(samples) - 1, count).round().astype(int)]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _free_name(models_dir: Path, style: str) -> str:
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in style).strip("-") or "style"
    name = f"added-{plain[:60]}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    taken = (f"{name}-{number}" if number > 1 else name for number in range(1, 1000))
    return next(each for each in taken if not (models_dir / each).exists())
