"""What overlapping tiles are worth on annotated frames, and what they cost:

    python -m benchmarks.overlap ../shared/data/aitex/frames --out OUT [--overlaps 0,32,64,128] [--seeds 0 --seeds 1]

A model learns half of each style's good strips. The other half and every strip with a defect are cut by the sliding
window with each overlap, scored as of their style, and stitched as the worker does: neighbours blended linearly. The
same model scores all overlaps, so that they differ in nothing else.
"""

import json
import logging
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.continual import CPU, Frame, halves, samples_of, scorer_of
from cras_core.config import CrasConfig
from cras_core.dataset import GOOD
from cras_core.errors import CrasError
from cras_core.metrics import aupro, auroc
from cras_core.scoring import Scorer
from cras_core.training import train
from inspection.errors import LoomwatchError, SettingsError
from inspection.tiling import cut_image, spans, stitch
from loomwatch.annotated import AnnotatedFrame, find_annotated

log = logging.getLogger("overlap")

EVERY_PX = 4  # of a map's pixels each way, for the figures of pixels
BATCH = 8  # tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Means of the styles. tiles: of all frames together."""

    seed: int
    overlap_px: int
    frame_auroc: float
    pixel_auroc: float
    aupro: float
    tiles: int


def main(
    data: Path = typer.Argument(help="Annotated frames: STYLE/good, STYLE/KIND, masks."),
    out: Path = typer.Option(..., help="Folder for overlap.json and overlap.md."),
    overlaps: str = typer.Option("0,32,64,128", help="In px, with commas between."),
    seeds: list[int] = typer.Option([0], help="Of the split and the training; repeatable."),
    backbone: str = typer.Option(CrasConfig().backbone, help="As for loomwatch train."),
) -> None:
    """AUROC of frames and pixels by how far neighbouring tiles overlap."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("cras_core").setLevel(logging.WARNING)
    try:
        chosen = [int(text) for text in overlaps.split(",")]
    except ValueError:
        print(f"error: --overlaps are whole numbers with commas between, got {overlaps!r}", file=sys.stderr)
        raise SystemExit(2) from None
    try:
        frames = find_annotated(data)
        out.mkdir(parents=True, exist_ok=True)
        found: list[Figures] = []
        for seed in seeds:
            found += run(frames, CrasConfig(backbone=backbone, seed=seed), chosen)
            (out / "overlap.json").write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
            (out / "overlap.md").write_text(to_table(found))
    except (LoomwatchError, CrasError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    print((out / "overlap.md").read_text(), end="")


def run(frames: Mapping[str, Sequence[AnnotatedFrame]], config: CrasConfig, overlaps: Sequence[int]) -> list[Figures]:
    """Raises `SettingsError` for a style with fewer than four good strips, or an overlap that is none."""
    for overlap in overlaps:
        spans(config.tile_px, tile_px=config.tile_px, overlap_px=overlap)  # refused now, not after a training
    learned, tested = [], {}
    for place, (style, own) in enumerate(sorted(frames.items())):
        good = [each for each in own if each.kind == GOOD]
        if len(good) < 4:
            raise SettingsError(f"style {style} has {len(good)} good strips: 4 are needed")
        order = np.random.default_rng([config.seed, place]).permutation(len(good))
        good = [good[i] for i in order]
        learned += samples_of(halves(style, good[: len(good) // 2]))
        tested[style] = halves(style, good[len(good) // 2 :] + [each for each in own if each.kind != GOOD])
    scorer = scorer_of(train(learned, config, device=CPU))
    return [judge(scorer, tested, overlap_px=overlap, seed=config.seed) for overlap in overlaps]


def judge(scorer: Scorer, tested: Mapping[str, Sequence[Frame]], *, overlap_px: int, seed: int) -> Figures:
    figures: dict[str, list[float]] = defaultdict(list)
    count = 0
    for style, frames in tested.items():
        highest, anomalous = [], []
        maps, masks = [], []
        for frame in frames:
            scores, tiles = map_of(scorer, frame, style, overlap_px=overlap_px)
            count += tiles
            highest.append(float(scores.max()))
            anomalous.append(frame.mask is not None)
            maps.append(scores[::EVERY_PX, ::EVERY_PX])
            mask = np.zeros(scores.shape, np.bool_) if frame.mask is None else frame.mask
            masks.append(mask[::EVERY_PX, ::EVERY_PX])
        width = min(each.shape[1] for each in maps)  # strips differ by a few px in their fabric's width
        stacked = np.stack([each[:, :width] for each in maps]), np.stack([each[:, :width] for each in masks])
        figures["frame_auroc"].append(auroc(np.asarray(highest), np.asarray(anomalous)) or 0.0)
        figures["pixel_auroc"].append(auroc(*stacked) or 0.0)
        figures["aupro"].append(aupro(*stacked) or 0.0)
    means = {name: statistics.fmean(values) for name, values in figures.items()}
    log.info("seed %d, overlap %d px: %s, %d tiles", seed, overlap_px, means, count)
    return Figures(seed=seed, overlap_px=overlap_px, tiles=count, **means)


def map_of(scorer: Scorer, frame: Frame, style: str, *, overlap_px: int) -> tuple[NDArray[np.float32], int]:
    """(H, W) scores of a frame, and how many tiles it took."""
    tiles = cut_image(frame.pixels, tile_px=scorer.tile_px, overlap_px=overlap_px)
    maps = [scorer.score(tiles[start : start + BATCH], style=style).maps for start in range(0, len(tiles), BATCH)]
    height, width = frame.pixels.shape[:2]
    return stitch(np.concatenate(maps), height, width, overlap_px=overlap_px), len(tiles)


def to_table(found: Sequence[Figures]) -> str:
    """Means of the seeds."""
    by_overlap: dict[int, list[Figures]] = defaultdict(list)
    for each in found:
        by_overlap[each.overlap_px].append(each)
    fewest = min(each.tiles for each in found)
    lines = ["| overlap, px | frame AUROC | pixel AUROC | AUPRO | tiles |", "| --- | --- | --- | --- | --- |"]
    for overlap, own in by_overlap.items():
        means = [
            100 * statistics.fmean(getattr(each, name) for each in own)
            for name in ("frame_auroc", "pixel_auroc", "aupro")
        ]
        lines.append(
            f"| {overlap} | " + " | ".join(f"{mean:.1f}" for mean in means) + f" | {own[0].tiles / fewest:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
