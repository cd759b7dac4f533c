"""What the report of a shift or a day says: the cloth that passed in it, by line, and the rolls it belongs to."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, bindparam, func, select
from sqlalchemy.orm import Session

from inspection.settings import ReportSettings
from storage.database import Database
from storage.grading.grade import points_by, within
from storage.grading.kept import RollGrade, grades_in, keep
from storage.reads.gap_words import reason_in_words
from storage.reports.shifts import Period
from storage.rolls import Cloth, Question, RollBounds, ask_roll, in_roll, list_rolls
from storage.tables import DefectRow, FrameRow, GapRow, LineRow, UtcDateTime


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFigures:
    """A line's cloth of the period. Lengths are means over its cameras; `defects` without false alarms."""

    line: str
    inspected_mm: float
    missed_mm: float
    area_m2: float
    defects: int
    to_review: int
    false_alarms: int

    @property
    def coverage(self) -> float:
        captured = self.inspected_mm + self.missed_mm
        return self.inspected_mm / captured if captured > 0 else 0.0

    @property
    def defects_per_100_m2(self) -> float:
        return 100 * self.defects / self.area_m2 if self.area_m2 > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LotAverage:
    """A lot's rolls that ended in the period. `within`: None where the profile has no limit for a shipment."""

    lot: str
    rolls: int
    rate: float
    measure: str
    limit: float | None
    within: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodReport:
    """A shift or a day. `rolls` have cloth of the period; those in `ended` were closed in it."""

    period: Period
    lines: tuple[LineFigures, ...]
    rolls: tuple[RollGrade, ...]
    ended: frozenset[int]
    reasons: tuple[tuple[str, str, float], ...]  # line, why cloth was not inspected, mm
    lots: tuple[LotAverage, ...]
    plant: str
    zone: ZoneInfo
    made_at: datetime

    @property
    def title(self) -> str:
        kind = f"Shift report: {self.period.name}" if self.period.name else "Day report"
        return f"{kind}, {self.period.day:%A} {self.period.day.day} {self.period.day:%B %Y}"

    def count_grades(self) -> dict[str, int]:
        """Grade: how many of the rolls that ended have it."""
        return count_grades(graded for graded in self.rolls if graded.roll.id in self.ended)


def count_grades(rolls: Iterable[RollGrade]) -> dict[str, int]:
    """Grade: how many have it; the most frequent first."""
    counts = Counter(graded.grade for graded in rolls)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def read_period_report(
    database: Database, period: Period, settings: ReportSettings, *, line: str | None = None, at: datetime | None = None
) -> PeriodReport:
    """Of all lines, or one. Raises `StorageError`."""
    candidates = list_rolls(database, line=line, since=period.start, until=period.end)
    with database.reading() as session:
        passed = [
            roll
            for roll in sorted(candidates, key=lambda roll: (roll.line, roll.opened_at, roll.id))
            if any(
                ask_roll(session, any_of, roll, start=period.start, end=period.end).first() is not None
                for any_of in (_any_frame, _any_gap)
            )
        ]
        rolls, found = grades_in(session, passed)
        lines, reasons = _line_figures(session, period, line), _reasons(session, period, line)
    keep(database, found)
    ended = frozenset(
        graded.roll.id
        for graded in rolls
        if graded.roll.closed_at is not None and period.start < graded.roll.closed_at <= period.end
    )
    return PeriodReport(
        period=period,
        lines=lines,
        rolls=tuple(rolls),
        ended=ended,
        reasons=reasons,
        lots=_lots(graded for graded in rolls if graded.roll.id in ended),
        plant=settings.plant,
        zone=ZoneInfo(settings.time_zone),
        made_at=at or datetime.now(UTC),
    )


def clock(at: datetime | None, zone: ZoneInfo) -> str | None:
    return None if at is None else at.astimezone(zone).isoformat(timespec="seconds")


def graded_facts(graded: RollGrade, zone: ZoneInfo) -> dict[str, Any]:
    """A roll of a report, as JSON knows it."""
    return {
        "roll": graded.roll.name,
        "line": graded.roll.line,
        "style": graded.roll.style,
        "lot": graded.lot,
        "opened_at": clock(graded.roll.opened_at, zone),
        "closed_at": clock(graded.roll.closed_at, zone),
        "length_mm": graded.length_mm,
        "coverage": graded.coverage,
        "not_inspected_yet_mm": graded.waiting_mm,
        "defects": graded.defects,
        "to_review": graded.to_review,
        "points": graded.points,
        "rate": graded.rate,
        "points_per": graded.measure,
        "profile": graded.profile,
        "profile_version": graded.profile_version,
        "grade": graded.grade,
        "outcome": graded.outcome,
        "state": graded.state,
    }


