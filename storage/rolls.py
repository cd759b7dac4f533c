"""Rolls: which cloth belongs to which roll, decided by line and time of capture whenever it is asked.

A roll of staff's covers its line's cloth captured in [opened_at, closed_at); two of them never overlap on one line.
What none of them covers belongs to the automatic roll of that line and day (UTC), whose row appears with the first
such frame or gap. Since frames name no roll, a late frame lands on its own roll and a corrected boundary takes its
frames with it. Fragments of defects do name their roll, to be found beside each other; every act that moves a boundary
sets them right (`_follow`).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Result, Row, Select, and_, bindparam, false, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from inspection.errors import StorageError
from inspection.types import Roll
from storage import audit
from storage.database import Database
from storage.defects.merging import follow_rolls, lock_line, settle_width, widest
from storage.defects.series import close_all_series
from storage.names import check_name
from storage.roll_changes import note_cloth, note_roll
from storage.tables import DefectRow, FragmentRow, FrameRow, GapRow, LineRow, RollRow, StyleRow, UtcDateTime

Cloth = type[FrameRow] | type[GapRow] | type[DefectRow]
Question = Select[*tuple[Any, ...]]
Rows = Result[*tuple[Any, ...]]

FUTURE = timedelta(days=1)  # beyond it a time is a mistake
_AUTOMATIC_NAME = re.compile(r"auto \d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class RollBounds:
    """What `in_roll` needs of a roll, as parameters of a statement."""

    line: ColumnElement[str]
    opened_at: ColumnElement[datetime]
    closed_at: ColumnElement[datetime] | None
    automatic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RollFigures:
    """Sums over all cameras of a roll."""

    frames: int
    tiles: int
    defects: int  # that staff has not rejected
    rejected: int
    inspected_mm: float
    gap_mm: float
    gaps: int

    @property
    def captured_mm(self) -> float:
        return self.inspected_mm + self.gap_mm

    @property
    def coverage(self) -> float:
        """Inspected part of what was captured, 0 to 1; 0 while nothing was captured."""
        return self.inspected_mm / self.captured_mm if self.captured_mm > 0 else 0.0


def open_roll(database: Database, *, line: str, name: str, style: str, by: str, at: datetime | None = None) -> Roll:
    """Opens a roll from `at` (now) on. `style` "" means that each tile is routed by itself.

    Raises `StorageError` when a roll is open on the line, when the new one would overlap another, when the name is
    taken or cannot be shown, or for a time that cannot be.
    """
    at = _possible("opened_at", at)
    if not name.strip() or not line.strip():
        raise StorageError(f"a roll needs a line and a name, got line {line!r} and name {name!r}")
    check_name("line", line)
    check_name("roll", name)
    check_name("style", style)
    if _AUTOMATIC_NAME.fullmatch(name):
        raise StorageError(f"roll name {name!r} is kept for automatic rolls: choose another one")
    with database.session() as session:
        database.lock(session, f"rolls:{line}")
        if (running := _open_row(session, line)) is not None:
            raise StorageError(
                f"roll {running.name} is open on line {line}: close it first (loomwatch rolls close --line {line})"
            )
        if _row_named(session, line, name) is not None:
            raise StorageError(f"line {line} already has a roll {name}: choose another name")
        _refuse_overlap(session, line=line, name=name, opened_at=at, closed_at=None, but=None)
        now = datetime.now(UTC)
        database.insert_new(session, LineRow, name=line, created_at=now)
        if style:
            database.insert_new(session, StyleRow, name=style, created_at=now)
        row = RollRow(line=line, name=name, style=style, opened_at=at, closed_at=None, automatic=False)
        session.add(row)
        session.flush()
        _follow(database, session, line=line, since=at)
        audit.record(session, by=by, action="roll.open", subject=name, detail={"line": line, "at": at.isoformat()})
        return as_roll(row)


def close_roll(database: Database, *, line: str, by: str, at: datetime | None = None) -> Roll:
    """Closes the roll that is open on the line, at `at` (now). Raises `StorageError` when none is open, or for a time
    that cannot be."""
    at = _possible("closed_at", at)
    with database.session() as session:
        database.lock(session, f"rolls:{line}")
        row = _open_row(session, line)
        if row is None:
            last = session.scalar(
                select(RollRow)
                .where(RollRow.line == line, ~RollRow.automatic)
                .order_by(RollRow.closed_at.desc())
                .limit(1)
            )
            was = (
                f" (the last one, {last.name}, closed at {last.closed_at.isoformat()})"
                if last and last.closed_at
                else ""
            )
            raise StorageError(
                f"no roll is open on line {line}{was}: open one first (loomwatch rolls open --line {line})"
            )
        _refuse_backwards(row.name, row.opened_at, at)
        row.closed_at = at
        session.flush()
        _cover_by_automatic(database, session, line=line, since=at)
        _follow(database, session, line=line, since=at)
        close_all_series(session, roll_id=row.id)
        note_roll(session, row.id)
        audit.record(session, by=by, action="roll.close", subject=row.name, detail={"line": line, "at": at.isoformat()})
        return as_roll(row)


def correct_roll(
    database: Database,
    *,
    line: str,
    name: str,
    by: str,
    opened_at: datetime | None = None,
    closed_at: datetime | None = None,
) -> Roll:
    """Moves a roll's boundaries (None: leaves one as it is); frames, gaps and defects follow.

    Raises `StorageError` for an unknown or automatic roll, for a time without a zone or still to come, and when the
    roll would end before it begins or overlap another.
    """
    for what, field, at in (("open", "opened_at", opened_at), ("close", "closed_at", closed_at)):
        if at is not None and _zoned(field, at) > datetime.now(UTC):
            raise StorageError(
                f"roll {name} cannot {what} at {at.isoformat()}, which is still to come: give a past time"
            )
    with database.session() as session:
        database.lock(session, f"rolls:{line}")
        row = _row_named(session, line, name)
        if row is None or row.automatic:
            raise StorageError(f"line {line} has no roll {name} that staff opened: see loomwatch rolls list")
        before = {"opened_at": row.opened_at.isoformat(), "closed_at": row.closed_at and row.closed_at.isoformat()}
        since, ended = min(row.opened_at, opened_at or row.opened_at), row.closed_at
        row.opened_at, row.closed_at = opened_at or row.opened_at, closed_at or row.closed_at
        if row.closed_at is not None:
            _refuse_backwards(name, row.opened_at, row.closed_at)
        _refuse_overlap(session, line=line, name=name, opened_at=row.opened_at, closed_at=row.closed_at, but=row.id)
        until = None if ended is None or row.closed_at is None else max(ended, row.closed_at)
        session.flush()
        _cover_by_automatic(database, session, line=line, since=since, until=until)
        _follow(database, session, line=line, since=since, until=until)
        if row.closed_at is not None:
            close_all_series(session, roll_id=row.id)
        after = {"opened_at": row.opened_at.isoformat(), "closed_at": row.closed_at and row.closed_at.isoformat()}
        audit.record(
            session, by=by, action="roll.correct", subject=name, detail={"line": line, "before": before, "after": after}
        )
        return as_roll(row)


def list_rolls(
    database: Database, *, line: str | None = None, since: datetime | None = None, until: datetime | None = None
) -> list[Roll]:
    """All rolls, the latest first; of the automatic ones only those with cloth no other roll covers (any more). since,
    until: only those that were open in between."""
    with database.reading() as session:
        query = select(_ROLLS).order_by(RollRow.opened_at.desc(), RollRow.id.desc())  # rows: thousands, for a list
        if line is not None:
            query = query.where(RollRow.line == line)
        if since is not None:
            query = query.where(or_(RollRow.closed_at.is_(None), RollRow.closed_at > since))
        if until is not None:
            query = query.where(RollRow.opened_at < until)
        rolls = [as_roll(row) for row in session.execute(query)]
        return [roll for roll in rolls if not roll.automatic or _has_cloth(session, roll)]


def roll_at(database: Database, *, line: str, at: datetime) -> Roll | None:
    """The roll that cloth captured at `at` belongs to; None when no roll is known for it yet."""
    with database.reading() as session:
        row = _covering(session, line, at)
        if row is None:
            row = _row_named(session, line, f"auto {_day_of(at):%Y-%m-%d}")
        return None if row is None else as_roll(row)


def rolls_by_id(session: Session, ids: Iterable[int]) -> dict[int, Roll]:
    return {row.id: as_roll(row) for row in session.scalars(select(RollRow).where(RollRow.id.in_(ids)))}


def roll_figures(database: Database, roll: Roll) -> RollFigures:
    """What was inspected and missed of a roll, as its boundaries are in `roll`."""
    with database.reading() as session:
        frames, tiles, inspected_mm = session.execute(
            select(func.count(), func.sum(FrameRow.tiles), func.sum(FrameRow.length_mm)).where(in_roll(roll, FrameRow))
        ).one()
        gaps, gap_mm = session.execute(
            select(func.count(), func.sum(GapRow.length_mm)).where(in_roll(roll, GapRow))
        ).one()
        rejected = DefectRow.state == "rejected"
        defects, of_them_rejected = session.execute(
            select(func.count(), func.count().filter(rejected)).select_from(DefectRow).where(in_roll(roll, DefectRow))
        ).one()
    return RollFigures(
        frames=frames,
        tiles=tiles or 0,
        defects=defects - of_them_rejected,
        rejected=of_them_rejected,
        inspected_mm=inspected_mm or 0.0,
        gap_mm=gap_mm or 0.0,
        gaps=gaps,
    )


def in_roll(roll: Roll | RollBounds, table: Cloth) -> ColumnElement[bool]:
    """The condition that a row of frames, gaps or defects belongs to `roll`, for `select(table).where(...)`."""
    within = and_(table.line == roll.line, table.captured_at >= roll.opened_at)
    if roll.closed_at is not None:
        within = and_(within, table.captured_at < roll.closed_at)
    return and_(within, _uncovered(table)) if roll.automatic else within


def ask_roll(session: Session, build: Callable[[RollBounds], Question], roll: Roll, **more: Any) -> Rows:
    """The rows of a statement about a roll's cloth. It is built once, with `in_roll` of bounds that are parameters: a
    report asks a dozen of each of its rolls, and to build one costs more than to run it. more: its other parameters."""
    bounds = {"line": roll.line, "opened_at": roll.opened_at, "closed_at": roll.closed_at}
    return session.connection().execute(_built(build, roll.closed_at is None, roll.automatic), bounds | more)


@lru_cache(maxsize=256)
def _built(build: Callable[[RollBounds], Question], open_: bool, automatic: bool) -> Question:
    opened_at, closed_at = (bindparam(name, type_=UtcDateTime()) for name in ("opened_at", "closed_at"))
    return build(RollBounds(bindparam("line"), opened_at, None if open_ else closed_at, automatic))


def ensure_rolls(database: Database, session: Session, *, line: str, times: Sequence[datetime]) -> None:
    """Makes the automatic rolls of the days of those times that no other roll covers. Called with all frames and gaps
    that are stored.

    The rolls found are locked against a close or correction that would move their boundary over this cloth unseen.
    """
    found = _staff_rolls(session, _STAFF_SHARED, line, times)
    days = {_day_of(at) for at in times if _covers(found, at) is None}
    for day in sorted(days - _automatic_rolls(session, line, days).keys()):
        _ensure_automatic(database, session, line, day)


def rolls_of(session: Session, *, line: str, times: Sequence[datetime]) -> list[int]:
    """The numbers of the rolls that cloth captured at these times belongs to. Raises `StorageError` when one is not
    known."""
    found = _staff_rolls(session, _STAFF, line, times)
    staff = [_covers(found, at) for at in times]
    days = {_day_of(at) for at, number in zip(times, staff, strict=True) if number is None}
    automatic = _automatic_rolls(session, line, days) if days else {}
    numbers = []
    for at, number in zip(times, staff, strict=True):
        number = automatic.get(_day_of(at)) if number is None else number
        if number is None:
            raise StorageError(f"line {line} has no roll for cloth captured at {at.isoformat()}")
        numbers.append(number)
    return numbers


def _day_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _staff_rolls(session: Session, query: Select[Any], line: str, times: Sequence[datetime]) -> list[Any]:
    """Staff's rolls that can cover any of these times: they never overlap, so of those that opened before the first
    time only the last one."""
    between = {"line": line, "first": min(times), "last": max(times)}
    return list(session.connection().execute(query, between).all())


def _covers(rolls: Sequence[Any], at: datetime) -> int | None:
    return next(
        (roll.id for roll in rolls if roll.opened_at <= at and (roll.closed_at is None or at < roll.closed_at)), None
    )


def _automatic_rolls(session: Session, line: str, days: Iterable[datetime]) -> dict[datetime, int]:
    names = {f"auto {day:%Y-%m-%d}": day for day in days}
    if not names:
        return {}
    rows = session.connection().execute(_NAMED, {"line": line, "names": list(names)}).all()
    return {names[row.name]: row.id for row in rows}


_ROLLS = RollRow.__table__  # statements that every batch of frames asks are built once
_BOUND = _ROLLS.alias("bound")
_FIRST, _LAST = (bindparam(name, type_=UtcDateTime()) for name in ("first", "last"))
_STAFF = select(_ROLLS.c.id, _ROLLS.c.opened_at, _ROLLS.c.closed_at).where(
    _ROLLS.c.line == bindparam("line"),
    ~_ROLLS.c.automatic,
    _ROLLS.c.opened_at <= _LAST,
    _ROLLS.c.opened_at
    >= func.coalesce(
        select(func.max(_BOUND.c.opened_at))
        .where(_BOUND.c.line == bindparam("line"), ~_BOUND.c.automatic, _BOUND.c.opened_at <= _FIRST)
        .scalar_subquery(),
        _FIRST,
    ),
)
_STAFF_SHARED = _STAFF.with_for_update(read=True, of=_ROLLS)
_NAMED = select(_ROLLS.c.id, _ROLLS.c.name).where(
    _ROLLS.c.line == bindparam("line"), _ROLLS.c.name.in_(bindparam("names", expanding=True))
)


def _covering(session: Session, line: str, at: datetime) -> RollRow | None:
    row = session.scalar(
        select(RollRow)
        .where(RollRow.line == line, ~RollRow.automatic, RollRow.opened_at <= at)
        .order_by(RollRow.opened_at.desc())
        .limit(1)
    )
    return row if row is not None and (row.closed_at is None or row.closed_at > at) else None


def _ensure_automatic(database: Database, session: Session, line: str, at: datetime) -> datetime:
    """Returns the end of that day."""
    day = _day_of(at)
    name = f"auto {day:%Y-%m-%d}"
    end = day + timedelta(days=1)
    if _row_named(session, line, name) is None:  # an insert in vain would use up a number
        database.insert_new(
            session, RollRow, line=line, name=name, style="", opened_at=day, closed_at=end, automatic=True
        )
    return end


def _cover_by_automatic(
    database: Database, session: Session, *, line: str, since: datetime, until: datetime | None = None
) -> None:
    """Makes the automatic rolls of all days from `since` on, until `until`, with cloth that no roll covers any more."""
    at: datetime | None = since
    while at is not None:
        firsts = [
            session.scalar(
                select(func.min(table.captured_at)).where(
                    table.line == line, table.captured_at >= at, _before(table, until), _uncovered(table)
                )
            )
            for table in (FrameRow, GapRow)
        ]
        found = [first for first in firsts if first is not None]
        at = _ensure_automatic(database, session, line, min(found)) if found else None


def _before(table: Cloth, until: datetime | None) -> ColumnElement[bool]:
    return true() if until is None else table.captured_at < until


def _follow(database: Database, session: Session, *, line: str, since: datetime, until: datetime | None = None) -> None:
    """Takes the fragments captured from `since` on, until `until`, to the rolls that cover them now; defects are parted
    and joined."""
    session.flush()
    note_cloth(session, line=line, since=since, until=until)
    lock_line(database, session, line)
    rows = session.execute(
        select(FragmentRow.frame_id, FragmentRow.number, FragmentRow.roll_id, FragmentRow.captured_at)
        .join(FrameRow, FrameRow.id == FragmentRow.frame_id)
        .where(FrameRow.line == line, FrameRow.captured_at >= since, _before(FrameRow, until))
    ).all()
    at_once: dict[datetime, int] = {}
    moved: dict[tuple[int, int], int] = {}
    for row in rows:
        if row.captured_at not in at_once:
            (at_once[row.captured_at],) = rolls_of(session, line=line, times=[row.captured_at])
        if at_once[row.captured_at] != row.roll_id:
            moved[row.frame_id, row.number] = at_once[row.captured_at]
    follow_rolls(session, line=line, roll_of=moved)
    touched = select(RollRow).where(RollRow.line == line, or_(RollRow.closed_at.is_(None), RollRow.closed_at >= since))
    if until is not None:
        touched = touched.where(RollRow.opened_at <= until)
    for roll in map(as_roll, session.scalars(touched).all()):
        settle_width(session, roll_id=roll.id, right_mm=widest(session, in_roll(roll, FrameRow)))


def _uncovered(table: Cloth) -> ColumnElement[bool]:
    """Of staff's rolls, which never overlap, only the last one that opened before can cover a row."""
    other = aliased(RollRow)
    covered = (
        select(or_(other.closed_at.is_(None), other.closed_at > table.captured_at))
        .where(other.line == table.line, ~other.automatic, other.opened_at <= table.captured_at)
        .order_by(other.opened_at.desc())
        .limit(1)
        .correlate(table)
        .scalar_subquery()
    )
    return ~func.coalesce(covered, false())


