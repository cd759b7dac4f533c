"""A threshold from what held-out normal fabric scores: exceeded at the rate asked for. Pure functions.

A false alarm is an event, not a tile: a weft bar over a whole strip is one region of the stitched map, so tiles over a
level that touch within a picture count once, by their highest score. When the asked rate is rarer than the data can
show, the events' tail is extrapolated by a generalized Pareto distribution (peaks over a threshold; scale and shape by
probability-weighted moments, Hosking and Wallis 1987), and the result says so. Both ways aim at what further
fabric will give in the mean, not at what this fabric gave.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Floats = NDArray[np.float64]

LEAST_EVENTS = 3.0  # expected false alarms in the data below which their rate cannot be read off it
START_SHARES = (0.15, 0.3, 0.5, 1.0)  # of tiles above the level at which events begin: the first with enough events
SHAPE_BOUND = 0.2
SHAPE_PRIOR_EVENTS = 60  # the shape is drawn to 0 (an exponential tail) as if by so many more events


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Scores of one style's held-out tiles: (n,), n at least 1.

    pictures: (n,) which picture a tile was cut from; places: (n, 2) its row and column there; groups: (n,) names of
    what was captured together; metres: (n,) of roll that the tile stands for.
    """

    scores: Floats
    pictures: NDArray[np.int64]
    places: NDArray[np.int64]
    groups: Sequence[str]
    metres: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """peaks: highest score of each event that rises above `start`, falling; metres: the fabric they are from."""

    start: float
    peaks: Floats
    metres: float

    @classmethod
    def of(cls, held: HeldOut, *, start: float) -> Self:
        peaks = find_peaks(held, start=start)
        return cls(start=start, peaks=np.sort(peaks)[::-1], metres=float(held.metres.sum()))


def begin_level(held: HeldOut, *, rate_per_m: float) -> float:
    """The level above which events are looked at: high, unless more false alarms are asked for than rise above it."""
    ordered = np.sort(held.scores)[::-1]
    wanted = rate_per_m * float(held.metres.sum())
    for share in START_SHARES:
        place = min(max(round(share * len(ordered)), 1), len(ordered) - 1)
        start = float(ordered[place])
        if len(find_peaks(held, start=start)) > max(2 * wanted, 4):
            break
    return start


def threshold_at(events: Events, *, rate_per_m: float) -> tuple[float, bool]:
    """The score that further normal fabric is expected to exceed at the rate; and whether that is an extrapolation.

    In as much further fabric, j events are expected above the j-th highest of these: read off between two ranks. And a
    tail whose scale is only known from k events is, averaged over what that scale may be (gamma), one of shape 1 / k
    more (for an exponential tail exactly): the fewer events there are, the further out the threshold lies.
    """
    wanted = rate_per_m * events.metres
    if wanted >= LEAST_EVENTS:
        levels = np.append(events.peaks, events.start)
        return float(np.interp(wanted, np.arange(1, len(levels) + 1), levels)), False
    if len(events.peaks) == 0:
        return events.start, True
    scale, shape = fit_tail(events.peaks - events.start)
    shape += 1 / len(events.peaks)
    ratio = max(len(events.peaks) / wanted, 1.0)
    rise = math.log(ratio) if abs(shape) < 1e-6 else (ratio**shape - 1) / shape
    return events.start + scale * rise, True


def fit_tail(excess: Floats) -> tuple[float, float]:
    """Generalized Pareto scale and shape of excesses (any order, at least 1), the shape drawn to 0 and bounded."""
    rising = np.sort(excess)
    count, mean = len(rising), float(rising.mean())
    ranks = np.arange(count - 1, -1, -1)
    weighted = float((rising * ranks).sum() / (count * max(count - 1, 1)))  # estimates E[x (1 - F(x))]
    shape = 2 - mean / (mean - 2 * weighted) if count > 1 and mean > 2 * weighted else 0.0
    shape = min(max(shape * count / (count + SHAPE_PRIOR_EVENTS), -SHAPE_BOUND), SHAPE_BOUND)
    return mean * (1 - shape), shape


def find_peaks(held: HeldOut, *, start: float) -> Floats:
    """The highest score of each event: tiles above `start` that touch, corners included, within one picture."""
    over = np.flatnonzero(held.scores > start)
    waiting = {(int(held.pictures[i]), *map(int, held.places[i])): float(held.scores[i]) for i in over}
    peaks = []
    while waiting:
        place, peak = waiting.popitem()
        edge = [place]
        while edge:
            picture, row, column = edge.pop()
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    beside = (picture, row + down, column + right)
                    if beside in waiting:
                        peak = max(peak, waiting.pop(beside))
                        edge.append(beside)
        peaks.append(peak)
    return np.asarray(peaks, np.float64)


def rate_interval(events: int, metres: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact Poisson interval (Garwood) of a rate of which `events` were seen in `metres`, per 100 m."""
    outside = (1 - confidence) / 2
    low = chi2.ppf(outside, 2 * events) / 2 if events else 0.0
    return 100 * float(low) / metres, 100 * float(chi2.ppf(1 - outside, 2 * events + 2)) / 2 / metres


def threshold_interval(
    held: HeldOut, *, start: float, rate_per_m: float, seed: int, confidence: float = 0.95, rounds: int = 200
) -> tuple[float, float]:
    """How far the threshold itself may be off: whole groups drawn again and again (bootstrap)."""
    groups = np.asarray(held.groups)
    parts = [_part(held, groups == name) for name in sorted(set(held.groups))]
    if len(parts) < 2:  # nothing to draw from but the pictures
        parts = [_part(held, held.pictures == number) for number in np.unique(held.pictures)]
    events = [Events.of(part, start=start) for part in parts]
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        drawn = [events[place] for place in generator.integers(len(events), size=len(events))]
        peaks = np.sort(np.concatenate([each.peaks for each in drawn]))[::-1]
        again = Events(start=start, peaks=peaks, metres=sum(each.metres for each in drawn))
        found.append(threshold_at(again, rate_per_m=rate_per_m)[0])
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _part(held: HeldOut, chosen: NDArray[np.bool_]) -> HeldOut:
    return HeldOut(
        scores=held.scores[chosen],
        pictures=held.pictures[chosen],
        places=held.places[chosen],
        groups=[name for name, inside in zip(held.groups, chosen, strict=True) if inside],
        metres=held.metres[chosen],
    )