def period_facts(report: PeriodReport) -> dict[str, Any]:
    """The report as JSON knows it."""
    return {
        "document": "loomwatch shift report" if report.period.name else "loomwatch day report",
        "made_at": clock(report.made_at, report.zone),
        "plant": report.plant,
        "shift": report.period.name,
        "day": report.period.day.isoformat(),
        "start": clock(report.period.start, report.zone),
        "end": clock(report.period.end, report.zone),
        "lines": [
            asdict(line) | {"coverage": line.coverage, "defects_per_100_m2": line.defects_per_100_m2}
            for line in report.lines
        ],
        "rolls": [
            graded_facts(graded, report.zone) | {"ended_in_period": graded.roll.id in report.ended}
            for graded in report.rolls
        ],
        "not_inspected": [
            {"line": line, "reason": reason, "length_mm": length} for line, reason, length in report.reasons
        ],
        "lots": [asdict(lot) for lot in report.lots],
    }


def _during(period: Period, table: Cloth, line: str | None = None) -> ColumnElement[bool]:
    within = and_(table.captured_at >= period.start, table.captured_at < period.end)
    # all lines are named, too: the index begins with the line
    return and_(within, table.line.in_(select(LineRow.name)) if line is None else table.line == line)


def _any_frame(roll: RollBounds) -> Question:
    return _any(roll, FrameRow)


def _any_gap(roll: RollBounds) -> Question:
    return _any(roll, GapRow)


def _any(roll: RollBounds, table: Cloth) -> Question:
    start, end = (bindparam(name, type_=UtcDateTime()) for name in ("start", "end"))
    return select(table.id).where(in_roll(roll, table), table.captured_at >= start, table.captured_at < end).limit(1)


def _line_figures(session: Session, period: Period, line: str | None) -> tuple[LineFigures, ...]:
    inspected: dict[str, dict[str, float]] = defaultdict(dict)
    missed: dict[str, dict[str, float]] = defaultdict(dict)
    area: dict[str, float] = defaultdict(float)
    area_mm2 = func.sum(FrameRow.length_mm * FrameRow.fabric_width_mm)
    for row in session.execute(
        select(FrameRow.line, FrameRow.camera, func.sum(FrameRow.length_mm), area_mm2)
        .where(_during(period, FrameRow, line))
        .group_by(FrameRow.line, FrameRow.camera)
    ):
        inspected[row[0]][row[1]] = row[2]
        area[row[0]] += row[3] / 1e6
    for gap in session.execute(
        select(GapRow.line, GapRow.camera, func.sum(GapRow.length_mm))
        .where(_during(period, GapRow, line))
        .group_by(GapRow.line, GapRow.camera)
    ):
        missed[gap[0]][gap[1]] = gap[2]
    states: dict[str, dict[str, int]] = defaultdict(dict)
    for count in session.execute(
        select(DefectRow.line, DefectRow.state, func.count(DefectRow.id))
        .where(_during(period, DefectRow, line))
        .group_by(DefectRow.line, DefectRow.state)
    ):
        states[count[0]][count[1]] = count[2]
    found = []
    for name in sorted(inspected.keys() | missed.keys()):
        cameras = len(inspected[name].keys() | missed[name].keys())
        counts = states[name]
        found.append(
            LineFigures(
                line=name,
                inspected_mm=sum(inspected[name].values()) / cameras,
                missed_mm=sum(missed[name].values()) / cameras,
                area_m2=area[name],
                defects=counts.get("unreviewed", 0) + counts.get("confirmed", 0),
                to_review=counts.get("unreviewed", 0),
                false_alarms=counts.get("rejected", 0),
            )
        )
    return tuple(found)


def _reasons(session: Session, period: Period, line: str | None) -> tuple[tuple[str, str, float], ...]:
    """Added up over cameras: the words of two details may be the same."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    for row in session.execute(
        select(GapRow.line, GapRow.reason, func.sum(GapRow.length_mm))
        .where(_during(period, GapRow, line))
        .group_by(GapRow.line, GapRow.reason)
    ):
        found[row[0], reason_in_words(row[1].partition(":")[0])] += row[2]
    return tuple(sorted(((*key, length) for key, length in found.items()), key=lambda each: -each[2]))


def _lots(rolls: Iterable[RollGrade]) -> tuple[LotAverage, ...]:
    """Rolls of one lot under two profiles are two averages."""
    lots: dict[tuple[str, str, int], list[RollGrade]] = defaultdict(list)
    for graded in rolls:
        if graded.lot and graded.rate is not None:
            lots[graded.lot, graded.profile, graded.profile_version].append(graded)
    averages = []
    for (lot, _, _), members in sorted(lots.items()):
        rate, limit = average_rate(members), members[0].shipment_limit
        averages.append(
            LotAverage(
                lot=lot,
                rolls=len(members),
                rate=rate,
                measure=members[0].measure,
                limit=limit,
                within=None if limit is None else within(rate, limit),
            )
        )
    return tuple(averages)


def average_rate(members: Sequence[RollGrade]) -> float:
    """Points of all rolls by all of their cloth; they have a rate each, under one profile."""
    length_mm = sum(graded.length_mm for graded in members)
    width_mm = sum(graded.length_mm * graded.width_mm for graded in members) / length_mm
    points = sum(graded.points for graded in members)
    return points_by(members[0].measure, points, length_mm=length_mm, width_mm=width_mm) or 0.0
