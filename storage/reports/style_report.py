"""What the report of a style over some days says: its rolls that ended in them, as their certificates say.

Totals by the hour know no roll, and a gap no style; whole rolls add up to what customers got on paper. Cloth that
passed while no roll was open has no style and is in no such report.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from inspection.settings import ReportSettings
from storage.database import Database
from storage.grading.kept import AT_ONCE, RollGrade, grade_rolls
from storage.pictures import PictureStore
from storage.reads.defects import DefectItem, items_of, style_names
from storage.reports.period_report import average_rate, clock, count_grades, graded_facts
from storage.reports.roll_report import SHOWN_DEFECTS, kept_picture
from storage.tables import DefectRow
from storage.trends.looms import rolls_ended, trend_of_rolls
from storage.trends.periods import Plant, calendar_of
from storage.trends.reads import Kind
from storage.trends.trend import Trend, TrendFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileAverage:
    """The style's rolls under one profile: their points together, by all of their cloth."""

    profile: str
    profile_version: int
    rolls: int
    rate: float
    measure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleReport:
    """A style from `first` to `last`. `whole` is None where none of its rolls ended; points are before any cap, but
    those of rolls. `pictures`: of the worst defects, by their number."""

    style: str
    first: date
    last: date
    end: datetime
    whole: Trend | None
    lines: tuple[Trend, ...]
    rolls: tuple[RollGrade, ...]
    averages: tuple[ProfileAverage, ...]
    kinds: tuple[Kind, ...]
    worst: tuple[DefectItem, ...]
    pictures: dict[int, bytes]
    plant: str
    zone: ZoneInfo
    made_at: datetime

    @property
    def title(self) -> str:
        return f"Style report: {self.style}"

    @property
    def to_review(self) -> int:
        return sum(graded.to_review for graded in self.rolls)

    def count_grades(self) -> dict[str, int]:
        return count_grades(self.rolls)


def read_style_report(
    database: Database,
    pictures: PictureStore,
    style: str,
    settings: ReportSettings,
    *,
    first: date,
    last: date,
    line: str = "",
    at: datetime | None = None,
) -> StyleReport:
    """Of all lines, or one; both days are included. Raises `StorageError` for a style that nobody knows,
    `SettingsError` for days that are none."""
    if style not in (known := style_names(database)):
        raise StorageError(f"there is no style {style}: there are {', '.join(known) or 'none yet'}")
    calendar = calendar_of(Plant.of(settings), "day", first=first, last=last)
    wanted = TrendFilter(first=first, last=last, line=line, style=style)
    rolls = grade_rolls(database, rolls_ended(database, calendar, wanted))
    with database.reading() as session:
        kinds, worst = _defects(session, [graded.roll.id for graded in rolls])
    by_line: dict[str, list[RollGrade]] = defaultdict(list)
    for graded in rolls:
        by_line[graded.roll.line].append(graded)
    return StyleReport(
        style=style,
        first=first,
        last=last,
        end=calendar.periods[-1].end,
        whole=trend_of_rolls("", rolls) if rolls else None,
        lines=tuple(trend_of_rolls(name, grades) for name, grades in sorted(by_line.items())),
        rolls=tuple(rolls),
        averages=_averages(rolls),
        kinds=kinds,
        worst=worst,
        pictures={item.id: png for item in worst if (png := kept_picture(pictures, item.crop))},
        plant=settings.plant,
        zone=ZoneInfo(settings.time_zone),
        made_at=at or datetime.now(UTC),
    )


def styles_ended(database: Database, settings: ReportSettings, *, first: date, last: date) -> list[str]:
    """Styles of which a roll ended in these days."""
    calendar = calendar_of(Plant.of(settings), "day", first=first, last=last)
    rolls = rolls_ended(database, calendar, TrendFilter(first=first, last=last))
    return sorted({roll.style for roll in rolls} & set(style_names(database)))


def style_facts(report: StyleReport) -> dict[str, Any]:
    """The report as JSON knows it."""
    return {
        "document": "loomwatch style report",
        "made_at": clock(report.made_at, report.zone),
        "plant": report.plant,
        "style": report.style,
        "first": report.first.isoformat(),
        "last": report.last.isoformat(),
        "length_mm": sum(graded.length_mm for graded in report.rolls),
        "whole": None if report.whole is None else _figures(report.whole),
        "to_review": report.to_review,
        "grades": report.count_grades(),
        "averages": [asdict(average) for average in report.averages],
        "lines": [{"line": line.name} | _figures(line) for line in report.lines],
        "kinds": [asdict(kind) for kind in report.kinds],
        "rolls": [graded_facts(graded, report.zone) for graded in report.rolls],
        "worst": [
            {
                "id": item.id,
                "roll": item.roll.name if item.roll else "",
                "line": item.line,
                "captured_at": clock(item.captured_at, report.zone),
                "y_mm": item.y_mm,
                "x_mm": item.x_mm,
                "size_mm": item.size_mm,
                "geometry": item.geometry,
                "code": item.code,
                "severity": item.severity,
                "points": item.points,
                "status": item.state,
            }
            for item in report.worst
        ],
    }


def _figures(trend: Trend) -> dict[str, Any]:
    names = (
        *("inspected_m", "missed_m", "coverage", "area_m2", "defects", "defects_per_100_m2", "false_alarms"),
        *("points", "points_per_100_m2"),
    )
    return {name: getattr(trend, name) for name in names}


def _averages(rolls: list[RollGrade]) -> tuple[ProfileAverage, ...]:
    profiles: dict[tuple[str, int], list[RollGrade]] = defaultdict(list)
    for graded in rolls:
        if graded.rate is not None:
            profiles[graded.profile, graded.profile_version].append(graded)
    return tuple(
        ProfileAverage(
            profile=name,
            profile_version=version,
            rolls=len(members),
            rate=average_rate(members),
            measure=members[0].measure,
        )
        for (name, version), members in sorted(profiles.items())
    )


def _defects(session: Session, rolls: list[int]) -> tuple[tuple[Kind, ...], tuple[DefectItem, ...]]:
    """Kinds, the most frequent first, and the worst of all."""
    counts: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    ranked: list[tuple[float, float, float, int]] = []
    worst_first = (-DefectRow.points, -DefectRow.size_mm, -DefectRow.strength, DefectRow.id)
    for start in range(0, len(rolls), AT_ONCE):
        of_these = DefectRow.roll_id.in_(rolls[start : start + AT_ONCE]), DefectRow.state != "rejected"
        kind = DefectRow.geometry, DefectRow.code
        for geometry, code, number, points in session.execute(
            select(*kind, func.count(DefectRow.id), func.sum(DefectRow.points)).where(*of_these).group_by(*kind)
        ):
            counts[geometry, code][0] += number
            counts[geometry, code][1] += points
        worst = select(*worst_first).where(*of_these).order_by(*worst_first).limit(SHOWN_DEFECTS)
        ranked += [(points, size, strength, number) for points, size, strength, number in session.execute(worst)]
    ids = [number for *_, number in sorted(ranked)[:SHOWN_DEFECTS]]
    items = {item.id: item for item in items_of(session, ids)}
    kinds = [
        Kind(geometry=geometry, code=code, defects=int(number), points=points)
        for (geometry, code), (number, points) in counts.items()
    ]
    kinds.sort(key=lambda each: (-each.defects, each.code, each.geometry))
    return tuple(kinds), tuple(items[number] for number in ids)
