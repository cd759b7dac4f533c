"""Rolls: which cloth belongs to which roll, decided by line and time of capture whenever it is asked.

A roll of staff's covers its line's cloth captured in [opened_at, closed_at); two of them never overlap on one line.
What none of them covers belongs to the automatic roll of that line and day (UTC), whose row appears with the first
such frame or gap. Since frames name no roll, a late frame lands on its own roll and a corrected boundary takes its
frames with it. Fragments of defects do name their roll, to be found beside each other; every act that moves a boundary
sets them right (`_follow`).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from inspection.errors import StorageError
from inspection.types import Roll
from storage import audit
from storage.database import Database
from storage.defects.merging import follow_rolls, lock_line, settle_width, widest
from storage.defects.series import close_all_series
from storage.tables import DefectRow, FragmentRow, FrameRow, GapRow, LineRow, RollRow, StyleRow, UtcDateTime

Cloth = type[FrameRow] | type[GapRow] | type[DefectRow]

_AUTOMATIC_NAME = re.compile(r"auto \d{4}-\d{2}-\d{2}")


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

    Raises `StorageError` when a roll is open on the line, when the new one would overlap another, or when the name
    is taken.
    """
    at = at or datetime.now(UTC)
    if not name.strip() or not line.strip():
        raise StorageError(f"a roll needs a line and a name, got line {line!r} and name {name!r}")
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
        return _roll(row)


def close_roll(database: Database, *, line: str, by: str, at: datetime | None = None) -> Roll:
    """Closes the roll that is open on the line, at `at` (now). Raises `StorageError` when none is open."""
    at = at or datetime.now(UTC)
    with database.session() as session:
        database.lock(session, f"rolls:{line}")
        row = _open_row(session, line)
        if row is None:
            raise StorageError(f"no roll is open on line {line}: open one first (loomwatch rolls open --line {line})")
        _refuse_backwards(row.name, row.opened_at, at)
        row.closed_at = at
        session.flush()
        _cover_by_automatic(database, session, line=line, since=at)
        _follow(database, session, line=line, since=at)
        close_all_series(session, roll_id=row.id)
        audit.record(session, by=by, action="roll.close", subject=row.name, detail={"line": line, "at": at.isoformat()})
        return _roll(row)


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

    Raises `StorageError` for an unknown or automatic roll, and when the roll would end before it begins or overlap
    another.
    """
    with database.session() as session:
        database.lock(session, f"rolls:{line}")
        row = _row_named(session, line, name)
        if row is None or row.automatic:
            raise StorageError(f"line {line} has no roll {name} that staff opened: see loomwatch rolls list")
        before = {"opened_at": row.opened_at.isoformat(), "closed_at": row.closed_at and row.closed_at.isoformat()}
        since = min(row.opened_at, opened_at or row.opened_at)
        row.opened_at, row.closed_at = opened_at or row.opened_at, closed_at or row.closed_at
        if row.closed_at is not None:
            _refuse_backwards(name, row.opened_at, row.closed_at)
        _refuse_overlap(session, line=line, name=name, opened_at=row.opened_at, closed_at=row.closed_at, but=row.id)
        session.flush()
        _cover_by_automatic(database, session, line=line, since=since)
        _follow(database, session, line=line, since=since)
        after = {"opened_at": row.opened_at.isoformat(), "closed_at": row.closed_at and row.closed_at.isoformat()}
        audit.record(
            session, by=by, action="roll.correct", subject=name, detail={"line": line, "before": before, "after": after}
        )
        return _roll(row)


def list_rolls(database: Database, *, line: str | None = None) -> list[Roll]:
    """All rolls, the latest first; of the automatic ones only those with cloth no other roll covers (any more)."""
    with database.reading() as session:
        query = select(RollRow).order_by(RollRow.opened_at.desc(), RollRow.id.desc())
        if line is not None:
            query = query.where(RollRow.line == line)
        rolls = [_roll(row) for row in session.scalars(query)]
        return [roll for roll in rolls if not roll.automatic or _has_cloth(session, roll)]


def roll_at(database: Database, *, line: str, at: datetime) -> Roll | None:
    """The roll that cloth captured at `at` belongs to; None when no roll is known for it yet."""
    with database.reading() as session:
        row = _covering(session, line, at)
        if row is None:
            row = session.scalar(
                select(RollRow).where(
                    RollRow.line == line, RollRow.automatic, RollRow.opened_at <= at, at < RollRow.closed_at
                )
            )
        return None if row is None else _roll(row)


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


def in_roll(roll: Roll, table: Cloth) -> ColumnElement[bool]:
    """The condition that a row of frames, gaps or defects belongs to `roll`, for `select(table).where(...)`."""
    within = and_(table.line == roll.line, table.captured_at >= roll.opened_at)
    if roll.closed_at is not None:
        within = and_(within, table.captured_at < roll.closed_at)
    return and_(within, _uncovered(table)) if roll.automatic else within


def ensure_roll(database: Database, session: Session, *, line: str, at: datetime) -> int:
    """The id of the roll that covers `at`; makes the automatic one of the day when no other does. Called with each
    frame and gap that is stored.

    The roll found is locked against a close or correction that would move its boundary over this frame unseen.
    """
    found = _roll_id(session, _COVERING_SHARED, line, at)
    if found is None and (found := _roll_id(session, _AUTOMATIC, line, at)) is None:
        _ensure_automatic(database, session, line, at)
        found = _roll_id(session, _AUTOMATIC, line, at)
    if found is None:
        raise StorageError(f"line {line} has no roll for cloth captured at {at.isoformat()}")
    return found


def roll_id_at(session: Session, *, line: str, at: datetime) -> int:
    """As `roll_at`, of a roll that is there."""
    found = _roll_id(session, _COVERING, line, at) or _roll_id(session, _AUTOMATIC, line, at)
    if found is None:
        raise StorageError(f"line {line} has no roll for cloth captured at {at.isoformat()}")
    return found


def _roll_id(session: Session, query: Select[Any], line: str, at: datetime) -> int | None:
    found = session.connection().execute(query, {"line": line, "at": at}).scalar()
    return None if found is None else int(found)


_ROLLS = RollRow.__table__  # statements that every frame asks are built once
_WITHIN = (_ROLLS.c.line == bindparam("line")) & (_ROLLS.c.opened_at <= bindparam("at", type_=UtcDateTime()))
_ENDS = bindparam("at", type_=UtcDateTime())
_COVERING = select(_ROLLS.c.id).where(
    _WITHIN, ~_ROLLS.c.automatic, or_(_ROLLS.c.closed_at.is_(None), _ROLLS.c.closed_at > _ENDS)
)
_COVERING_SHARED = _COVERING.with_for_update(read=True)
_AUTOMATIC = select(_ROLLS.c.id).where(_WITHIN, _ROLLS.c.automatic, _ROLLS.c.closed_at > _ENDS)


def _covering(session: Session, line: str, at: datetime) -> RollRow | None:
    return session.scalar(
        select(RollRow).where(
            RollRow.line == line,
            ~RollRow.automatic,
            RollRow.opened_at <= at,
            or_(RollRow.closed_at.is_(None), RollRow.closed_at > at),
        )
    )


def _ensure_automatic(database: Database, session: Session, line: str, at: datetime) -> datetime:
    """Returns the end of that day."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    name = f"auto {day:%Y-%m-%d}"
    end = day + timedelta(days=1)
    if _row_named(session, line, name) is None:  # an insert in vain would use up a number
        database.insert_new(
            session, RollRow, line=line, name=name, style="", opened_at=day, closed_at=end, automatic=True
        )
    return end


