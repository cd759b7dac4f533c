"""Control charts: the limits that a process keeps to by itself, and the points where something else was at work.

u-chart, for counts over unequal areas: u = sum c / sum n, limits u +- 3 sqrt(u / n_i), not below 0 (D. C. Montgomery,
Introduction to Statistical Quality Control, ch. 7.3; NIST/SEMATECH e-Handbook, 6.3.3.1).

Individuals and moving range, for any measure: mean +- 3 MR / d2 with d2 = 1.128 for ranges of two, MR the mean of the
moving ranges (NIST/SEMATECH e-Handbook, 6.3.2.2).

A point is marked beyond its limits, and from the ninth on in a row on one side of the center (L. S. Nelson, The
Shewhart Control Chart - Tests for Special Causes, Journal of Quality Technology 16, 1984, test 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

RANGE_OF_TWO = 1.128  # d2: mean range of two values, in standard deviations
SIGMAS = 3.0
RUN = 9
LEAST_POINTS = 5  # fewer give no limits worth the name

Signal = Literal["", "high", "low", "run"]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """values, upper, lower: (N,), NaN where there is no value or no limit. center: NaN below `LEAST_POINTS`."""

    kind: Literal["u", "individuals"]
    values: Values
    center: float
    upper: Values
    lower: Values
    signals: tuple[Signal, ...]
    range_mean: float = float("nan")  # of the individuals chart


def u_chart(counts: Sequence[float], areas: Sequence[float]) -> Chart:
    """Counts by area; points without area have no value."""
    c, n = np.asarray(counts, float), np.asarray(areas, float)
    known = n > 0
    values = np.divide(c, n, out=np.full(len(c), np.nan), where=known)
    if known.sum() < LEAST_POINTS:
        return _without_limits("u", values)
    center = float(c[known].sum() / n[known].sum())
    spread = SIGMAS * np.sqrt(np.divide(center, n, out=np.full(len(n), np.nan), where=known))
    return _marked("u", values, center, center + spread, np.maximum(0.0, center - spread))


def individuals_chart(values: Sequence[float], *, lowest: float = 0.0, highest: float = np.inf) -> Chart:
    """One value a point, NaN where there is none. lowest, highest: of the measure, and so of its limits."""
    x = np.asarray(values, float)
    known = x[np.isfinite(x)]
    if len(known) < LEAST_POINTS:
        return _without_limits("individuals", x)
    center, moving = float(known.mean()), float(np.abs(np.diff(known)).mean())
    spread = SIGMAS * moving / RANGE_OF_TWO
    upper = np.full(len(x), min(highest, center + spread))
    return _marked("individuals", x, center, upper, np.full(len(x), max(lowest, center - spread)), moving)


def _without_limits(kind: Literal["u", "individuals"], values: Values) -> Chart:
    none = np.full(len(values), np.nan)
    signals: list[Signal] = [""] * len(values)
    return Chart(kind=kind, values=values, center=float("nan"), upper=none, lower=none, signals=tuple(signals))


def _marked(
    kind: Literal["u", "individuals"],
    values: Values,
    center: float,
    upper: Values,
    lower: Values,
    range_mean: float = float("nan"),
) -> Chart:
    signals: list[Signal] = []
    side, length = 0, 0
    for value, high, low in zip(values, upper, lower, strict=True):
        if not np.isfinite(value):
            signals.append("")
            continue
        now = int(np.sign(value - center))
        side, length = (now, length + 1) if now == side and now else (now, 1)
        signals.append("high" if value > high else "low" if value < low else "run" if length >= RUN else "")
    return Chart(
        kind=kind,
        values=values,
        center=center,
        upper=upper,
        lower=lower,
        signals=tuple(signals),
        range_mean=range_mean,
    )
