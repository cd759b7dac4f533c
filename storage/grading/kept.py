"""Grades kept with their rolls, so that lists, reports and trends need not grade a year's rolls from their rows.

A kept grade is used while nothing that it rests on has changed (`storage.roll_changes` counts that), and only by the
version of the program that found it. Rolls that run are graded anew each time.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from sqlalchemy import Executable, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from inspection.types import Roll
from storage.database import Database
from storage.grading.grade import State
from storage.grading.profile import Measure, limit_in
from storage.grading.stored import GradedRoll, grade_in
from storage.rolls import Question, RollBounds, as_roll, ask_roll, in_roll
from storage.tables import DefectRow, FrameRow, RollGradeRow, RollRow

log = logging.getLogger(__name__)

PROGRAM = version("loomwatch")
AT_ONCE = 500  # rolls that are asked for in one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class RollGrade:
    """What lists and reports say of a roll. points: capped, as graded; the sums of defects are before any cap.

    by_severity: severity -> defects without false alarms, their points. review_s: from capture to staff's decision, of
    the reviewed ones together. shipment_limit: of the profile in `measure`, None where it has none.
    """

    roll: Roll
    lot: str
    loom: str
    length_mm: float
    width_mm: float  # cuttable, mean
    coverage: float
    frames: int
    inspected_mm: float  # of all cameras together, as are the next two
    missed_mm: float
    area_mm2: float
    defects: int  # found and not rejected
    confirmed: int
    false_alarms: int
    to_review: int  # that count and wait for review
    by_severity: dict[str, tuple[int, float]]
    reviewed: int
    review_s: float
    points: float
    rate: float | None
    measure: Measure
    shipment_limit: float | None
    profile: str
    profile_version: int
    grade: str
    outcome: str
    state: State
    waiting_mm: float = 0.0  # captured and not inspected yet, of all cameras together


def grade_rolls(database: Database, rolls: Sequence[Roll]) -> list[RollGrade]:
    """The grades of rolls, in their order, all of one moment: kept ones where they still hold. Keeps what it had to
    find. Raises `StorageError`, `SettingsError`."""
    with database.reading() as session:
        grades, found = grades_in(session, rolls)
    keep(database, found)
    return grades


def keep_grades(database: Database, *, most: int) -> int:
    """Grades rolls that ended and have no grade that holds, the latest first, up to `most`; how many."""
    held = (RollGradeRow.found_at_changes == RollGradeRow.changes) & (RollGradeRow.program == PROGRAM)
    kept = select(RollGradeRow.roll_id).where(RollGradeRow.roll_id == RollRow.id, held).exists()
    with database.reading() as session:
        wanted = select(RollRow).where(RollRow.closed_at <= datetime.now(UTC), ~kept)
        rolls = list(session.scalars(wanted.order_by(RollRow.closed_at.desc()).limit(most)))
        _, found = grades_in(session, [as_roll(row) for row in rolls])
    keep(database, found)
    return len(found)


def grade_of(session: Session, graded: GradedRoll) -> RollGrade:
    """What is kept of a graded roll."""
    roll, summary, grade, profile = graded.roll, graded.summary, graded.grade, graded.profile.profile
    by_severity: dict[str, tuple[int, float]] = {}
    for each in grade.points.defects:
        if each.defect.status != "rejected":
            count, points = by_severity.get(each.defect.severity, (0, 0.0))
            by_severity[each.defect.severity] = (count + 1, points + each.points)
    waits = [
        max(0.0, (reviewed_at - captured_at).total_seconds())
        for captured_at, reviewed_at in session.execute(
            select(DefectRow.captured_at, DefectRow.reviewed_at).where(
                DefectRow.roll_id == roll.id, DefectRow.reviewed_at.is_not(None)
            )
        )
        if reviewed_at is not None
    ]
    return RollGrade(
        roll=roll,
        lot=graded.details.lot,
        loom=graded.details.loom,
        length_mm=summary.length_mm,
        width_mm=graded.cloth.width_mm,
        coverage=graded.cloth.coverage,
        frames=sum(camera.frames for camera in summary.cameras),
        inspected_mm=sum(camera.inspected_mm for camera in summary.cameras),
        missed_mm=sum(camera.gap_mm for camera in summary.cameras),
        area_mm2=ask_roll(session, _area, roll).scalar() or 0.0,
        defects=summary.defects,
        confirmed=summary.by_state["confirmed"],
        false_alarms=summary.by_state["rejected"],
        to_review=grade.unreviewed,
        by_severity=by_severity,
        reviewed=len(waits),
        review_s=sum(waits),
        points=grade.points.total,
        rate=grade.rate,
        measure=grade.measure,
        shipment_limit=None if profile.shipment_max is None else limit_in(profile, profile.shipment_max),
        profile=profile.name,
        profile_version=graded.profile.version,
        grade=grade.grade,
        outcome=grade.outcome,
        state=grade.state,
        waiting_mm=sum(camera.waiting_mm for camera in summary.cameras),
    )


Found = tuple[RollGrade, int]  # and the count of changes that it was found at


def grades_in(session: Session, rolls: Sequence[Roll]) -> tuple[list[RollGrade], list[Found]]:
    """All grades, and those of them that were found now and may be kept (`keep`)."""
    now, rows = datetime.now(UTC), dict[int, Any]()
    columns = (RollGradeRow.changes, RollGradeRow.found_at_changes, RollGradeRow.program, RollGradeRow.content)
    for start in range(0, len(rolls), AT_ONCE):
        ids = [roll.id for roll in rolls[start : start + AT_ONCE]]
        asked = session.execute(select(RollGradeRow.roll_id, *columns).where(RollGradeRow.roll_id.in_(ids)))
        rows |= {row.roll_id: row for row in asked}
    grades: list[RollGrade] = []
    found: list[Found] = []
    for roll in rolls:
        row = rows.get(roll.id)
        over = roll.closed_at is not None and roll.closed_at <= now
        if over and row is not None and row.found_at_changes == row.changes and row.program == PROGRAM:
            grades.append(_from_content(roll, row.content))
            continue
        grades.append(grade_of(session, grade_in(session, roll)))
        if over:
            found.append((grades[-1], 0 if row is None else row.changes))
    return grades, found


def _from_content(roll: Roll, content: dict[str, Any]) -> RollGrade:
    by_severity = {name: (count, points) for name, (count, points) in content["by_severity"].items()}
    return RollGrade(roll=roll, **{**content, "by_severity": by_severity})


def keep(database: Database, found: Iterable[Found]) -> None:
    """Unless the roll changed meanwhile. What could not be kept is found again the next time."""
    rows = [
        {
            "roll_id": grade.roll.id,
            "changes": changes,
            "found_at_changes": changes,
            "program": PROGRAM,
            "content": {name: value for name, value in asdict(grade).items() if name != "roll"},
        }
        for grade, changes in sorted(found, key=lambda each: each[0].roll.id)
    ]
    if not rows:
        return
    try:
        with database.session() as session:
            there = set(session.scalars(select(RollRow.id).where(RollRow.id.in_([row["roll_id"] for row in rows]))))
            kept = [row for row in rows if row["roll_id"] in there]
            if kept:
                connection = session.connection()
                connection.execute(_keeping(connection.dialect.name), kept)
    except StorageError as error:
        log.warning("the grades of %d rolls could not be kept: %s", len(rows), error)


def _keeping(dialect: str) -> Executable:
    insert: Any = sqlite.insert(RollGradeRow) if dialect == "sqlite" else postgresql.insert(RollGradeRow)
    new = {name: insert.excluded[name] for name in ("found_at_changes", "program", "content")}
    unchanged = RollGradeRow.changes == insert.excluded.changes
    statement: Executable = insert.on_conflict_do_update(
        index_elements=[RollGradeRow.roll_id], set_=new, where=unchanged
    )
    return statement


def _area(roll: RollBounds) -> Question:
    return select(func.sum(FrameRow.length_mm * FrameRow.fabric_width_mm)).where(in_roll(roll, FrameRow))
