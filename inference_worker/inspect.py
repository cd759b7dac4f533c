"""One frame through the model: tiles -> scores (`score_frame`) -> stitched map -> defects, with the pictures staff will
see (`report_frame`). Two steps, so that the next frame is scored while this one is reported and stored."""

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from inference_worker import pictures
from inference_worker.regions import find_defects, stitch_frame
from inspection.likeness import likenesses
from inspection.tiling import join
from inspection.types import FrameReport, Pixels, Scores, TiledFrame, TileResult

GRID_MM = 25.0  # side of a cell of the score grid that is kept of every frame


class TileScores(Protocol):
    """The answer for some tiles, as of `inspection.types.TileResult`."""

    @property
    def maps(self) -> Scores: ...
    @property
    def scores(self) -> Scores: ...
    @property
    def styles(self) -> tuple[str, ...]: ...
    @property
    def thresholds(self) -> Scores: ...


class FrameScorer(Protocol):
    """What a frame needs of a model: `cras_core.scoring.Scorer`, or `constant.ConstantScorer`."""

    @property
    def name(self) -> str: ...
    @property
    def runtime_name(self) -> str: ...
    def check(self, *, tile_px: int, mm_per_px: float) -> None:
        """Raises `cras_core.errors.BundleError`."""

    def score(self, tiles: Pixels, *, style: str) -> TileScores: ...


class Models(FrameScorer, Protocol):
    """What is in charge: `in_charge.InCharge`, or `constant.ConstantScorer`. As a scorer it is its main model."""

    @property
    def act(self) -> int:
        """Number of the promotion or roll back that it follows."""

    def of(self, style: str) -> FrameScorer:
        """The model of a roll's style; "" when nobody entered it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredFrame:
    """A frame's tiles and the model's answers. Nothing was looked for in them yet."""

    tiled: TiledFrame
    result: TileResult
    model: str
    received_at_ns: int
    scored_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A frame's report, and its cloth and heat (scores in units of the threshold) for the screens."""

    report: FrameReport
    tiled: TiledFrame
    ratios: Scores  # (H, fabric width)

    def fabric(self, *, every_row: int = 1) -> Pixels:
        """(H / every_row, fabric width, C). Put together anew each time: most frames are never looked at."""
        return join(self.tiled, every_row=every_row)


def score_tiles(scorer: FrameScorer, tiles: Pixels, *, style: str, batch_size: int) -> TileResult:
    """(N, T, T, C) -> the model's answers, `batch_size` at a time; no tile's score depends on its batch."""
    parts = [scorer.score(tiles[start : start + batch_size], style=style) for start in range(0, len(tiles), batch_size)]
    return TileResult(
        maps=np.concatenate([part.maps for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        styles=tuple(style for part in parts for style in part.styles),
        thresholds=np.concatenate([part.thresholds for part in parts]),
    )


def score_frame(
    scorer: FrameScorer, tiled: TiledFrame, *, style: str, batch_size: int, received_at_ns: int
) -> ScoredFrame:
    """The model's part. `style`: the roll's, or "" to route every tile by itself.

    Raises `cras_core.errors.BundleError` when the model was trained for another tile size or scale.
    """
    scorer.check(tile_px=tiled.tile_px, mm_per_px=tiled.header.mm_per_px)
    return ScoredFrame(
        tiled=tiled,
        result=score_tiles(scorer, tiled.tiles, style=style, batch_size=batch_size),
        model=scorer.name,
        received_at_ns=received_at_ns,
        scored_at_ns=time.time_ns(),
    )


def report_frame(scored: ScoredFrame, *, merge_mm: float) -> Inspected:
    """The defects in a scored frame, with their pictures."""
    tiled, result = scored.tiled, scored.result
    header = tiled.header
    scores, ratios = stitch_frame(tiled, result)
    defects = find_defects(tiled, result, scores, ratios, merge_mm=merge_mm)
    names, votes = np.unique(result.styles, return_counts=True)
    fabric = join(tiled) if defects else None
    main_style = str(names[np.argmax(votes)])
    threshold = next(float(t) for t, name in zip(result.thresholds, result.styles, strict=True) if name == main_style)
    report = FrameReport(
        header=header,
        model=scored.model,
        style=main_style,
        tile_px=tiled.tile_px,
        overlap_px=tiled.overlap_px,
        tile_scores=result.scores,
        score_grid=score_grid(scores, cell_px=grid_cell_px(header.mm_per_px)),
        threshold=threshold,
        received_at_ns=scored.received_at_ns,
        scored_at_ns=scored.scored_at_ns,
        defects=defects,
        crops=pictures.crops(fabric, ratios, defects, header, tile_px=tiled.tile_px) if fabric is not None else (),
        likenesses=likenesses(fabric, defects, header) if fabric is not None else (),
    )
    return Inspected(report=report, tiled=tiled, ratios=ratios)


def grid_cell_px(mm_per_px: float) -> int:
    """Side of a cell of the score grid."""
    return max(1, round(GRID_MM / mm_per_px))


def score_grid(scores: Scores, *, cell_px: int) -> Scores:
    """(H, W) -> the maximum of each cell of `cell_px` pixels, the last ones partial: (rows, columns)."""
    starts = [np.arange(0, side, cell_px) for side in scores.shape]
    by_row = np.stack([scores[start : start + cell_px].max(axis=0) for start in starts[0]])
    return np.maximum.reduceat(by_row, starts[1], axis=1)
