"""Thresholds per style from held-out normal fabric, in false alarms per 100 m of roll.

Held out means: scored by heads that never saw the tile nor anything captured with it. Whole groups (strips, rolls) go
to one side. `crossfit` trains heads once a fold, so every tile is held out once, and the threshold goes to heads
trained on everything; `holdout` keeps the first fold out of the one training there is.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cras_core.config import CrasConfig
from cras_core.errors import DataSetError
from cras_core.false_alarms import LEAST_EVENTS, rate_interval, threshold_at, threshold_interval
from cras_core.features import Features
from cras_core.score_map import from_logits, to_logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """value: on the scale of raw scores. How it was set:

    asked_per_100m: false alarms asked for, on a roll `fabric_width_mm` wide. metres: of such roll that the held-out
    tiles add up to. exceedances: held-out tiles above the value; low/high_per_100m: the 95 % interval of the rate they
    show. value_low/high: 95 % interval of the value. extrapolated: by a generalized Pareto tail, because the asked
    rate is rarer than the data can show; more_metres_needed: of normal fabric, to show it. group_split: the style had
    one group only, which had to be split into contiguous halves.
    """

    value: float
    asked_per_100m: float
    fabric_width_mm: float
    metres: float
    held_out_tiles: int
    held_out_groups: int
    exceedances: int
    low_per_100m: float
    high_per_100m: float
    value_low: float
    value_high: float
    extrapolated: bool
    more_metres_needed: float
    group_split: bool
    calibration: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """of_tile: (N,) fold of each tile; blocks: what is never split (a group, or half of a style's only group);
    split: styles whose only group was split."""

    of_tile: NDArray[np.int64]
    blocks: tuple[str, ...]
    split: frozenset[str]


def split_folds(features: Features, *, folds: int, seed: int) -> Folds:
    """Deals the groups of each style to folds, by turns in seeded order, so that no fold takes all of a style.

    Raises `DataSetError` for a style of one tile: it cannot both learn from it and hold it out.
    """
    of_tile = np.zeros(len(features), np.int64)
    blocks = list(features.groups)
    split: set[str] = set()
    for index, style in enumerate(features.styles):
        tiles = features.of_style(index)
        if len(tiles) < 2:
            raise DataSetError(f"style {style} has a single tile: give at least 2, better 100, of normal fabric")
        if len({blocks[tile] for tile in tiles}) == 1:
            split.add(style)
            for place, tile in enumerate(tiles):
                blocks[tile] += " (first half)" if place < len(tiles) / 2 else " (second half)"
        names = sorted({blocks[tile] for tile in tiles})
        order = np.random.default_rng([seed, index]).permutation(len(names))
        fold = {names[place]: turn % folds for turn, place in enumerate(order)}
        of_tile[tiles] = [fold[blocks[tile]] for tile in tiles]
    return Folds(of_tile=of_tile, blocks=tuple(blocks), split=frozenset(split))


def set_thresholds(
    held_out: NDArray[np.float64], features: Features, folds: Folds, config: CrasConfig
) -> dict[str, Threshold]:
    """held_out: (N,) image scores of the tiles when held out, NaN for tiles that never were. -> one a style."""
    thresholds = {}
    for index, style in enumerate(features.styles):
        tiles = [tile for tile in features.of_style(index) if np.isfinite(held_out[tile])]
        thresholds[style] = set_threshold(
            held_out[tiles], [folds.blocks[tile] for tile in tiles], config, group_split=style in folds.split
        )
    return thresholds


def set_threshold(
    scores: NDArray[np.float64], groups: Sequence[str], config: CrasConfig, *, group_split: bool
) -> Threshold:
    """The threshold of one style from its held-out tiles' scores. scores: (n,), n at least 1."""
    tile_mm = config.tile_px * config.mm_per_px
    metres_per_tile = tile_mm * tile_mm / config.fabric_width_mm / 1000
    metres = len(scores) * metres_per_tile
    probability = min(config.false_alarms_per_100m / 100 * metres_per_tile, 1.0)
    # Tails are fitted on logits, where scores have neither floor nor ceiling.
    logits = to_logits(scores, config.score_scale)
    at, extrapolated = threshold_at(logits, probability=probability)
    interval = threshold_interval(logits, list(groups), probability=probability, seed=config.seed)
    value, value_low, value_high = from_logits(np.asarray([at, *interval]), config.score_scale).tolist()
    exceedances = int((scores > value).sum())
    low, high = rate_interval(exceedances, metres)
    return Threshold(
        value=value,
        asked_per_100m=config.false_alarms_per_100m,
        fabric_width_mm=config.fabric_width_mm,
        metres=metres,
        held_out_tiles=len(scores),
        held_out_groups=len(set(groups)),
        exceedances=exceedances,
        low_per_100m=low,
        high_per_100m=high,
        value_low=value_low,
        value_high=value_high,
        extrapolated=extrapolated,
        more_metres_needed=max(0.0, 100 * LEAST_EVENTS / config.false_alarms_per_100m - metres),
        group_split=group_split,
        calibration=config.calibration,
    )
