"""What adding a style costs, on any data set that is recognized:

    python -m benchmarks.adding DATA --out DIR [--added CLASS,CLASS] [--ways added,finetuned] [--seeds 2] [--base s=0.3]

One class after another is left out of a training and comes afterwards: by its statistics alone ("added", `loomwatch
styles add`), or by a short training on all ("finetuned", `--finetune`). Beside it stands the training of all from the
start ("trained"). Every test picture is compared with its own class, thresholds are as set.

DIR/runs.csv holds a line for each class, way and seed, written when it is measured: figures of the class that came
last, means of the figures of the others, and the seconds that the way took beyond the first training. DIR/adding.md
holds means over the seeds.
"""

import csv
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
import typer

from benchmarks.ablation import change
from cras_core.added_style import add_style
from cras_core.config import CrasConfig
from cras_core.dataset import read_layout
from cras_core.device import pick_device
from cras_core.errors import ConfigError, CrasError, DataSetError
from cras_core.evaluation import ClassFigures, evaluate
from cras_core.features import NormalSample, samples_of
from cras_core.finetuning import finetune_style
from cras_core.scoring import Scorer
from cras_core.training import Model, train

Timed: TypeAlias = tuple[Model, float]  # and its seconds
WAYS = ("added", "finetuned", "trained")
FIGURES = ("image_auroc", "pixel_auroc", "aupro")
COLUMNS = ("class", "way", "seed", *FIGURES, *(f"others_{name}" for name in FIGURES), "seconds")


def scorer_of(model: Model, device: torch.device) -> Scorer:
    manifest = {"styles": {name: {"threshold": facts.threshold.value} for name, facts in model.styles.items()}}
    return Scorer(name="adding", backbone=model.backbone, heads=model.heads, manifest=manifest, device=device)


def run(
    data: Path,
    out: Path,
    *,
    added: Sequence[str] = (),
    ways: Sequence[str] = WAYS,
    base: Sequence[str] = (),
    seeds: int = 2,
    weights: Path | None = None,
    device: str = "auto",
) -> str:
    """Runs everything, writes the tables to `out`, returns the Markdown. added: [] for each class in turn.

    Raises `CrasError`, `OSError`.
    """
    if wrong := [way for way in ways if way not in WAYS]:
        raise ConfigError(f"a way must be one of {', '.join(WAYS)}, got {wrong[0]!r}")
    start = CrasConfig()
    for text in base:
        start = change(start, text)
    layout = read_layout(data, need_test=True)
    if unknown := [name for name in added if name not in layout.classes]:
        raise DataSetError(f"{data} has no class {unknown[0]}: it has {', '.join(layout.classes)}")
    if len(layout.classes) < 2:
        raise DataSetError(f"{data} has one class: one to learn and one to add are needed")
    if (out / "runs.csv").exists():
        raise ConfigError(f"{out} holds runs already: name another --out")
    chosen = pick_device(device)
    samples = samples_of(layout)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        config = CrasConfig.from_dict(start.to_dict() | {"seed": seed})
        learn = partial(train, config=config, device=chosen, weights=weights)
        whole = timed(lambda learn=learn: learn(samples)) if "trained" in ways else None  # type: ignore[misc]
        for name in added or layout.classes:
            for way, (model, seconds) in models_of(name, ways, samples, learn, whole=whole, device=chosen):
                found = evaluate(scorer_of(model, chosen), layout, setting="single").classes
                row = {"class": name, "way": way, "seed": seed, "seconds": round(seconds, 1), **figures_of(name, found)}
                rows.append(row)
                _append(out / "runs.csv", row)
                told = " ".join(f"{figure} {row[figure]:.4f}" for figure in FIGURES if row[figure] is not None)
                print(f"{name} {way} seed {seed}: {told} ({seconds:.0f} s)", flush=True)
    table = to_markdown(rows)
    (out / "adding.md").write_text(table)
    return table


def timed(make: Callable[[], Model]) -> Timed:
    """A model and the seconds that it took."""
    began = time.perf_counter()
    return make(), time.perf_counter() - began


def models_of(
    name: str,
    ways: Sequence[str],
    samples: Sequence[NormalSample],
    learn: Callable[[Sequence[NormalSample]], Model],
    *,
    whole: Timed | None,
    device: torch.device,
) -> Iterator[tuple[str, Timed]]:
    """The model that knows the class by each way, with the seconds beyond the training of the others."""
    own = [sample for sample in samples if sample.style == name]
    others = [sample for sample in samples if sample.style != name]
    if {"added", "finetuned"} & {*ways}:
        first = learn(others)
        if "added" in ways:
            yield "added", timed(lambda: add_style(first, own, device=device))
        if "finetuned" in ways:
            yield "finetuned", timed(lambda: finetune_style(first, own, others, device=device))
    if whole is not None:
        yield "trained", whole


def figures_of(name: str, found: Mapping[str, ClassFigures]) -> dict[str, float | None]:
    """Of the class, and the means over the others."""
    figures: dict[str, float | None] = {}
    for figure in FIGURES:
        figures[figure] = getattr(found[name], figure)
        rest = [getattr(each, figure) for other, each in found.items() if other != name]
        known = [value for value in rest if value is not None]
        figures[f"others_{figure}"] = statistics.fmean(known) if known else None
    return figures


def to_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Means over the seeds, per cent: of the class that came last, and of the others."""
    heads = ["class", "way", *(name.replace("_", " ") for name in COLUMNS[3:])]
    lines = [heads, ["---"] * len(heads)]
    for name, way in dict.fromkeys((row["class"], row["way"]) for row in rows):
        own = [row for row in rows if (row["class"], row["way"]) == (name, way)]
        cells = []
        for column in COLUMNS[3:]:
            values = [row[column] for row in own if row[column] is not None]
            scale, digits = (1, 0) if column == "seconds" else (100, 1)
            cells.append(f"{scale * statistics.fmean(values):.{digits}f}" if values else "")
        lines.append([name, way, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _append(path: Path, row: dict[str, Any]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def main(
    data: Path = typer.Argument(help="A data set that `loomwatch dataset check` recognizes, of two classes or more."),
    out: Path = typer.Option(..., help="Folder of the results."),
    added: str = typer.Option("", help="Classes to add in turn, with commas between; by default each."),
    ways: str = typer.Option(",".join(WAYS), help="added, finetuned, trained."),
    base: list[str] = typer.Option([], help="NAME=VALUE: a setting of every training, as in benchmarks/ablation.py."),
    seeds: int = typer.Option(2, min=1, help="Seeds 0, 1, ..."),
    weights: Path = typer.Option(None, help="The backbone's weights, for one that no package carries."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
) -> None:
    """What a style added afterwards is worth against one that was trained with all others."""
    try:
        run(
            data,
            out,
            added=[name for name in added.split(",") if name],
            ways=ways.split(","),
            base=base,
            seeds=seeds,
            weights=weights,
            device=device,
        )
    except (CrasError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    typer.run(main)
