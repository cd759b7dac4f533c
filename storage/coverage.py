"""What counts as inspected. All that a camera captured of a roll is a frame, a gap with its reason, or waits: captured,
and not told of yet. At every moment the three add up to the camera's own count.

What waits are the records between those that are stored whose sequence numbers do not meet, and those that the camera
counted beyond its last one. Which roll they belong to is known only once they come: they count for every roll they may
belong to, as many as can have passed while it was open. Cloth that the line's other cameras saw, and one of them did
not, is missed too: that camera was silent.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Row, bindparam, func, select, union_all
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from inspection.types import Roll
from storage import audit
from storage.database import Database
from storage.reads.roll_runs import Run
from storage.roll_changes import ALWAYS, note_cloth
from storage.tables import CaptureRow, FrameRow, GapRow, LineRow, PruningRow

LIMIT = 0.98  # of a line that sets none
NOT_INSPECTABLE = ("too_dark", "saturated", "blurred", "no_fabric", "too_narrow", "width_out_of_range", "seam")
TOUCH_MM = 0.5  # of positions, which are rounded
IN_FLIGHT = timedelta(seconds=10)  # on a running roll, from capture to the record
BEHIND = 0.005  # of a roll: so much longer may one camera count it than another that never paused
OF_THE_LINE = timedelta(days=1)  # that a camera which delivers nothing is taken for one of the line's

Kind = Literal["inspected", "gap", "not_inspectable"]
Key = tuple[str, str]  # camera, session
Lane = tuple[float, float]  # x0_mm, x1_mm


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Cloth of a roll, in roll mm, of which nothing is stored. records: 0 where nobody counted."""

    camera: str
    y0_mm: float
    y1_mm: float
    records: int
    reason: Literal["waiting", "camera_silent"]  # codes of `inspection.types.REASONS`
    since: datetime

    @property
    def length_mm(self) -> float:
        return self.y1_mm - self.y0_mm


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hole:
    """Records of a session that follow each other and are not stored; the place is on its counter."""

    start_mm: float
    length_mm: float
    records: int
    since: datetime
    until: datetime


def kind_of(reason: str) -> Kind:
    """reason: of a gap, "" for a frame."""
    if not reason:
        return "inspected"
    return "not_inspectable" if reason.partition(":")[0].strip() in NOT_INSPECTABLE else "gap"


def unseen_in(session: Session, roll: Roll, runs: Sequence[Run], lanes: Mapping[str, Lane]) -> tuple[Unseen, ...]:
    """What waits of a roll, and what silent cameras missed. lanes: of the cameras that saw the roll."""
    now = datetime.now(UTC)
    running = roll.closed_at is None or roll.closed_at > now
    counts = _counts(session, roll)
    found: list[Unseen] = []
    holes = [(run, hole) for run in runs for hole in _holes(session, run, counts.get((run.camera, run.session)))]
    for run, hole in _not_pruned(session, roll, holes):
        if running and hole.since + run.pace > now - IN_FLIGHT:
            continue
        records = _records_on(roll, hole, run.pace)
        length_mm = hole.length_mm * records / hole.records
        if length_mm > TOUCH_MM:
            at_mm = hole.start_mm if hole.since >= roll.opened_at else hole.start_mm + hole.length_mm - length_mm
            y0_mm = max(run.place(at_mm), 0.0)
            found.append(_waiting(run.camera, y0_mm, length_mm, records, hole.since))
    if not roll.automatic:  # nothing is missed of cloth that nobody began
        for camera, hole in _untold(session, roll, counts, {(run.camera, run.session) for run in runs}):
            records = _records_on(roll, hole, (hole.until - hole.since) / hole.records)
            y0_mm = _reach_mm(camera, runs, found)
            found.append(_waiting(camera, y0_mm, hole.length_mm * records / hole.records, records, hole.since))
        found += _silent(session, roll, runs, found, counts, lanes, running=running)
    return tuple(found)


