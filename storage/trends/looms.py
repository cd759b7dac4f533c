"""Looms side by side: figures of the rolls that ended in a time, by the loom that their papers name.

Totals know no roll, and cloth of one hour may come from two looms; so this adds up the kept grades of whole rolls
(`storage.grading.kept`). A roll counts where it ended.
"""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select

from inspection.errors import SettingsError
from inspection.types import Roll
from storage.database import Database
from storage.grading.kept import RollGrade, grade_rolls
from storage.rolls import as_roll
from storage.tables import RollRow
from storage.trends.periods import Calendar
from storage.trends.trend import Trend, TrendFilter, trend_of


def read_looms(database: Database, calendar: Calendar, wanted: TrendFilter) -> list[Trend]:
    """The worst first; "" are the rolls without one. calendar: the days or shifts of `wanted`. Raises `SettingsError`
    for one camera, as a roll is its loom's over the whole width, and for one geometry, which grades do not hold."""
    if wanted.camera:
        raise SettingsError(f"looms are compared over whole rolls, not of one camera: leave out camera {wanted.camera}")
    if wanted.geometry:
        raise SettingsError(f"looms are compared by defects of every form: leave out form {wanted.geometry}")
    looms: dict[str, list[RollGrade]] = defaultdict(list)
    for grade in grade_rolls(database, rolls_ended(database, calendar, wanted)):
        looms[grade.loom].append(grade)
    trends = [trend_of_rolls(loom, grades, severity=wanted.severity) for loom, grades in looms.items()]
    return sorted(trends, key=lambda trend: (-(trend.defects_per_100_m2 or 0.0), trend.name))


def rolls_ended(database: Database, calendar: Calendar, wanted: TrendFilter) -> list[Roll]:
    """Rolls of staff that ended in these days or shifts, in order of time."""
    periods = [period for period in calendar.periods if wanted.shift in ("", period.name)]
    if not periods:
        return []
    first, last = periods[0].start, periods[-1].end
    query = select(RollRow).where(RollRow.closed_at > first, RollRow.closed_at <= last, ~RollRow.automatic)
    if wanted.line:
        query = query.where(RollRow.line == wanted.line)
    if wanted.style:
        query = query.where(RollRow.style == wanted.style)
    with database.reading() as session:
        rolls = [as_roll(row) for row in session.scalars(query.order_by(RollRow.closed_at, RollRow.id))]
    if not wanted.shift:
        return rolls
    found, number = [], 0
    for roll in rolls:  # both are in order of time
        while roll.closed_at is not None and number < len(periods) and periods[number].end < roll.closed_at:
            number += 1
        if roll.closed_at is not None and number < len(periods) and periods[number].start < roll.closed_at:
            found.append(roll)
    return found


def trend_of_rolls(name: str, grades: Sequence[RollGrade], *, severity: str = "") -> Trend:
    """Whole rolls together, one at least. severity: their defects are only these."""
    sums = {
        "frames": sum(grade.frames for grade in grades),
        "inspected_um": sum(grade.inspected_mm for grade in grades) * 1000,
        "inspected_mm2": sum(grade.area_mm2 for grade in grades),
        "gap_um": sum(grade.missed_mm for grade in grades) * 1000,
        "confirmed": sum(grade.confirmed for grade in grades),
        "rejected": sum(grade.false_alarms for grade in grades),
        "reviewed": sum(grade.reviewed for grade in grades),
        "review_s": sum(grade.review_s for grade in grades),
    }
    kinds = [
        kind
        for grade in grades
        for its, kind in grade.by_severity.items()
        if severity in ("", its)
    ]  # fmt: skip
    sums["found"] = sum(count for count, _ in kinds) + sums["rejected"]
    sums["points_1000"] = sum(points for _, points in kinds) * 1000
    start = min(grade.roll.opened_at for grade in grades)
    end = max(grade.roll.closed_at or grade.roll.opened_at for grade in grades)
    return trend_of(name, start, end, {name: float(value) for name, value in sums.items()}, None)