def _cover_by_automatic(database: Database, session: Session, *, line: str, since: datetime) -> None:
    """Makes the automatic rolls of all days from `since` on with cloth that no roll covers any more."""
    at: datetime | None = since
    while at is not None:
        firsts = [
            session.scalar(
                select(func.min(table.captured_at)).where(
                    table.line == line, table.captured_at >= at, _uncovered(table)
                )
            )
            for table in (FrameRow, GapRow)
        ]
        found = [first for first in firsts if first is not None]
        at = _ensure_automatic(database, session, line, min(found)) if found else None


def _follow(database: Database, session: Session, *, line: str, since: datetime) -> None:
    """Takes the fragments captured from `since` on to the rolls that cover them now; defects are parted and joined."""
    session.flush()
    lock_line(database, session, line)
    rows = session.execute(
        select(FragmentRow.frame_id, FragmentRow.number, FragmentRow.roll_id, FragmentRow.captured_at)
        .join(FrameRow, FrameRow.id == FragmentRow.frame_id)
        .where(FrameRow.line == line, FrameRow.captured_at >= since)
    ).all()
    at_once: dict[datetime, int] = {}
    moved: dict[tuple[int, int], int] = {}
    for row in rows:
        if row.captured_at not in at_once:
            at_once[row.captured_at] = roll_id_at(session, line=line, at=row.captured_at)
        if at_once[row.captured_at] != row.roll_id:
            moved[row.frame_id, row.number] = at_once[row.captured_at]
    follow_rolls(session, line=line, roll_of=moved)
    touched = select(RollRow).where(RollRow.line == line, or_(RollRow.closed_at.is_(None), RollRow.closed_at >= since))
    for roll in map(_roll, session.scalars(touched).all()):
        settle_width(session, roll_id=roll.id, right_mm=widest(session, in_roll(roll, FrameRow)))


def _uncovered(table: Cloth) -> ColumnElement[bool]:
    other = aliased(RollRow)
    return ~exists().where(
        other.line == table.line,
        ~other.automatic,
        other.opened_at <= table.captured_at,
        or_(other.closed_at.is_(None), other.closed_at > table.captured_at),
    )


def _has_cloth(session: Session, roll: Roll) -> bool:
    return any(
        session.scalar(select(table.id).where(in_roll(roll, table)).limit(1)) is not None
        for table in (FrameRow, GapRow)
    )


def _open_row(session: Session, line: str) -> RollRow | None:
    return session.scalar(select(RollRow).where(RollRow.line == line, ~RollRow.automatic, RollRow.closed_at.is_(None)))


def _row_named(session: Session, line: str, name: str) -> RollRow | None:
    return session.scalar(select(RollRow).where(RollRow.line == line, RollRow.name == name))


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


def _roll(row: RollRow) -> Roll:
    return Roll(
        id=row.id,
        line=row.line,
        name=row.name,
        style=row.style,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        automatic=row.automatic,
    )
