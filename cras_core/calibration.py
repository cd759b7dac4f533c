"""Thresholds per style from held-out normal fabric, in false alarms per 100 m.

Held out means: scored by heads that never saw the tile nor anything captured with it. Whole groups (strips, rolls) go
to one side. `crossfit` trains heads once a fold, so every tile is held out once, and the threshold goes to heads
trained on everything; `holdout` keeps the first fold out of the one training there is.

Metres are counted along the roll, as the pictures learned from show it: whole camera frames count their length
whatever the camera's width, pictures of a single tile count as a lane one tile wide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cras_core.config import CrasConfig
from cras_core.errors import DataSetError
from cras_core.false_alarms import (
    LEAST_EVENTS,
    Events,
    HeldOut,
    begin_level,
    rate_interval,
    threshold_at,
    threshold_interval,
)
from cras_core.features import Features
from cras_core.score_map import from_logits, to_logits

NORMAL_SHARES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  # of tiles, whose scores a threshold keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """value: on the scale of raw scores. How it was set:

    asked_per_100m: false alarms asked for; metres, held_out_tiles, held_out_groups: what it rests on. exceedances:
    false alarms that fabric would give at the value; low/high_per_100m: the 95 % interval of the rate they show.
    value_low/high: 95 % interval of the value. extrapolated: by a generalized Pareto tail, because the asked rate is
    rarer than the data can show; more_metres_needed: of normal fabric, to show it. group_split: the style had one group
    only, which had to be split into contiguous halves. normal_scores: what at most so many of further normal tiles are
    expected to exceed, at each of `NORMAL_SHARES`; () where it was set before these were kept.
    """

    value: float
    asked_per_100m: float
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
    normal_scores: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """Raises `TypeError` for other facts."""
        return cls(**{**entry, "normal_scores": tuple(entry.get("normal_scores", ()))})

    def exceeded_by(self, share: float) -> float | None:
        """The score that at most this share of normal tiles exceeds, the threshold where that is lower; None when it
        was not kept."""
        if not self.normal_scores:
            return None
        return min(self.value, float(np.interp(share, NORMAL_SHARES, self.normal_scores)))


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
    scores: NDArray[np.float64], features: Features, folds: Folds, config: CrasConfig
) -> dict[str, Threshold]:
    """scores: (N,) image scores (eq. 10) of tiles when held out, NaN for tiles that never were. -> one a style."""
    return {style: threshold_of(index, scores, features, folds, config) for index, style in enumerate(features.styles)}


def threshold_of(
    index: int, scores: NDArray[np.float64], features: Features, folds: Folds, config: CrasConfig
) -> Threshold:
    """That of style `index` of `features`, of which at least one tile was held out."""
    tiles = features.of_style(index)
    tiles = tiles[np.isfinite(scores[tiles])]
    held = HeldOut(
        scores=scores[tiles],
        pictures=features.pictures[tiles],
        places=features.places[tiles],
        groups=[folds.blocks[tile] for tile in tiles],
        metres=features.metres[tiles],
    )
    return set_threshold(held, config, group_split=features.styles[index] in folds.split)


def set_threshold(held: HeldOut, config: CrasConfig, *, group_split: bool) -> Threshold:
    """The threshold of one style. `held.scores` are raw."""
    rate = config.false_alarms_per_100m / 100
    # Tails are fitted on logits, where scores have neither floor nor ceiling.
    free = HeldOut(
        scores=to_logits(held.scores, config.score_scale),
        pictures=held.pictures,
        places=held.places,
        groups=held.groups,
        metres=held.metres,
    )
    start = begin_level(free, rate_per_m=rate)
    events = Events.of(free, start=start)
    at, extrapolated = threshold_at(events, rate_per_m=rate)
    low, high = threshold_interval(free, start=start, rate_per_m=rate, seed=config.seed)
    # Groups drawn again are fewer: from few, all thresholds may lie further out
    ends = [at, min(low, at), max(high, at)]
    value, value_low, value_high = from_logits(np.asarray(ends), config.score_scale).tolist()
    exceedances = int(((events.peaks > at) & (events.bases <= at)).sum())
    low, high = rate_interval(exceedances, events.metres)
    return Threshold(
        value=value,
        asked_per_100m=config.false_alarms_per_100m,
        metres=events.metres,
        held_out_tiles=len(held.scores),
        held_out_groups=len(set(held.groups)),
        exceedances=exceedances,
        low_per_100m=low,
        high_per_100m=high,
        value_low=value_low,
        value_high=value_high,
        extrapolated=extrapolated,
        more_metres_needed=max(0.0, LEAST_EVENTS / rate - events.metres),
        group_split=group_split,
        calibration=config.calibration,
        normal_scores=normal_scores(held.scores),
    )


def normal_scores(scores: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    """(n,) of held-out tiles -> the score at each of `NORMAL_SHARES`: one more tile like them exceeds the k-th highest
    with probability k / (n + 1), so that it is the highest where the tiles are too few for the share."""
    falling = np.sort(np.asarray(scores))[::-1]
    places = [max(int(share * (len(falling) + 1)) - 1, 0) for share in NORMAL_SHARES]
    return tuple(float(falling[place]) for place in places)
