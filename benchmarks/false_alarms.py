"""Whether thresholds keep the rate of false alarms that was asked for, on normal fabric that took part in nothing:

    python -m benchmarks.false_alarms sim --out DIR [--splits 3] [--metres 12]
    python -m benchmarks.false_alarms FRAMES --out DIR [--splits 4] [--hold-out 5]    # FRAMES/STYLE/good/*

Of simulated cloth the demo's metres are learned, and other metres of the same cloth then inspected; of real frames some
of each style are left out of everything, in each split others, and then inspected. Heads are trained as
`calibration="crossfit"` does, once a fold and on everything; each fold's heads with the fold they left out are also
what `calibration="holdout"` gives. What the thresholds of both ways then let through in the fresh fabric is counted.

DIR keeps the scores of each split, so that other rates cost no training; DIR/false_alarms.md is the table.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import binomtest

from cras_core.backbone import build_backbone
from cras_core.calibration import Folds, Threshold, set_threshold, split_folds
from cras_core.config import CrasConfig
from cras_core.device import pick_device
from cras_core.errors import ConfigError, CrasError
from cras_core.false_alarms import HeldOut, find_peaks
from cras_core.features import Extractor, Features, NormalSample, extract_features
from cras_core.score_map import ScoreMap
from cras_core.training import fit_heads, score_features
from ingest.edges import find_edges
from ingest.simulator import normal_frames
from inspection.errors import LoomwatchError
from inspection.types import Pixels
from loomwatch.normal_frames import find_normal
from loomwatch.plan import FRAME_LINES, QUICK, SIM_NORMAL_M, SIM_SEED, SIM_STYLES

SIMULATED = "sim"
FIELDS = ("scores", "pictures", "places", "groups", "metres")
RATES = "10,30,100,300,1000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """What one split learns from, and what it then inspects."""

    learned: list[NormalSample]
    fresh: list[NormalSample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One style's threshold waiting to be set, and the fabric to try it on: what one pair of heads scored."""

    calibration: str
    style: str
    held_out: HeldOut
    fresh: HeldOut
    group_split: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What thresholds of one way let through, over all trials. expected, seen: false alarms; worst: the most that one
    threshold let through, in those expected of it; agree: share of thresholds whose stated rate and that of the fresh
    fabric may be one (at 5 %); extrapolated: share of thresholds that are."""

    calibration: str
    asked_per_100m: float
    trials: int
    expected: float
    seen: int
    worst: float
    agree: float
    extrapolated: float


def simulated(*, splits: int, metres: float, mm_per_px: float) -> Iterator[Fabric]:
    """Every split learns other metres; all inspect the same."""

    def samples(style: str, frames: Sequence[Pixels], name: str) -> list[NormalSample]:
        names = [f"{style}-{name}-{number:04d}" for number in range(len(frames))]
        pairs = zip(names, frames, strict=True)
        return [NormalSample(style=style, group=each, name=each, read=partial(_inside, frame)) for each, frame in pairs]

    frame_m = FRAME_LINES * mm_per_px / 1000
    count = math.ceil(SIM_NORMAL_M / frame_m)
    drawn = {
        style: normal_frames(
            style,
            seed=SIM_SEED,
            length_m=(splits * count + math.ceil(metres / frame_m) - 0.5) * frame_m,
            frame_lines=FRAME_LINES,
            mm_per_px=mm_per_px,
        )
        for style in SIM_STYLES
    }
    for split in range(splits):
        learned, fresh = [], []
        for style, frames in drawn.items():
            learned += samples(style, frames[split * count : (split + 1) * count], f"learned{split}")
            fresh += samples(style, frames[splits * count :], "fresh")
        yield Fabric(learned=learned, fresh=fresh)


def left_out(folder: Path, *, splits: int, hold_out: int, tile_px: int) -> Iterator[Fabric]:
    """Real frames: every split leaves out others. Raises `ConfigError`."""
    styles = sorted(entry.name for entry in folder.iterdir() if (entry / "good").is_dir()) if folder.is_dir() else []
    if not styles:
        raise ConfigError(f"{folder} holds no STYLE/good: give a folder that does, or {SIMULATED}")
    frames = {style: find_normal(folder / style, style=style, tile_px=tile_px) for style in styles}
    least = min(len(own) for own in frames.values())
    if least < splits * hold_out or least < hold_out + 3:
        raise ConfigError(f"{splits} splits of {hold_out} frames take more than the {least} of a style of {folder}")
    order = {style: np.random.default_rng(0).permutation(len(own)) for style, own in frames.items()}
    for split in range(splits):
        out = {style: set(own[split * hold_out : (split + 1) * hold_out].tolist()) for style, own in order.items()}
        pairs = [(frame, place in out[style]) for style, own in frames.items() for place, frame in enumerate(own)]
        yield Fabric(
            learned=[frame for frame, outside in pairs if not outside],
            fresh=[frame for frame, outside in pairs if outside],
        )


def try_split(fabric: Fabric, extractor: Extractor, config: CrasConfig) -> list[Trial]:
    """Trains the heads of every fold and those on everything. -> two kinds of trials of every style."""
    learned = extract_features(fabric.learned, extractor, config, progress=lambda _: None)
    fresh = extract_features(fabric.fresh, extractor, config, progress=lambda _: None)
    maps = ScoreMap(grid_px=extractor.grid_px, tile_px=config.tile_px, smoothing_px=config.smoothing_px)
    maps = maps.to(extractor.device)
    folds = split_folds(learned, folds=config.calibration_folds, seed=config.seed)
    everything = np.arange(len(learned))
    crossfit = np.full(len(learned), np.nan)
    trials: list[Trial] = []
    for fold in range(config.calibration_folds):
        out = np.flatnonzero(folds.of_tile == fold)
        heads, _ = fit_heads(learned, np.flatnonzero(folds.of_tile != fold), config)
        crossfit[out] = score_features(heads, maps, learned, out)
        own = np.full(len(learned), np.nan)
        own[out] = crossfit[out]
        on_fresh = score_features(heads, maps, fresh, np.arange(len(fresh)))
        trials += _trials("holdout", learned, own, fresh, on_fresh, folds)
    heads, _ = fit_heads(learned, everything, config)
    on_fresh = score_features(heads, maps, fresh, np.arange(len(fresh)))
    return trials + _trials("crossfit", learned, crossfit, fresh, on_fresh, folds)


def count_kept(trials: Sequence[Trial], config: CrasConfig, rates: Sequence[float]) -> list[Kept]:
    """Sets every trial's threshold and counts what it lets through, by calibration and rate."""
    rows = []
    for calibration in dict.fromkeys(trial.calibration for trial in trials):
        own = [trial for trial in trials if trial.calibration == calibration]
        for rate in rates:
            asked = replace(config, false_alarms_per_100m=rate)
            found = [set_threshold(trial.held_out, asked, group_split=trial.group_split) for trial in own]
            pairs = zip(own, found, strict=True)
            seen = [len(find_peaks(trial.fresh, start=threshold.value)) for trial, threshold in pairs]
            metres = [float(trial.fresh.metres.sum()) for trial in own]
            rows.append(
                Kept(
                    calibration=calibration,
                    asked_per_100m=rate,
                    trials=len(own),
                    expected=rate / 100 * sum(metres),
                    seen=sum(seen),
                    worst=max(100 * count / length / rate for count, length in zip(seen, metres, strict=True)),
                    agree=float(np.mean([_agree(*each) for each in zip(found, seen, metres, strict=True)])),
                    extrapolated=float(np.mean([threshold.extrapolated for threshold in found])),
                )
            )
    return rows


