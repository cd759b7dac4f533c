"""A threshold from what held-out normal fabric scores: the score it exceeds at the rate asked for. Pure functions.

When the asked rate is rarer than the data can show, the tail is extrapolated by a generalized Pareto distribution
(probability-weighted moments, Hosking and Wallis 1987) and the result says so.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Scores = NDArray[np.float64]

LEAST_EVENTS = 3.0  # expected false alarms in the data below which their rate cannot be read off it
TAIL_SHARE = 0.15  # of the tiles, highest first, to which the tail is fitted
SHAPE_BOUND = 0.2
SHAPE_PRIOR_TILES = 60  # the shape is drawn to 0 (an exponential tail) as if by so many more tail tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """Exceedances over `start`, which a share `share` of tiles makes, are generalized Pareto."""

    start: float
    share: float
    scale: float
    shape: float

    def quantile(self, probability: float) -> float:
        """The score that a tile exceeds with the given probability, at most `share`."""
        ratio = self.share / probability
        if abs(self.shape) < 1e-6:
            return self.start + self.scale * math.log(ratio)
        return float(self.start + self.scale * (ratio**self.shape - 1) / self.shape)


def threshold_at(scores: Scores, *, probability: float) -> tuple[float, bool]:
    """The score that a normal tile exceeds with `probability`; and whether that is an extrapolation."""
    if probability * len(scores) >= LEAST_EVENTS:
        return float(np.quantile(scores, 1 - probability, method="linear")), False
    tail = fit_tail(scores)
    return max(tail.quantile(min(probability, tail.share)), tail.start), True


def fit_tail(scores: Scores) -> Tail:
    """Generalized Pareto above the highest `TAIL_SHARE` of the scores (at least 5 of them, at most all but one)."""
    ordered = np.sort(scores)
    count = len(ordered)
    above = min(max(5, round(TAIL_SHARE * count)), count - 1)
    if above < 1:
        return Tail(start=float(ordered[-1]), share=1.0, scale=0.0, shape=0.0)
    start = float(ordered[-above - 1])
    excess = ordered[-above:] - start
    mean = float(excess.mean())
    # second probability-weighted moment, E[x (1 - F(x))], unbiased
    ranks = np.arange(above - 1, -1, -1)
    weighted = float((excess * ranks).sum() / (above * max(above - 1, 1)))
    shape = 2 - mean / (mean - 2 * weighted) if above > 1 and mean > 2 * weighted else 0.0
    shape *= above / (above + SHAPE_PRIOR_TILES)
    shape = min(max(shape, -SHAPE_BOUND), SHAPE_BOUND)
    return Tail(start=start, share=above / count, scale=mean * (1 - shape), shape=shape)


def rate_interval(events: int, metres: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact Poisson interval (Garwood) of a rate of which `events` were seen in `metres`, per 100 m."""
    outside = (1 - confidence) / 2
    low = chi2.ppf(outside, 2 * events) / 2 if events else 0.0
    return 100 * float(low) / metres, 100 * float(chi2.ppf(1 - outside, 2 * events + 2)) / 2 / metres


def threshold_interval(
    scores: Scores, groups: list[str], *, probability: float, seed: int, confidence: float = 0.95, rounds: int = 200
) -> tuple[float, float]:
    """How far the threshold itself may be off: whole groups drawn again and again (bootstrap)."""
    names = sorted(set(groups))
    members = [np.flatnonzero([group == name for group in groups]) for name in names]
    if len(names) < 2:  # nothing to draw from but the tiles themselves
        members = [np.asarray([index]) for index in range(len(scores))]
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        drawn = generator.integers(len(members), size=len(members))
        found.append(
            threshold_at(scores[np.concatenate([members[each] for each in drawn])], probability=probability)[0]
        )
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
