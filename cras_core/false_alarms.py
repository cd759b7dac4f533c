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
    """What rises above `start`, as it would be counted at every level above it.

    peaks: (n,) the highest score of each event, in any order; bases: (n,) the level below which it is one with a higher
    event beside it, `start` where it never is. metres: the fabric they are from; groups: in how many they lie.
    """

    start: float
    peaks: Floats
    bases: Floats
    metres: float
    groups: int

    @classmethod
    def of(cls, held: HeldOut, *, start: float) -> Self:
        peaks, bases, tiles = find_events(held, start=start)
        groups = len({held.groups[tile] for tile in tiles})
        return cls(start=start, peaks=peaks, bases=bases, metres=float(held.metres.sum()), groups=groups)

    @property
    def whole(self) -> int:
        """How many there are at `start`."""
        return int((self.bases <= self.start).sum())

    def counted(self) -> tuple[Floats, NDArray[np.int64]]:
        """Falling levels, and how many events are above each next lower one."""
        levels = np.concatenate([self.peaks, self.bases])
        order = np.argsort(-levels, kind="stable")
        levels = levels[order]
        counts = np.cumsum(np.repeat([1, -1], len(self.peaks))[order])
        last = np.append(levels[1:] != levels[:-1], True)[: len(levels)]
        return levels[last], counts[last]


def begin_level(held: HeldOut, *, rate_per_m: float) -> float:
    """The level above which events are looked at: all of them, where the rate can be read off; for a tail high, unless
    few events rise above it."""
    ordered = np.sort(held.scores)[::-1]
    wanted = rate_per_m * float(held.metres.sum())
    if wanted >= LEAST_EVENTS:
        return float(ordered[-1])
    for share in START_SHARES:
        place = min(max(round(share * len(ordered)), 1), len(ordered) - 1)
        start = float(ordered[place])
        if len(find_peaks(held, start=start)) > max(2 * wanted, 4):
            break
    return start


def threshold_at(events: Events, *, rate_per_m: float) -> tuple[float, bool]:
    """The score that further normal fabric is expected to exceed at the rate; and whether that is an extrapolation.

    In as much further fabric, j events are expected above the level where these first are j: read off between two such
    levels; where these never are so many, at the level of the most. And a tail whose scale is only known from k events
    is, averaged over what that scale may be (gamma), one of shape 1 / k more (for an exponential tail exactly): the
    fewer events there are, the further out the threshold lies. Events of one group count once in k: they are alike.
    """
    wanted = rate_per_m * events.metres
    if len(events.peaks) == 0:
        return events.start, wanted < LEAST_EVENTS
    levels, counts = events.counted()
    if wanted >= LEAST_EVENTS:
        most = np.maximum.accumulate(counts)
        ranks = np.arange(1, most[-1] + 1)
        return float(np.interp(wanted, ranks, levels[np.searchsorted(most, ranks)])), False
    scale, shape = fit_tail(levels, counts, whole=events.whole)
    shape += 1 / events.groups
    ratio = max(events.whole / wanted, 1.0)
    rise = math.log(ratio) if abs(shape) < 1e-6 else (ratio**shape - 1) / shape
    return events.start + scale * rise, True


def fit_tail(levels: Floats, counts: NDArray[np.int64], *, whole: int) -> tuple[float, float]:
    """Generalized Pareto scale and shape of how counts of events fall with the level, the shape drawn to 0 and bounded.

    levels, counts: as `Events.counted` gives, to the last level; whole: events at that level, at least 1.
    """
    widths, between = -np.diff(levels), counts[:-1]
    mean = float((widths * between).sum()) / whole  # where events never join: of their heights
    pairs = float((widths * between * (between - 1)).sum()) / (2 * whole * max(whole - 1, 1))  # E[x (1 - F(x))]
    shape = 2 - mean / (mean - 2 * pairs) if whole > 1 and mean > 2 * pairs else 0.0
    shape = min(max(shape * whole / (whole + SHAPE_PRIOR_EVENTS), -SHAPE_BOUND), SHAPE_BOUND)
    return mean * (1 - shape), shape


def find_peaks(held: HeldOut, *, start: float) -> Floats:
    """The highest score of each event: tiles above `start` that touch, corners included, within one picture."""
    peaks, bases, _ = find_events(held, start=start)
    return peaks[bases <= start]


def find_events(held: HeldOut, *, start: float) -> tuple[Floats, Floats, list[int]]:
    """Peaks and bases of `Events`, and the tile of each peak. Seen from the highest score down, a tile begins an event,
    or joins those beside it into the highest of them.
    """
    over = np.flatnonzero(held.scores > start)
    over = over[np.argsort(-held.scores[over], kind="stable")]
    place_of = {int(tile): (int(held.pictures[tile]), *map(int, held.places[tile])) for tile in over}
    owner: dict[tuple[int, ...], int] = {}  # the event of each place seen so far, or one that it has joined
    joined: dict[int, int] = {}  # event -> the higher one that it is part of by now
    bases: dict[int, float] = {}

    def whole(event: int) -> int:
        while event in joined:
            event = joined[event]
        return event

    for number, tile in enumerate(place_of):
        picture, row, column = place_of[tile]
        beside = {
            whole(owner[place])
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if (place := (picture, row + down, column + right)) in owner
        }
        highest = min(beside, default=number)  # numbered from the highest down
        if not beside:
            bases[number] = start
        for event in beside - {highest}:
            joined[event] = highest
            bases[event] = float(held.scores[tile])
        owner[place_of[tile]] = highest
    tiles = [int(over[event]) for event in bases]
    return held.scores[tiles].astype(np.float64), np.asarray(list(bases.values()), np.float64), tiles


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
        places = generator.integers(len(events), size=len(events))
        drawn = [events[place] for place in places]
        again = Events(
            start=start,
            peaks=np.concatenate([each.peaks for each in drawn]),
            bases=np.concatenate([each.bases for each in drawn]),
            metres=sum(each.metres for each in drawn),
            groups=sum(events[place].groups for place in set(places.tolist())),
        )
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