def to_markdown(rows: Sequence[Kept]) -> str:
    heads = ("calibration", "asked per 100 m", "expected", "seen", "ratio", "worst", "extrapolated", "agree")
    cells = [
        (
            row.calibration,
            f"{row.asked_per_100m:g}",
            f"{row.expected:.1f}",
            str(row.seen),
            f"{row.seen / row.expected:.2f}",
            f"{row.worst:.1f}",
            f"{100 * row.extrapolated:.0f} %",
            f"{100 * row.agree:.0f} %",
        )
        for row in rows
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in (heads, ("---",) * len(heads), *cells))


def _agree(threshold: Threshold, seen: int, metres: float) -> bool:
    """Whether the alarms shown at setting and those seen may be of one rate: shared out as the metres are."""
    both = threshold.exceedances + seen
    share = metres / (metres + threshold.metres)
    return not both or bool(binomtest(seen, both, share).pvalue > 0.05)


def _trials(
    calibration: str,
    learned: Features,
    held_out: NDArray[np.float64],
    fresh: Features,
    on_fresh: NDArray[np.float64],
    folds: Folds,
) -> list[Trial]:
    return [
        Trial(
            calibration=calibration,
            style=style,
            held_out=_held(learned, held_out, learned.of_style(index), folds.blocks),
            fresh=_held(fresh, on_fresh, fresh.of_style(fresh.styles.index(style)), fresh.groups),
            group_split=style in folds.split,
        )
        for index, style in enumerate(learned.styles)
    ]


