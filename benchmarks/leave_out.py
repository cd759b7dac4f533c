"""Whether a choice holds on fabrics that took no part in it, from the runs of benchmarks/ablation.py:

    python -m benchmarks.leave_out OUT_AITEX OUT_TILDA [--figure image_auroc]

Each argument is a folder that benchmarks/ablation.py wrote, with the same settings in each. One fabric after another is
left out: the setting that is best on the mean of all others is chosen, and the fabric left out shows what the choice is
worth, against CRAS as it is. A choice that pays only on the fabrics it was made on is no better than CRAS here.
"""

import csv
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

REFERENCE = "CRAS"
Figures = Mapping[str, Mapping[str, float]]  # of each setting, each fabric's figure


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What was chosen without `fabric`, and the figure it gets there beside the reference's."""

    fabric: str
    chosen: str
    figure: float
    reference: float


def read_figures(folders: Sequence[Path], figure: str) -> dict[str, dict[str, float]]:
    """Means over the seeds, of the settings that every fabric has. Raises `ValueError`."""
    found: dict[str, dict[str, list[float]]] = {}
    for folder in folders:
        path = folder / "runs.csv"
        if not path.is_file():
            raise ValueError(f"{path} is missing: run benchmarks/ablation.py with --out {folder}")
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if figure not in row:
                    raise ValueError(f"{path} has no figure {figure!r}")
                if row["class"] != "mean" and row[figure]:
                    fabric = f"{folder.name}/{row['class']}"
                    found.setdefault(row["setting"], {}).setdefault(fabric, []).append(float(row[figure]))
    fabrics = {fabric for own in found.values() for fabric in own}
    whole = {
        setting: {fabric: statistics.fmean(own[fabric]) for fabric in sorted(fabrics)}
        for setting, own in found.items()
        if set(own) == fabrics
    }
    if REFERENCE not in whole or len(whole) < 2 or len(fabrics) < 2:
        raise ValueError(f"two fabrics are needed, and {REFERENCE} and another setting that all of them have")
    return whole


def leave_out(figures: Figures) -> list[LeftOut]:
    """One fabric after another."""
    fabrics = list(figures[REFERENCE])
    rows = []
    for fabric in fabrics:
        others = {
            name: statistics.fmean(own[each] for each in fabrics if each != fabric) for name, own in figures.items()
        }
        chosen = max(others, key=lambda name: (others[name], name == REFERENCE))
        rows.append(
            LeftOut(
                fabric=fabric,
                chosen=chosen,
                figure=figures[chosen][fabric],
                reference=figures[REFERENCE][fabric],
            )
        )
    return rows


def to_markdown(figures: Figures) -> str:
    """Every setting on every fabric, then what leaving out chose; per cent."""
    fabrics = list(figures[REFERENCE])
    lines = [["setting", *fabrics, "mean"]]
    for name, own in sorted(figures.items(), key=lambda item: -statistics.fmean(item[1].values())):
        lines.append(
            [name, *(f"{100 * own[each]:.2f}" for each in fabrics), f"{100 * statistics.fmean(own.values()):.2f}"]
        )
    rows = leave_out(figures)
    chosen = [["left out", "chosen on the others", "its figure", REFERENCE, "difference"]]
    for row in rows:
        gain = 100 * (row.figure - row.reference)
        chosen.append([row.fabric, row.chosen, f"{100 * row.figure:.2f}", f"{100 * row.reference:.2f}", f"{gain:+.2f}"])
    mean = statistics.fmean(100 * (row.figure - row.reference) for row in rows)
    chosen.append(["mean", "", "", "", f"{mean:+.2f}"])
    return _table(lines) + "\n" + _table(chosen)


def _table(rows: list[list[str]]) -> str:
    rows.insert(1, ["---"] * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(
    folders: list[Path] = typer.Argument(help="Folders that benchmarks/ablation.py wrote."),
    figure: str = typer.Option("image_auroc", help="The figure to choose by."),
) -> None:
    """What choices are worth on fabrics left out of them."""
    try:
        print(to_markdown(read_figures(folders, figure)), end="")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    typer.run(main)