def _stretches(session: Session, roll: Roll) -> list[tuple[datetime, datetime | None]]:
    """The times that belong to a roll; of an automatic one what is left of its day."""
    if not roll.automatic:
        return [(roll.opened_at, roll.closed_at)]
    end = roll.closed_at or roll.opened_at + timedelta(days=1)
    between = {"line": roll.line, "first": roll.opened_at, "last": end}
    left, start = [], roll.opened_at
    for other in sorted(session.connection().execute(_STAFF, between).all(), key=lambda other: other.opened_at):
        if other.opened_at > start:
            left.append((start, min(other.opened_at, end)))
        start = max(start, other.closed_at or end)
    return [*left, (start, end)] if start < end else left


def _has_cloth(session: Session, roll: Roll) -> bool:
    return any(
        session.connection().execute(_ANY[table], {"line": roll.line, "start": start, "end": end}).first() is not None
        for start, end in _stretches(session, roll)
        for table in (FrameRow, GapRow)
    )


_ANY: dict[Cloth, Select[Any]] = {
    table: select(table.id)
    .where(
        table.line == bindparam("line"),
        table.captured_at >= bindparam("start", type_=UtcDateTime()),
        table.captured_at < bindparam("end", type_=UtcDateTime()),
    )
    .limit(1)
    for table in (FrameRow, GapRow)
}