def _held(features: Features, scores: NDArray[np.float64], tiles: NDArray[np.int64], groups: Sequence[str]) -> HeldOut:
    own = tiles[np.isfinite(scores[tiles])]
    return HeldOut(
        scores=scores[own],
        pictures=features.pictures[own],
        places=features.places[own],
        groups=[groups[tile] for tile in own],
        metres=features.metres[own],
    )


def _inside(frame: Pixels) -> Pixels:
    """The fabric of a simulated frame."""
    edges = find_edges(frame)
    if edges is None:
        raise ConfigError("no fabric was found in a simulated frame")
    return frame[:, edges[0] : edges[1]]


def save(trials: Sequence[Trial], path: Path) -> None:
    arrays: dict[str, Any] = {}
    for number, trial in enumerate(trials):
        facts = json.dumps([trial.calibration, trial.style, trial.group_split])
        arrays[f"{number}"] = np.asarray(facts)
        for part, held in (("held_out", trial.held_out), ("fresh", trial.fresh)):
            for name in FIELDS:
                arrays[f"{number}/{part}/{name}"] = np.asarray(getattr(held, name))
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load(path: Path) -> list[Trial]:
    with np.load(path) as arrays:  # no pickled objects

        def read(number: int, part: str) -> HeldOut:
            own = {name: arrays[f"{number}/{part}/{name}"] for name in FIELDS}
            return HeldOut(**own | {"groups": own["groups"].tolist()})

        trials = []
        for number in range(sum(name.isdigit() for name in arrays.files)):
            calibration, style, group_split = json.loads(str(arrays[f"{number}"]))
            trials.append(
                Trial(
                    calibration=calibration,
                    style=style,
                    held_out=read(number, "held_out"),
                    fresh=read(number, "fresh"),
                    group_split=group_split,
                )
            )
        return trials


def main(
    fabric: str = typer.Argument(help=f"{SIMULATED}, or a folder of STYLE/good/* frames."),
    out: Path = typer.Option(..., help="Folder of scores and table; splits that it holds are not trained again."),
    splits: int = typer.Option(3, min=1),
    hold_out: int = typer.Option(5, min=1, help="Frames of each style that a split leaves out; of real frames."),
    metres: float = typer.Option(12.0, min=0.1, help="Fresh metres of each style; of simulated cloth."),
    asked: str = typer.Option(RATES, help="Rates per 100 m, with commas between."),
    mm_per_px: float = typer.Option(0.2, min=0.001),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
) -> None:
    """What thresholds keep on fresh normal fabric."""
    try:
        rates = [float(rate) for rate in asked.split(",")]
        config = CrasConfig(backbone="efficientnet_lite0", mm_per_px=mm_per_px)
        fabrics: Iterator[Fabric]
        if fabric == SIMULATED:
            config = CrasConfig.from_dict(config.to_dict() | QUICK)
            fabrics = simulated(splits=splits, metres=metres, mm_per_px=mm_per_px)
        else:
            fabrics = left_out(Path(fabric), splits=splits, hold_out=hold_out, tile_px=config.tile_px)
        out.mkdir(parents=True, exist_ok=True)
        extractor = Extractor(build_backbone(config.backbone, levels=config.levels), config, device=pick_device(device))
        trials = []
        for number, split in enumerate(fabrics):
            path = out / f"split{number}.npz"
            if not path.is_file():
                save(try_split(split, extractor, config), path)
                print(f"split {number}", flush=True)
            trials += load(path)
        table = to_markdown(count_kept(trials, config, rates))
        (out / "false_alarms.md").write_text(table)
        print(table, end="")
    except (CrasError, LoomwatchError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    typer.run(main)