def lane_of(session: Session, *, camera: str, before: datetime) -> Lane | None:
    """Where a camera's last frame lay across the cloth; None before its first."""
    row = session.execute(
        select(FrameRow.x_offset_mm, FrameRow.fabric_width_mm)
        .where(FrameRow.camera == camera, FrameRow.captured_at < before)
        .order_by(FrameRow.captured_at.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.x_offset_mm, row.x_offset_mm + row.fabric_width_mm)


# --- what waits ----------------------------------------------------------------------------------------------------


def _waiting(camera: str, y0_mm: float, length_mm: float, records: int, since: datetime) -> Unseen:
    return Unseen(camera=camera, y0_mm=y0_mm, y1_mm=y0_mm + length_mm, records=records, reason="waiting", since=since)


def _records_on(roll: Roll, hole: _Hole, pace: timedelta) -> int:
    """How many of a hole's records may be the roll's."""
    first = max(hole.since, roll.opened_at)
    last = hole.until if roll.closed_at is None else min(hole.until, roll.closed_at)
    if first == hole.since and last == hole.until:
        return hole.records
    if last < first:
        return 0
    return min(hole.records, max(1, math.ceil((last - first) / pace))) if pace else hole.records


def _holes(session: Session, run: Run, count: CaptureRow | None) -> Iterator[_Hole]:
    before, after = _neighbours(session, run)
    ahead_mm = 0.0 if count is None else run.first * count.captured_mm / max(count.frames, 1)  # of the run; about
    if before is not None:
        yield from _between(before, run.first, run.start_mm, run.started_at)
    elif count is not None:
        begun_mm, begun_at = run.start_mm - ahead_mm, min(count.started_at, run.started_at)
        yield from _hole(-1, begun_mm, begun_at, run.first, run.start_mm, run.started_at)
    if run.records <= run.last - run.first:
        for row in session.connection().execute(_JUMPS, _params(run)):
            yield from _between(row, row.next_sequence, row.next_mm, row.next_at)
    if after is not None:
        yield from _hole(run.last, run.end_mm, run.ended_at, after.sequence, after.position_mm, after.captured_at)
    elif count is not None and count.frames > run.last + 1:
        origin = session.connection().execute(_ORIGIN, _params(run)).first()
        end_mm = count.captured_mm + (run.start_mm - ahead_mm if origin is None else origin.position_mm)
        yield from _hole(run.last, run.end_mm, run.ended_at, count.frames, end_mm, count.updated_at)


def _between(row: Row[Any], sequence: int, position_mm: float, at: datetime) -> Iterator[_Hole]:
    return _hole(row.sequence, row.position_mm + row.length_mm, row.captured_at, sequence, position_mm, at)


def _hole(
    last: int, end_mm: float, since: datetime, sequence: int, position_mm: float, at: datetime
) -> Iterator[_Hole]:
    """From a record to another. Where their places meet nothing is missing: neighbouring gaps may come as one."""
    if sequence > last + 1 and position_mm - end_mm > TOUCH_MM:
        yield _Hole(
            start_mm=end_mm,
            length_mm=position_mm - end_mm,
            records=sequence - last - 1,
            since=since,
            until=max(at, since),
        )


def _counts(session: Session, roll: Roll) -> dict[Key, CaptureRow]:
    """Of the sessions that may have seen the roll, and of those that saw the line before; the latest last."""
    query = select(CaptureRow).where(
        CaptureRow.line == roll.line, CaptureRow.updated_at >= roll.opened_at - OF_THE_LINE
    )
    if roll.closed_at is not None:
        query = query.where(CaptureRow.started_at < roll.closed_at)
    return {(row.camera, row.session): row for row in session.scalars(query.order_by(CaptureRow.updated_at))}


def _not_pruned(session: Session, roll: Roll, holes: Sequence[tuple[Run, _Hole]]) -> Iterator[tuple[Run, _Hole]]:
    """Without those in which cloth was told of once, and forgotten."""
    if not holes:
        return
    pruned = session.execute(
        select(PruningRow.opened_at, PruningRow.closed_at).where(PruningRow.line == roll.line)
    ).all()
    for run, hole in holes:
        if not any(row.opened_at < hole.until and row.closed_at > hole.since for row in pruned):
            yield run, hole


def _untold(
    session: Session, roll: Roll, counts: Mapping[Key, CaptureRow], told: set[Key]
) -> Iterator[tuple[str, _Hole]]:
    """What sessions captured that may have seen the roll, of which no record is stored on it."""
    for (camera, name), count in counts.items():
        if (camera, name) in told or count.updated_at < roll.opened_at:
            continue
        before, after = (
            None if row is None or row.session != name else row
            for row in (
                _beside(session, camera, roll.opened_at, before=True),
                _beside(session, camera, roll.closed_at, before=False),
            )
        )
        first = 0 if before is None else before.sequence + 1
        records = (count.frames if after is None else after.sequence) - first
        since = count.started_at if before is None else before.captured_at
        until = max(since, count.updated_at if after is None else after.captured_at)
        each_mm = count.captured_mm / max(count.frames, 1)
        hole = _Hole(start_mm=0, length_mm=records * each_mm, records=records, since=since, until=until)
        if records > 0 and _records_on(roll, hole, timedelta(0)):
            yield camera, hole


def _beside(session: Session, camera: str, at: datetime | None, *, before: bool) -> Any:
    """A camera's last record before a time, or its first one from then on."""
    if at is None:
        return None
    rows: list[Any] = []
    for table in (FrameRow, GapRow):
        time = table.captured_at
        query = select(table.session, table.sequence, time).where(
            table.camera == camera, time < at if before else time >= at
        )
        rows += session.execute(query.order_by(time.desc() if before else time).limit(1)).all()
    return (max if before else min)(rows, key=lambda row: row.captured_at, default=None)


_TABLES = (FrameRow.__table__, GapRow.__table__)
_COLUMNS = ("sequence", "captured_at", "position_mm", "length_mm")


def _of_session(table: Any) -> Any:
    columns = select(*(table.c[name] for name in _COLUMNS))
    return columns.where(table.c.camera == bindparam("camera"), table.c.session == bindparam("session"))


def _nearest(table: Any, *, before: bool) -> Any:
    sequence = table.c.sequence
    side = sequence < bindparam("first") if before else sequence > bindparam("last")
    nearest = _of_session(table).where(side).order_by(sequence.desc() if before else sequence).limit(1).subquery()
    return select(*nearest.c)


_NEIGHBOURS = union_all(*(_nearest(table, before=before) for table in _TABLES for before in (True, False)))
_BETWEEN = union_all(
    *(_of_session(table).where(table.c.sequence.between(bindparam("first"), bindparam("last"))) for table in _TABLES)
).subquery()
_IN_ORDER = select(
    *_BETWEEN.c,
    *(
        func.lead(_BETWEEN.c[name], type_=_BETWEEN.c[name].type).over(order_by=_BETWEEN.c.sequence).label(label)
        for name, label in (("sequence", "next_sequence"), ("position_mm", "next_mm"), ("captured_at", "next_at"))
    ),
).subquery()
_JUMPS = select(_IN_ORDER).where(_IN_ORDER.c.next_sequence > _IN_ORDER.c.sequence + 1)
_ORIGIN = union_all(*(_of_session(table).where(table.c.sequence == 0) for table in _TABLES))


def _params(run: Run) -> dict[str, Any]:
    return {"camera": run.camera, "session": run.session, "first": run.first, "last": run.last}


def _neighbours(session: Session, run: Run) -> tuple[Row[Any] | None, Row[Any] | None]:
    """The session's records before and behind those on the roll, on whichever roll they are."""
    rows = session.connection().execute(_NEIGHBOURS, _params(run)).all()
    before = max((row for row in rows if row.sequence < run.first), key=lambda row: row.sequence, default=None)
    after = min((row for row in rows if row.sequence > run.last), key=lambda row: row.sequence, default=None)
    return before, after


# --- silent cameras ------------------------------------------------------------------------------------------------


def _silent(
    session: Session,
    roll: Roll,
    runs: Sequence[Run],
    waiting: Sequence[Unseen],
    counts: Mapping[Key, CaptureRow],
    lanes: Mapping[str, Lane],
    *,
    running: bool,
) -> Iterator[Unseen]:
    """What other cameras saw along the roll. It is put behind what the camera saw, wherever it was silent."""
    cameras = sorted({run.camera for run in runs} | {each.camera for each in waiting})
    reach_mm = {camera: _reach_mm(camera, runs, waiting) for camera in cameras}
    length_mm = max(reach_mm.values(), default=0.0)
    if length_mm <= 0 or not runs:  # all of it waits
        return
    first, last = min(run.started_at for run in runs), max(run.ended_at for run in runs)
    for camera in cameras:
        own = sorted((run for run in runs if run.camera == camera), key=lambda run: run.started_at)
        if not own:
            continue
        frame_mm = max((run.end_mm - run.start_mm) / (run.last - run.first + 1) for run in own)
        if length_mm - reach_mm[camera] <= max(2 * frame_mm, BEHIND * length_mm):
            continue
        seen = sum((run.ended_at - run.started_at for run in own), start=timedelta(0))
        away = (last - first) - seen
        if away > 2 * max(run.pace for run in own) + (IN_FLIGHT if running else timedelta(0)):
            yield _missed(camera, reach_mm[camera], length_mm, own[-1].ended_at)
    absent = {camera: count for (camera, _), count in counts.items() if camera not in cameras}
    for camera, count in sorted(absent.items()):
        lane = lane_of(session, camera=camera, before=roll.opened_at)
        if lane is not None and _mostly_outside(lane, [lanes[each] for each in cameras if each in lanes]):
            yield _missed(camera, 0.0, length_mm, max(count.updated_at, roll.opened_at))


def _missed(camera: str, y0_mm: float, y1_mm: float, since: datetime) -> Unseen:
    return Unseen(camera=camera, y0_mm=y0_mm, y1_mm=y1_mm, records=0, reason="camera_silent", since=since)


def _reach_mm(camera: str, runs: Iterable[Run], waiting: Iterable[Unseen]) -> float:
    ends = [run.place(run.end_mm) for run in runs if run.camera == camera]
    return max((*ends, *(each.y1_mm for each in waiting if each.camera == camera)), default=0.0)


def _mostly_outside(lane: Lane, others: Iterable[Lane]) -> bool:
    """Whether nobody looks where the camera looked: one that was only renamed, or replaced, is not missed."""
    x0_mm, seen_mm = lane[0], 0.0
    for other in sorted(others):
        seen_mm += max(0.0, min(lane[1], other[1]) - max(x0_mm, other[0]))
        x0_mm = max(x0_mm, other[1])
    return seen_mm < (lane[1] - lane[0]) / 2


# --- the limit -----------------------------------------------------------------------------------------------------


def _limit(session: Session, line: str) -> float:
    limit = session.scalar(select(LineRow.coverage_limit).where(LineRow.name == line))
    return LIMIT if limit is None else limit


def coverage_limit(database: Database, *, line: str) -> float:
    """The share of a roll of this line that must be inspected for it to be graded."""
    with database.reading() as session:
        return _limit(session, line)


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
