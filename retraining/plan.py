"""What a training is: which samples, by what settings, called what. Fixed when it begins and kept in its folder, so
that one that is gone on with, or shared by several processes, is the same training."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from cras_core.checkpoint import replace_file
from cras_core.config import CrasConfig
from cras_core.device import pick_device
from inspection.errors import ChangedMeanwhile, StorageError
from inspection.settings import TrainerSettings, load
from retraining.dataset import check_samples, sample_counts
from retraining.guard import guard_samples
from retraining.held_out import held_out_of
from storage import registry
from storage.database import Database
from storage.pictures import PictureStore
from storage.registry import Model
from storage.sample_sets import SampleSet, freeze_set, read_set
from storage.samples import Sample, SampleFilter, list_samples

PLAN = "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """samples: (number, style) of each; set: the frozen one that is learned; weights: the backbone's state file, ""
    where it needs none; threads: of each of the processes."""

    name: str
    style: str
    samples: tuple[tuple[int, str], ...]
    config: dict[str, Any]
    weights: str
    provenance: dict[str, Any]
    set: int
    threads: int
    processes: int

    def write(self, folder: Path) -> None:
        """Raises `CheckpointError` when the folder cannot be written to."""
        replace_file(folder / PLAN, json.dumps(asdict(self), indent=2).encode())

    @classmethod
    def read(cls, folder: Path) -> "TrainingPlan | None":
        """None where there is no whole one."""
        try:
            found = json.loads((folder / PLAN).read_bytes())
            return cls(**(found | {"samples": tuple((int(number), str(style)) for number, style in found["samples"])}))
        except (OSError, ValueError, TypeError, KeyError):
            return None


def make_plan(
    database: Database,
    pictures: PictureStore,
    folder: Path,
    models_dir: Path,
    *,
    source: str,
    by: str,
    parameters: Mapping[str, Any],
    style: str = "",
    job_id: str | None = None,
    device: str = "auto",
    threads: int = 0,
    processes: int = 1,
    tell: Callable[[float, str], object] = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainingPlan | None:
    """All accepted samples but those held out for the gate, after the guard has looked at what waits; they are frozen
    as a set. None when stopped. Settings are the running model's, without one the defaults; `parameters` replaces
    single ones (`weights` names a backbone's state file), or names by `set` a frozen set, which is learned again with
    its own settings.

    Raises `StorageError` for samples that cannot be learned from, and `ConfigError` for impossible settings.
    """
    chosen = dict(parameters)
    number = chosen.pop("set", 0)
    if not isinstance(number, int) or number < 0:
        raise StorageError(f"set must be the number of a frozen set, got {number!r}")
    again = read_set(database, number) if number else None
    if again is not None and "added" in again.recipe:
        style, to = again.recipe["added"], again.recipe["to"]
        raise StorageError(f"set {number} is what style {style} was added to model {to} with: no training learned it")
    if again is None:
        guard_samples(database, pictures, share=load(TrainerSettings).guard_share, device=device, tell=tell, stop=stop)
        if stop():
            return None
        frozen = _freeze(
            database, pictures, chosen, by=by, style=style, device=device, threads=threads, processes=processes
        )
    else:
        frozen = again
    return TrainingPlan(
        name=_free_name(models_dir, folder.parent, source),
        style=style,
        samples=tuple((item.sample, item.style) for item in frozen.learned) if again is None else (),
        config=frozen.recipe["config"],
        weights=frozen.recipe["weights"],
        provenance=_provenance(frozen, source=source, by=by, style=style, job_id=job_id),
        set=frozen.id,
        threads=frozen.recipe["threads"],
        processes=frozen.recipe.get("processes", processes),  # sets from before do not say
    )


def _freeze(
    database: Database,
    pictures: PictureStore,
    parameters: dict[str, Any],
    *,
    by: str,
    style: str,
    device: str,
    threads: int,
    processes: int,
) -> SampleSet:
    """What is learned now, checked, under a number of its own."""
    everything = list_samples(database, learnable=True)
    held_out = {sample.id for sample in held_out_of(everything)}  # the gate's
    learned = [sample for sample in everything if sample.id not in held_out]
    force = registry.in_force(database)
    config, weights = _settings(parameters, learned, force.model if force else None)
    styles = [*(force.by_style if force else ()), *([style] if style else ())]
    held = Counter(sample.style for sample in list_samples(database, wanted=SampleFilter(state="held")))
    check_samples(learned, pictures, styles=styles, tile_px=config.tile_px, mm_per_px=config.mm_per_px, held=held)
    recipe = {
        "config": config.to_dict(),
        "weights": weights,
        "device": str(pick_device(device)),
        "threads": threads or max(1, torch.get_num_threads() // processes),
        "processes": processes,
    }
    rest = [sample for sample in everything if sample.id in held_out]
    return freeze_set(database, pictures, learned=learned, held_out=rest, recipe=recipe, by=by)


def planned_samples(database: Database, plan: TrainingPlan) -> list[Sample]:
    """Raises `ChangedMeanwhile` when a style was renamed or taken away since, or a sample removed."""
    there = {sample.id: sample for sample in list_samples(database, active_only=False)}
    left = {sample.style for number, style in plan.samples if (sample := there.get(number)) and sample.active}
    for number, style in plan.samples:
        sample = there.get(number)
        if style not in left or (sample is not None and sample.style != style):
            raise ChangedMeanwhile(
                f"style {style} was renamed or taken away while the training ran: start a new training"
            )
        if sample is None:
            raise ChangedMeanwhile(f"sample {number} was removed while the training ran: start a new training")
    return [there[number] for number, _ in plan.samples]


def _settings(parameters: dict[str, Any], samples: list[Sample], running: Model | None) -> tuple[CrasConfig, str]:
    base: dict[str, Any] = {}
    weights = parameters.pop("weights", "")
    if not isinstance(weights, str):
        raise StorageError(f"weights must name a file, got {weights!r}")
    if running is not None:
        base = dict(running.manifest["config"])
        if parameters.get("backbone", base["backbone"]) == base["backbone"]:
            weights = weights or running.manifest["backbone"]["weights_file"] or ""
    elif samples:
        base["mm_per_px"] = samples[0].mm_per_px
    return CrasConfig.from_dict(base | parameters), weights


def _free_name(models_dir: Path, trainings_dir: Path, source: str) -> str:
    name = f"{source}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    taken = {plan.name for each in trainings_dir.glob("*") if (plan := TrainingPlan.read(each))}
    for number in range(1, 1000):
        candidate = name if number == 1 else f"{name}-{number}"
        if not (models_dir / candidate).exists() and candidate not in taken:
            return candidate
    raise StorageError(f"{models_dir} holds too many models called {name}: remove some")


def _provenance(frozen: SampleSet, *, source: str, by: str, style: str, job_id: str | None) -> dict[str, Any]:
    """What it was learned from; `samples_sha256` tells two sets of samples apart."""
    return {
        "source": source,
        "by": by,
        "style": style,
        "job": job_id or "",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "samples": sample_counts(frozen.learned),
        "set": frozen.id,
        "samples_sha256": frozen.sha256,
    }