def _open_row(session: Session, line: str) -> RollRow | None:
    return session.scalar(select(RollRow).where(RollRow.line == line, ~RollRow.automatic, RollRow.closed_at.is_(None)))


def _row_named(session: Session, line: str, name: str) -> RollRow | None:
    return session.scalar(select(RollRow).where(RollRow.line == line, RollRow.name == name))


def _possible(field: str, at: datetime | None) -> datetime:
    """at: None is now."""
    now = datetime.now(UTC)
    if at is not None and _zoned(field, at) > now + FUTURE:
        raise StorageError(f"{field} of a roll must be at most a day ahead of now, got {at.isoformat()}")
    return at or now


def _zoned(field: str, at: datetime) -> datetime:
    if at.tzinfo is None:
        raise StorageError(f"{field} of a roll must have a time zone, got {at.isoformat()}: add one, as in +00:00")
    return at


def _refuse_backwards(name: str, opened_at: datetime, closed_at: datetime) -> None:
    if closed_at <= opened_at:
        raise StorageError(
            f"roll {name} opened at {opened_at.isoformat()} cannot close at {closed_at.isoformat()}: give a later time"
        )


def _refuse_overlap(
    session: Session, *, line: str, name: str, opened_at: datetime, closed_at: datetime | None, but: int | None
) -> None:
    query = select(RollRow).where(
        RollRow.line == line, ~RollRow.automatic, or_(RollRow.closed_at.is_(None), RollRow.closed_at > opened_at)
    )
    if closed_at is not None:
        query = query.where(RollRow.opened_at < closed_at)
    if but is not None:
        query = query.where(RollRow.id != but)
    with session.no_autoflush:
        other = session.scalar(query.order_by(RollRow.opened_at))
    if other is not None:
        until = "now" if other.closed_at is None else other.closed_at.isoformat()
        raise StorageError(
            f"roll {name} would overlap roll {other.name} on line {line} "
            f"({other.opened_at.isoformat()} until {until}): choose another time"
        )


def as_roll(row: RollRow | Row[Any]) -> Roll:
    return Roll(
        id=row.id,
        line=row.line,
        name=row.name,
        style=row.style,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        automatic=row.automatic,
    )
