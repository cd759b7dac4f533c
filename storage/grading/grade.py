"""From points to a grade: rejects, limits, coverage, and what still makes it provisional."""

from dataclasses import dataclass
from typing import Literal

from storage.grading.cloth import Cloth, ClothDefect
from storage.grading.points import RollPoints, count_points
from storage.grading.profile import YARD_MM, AnyProfile, Measure, Verdict, limit_in, natural_measure

_SLACK = 1e-9  # of a limit: 40.0 of 40 is within it, also where it was computed

State = Literal["final", "provisional"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """A roll's grade and how it came about.

    grade: a name of the profile, "incomplete" (too little was inspected to call it anything) or "none" (no cloth).
    outcome: of the profile, "inspect" for an incomplete roll, "" for none. rate: points by `measure`, None without
    cloth. limits: (grade, highest rate), best first, in `measure`. reasons: sentences, the deciding one first.
    """

    grade: str
    outcome: str
    state: State
    value: float
    points: RollPoints
    rate: float | None
    measure: Measure
    limits: tuple[tuple[str, float], ...]
    reasons: tuple[str, ...]
    unreviewed: int  # defects that count and wait for review

    @property
    def is_first(self) -> bool:
        return self.outcome == "first"


def grade_cloth(profile: AnyProfile, cloth: Cloth) -> Grade:
    """Grades a roll. Points are divided by the actual length; uninspected cloth can only ever add to them, so a roll
    over its last limit, or with a reason to reject it, is graded whatever its coverage."""
    points = count_points(profile, cloth)
    measure = natural_measure(profile)
    rate = points_by(measure, points.total, length_mm=cloth.length_mm, width_mm=cloth.width_mm)
    limits = tuple((each.grade, limit_in(profile, each.max_points)) for each in profile.grades)
    unreviewed = sum(defect.status == "unreviewed" for defect in points.counted())
    verdict, reasons = _verdict(profile, cloth, points, rate, limits)
    waiting = []
    if unreviewed:
        waiting.append(
            "1 defect waits for review and counts as found"
            if unreviewed == 1
            else f"{unreviewed:,} defects wait for review and count as found"
        )
    if cloth.waiting_mm > 0:
        waiting.append(f"{cloth.waiting_mm / 1000:.2f} m of the cloth are captured and not inspected yet")
    if cloth.running:
        waiting.append("the roll is still running")
    return Grade(
        grade=verdict.grade if verdict else "none" if rate is None else "incomplete",
        outcome=verdict.outcome if verdict else "" if rate is None else "inspect",
        state="provisional" if waiting else "final",
        value=verdict.value if verdict else profile.over_limits.value,
        points=points,
        rate=rate,
        measure=measure,
        limits=limits,
        reasons=(*reasons, *waiting),
        unreviewed=unreviewed,
    )


def points_by(measure: Measure, points: float, *, length_mm: float, width_mm: float) -> float | None:
    """Points per 100 yd2 = 3600 P / (W_in L_yd), per 100 m2 = 100000 P / (W_mm L_m), per 100 yd and per 100 m; None
    without length or, for an area, width."""
    if length_mm <= 0 or (width_mm <= 0 and measure in ("100yd2", "100m2")):
        return None
    match measure:
        case "100yd2":
            return 3600 * points / ((width_mm / 25.4) * (length_mm / YARD_MM))
        case "100m2":
            return 100_000 * points / (width_mm * (length_mm / 1000))
        case "100yd":
            return 100 * points / (length_mm / YARD_MM)
        case "100m":
            return 100 * points / (length_mm / 1000)


def within(rate: float, limit: float) -> bool:
    return rate <= limit * (1 + _SLACK)


def long_runs(profile: AnyProfile, points: RollPoints) -> list[list[ClothDefect]]:
    """Running defects, each by itself, and periodic series that reach over more than `reject_running_mm`."""
    if profile.reject_running_mm is None:
        return []
    limit_mm = profile.reject_running_mm * (1 + _SLACK)
    series: dict[str, list[ClothDefect]] = {}
    runs: list[list[ClothDefect]] = []
    for defect in points.counted():
        if defect.series:
            series.setdefault(defect.series, []).append(defect)
        elif defect.length_mm > limit_mm:
            runs.append([defect])
    runs += [run for run in series.values() if _reach(run)[1] - _reach(run)[0] > limit_mm]
    return sorted(runs, key=_reach)


def _reach(run: list[ClothDefect]) -> tuple[float, float]:
    return min(defect.y0_mm for defect in run), max(defect.y1_mm for defect in run)


def full_width_defects(points: RollPoints) -> list[ClothDefect]:
    return [defect for defect in points.counted() if defect.geometry == "full_width"]


def _verdict(
    profile: AnyProfile,
    cloth: Cloth,
    points: RollPoints,
    rate: float | None,
    limits: tuple[tuple[str, float], ...],
) -> tuple[Verdict | None, list[str]]:
    if rate is None:
        return None, [f"there is no {'length' if cloth.length_mm <= 0 else 'width'} to grade"]
    rejects = _reasons_to_reject(profile, points)
    if rejects:
        return profile.rejected, rejects
    found: Verdict = next(
        (each for each, (_, limit) in zip(profile.grades, limits, strict=True) if within(rate, limit)),
        profile.over_limits,
    )
    if found is profile.over_limits:
        return found, [f"more points than {limits[-1][0]} may have"]
    if cloth.coverage < profile.min_coverage:
        return None, [
            f"{cloth.coverage:.1%} of the cloth was inspected, at least {profile.min_coverage:.1%} must be: no grade "
            "before the rest is inspected"
        ]
    return found, []


def _reasons_to_reject(profile: AnyProfile, points: RollPoints) -> list[str]:
    reasons = [
        f"a running or repeating defect from {y0 / 1000:.2f} m to {y1 / 1000:.2f} m is longer than "
        f"{(profile.reject_running_mm or 0) / 1000:.2f} m"
        for y0, y1 in map(_reach, long_runs(profile, points))
    ]
    bars = len(full_width_defects(points))
    if profile.reject_full_width is not None and bars > profile.reject_full_width:
        reasons.append(f"{bars} defects over the full width, at most {profile.reject_full_width} may be")
    return reasons
