"""How much of what passed the cameras was inspected: every millimetre is inspected, a gap with its reason, cloth that
could not be inspected, or cloth that was captured and has not been told of yet.

A camera's stretches follow each other without overlap and add up to what it captured, at every moment: what lies
between two records of a session whose sequence numbers do not meet was captured and is `waiting`, as is what the camera
counted beyond its last record. Waiting cloth does not count as inspected.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from inspection.types import Roll
from storage import audit
from storage.database import Database
from storage.roll_changes import ALWAYS, note_cloth
from storage.rolls import in_roll
from storage.tables import CaptureRow, FrameRow, GapRow, LineRow

LIMIT = 0.98  # of a line that sets none
NOT_INSPECTABLE = ("too_dark", "saturated", "blurred", "no_fabric", "too_narrow", "width_out_of_range", "seam")
TOUCH_MM = 0.5  # of positions, which are rounded

Kind = Literal["inspected", "gap", "not_inspectable", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A frame or a gap. reason: "" for a frame."""

    camera: str
    session: str
    sequence: int
    position_mm: float
    length_mm: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a camera session said that it captured so far."""

    camera: str
    session: str
    records: int
    captured_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Records of one kind and reason that follow each other. Positions on the session's counter."""

    camera: str
    session: str
    kind: Kind
    reason: str  # code of a gap, "" otherwise
    start_mm: float
    end_mm: float
    records: int

    @property
    def length_mm(self) -> float:
        return self.end_mm - self.start_mm


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Of a roll, over all of its cameras: camera metres."""

    stretches: tuple[Stretch, ...]
    limit: float  # below it a roll is incomplete, whatever its defects: it is no first quality

    def length_mm(self, kind: Kind) -> float:
        return sum(stretch.length_mm for stretch in self.stretches if stretch.kind == kind)

    @property
    def captured_mm(self) -> float:
        return sum(stretch.length_mm for stretch in self.stretches)

    @property
    def coverage(self) -> float:
        """Inspected share of what was captured, 0 to 1; 0 while nothing was."""
        captured = self.captured_mm
        return self.length_mm("inspected") / captured if captured > 0 else 0.0

    @property
    def complete(self) -> bool:
        return self.coverage >= self.limit


def stretches_of(records: Iterable[Record], counts: Sequence[Count] = ()) -> list[Stretch]:
    """Records as stretches, each camera's in the order of time. counts: of sessions whose last record is among these,
    to tell what waits behind it."""
    ordered = sorted(records, key=lambda record: (record.camera, record.session, record.sequence))
    stretches: list[Stretch] = []
    last: Record | None = None
    ends: dict[tuple[str, str], Record] = {}
    for record in ordered:
        if last is not None and (last.camera, last.session) == (record.camera, record.session):
            missing = record.sequence - last.sequence - 1
            end_mm = last.position_mm + last.length_mm
            if missing and record.position_mm > end_mm:
                _add(stretches, _waiting(last, end_mm, record.position_mm, missing))
        _add(stretches, _stretch(record))
        last = ends[record.camera, record.session] = record
    for count in counts:
        end = ends.get((count.camera, count.session))
        if end is None or count.records <= end.sequence + 1:
            continue
        told = sum(each.length_mm for each in stretches if (each.camera, each.session) == (count.camera, count.session))
        first = next(record for record in ordered if (record.camera, record.session) == (count.camera, count.session))
        behind = count.captured_mm - told if first.sequence == 0 else 0.0
        if behind <= TOUCH_MM:  # the session began on an earlier roll: as long as its last record, each
            behind = (count.records - end.sequence - 1) * end.length_mm
        end_mm = end.position_mm + end.length_mm
        _add(stretches, _waiting(end, end_mm, end_mm + behind, count.records - end.sequence - 1))
    return stretches


def kind_of(reason: str) -> Kind:
    if not reason:
        return "inspected"
    return "not_inspectable" if _code(reason) in NOT_INSPECTABLE else "gap"


def _code(reason: str) -> str:
    return reason.partition(":")[0].strip()


def _stretch(record: Record) -> Stretch:
    return Stretch(
        camera=record.camera,
        session=record.session,
        kind=kind_of(record.reason),
        reason=_code(record.reason),
        start_mm=record.position_mm,
        end_mm=record.position_mm + record.length_mm,
        records=1,
    )


def _waiting(after: Record, start_mm: float, end_mm: float, records: int) -> Stretch:
    return Stretch(
        camera=after.camera,
        session=after.session,
        kind="waiting",
        reason="",
        start_mm=start_mm,
        end_mm=end_mm,
        records=records,
    )


def _add(stretches: list[Stretch], new: Stretch) -> None:
    """Lengthens the last stretch where it goes on."""
    last = stretches[-1] if stretches else None
    if (
        last is not None
        and (last.camera, last.session, last.kind, last.reason) == (new.camera, new.session, new.kind, new.reason)
        and abs(new.start_mm - last.end_mm) <= TOUCH_MM
    ):
        stretches[-1] = Stretch(
            camera=last.camera,
            session=last.session,
            kind=last.kind,
            reason=last.reason,
            start_mm=last.start_mm,
            end_mm=last.end_mm + new.length_mm,  # lengths add up, whatever positions were rounded to
            records=last.records + new.records,
        )
    else:
        stretches.append(new)


# --- of a roll -----------------------------------------------------------------------------------------------------


def roll_coverage(database: Database, roll: Roll) -> Coverage:
    """All of one moment."""
    with database.reading() as session:
        return coverage_in(session, roll)


def coverage_in(session: Session, roll: Roll) -> Coverage:
    def records_of(table: type[FrameRow] | type[GapRow], reason: ColumnElement[str]) -> list[Record]:
        columns = (table.camera, table.session, table.sequence, table.position_mm, table.length_mm)
        return [
            Record(camera=camera, session=name, sequence=sequence, position_mm=at, length_mm=length, reason=why)
            for camera, name, sequence, at, length, why in session.execute(
                select(*columns, reason).where(in_roll(roll, table))
            )
        ]

    records = [*records_of(FrameRow, literal("")), *records_of(GapRow, GapRow.reason.expression)]
    return Coverage(stretches=tuple(stretches_of(records, _counts(session, records))), limit=_limit(session, roll.line))


def _limit(session: Session, line: str) -> float:
    limit = session.scalar(select(LineRow.coverage_limit).where(LineRow.name == line))
    return LIMIT if limit is None else limit


def coverage_limit(database: Database, *, line: str) -> float:
    """The share of a roll of this line that must be inspected for it to be graded."""
    with database.reading() as session:
        return _limit(session, line)


def _counts(session: Session, records: Sequence[Record]) -> list[Count]:
    """Of the sessions whose last record of all is among these; the others wait on a later roll."""
    ends: dict[tuple[str, str], int] = {}
    for record in records:
        key = (record.camera, record.session)
        ends[key] = max(ends.get(key, -1), record.sequence)
    counts = []
    for (camera, name), last in ends.items():
        row = session.get(CaptureRow, (camera, name))
        latest = max(
            session.scalar(select(func.max(table.sequence)).where(table.camera == camera, table.session == name)) or 0
            for table in (FrameRow, GapRow)
        )
        if row is not None and latest == last:
            counts.append(Count(camera=camera, session=name, records=row.frames, captured_mm=row.captured_mm))
    return counts


def set_coverage_limit(database: Database, *, line: str, limit: float, by: str) -> None:
    """The share of a roll that must be inspected for it to be graded. Raises `StorageError` for a line that is not
    known, and outside 0 to 1."""
    if not 0 <= limit <= 1:
        raise StorageError(f"a coverage limit must be in [0, 1], got {limit}")
    with database.session() as session:
        row = session.get(LineRow, line)
        if row is None:
            raise StorageError(f"there is no line {line}: it appears with its first roll, frame or machine element")
        audit.record(
            session,
            by=by,
            action="line.coverage",
            subject=line,
            detail={"limit": limit, "previous": row.coverage_limit},
        )
        row.coverage_limit = limit
        note_cloth(session, line=line, since=ALWAYS[0])
