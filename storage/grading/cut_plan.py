"""The cuts that give the most first-quality length.

Cuts lie on the boundaries of the profile's units (yards or metres): there a roll's points are the sum of its pieces',
so a piece that is inspected again has the points it was sold with. No cut goes through a defect that scores as a
whole. A piece is first quality when it is at least `min_piece_mm` long, keeps the best grade's limit and the coverage
limit, and holds no reason to reject it; with `cut_out_running`, also no defect longer than a unit.

Dynamic programming over the boundaries y_0 < ... < y_n: best(j) = max(best(j - 1), max over i of best(i) + y_j - y_i
with piece (i, j) first). Exact; O(n^2), each row one array operation.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.grading.cloth import Cloth
from storage.grading.grade import Grade, full_width_defects, grade_cloth, long_runs, points_by
from storage.grading.pieces import touched_units
from storage.grading.points import RollPoints, unit_count
from storage.grading.profile import AnyProfile

_SLACK = 1e-9
_LENGTH_SLACK_MM = 1e-6
_CUT_MM = 1e-4  # what a piece must gain over one cut less: of plans equally long, the one with the fewest pieces

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPiece:
    """A stretch of the roll. `first`: sold as first quality. `rate`: its points in the grade's measure."""

    y0_mm: float
    y1_mm: float
    points: float
    rate: float
    first: bool

    @property
    def length_mm(self) -> float:
        return self.y1_mm - self.y0_mm


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPlan:
    """All stretches from the roll's start to its end, and what they bring beside the roll sold whole.

    Values are in mm of first-quality length: what a roll without a fault would bring is its length.
    """

    pieces: tuple[CutPiece, ...]
    value_mm: float
    whole_value_mm: float

    @property
    def first_mm(self) -> float:
        return sum(piece.length_mm for piece in self.pieces if piece.first)

    @property
    def cuts(self) -> int:
        return max(0, len(self.pieces) - 1)

    @property
    def worthwhile(self) -> bool:
        return self.cuts > 0 and self.value_mm > self.whole_value_mm + 1e-6


def plan_cuts(profile: AnyProfile, cloth: Cloth, grade: Grade | None = None) -> CutPlan:
    """`grade` is `grade_cloth(profile, cloth)`, where it is known already. A roll without cloth has no pieces."""
    grade = grade or grade_cloth(profile, cloth)
    if grade.rate is None:
        return CutPlan(pieces=(), value_mm=0.0, whole_value_mm=0.0)
    pieces = _Problem(profile, cloth, grade).solve()
    return CutPlan(
        pieces=pieces,
        value_mm=sum(piece.length_mm * _value(profile, piece) for piece in pieces),
        whole_value_mm=cloth.length_mm * grade.value,
    )


def _value(profile: AnyProfile, piece: CutPiece) -> float:
    if piece.first:
        return profile.grades[0].value
    long_enough = piece.length_mm >= profile.cut.min_piece_mm - 1e-6
    return profile.over_limits.value if long_enough else profile.cut.remnant_value


class _Problem:
    """The boundaries, and for each what a piece that begins or ends there must keep."""

    def __init__(self, profile: AnyProfile, cloth: Cloth, grade: Grade) -> None:
        points, units = grade.points, unit_count(profile, cloth)
        self.y: Floats = np.minimum(np.arange(units + 1) * profile.unit_mm, cloth.length_mm)
        self.points = _sums(units, {unit.unit: unit.points for unit in points.units})
        self.rate_of_point = points_by(grade.measure, 1.0, length_mm=1.0, width_mm=cloth.width_mm) or 0.0
        limit = grade.limits[0][1] if profile.grades[0].outcome == "first" else -1.0
        # piece (i, j) keeps a limit on a sum per length just when its spare does not fall from i to j
        self.spare_points: Floats = limit * self.y - self.points * self.rate_of_point
        self.spare_missed: Floats = (1 - profile.min_coverage) * self.y - _missed(self.y, cloth)
        self.slack = max(1.0, limit) * _LENGTH_SLACK_MM
        self.earliest = np.maximum.reduce(
            [
                _after_long_runs(self.y, profile, points),
                _after_cut_outs(profile, points, units),
                _after_bars(profile, points, units),
            ]
        )
        last = self.y - profile.cut.min_piece_mm + 1e-6  # where a piece that ends here begins at the latest
        self.latest = np.searchsorted(self.y, last, side="right")
        self.cuttable = _cuttable(self.y, profile, points)

    def solve(self) -> tuple[CutPiece, ...]:
        best: Floats = np.zeros(len(self.y))
        gain: Floats = np.where(self.cuttable, 0.0, -np.inf)  # best(i) - y_i
        start: Ints = np.full(len(self.y), -1)  # of the first-quality piece that ends here, -1 for none
        for j in range(1, len(self.y)):
            best[j] = best[j - 1]
            low, high = int(self.earliest[j]), int(self.latest[j])
            if self.cuttable[j] and low < high:
                first = self.spare_points[low:high] <= self.spare_points[j] + self.slack
                first &= self.spare_missed[low:high] <= self.spare_missed[j] + _LENGTH_SLACK_MM
                gains = np.where(first, gain[low:high], -np.inf)
                i = int(gains.argmax())
                if gains[i] + self.y[j] - _CUT_MM > best[j]:
                    best[j], start[j] = gains[i] + self.y[j] - _CUT_MM, low + i
            gain[j] += best[j] - self.y[j]
        return self._pieces(start)

    def _pieces(self, start: Ints) -> tuple[CutPiece, ...]:
        pieces: list[CutPiece] = []
        j = end = len(self.y) - 1
        while j > 0:
            if start[j] < 0:
                j -= 1
                continue
            if end > j:
                pieces.append(self._piece(j, end, first=False))
            pieces.append(self._piece(int(start[j]), j, first=True))
            j = end = int(start[j])
        if end > 0:
            pieces.append(self._piece(0, end, first=False))
        return tuple(reversed(pieces))

    def _piece(self, i: int, j: int, *, first: bool) -> CutPiece:
        points, length = float(self.points[j] - self.points[i]), float(self.y[j] - self.y[i])
        return CutPiece(
            y0_mm=float(self.y[i]),
            y1_mm=float(self.y[j]),
            points=points,
            rate=points * self.rate_of_point / length,
            first=first,
        )


