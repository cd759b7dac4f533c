"""95 % bootstrap intervals of the figures: whole pictures are drawn again, normal and anomalous ones apart.

Pixels of a picture belong together, so a picture brings all of its own. Every picture becomes counts over score bins
once; a round is then a weighted sum of counts, and 1000 rounds take seconds. Images have a bin for each distinct score,
which is exact. Pixels share at most `BINS` bins, cut finely where high scores are: a figure moves by less than 0.002,
and the interval is shifted by what the figure itself moved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cras_core.metrics import PRO_LIMIT, Truth, Values, region_weights

Counts = NDArray[np.float64]
Interval = tuple[float, float]

ROUNDS = 1000
LEVEL = 0.95
BINS = 2048
SAMPLE = 200_000  # values that the bins' edges are taken from
AT_ONCE = 100  # rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureCounts:
    """What N pictures have in B ascending score bins.

    normal, defect: (N, B); overlap: (N, B), defect pixels weighed by one over their region's size, and regions (N,);
    both are zero for images. anomalous: (N,), by which pictures are drawn.
    """

    normal: Counts
    defect: Counts
    overlap: Counts
    regions: Counts
    anomalous: Truth


def count_images(scores: Values, anomalous: Truth) -> PictureCounts:
    """Image scores (N,), a bin for each distinct one."""
    levels, places = np.unique(scores, return_inverse=True)
    one = np.zeros((len(scores), len(levels)))
    one[np.arange(len(scores)), places] = 1
    nothing = np.zeros((len(scores), 0))
    return PictureCounts(
        normal=one * ~anomalous[:, None],
        defect=one * anomalous[:, None],
        overlap=nothing,
        regions=np.zeros(len(scores)),
        anomalous=anomalous,
    )


def count_pixels(maps: Values, masks: Truth, anomalous: Truth) -> PictureCounts:
    """Score maps and masks (N, H, W), anomalous (N,)."""
    edges = _edges(maps, masks)
    weights, regions = region_weights(masks)
    rows: list[list[Counts]] = [[], [], []]
    for scores, mask, weight in zip(maps, masks, weights, strict=True):
        places = np.searchsorted(edges, scores, side="right")
        chosen = ((~mask, None), (mask, None), (mask, weight))
        for row, (where, weigh) in zip(rows, chosen, strict=True):
            given = None if weigh is None else weigh[where]
            row.append(np.bincount(places[where], weights=given, minlength=len(edges) + 1).astype(np.float64))
    normal, defect, overlap = (np.stack(row) for row in rows)
    return PictureCounts(
        normal=normal, defect=defect, overlap=overlap, regions=regions.astype(np.float64), anomalous=anomalous
    )


def _edges(maps: Values, masks: Truth) -> Counts:
    """Quantiles of defect and of normal scores, these closer and closer towards the top. At most BINS - 1."""
    shares = np.concatenate([np.linspace(0, 1, BINS // 4), 1 - np.geomspace(1e-6, 1, BINS // 4)])
    found = []
    for values in (maps[~masks], maps[masks]):
        if len(values):
            step = len(values) // SAMPLE | 1  # odd: never the same columns of every picture
            found.append(np.quantile(values[::step], shares))
    return np.unique(np.concatenate(found))


def resample(
    counts: PictureCounts, exact: Mapping[str, float | None], *, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, Counts]:
    """Every round's figures, each (rounds,), of those in `exact`: auroc, ap, f1_max, aupro.

    They are shifted by what all pictures once, binned, miss of the exact value. NaN where a round lacks what a figure
    needs, and everywhere where the exact value is None.
    """
    random = np.random.default_rng(seed)
    weights = np.zeros((rounds, len(counts.anomalous)))
    for group in (np.flatnonzero(~counts.anomalous), np.flatnonzero(counts.anomalous)):
        if len(group):
            weights[:, group] = random.multinomial(len(group), np.full(len(group), 1 / len(group)), size=rounds)
    parts = [figures(counts, weights[start : start + AT_ONCE]) for start in range(0, rounds, AT_ONCE)]
    whole = figures(counts, np.ones((1, len(counts.anomalous))))
    return {
        name: np.full(rounds, np.nan)
        if value is None
        else np.concatenate([part[name] for part in parts]) + (value - whole[name])
        for name, value in exact.items()
    }


def figures(counts: PictureCounts, weights: Counts) -> dict[str, Counts]:
    """The figures when each picture counts as often as its weight: (R, N) -> each (R,)."""
    hits, alarms = _from_the_top(weights @ counts.defect), _from_the_top(weights @ counts.normal)
    overlap = _from_the_top(weights @ counts.overlap)
    defects, normals = hits[:, -1:], alarms[:, -1:]
    both = (defects > 0)[:, 0] & (normals > 0)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing to count is NaN
        recall, rate = hits / defects, alarms / normals
        precision = hits[:, 1:] / np.maximum(hits[:, 1:] + alarms[:, 1:], 1)
        share = overlap / (weights @ counts.regions)[:, None]
        return {
            "auroc": np.asarray(np.trapezoid(recall, rate, axis=1)),
            "ap": np.where(both, (np.diff(recall, axis=1) * precision).sum(axis=1), np.nan),
            "f1_max": np.where(both, (2 * hits / (hits + alarms + defects)).max(axis=1), np.nan),
            "aupro": _area_up_to(PRO_LIMIT, rate, share) if counts.overlap.size else np.full(len(weights), np.nan),
        }


def _from_the_top(counts: Counts) -> Counts:
    """How much lies at or above each bin, from none to all: (R, B) -> (R, B + 1)."""
    return np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts[:, ::-1], axis=1)], axis=1)


def _area_up_to(limit: float, x: Counts, y: Counts) -> Counts:
    """Area under each curve up to `limit`, over `limit`: (R, B), (R, B) -> (R,)."""
    width = np.diff(x, axis=1)
    inside = np.clip(limit - x[:, :-1], 0, width)
    end = y[:, :-1] + np.diff(y, axis=1) * inside / np.where(width > 0, width, 1)
    area: Counts = (inside * (y[:, :-1] + end) / 2).sum(axis=1) / limit
    return area


def middle(rounds: Counts) -> Interval | None:
    """The middle 95 % of the rounds that have a figure, within [0, 1]; None when none has."""
    rounds = rounds[~np.isnan(rounds)]
    if not len(rounds):
        return None
    low, high = np.clip(np.quantile(rounds, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]), 0, 1)
    return float(low), float(high)


def mean_rounds(classes: Sequence[Counts]) -> Counts:
    """Round by round the mean over classes that have the figure: (rounds,) each -> (rounds,)."""
    stacked = np.stack(classes)
    there = ~np.isnan(stacked)
    count = there.sum(axis=0)
    total = np.where(there, stacked, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
