"""How severe a defect is: by rules that are fields of the profile that grades its roll, until staff say otherwise.

Minor is what is both small and hardly over its threshold, and no hole. Critical is what scores the system's most points
in a unit, or is very strong. The rest is major.
"""

from dataclasses import dataclass, replace
from typing import get_args

from storage.grading.cloth import ClothDefect, Severity
from storage.grading.points import score_alone
from storage.grading.profile import AnyProfile

SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """points: what the defect scores by itself, before the caps of units; 0 when it does not count."""

    severity: Severity
    points: float


def judge(profile: AnyProfile, defect: ClothDefect, *, width_mm: float, chosen: Severity | None) -> Judged:
    """Of a defect on cloth of this width. chosen: what staff said of it, which no rule changes."""
    scored = score_alone(profile, replace(defect, severity=profile.counted[-1], status="unreviewed"), width_mm=width_mm)
    severity = chosen or _by_rule(profile, defect, max((score.points for score in scored.scores), default=0.0))
    return Judged(severity=severity, points=scored.points if severity in profile.counted else 0.0)


def highest(severities: list[Severity]) -> Severity | None:
    return max(severities, key=SEVERITIES.index, default=None)


def _by_rule(profile: AnyProfile, defect: ClothDefect, most_points: float) -> Severity:
    if profile.critical_strength is not None and defect.strength >= profile.critical_strength:
        return "critical"
    if profile.critical_points is not None and most_points >= profile.critical_points:
        return "critical"
    small = defect.size_mm <= profile.minor_max_mm and defect.strength <= profile.minor_max_strength
    return "minor" if small and not defect.hole else "major"
