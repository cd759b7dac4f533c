"""Points: of each defect, of each unit of length, of the roll. Both systems; only what a piece scores differs.

A defect up to a unit long scores once, in the unit that holds its midpoint; a longer one is split at the units'
boundaries (`split`, `running`). Then each unit is capped and all are summed.
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import Literal

from storage.grading import four_point, ten_point
from storage.grading.cloth import Cloth, ClothDefect
from storage.grading.pieces import Piece, pieces_of, touched_units
from storage.grading.profile import AnyProfile, FourPointProfile

LeftOut = Literal["", "false_alarm", "minor", "edge", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a defect scores in one unit, before the cap. `rule` says by which rule."""

    unit: int
    points: float
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectPoints:
    """A defect's scores, unit by unit; `left_out` says why it has none."""

    defect: ClothDefect
    scores: tuple[Score, ...]
    left_out: LeftOut

    @property
    def points(self) -> float:
        """Before the caps, which belong to units."""
        return sum(score.points for score in self.scores)

    @property
    def rule(self) -> str:
        """The rule of its highest score."""
        return max(self.scores, key=lambda score: score.points).rule if self.scores else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPoints:
    """A unit of length that has points: `raw` as they add up, `points` after the cap."""

    unit: int
    raw: float
    points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RollPoints:
    """A roll's points. `units`: only those with points, in order; `narrow`: units below the usable width."""

    total: float
    cap: float
    units: tuple[UnitPoints, ...]
    defects: tuple[DefectPoints, ...]
    narrow: tuple[int, ...]

    @property
    def capped_off(self) -> float:
        """What the caps took off."""
        return sum(unit.raw - unit.points for unit in self.units)

    def counted(self) -> list[ClothDefect]:
        return [each.defect for each in self.defects if not each.left_out]


def count_points(profile: AnyProfile, cloth: Cloth) -> RollPoints:
    """Drops what does not count, scores, caps and sums (domain rules 2 to 5)."""
    units = unit_count(profile, cloth)
    defects = tuple(_score(profile, cloth, defect, units) for defect in cloth.defects)
    narrow = _narrow_units(profile, cloth, units)
    raw: dict[int, float] = defaultdict(float)
    for scored in defects:
        for score in scored.scores:
            raw[score.unit] += score.points
    for unit in narrow:
        raw[unit] += profile.narrow_points
    cap = cap_of(profile, cloth)
    capped = tuple(
        UnitPoints(unit=unit, raw=points, points=min(points, cap)) for unit, points in sorted(raw.items()) if points
    )
    return RollPoints(
        total=sum(unit.points for unit in capped), cap=cap, units=capped, defects=defects, narrow=tuple(narrow)
    )


def score_alone(profile: AnyProfile, defect: ClothDefect, *, width_mm: float) -> DefectPoints:
    """What a defect scores on cloth of this width with nothing else on it: a unit begins with it, both ends are far."""
    clear_mm = profile.unit_mm * math.ceil((profile.end_ignore_mm + 1) / profile.unit_mm)
    moved = replace(defect, y0_mm=clear_mm, y1_mm=clear_mm + defect.length_mm)
    length_mm = moved.y1_mm + clear_mm
    cloth = Cloth(length_mm=length_mm, width_mm=width_mm, fabric_width_mm=width_mm, defects=(), coverage=1.0)
    return _score(profile, cloth, moved, unit_count(profile, cloth))


def unit_count(profile: AnyProfile, cloth: Cloth) -> int:
    """How many units the cloth has; the last may be a part of one and keeps the full cap."""
    return math.ceil(cloth.length_mm / profile.unit_mm - 1e-9)


def cap_of(profile: AnyProfile, cloth: Cloth) -> float:
    """The most points of a unit; with `cap_width` proportional it grows with widths over the reference."""
    if profile.cap_width == "plain":
        return profile.cap_per_unit
    return profile.cap_per_unit * max(1.0, cloth.width_mm / profile.cap_reference_width_mm)


def _score(profile: AnyProfile, cloth: Cloth, defect: ClothDefect, units: int) -> DefectPoints:
    reason = _left_out(profile, cloth, defect)
    if reason or not units:
        return DefectPoints(defect=defect, scores=(), left_out=reason)
    if defect.code and defect.code in profile.per_unit_codes:
        scores = tuple(
            Score(unit=unit, points=profile.per_unit_points, rule="per_unit")
            for unit in touched_units(defect, profile.unit_mm, units)
        )
    else:
        scores = tuple(
            Score(unit=piece.unit, points=points, rule=rule)
            for piece in pieces_of(defect, profile, units)
            for points, rule in (_piece_points(profile, cloth, defect, piece),)
        )
    return DefectPoints(defect=defect, scores=scores, left_out="")


def _left_out(profile: AnyProfile, cloth: Cloth, defect: ClothDefect) -> LeftOut:
    if defect.status == "rejected":
        return "false_alarm"
    if defect.severity not in profile.counted:
        return "minor"
    edge = profile.edge_ignore_mm
    if not profile.tubular and edge and (defect.x1_mm <= edge or defect.x0_mm >= cloth.fabric_width_mm - edge):
        return "edge"
    end = profile.end_ignore_mm
    if end and (defect.y1_mm <= end or (not cloth.running and defect.y0_mm >= cloth.length_mm - end)):
        return "end"
    return ""


def _piece_points(profile: AnyProfile, cloth: Cloth, defect: ClothDefect, piece: Piece) -> tuple[float, str]:
    if isinstance(profile, FourPointProfile):
        return four_point.piece_points(profile, defect, piece)
    return ten_point.piece_points(profile, defect, piece, width_mm=cloth.width_mm)


def _narrow_units(profile: AnyProfile, cloth: Cloth, units: int) -> list[int]:
    if profile.min_width_mm is None:
        return []
    found: set[int] = set()
    for stretch in cloth.widths:
        if stretch.width_mm < profile.min_width_mm:
            found.update(touched_units(stretch, profile.unit_mm, units))
    return sorted(found)


def count_by_rule(points: RollPoints) -> list[tuple[str, int, float]]:
    """How the points came about: (rule, defects, points before the caps), for each rule that scored."""
    defects: Counter[str] = Counter()
    scored: dict[str, float] = defaultdict(float)
    for each in points.defects:
        for rule in {score.rule for score in each.scores}:
            defects[rule] += 1
        for score in each.scores:
            scored[score.rule] += score.points
    return [(rule, defects[rule], scored[rule]) for rule in sorted(defects)]