def _sums(units: int, values: dict[int, float]) -> Floats:
    """(units + 1,): the sum of all units before each boundary."""
    each = np.zeros(units + 1)
    for unit, value in values.items():
        each[unit + 1] = value
    sums: Floats = np.cumsum(each)
    return sums


def _missed(y: Floats, cloth: Cloth) -> Floats:
    """(units + 1,): mm of cloth not inspected before each boundary."""
    missed = np.zeros(len(y))
    for stretch in cloth.missed:
        missed += np.clip(y - stretch.y0_mm, 0, max(0.0, stretch.y1_mm - stretch.y0_mm)) * stretch.share
    return missed


def _after_long_runs(y: Floats, profile: AnyProfile, points: RollPoints) -> Ints:
    """(units + 1,): the first boundary from which a piece that ends here holds no more of a running defect or series
    than the reject rule allows."""
    earliest = np.zeros(len(y), np.int64)
    for run in long_runs(profile, points):
        y0, y1 = (np.array(sides) for sides in zip(*((each.y0_mm, each.y1_mm) for each in run), strict=True))
        by_end, by_start = np.argsort(y1), np.argsort(y0)
        first = np.append(np.minimum.accumulate(y0[by_end][::-1])[::-1], np.inf)  # of those that end behind a place
        last = np.append(-np.inf, np.maximum.accumulate(y1[by_start]))  # of those that begin before it
        begins = np.maximum(first[np.searchsorted(y1[by_end], y, side="right")], y)  # of the run, after each boundary
        ends = np.minimum(last[np.searchsorted(y0[by_start], y, side="left")], y)  # and before it
        allowed = ends - (profile.reject_running_mm or 0.0) * (1 + _SLACK)
        earliest = np.maximum(earliest, np.searchsorted(begins, allowed))
    return earliest


def _after_cut_outs(profile: AnyProfile, points: RollPoints, units: int) -> Ints:
    """(units + 1,): the first boundary with no unit to be cut out from it to here."""
    earliest = np.zeros(units + 1, np.int64)
    if profile.cut.cut_out_running:
        for defect in points.counted():
            if defect.length_mm > profile.unit_mm * (1 + _SLACK):
                for unit in touched_units(defect, profile.unit_mm, units):
                    earliest[unit + 1] = unit + 1
    return np.maximum.accumulate(earliest)


def _after_bars(profile: AnyProfile, points: RollPoints, units: int) -> Ints:
    """(units + 1,): the first boundary from which a piece that ends here holds a part of no more full-width defects
    than the reject rule allows: of those that began before its end, the ones not over before its beginning."""
    if profile.reject_full_width is None:
        return np.zeros(units + 1, np.int64)
    begun, over = np.zeros(units + 1, np.int64), np.zeros(units + 1, np.int64)
    for defect in full_width_defects(points):
        touched = touched_units(defect, profile.unit_mm, units)
        begun[touched[0] + 1] += 1
        over[touched[-1] + 1] += 1
    return np.searchsorted(np.cumsum(over), np.cumsum(begun) - profile.reject_full_width)


def _cuttable(y: Floats, profile: AnyProfile, points: RollPoints) -> NDArray[np.bool_]:
    """(units + 1,): False where a cut would go through a defect that scores in the unit of its midpoint."""
    cuttable = np.ones(len(y), np.bool_)
    if profile.split == "literal":
        return cuttable
    for each in points.defects:
        if len(each.scores) == 1 and each.defect.length_mm <= profile.unit_mm * (1 + _SLACK):
            after = math.floor((each.defect.y0_mm + 1e-6) / profile.unit_mm) + 1
            if after * profile.unit_mm < each.defect.y1_mm - 1e-6:
                cuttable[min(after, len(y) - 1)] = False
    cuttable[[0, -1]] = True
    return cuttable
