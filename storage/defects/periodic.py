"""Defects at equal spaces: the mark of something that turns, from the places of a few defects in one lane.

A series is a zero and a period whose slots hold defects. Every pair of places is tried as one, two or three periods
apart, from every place on; each trial walks along the roll, takes the place nearest a slot, and from the third hit on
fits zero and period again by least squares, so that a period known to a few mm stays on its slots for hundreds of
metres. What is left is believed when chance would hardly do it: the slots that are hit, at the lane's own density of
defects, are a binomial tail, times the number of trials. All trials walk side by side in numpy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_PERIOD_MM, MAX_PERIOD_MM = 40.0, 6000.0
WINDOW_EVENTS = 20
WINDOW_MM = 200_000.0
DIVISORS = (1, 2, 3)
TOLERANCE_MM, TOLERANCE_SHARE = 6.0, 0.004  # of a slot: the larger, the share being of the period
MAX_MISSES = 3  # in a row; at the next the series is over
MIN_HITS = 4
MIN_FILL = 0.6  # hits of slots; half the true period would fill half of them
MAX_CHANCE = 1e-3

Places = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """hits: indices of the places, in order. Slot n lies at zero_mm + n * period_mm; the first hit is in slot 0."""

    period_mm: float
    zero_mm: float
    slots: int  # from the first hit to the last, both counted
    hits: tuple[int, ...]
    chance: float  # of so many hits in places without order, all trials counted

    @property
    def last_mm(self) -> float:
        """The slot of the last hit."""
        return self.zero_mm + (self.slots - 1) * self.period_mm

    @property
    def next_mm(self) -> float:
        return self.last_mm + self.period_mm

    @property
    def closes_mm(self) -> float:
        """Once the roll is inspected so far without a hit, the fourth slot was missed and the series is over."""
        return self.last_mm + (MAX_MISSES + 1) * self.period_mm + tolerance_mm(self.period_mm)


def tolerance_mm(period_mm: float) -> float:
    return max(TOLERANCE_MM, TOLERANCE_SHARE * period_mm)


def find_periodic(places_mm: Sequence[float], *, through: int | None = None) -> Periodic | None:
    """The best series among places along the roll in ascending order, or None.

    places_mm: of one lane; only the last `WINDOW_EVENTS` within `WINDOW_MM` of the last one count, and at least
    `MIN_HITS`. through: index of a place that the series must hold, which saves the trials of all other pairs.
    """
    if through is not None and _in_reach(places_mm, through) < MIN_HITS:
        return None
    places = np.asarray(places_mm, np.float64)
    start = max(0, places.size - WINDOW_EVENTS, int(np.searchsorted(places, places[-1:] - WINDOW_MM)[:1].sum()))
    window = places[start:]
    if window.size < MIN_HITS or (through is not None and through < start):
        return None
    periods = _every_period(window) if through is None else _promising(window, through - start)
    if not periods.size:
        return None
    periods, anchors = _trials(window, periods)
    walked = _walk(window, periods, anchors)
    return _best(window, walked, start=start, through=through)


def _in_reach(places: Sequence[float], through: int) -> int:
    """How many places at most a series through one of them holds: between two of its hits lie at most `MAX_MISSES`
    slots, and half a slot to either side."""
    reach_mm = (MAX_MISSES + 2) * (MAX_PERIOD_MM + 0.01)
    first = last = through
    while first > 0 and places[first] - places[first - 1] <= reach_mm:
        first -= 1
    while last + 1 < len(places) and places[last + 1] - places[last] <= reach_mm:
        last += 1
    return last - first + 1


def _every_period(places: Places) -> Places:
    first, second = np.triu_indices(places.size, k=1)
    return _apart(_possible(places[second] - places[first]))


def _promising(places: Places, through: int) -> Places:
    """The periods through a place that meet as many others as a series must, in slots as near each other, by a
    tolerance that grows with the slots between as an unfitted period's error does. Costs a tenth of the walk and mostly
    finds none."""
    apart = np.concatenate((places[:through], places[through + 1 :])) - places[through]
    periods = _possible(np.abs(apart))
    slots = np.rint(apart / periods[:, None])  # (periods, places)
    off = np.abs(apart - slots * periods[:, None])
    tolerance = np.maximum(TOLERANCE_MM, TOLERANCE_SHARE * periods)[:, None] * (1 + 0.75 * np.abs(slots))
    met = (off <= tolerance) & (slots != 0)
    near = met & (np.abs(slots) <= 2 * (MAX_MISSES + 1))
    enough = (met.sum(axis=1) >= MIN_HITS - 1) & (near.sum(axis=1) >= 2)
    trials = _trial_count(places.size)
    density = _density(places)
    kept = [
        index
        for index in np.flatnonzero(enough)
        if _may_be_series(slots[index, met[index]], float(periods[index]), density, trials)
    ]
    return _apart(periods[kept])


def _may_be_series(slots: NDArray[np.float64], period: float, density: float, trials: float) -> bool:
    """Whether slots that are hit, besides slot 0, hold a stretch about it that is filled well and no chance."""
    hit = sorted({0, *slots.astype(int).tolist()})
    own = hit.index(0)
    share = _accident(0.98 * period, density)  # a fit may take a little off the period
    first = own
    while first > 0 and hit[first] - hit[first - 1] <= MAX_MISSES + 1:
        first -= 1
    for begin in range(first, own + 1):
        for end in range(begin + MIN_HITS - 1, len(hit)):
            if end > own and hit[end] - hit[end - 1] > MAX_MISSES + 1:
                break
            hits, of = end - begin + 1, hit[end] - hit[begin] + 1
            if end >= own and hits >= MIN_FILL * of and _tail(hits - 1, of - 1, share) * trials <= MAX_CHANCE:
                return True
    return False


def _possible(periods: Places) -> Places:
    """Distances of places, sorted, as one, two or three periods."""
    periods = np.concatenate([periods / divisor for divisor in DIVISORS])
    return np.sort(periods[(periods >= MIN_PERIOD_MM - 0.01) & (periods <= MAX_PERIOD_MM + 0.01)])


def _trials(places: Places, periods: Places) -> tuple[Places, NDArray[np.int64]]:
    """Every period from every place on: periods, and the index of the place that each starts from."""
    anchors = np.arange(places.size - MIN_HITS + 1)
    return np.tile(periods, anchors.size), np.repeat(anchors, periods.size)


def _apart(periods: Places) -> Places:
    """Sorted periods without those that a fit would take for the one before them: closer than a quarter tolerance."""
    kept: list[float] = []
    for period in periods.tolist():
        if not kept or period - kept[-1] > 0.25:
            kept.append(period)
    return np.array(kept)


@dataclass(slots=True)
class _Walk:
    """Of each trial, up to where its slots were last filled well: what it fits, which slot it hit last, and which slot
    each place fills (-1: none)."""

    period: Places
    zero: Places
    last: NDArray[np.int64]
    slots: NDArray[np.int64]  # (trials, places)


def _walk(places: Places, periods: Places, anchors: NDArray[np.int64]) -> _Walk:
    trials = periods.size
    period, zero = periods.copy(), places[anchors]
    last = np.zeros(trials, np.int64)
    slots = np.full((trials, places.size), -1, np.int64)
    slots[np.arange(trials), anchors] = 0
    count = np.ones(trials)
    sum_n, sum_nn = np.zeros(trials), np.zeros(trials)
    sum_y, sum_ny = places[anchors] - zero, np.zeros(trials)  # places from the anchor on, so that nothing is lost
    origin = zero.copy()
    alive = np.ones(trials, bool)
    holder = anchors.copy()  # the place in the last slot
    full = _Walk(period=period.copy(), zero=zero.copy(), last=last.copy(), slots=slots)  # as it was when well filled
    for index in range(places.size):
        place = places[index]
        after = alive & (index > anchors)
        slot = np.rint((place - zero) / period).astype(np.int64)
        off = np.abs(place - zero - slot * period)
        tolerance = np.maximum(TOLERANCE_MM, TOLERANCE_SHARE * period)
        alive &= ~(after & (slot - last > MAX_MISSES + 1))
        fits = after & alive & (off <= tolerance)
        fresh = fits & (slot > last)
        # two places in one slot: the nearer one is the series'
        closer = fits & (slot == last) & (last > 0) & (off < np.abs(places[holder] - zero - last * period))
        for which, sign in ((closer, -1.0), (closer | fresh, 1.0)):
            n = np.where(fresh, slot, last)[which].astype(np.float64)
            y = (places[holder[which]] if sign < 0 else place) - origin[which]
            count[which] += sign
            sum_n[which] += sign * n
            sum_nn[which] += sign * n * n
            sum_y[which] += sign * y
            sum_ny[which] += sign * n * y
        replaced = np.flatnonzero(closer)
        slots[replaced, holder[replaced]] = -1
        taken = closer | fresh
        last = np.where(fresh, slot, last)
        slots[taken, index] = last[taken]
        holder[taken] = index
        refit = taken & (count >= 3)
        spread = count * sum_nn - sum_n * sum_n
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (count * sum_ny - sum_n * sum_y) / spread
        period = np.where(refit, slope, period)
        zero = np.where(refit, origin + (sum_y - period * sum_n) / count, zero)
        alive &= (period >= MIN_PERIOD_MM / 2) & (period <= 2 * MAX_PERIOD_MM)
        filled = taken & (count >= MIN_HITS) & (count >= MIN_FILL * (last + 1))
        full.period[filled], full.zero[filled], full.last[filled] = period[filled], zero[filled], last[filled]
    slots[slots > full.last[:, None]] = -1
    return full


def _best(places: Places, walked: _Walk, *, start: int, through: int | None) -> Periodic | None:
    """Most hits wins, then the larger period, then the first."""
    hits = (walked.slots >= 0).sum(axis=1)
    slots = walked.last + 1
    inside = (walked.period >= MIN_PERIOD_MM - 0.01) & (walked.period <= MAX_PERIOD_MM + 0.01)  # they are fitted
    good = inside & (hits >= MIN_HITS) & (hits >= MIN_FILL * slots)
    if through is not None:
        good &= walked.slots[:, through - start] >= 0
    order = np.lexsort((walked.zero, -walked.period.round(1), -hits))
    trials, density = _trial_count(places.size), _density(places)
    for index in order[good[order]]:
        period, found, of = float(walked.period[index]), int(hits[index]), int(slots[index])
        chance = _tail(found - 1, of - 1, _accident(period, density)) * trials
        if chance <= MAX_CHANCE:
            return Periodic(
                period_mm=period,
                zero_mm=float(walked.zero[index]),
                slots=of,
                hits=tuple(int(at) + start for at in np.flatnonzero(walked.slots[index] >= 0)),
                chance=chance,
            )
    return None


def _trial_count(places: int) -> float:
    """What could have found a series by chance: every pair, divisor and anchor, however many were walked."""
    return len(DIVISORS) * places * (places - 1) / 2 * (places - MIN_HITS + 1)


def _density(places: Places) -> float:
    """Places a mm."""
    return places.size / max(float(places[-1] - places[0]), 1.0)


def _accident(period_mm: float, density: float) -> float:
    """Probability that a slot holds a place by chance."""
    return -math.expm1(-density * 2 * tolerance_mm(period_mm))


def _tail(hits: int, slots: int, share: float) -> float:
    """Probability of at least so many hits among independent slots."""
    return math.fsum(
        math.comb(slots, count) * share**count * (1 - share) ** (slots - count) for count in range(hits, slots + 1)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A part of the machine that leaves marks `period_mm` apart."""

    name: str
    period_mm: float


SUSPECT_SHARE = 0.03  # cloth stretches and rollers wear


def suspects(period_mm: float, elements: Sequence[Element]) -> tuple[Element, ...]:
    """The elements whose period this may be, the nearest first."""
    fitting = [each for each in elements if abs(period_mm - each.period_mm) <= SUSPECT_SHARE * each.period_mm]
    return tuple(sorted(fitting, key=lambda each: (abs(period_mm / each.period_mm - 1), each.name)))
