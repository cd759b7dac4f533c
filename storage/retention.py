"""Retention: the cloth of the oldest rolls is forgotten when it is too old or the disk is too full.

A roll goes as a whole, rows and pictures, one transaction a roll; never one that runs or is on hold. What went is
recorded (`prunings`). A picture store that does not answer keeps no row alive: the keys still to be removed stand in
the record, and the next pruning goes on with them. Samples stay: they are copies. Of defects that staff confirmed stays
what the regression set and the guard need (`storage.confirmed_defects`).
"""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from inspection.types import Roll
from storage import audit
from storage.confirmed_defects import confirmed_of
from storage.database import Database
from storage.defects.merging import lock_line
from storage.engine import is_sqlite, sqlite_path
from storage.pictures import PictureStore
from storage.rolls import as_roll, in_roll
from storage.tables import (
    CaptureRow,
    ChoreRow,
    DefectRow,
    FragmentRow,
    FrameRow,
    GapRow,
    PruningRow,
    RollDetailRow,
    RollHoldRow,
    RollRow,
    RollWidthRow,
    SeriesRow,
)

log = logging.getLogger(__name__)

GB = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """A roll that went, or would go."""

    line: str
    roll: str
    closed_at: datetime
    reason: str
    frames: int
    gaps: int
    defects: int
    pictures: int
    at: datetime
    by: str


def prune(
    database: Database,
    pictures: PictureStore,
    *,
    by: str,
    days: float = 0,
    free_gb: float = 0,
    free_bytes: Callable[[], int] | None = None,
    at: datetime | None = None,
    dry_run: bool = False,
) -> list[Pruned]:
    """Forgets rolls that ended more than `days` ago (0: none for age), then, the oldest first, as many as it takes for
    `free_gb` to be free (0: none for space); what went.

    free_bytes: what is free where rows and pictures lie (`free_space`). Raises `StorageError`.
    """
    now = at or datetime.now(UTC)
    free = free_bytes or (lambda: free_space(database, pictures))
    if not dry_run:
        _finish(database, pictures)
    gone: list[Pruned] = []
    kept_back: set[int] = set()
    before = now - timedelta(days=days) if days > 0 else None
    while True:
        roll = _oldest(database, now, but=kept_back)
        if roll is None or roll.closed_at is None:
            return gone
        if before is not None and roll.closed_at < before:
            reason = f"older than {days:g} days"
        elif free_gb > 0 and free() < free_gb * GB:
            reason = f"less than {free_gb:g} GB were free"
        else:
            return gone
        pruned = _forget(database, pictures, roll, by=by, reason=reason, at=now, dry_run=dry_run)
        kept_back.add(roll.id)
        if pruned is not None:
            gone.append(pruned)
        if dry_run and (before is None or roll.closed_at >= before):
            return gone  # how much it would free is not known before


def list_pruned(database: Database, *, line: str | None = None, limit: int = 1000) -> list[Pruned]:
    """What is recorded of pruned rolls, the latest first."""
    names = [field.name for field in fields(Pruned)]
    query = select(*(getattr(PruningRow, name) for name in names)).order_by(PruningRow.id.desc()).limit(limit)
    with database.reading() as session:
        rows = session.execute(query if line is None else query.where(PruningRow.line == line))
        return [Pruned(**row) for row in rows.mappings()]


def free_space(database: Database, pictures: PictureStore) -> int:
    """Bytes free where the SQLite file and the pictures lie, with the file's own unused pages. A server's and an
    object store's space is not known here."""
    places = [Path(pictures.folder)] if pictures.folder else []
    unused = 0
    if is_sqlite(database.url):
        places.append(sqlite_path(database.url).parent)
        with database.reading() as session:
            connection = session.connection()
            pages, size = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
                for name in ("freelist_count", "page_size")
            )
            unused = pages * size
    if not places:
        raise StorageError("neither database nor pictures lie on this machine: keep by age (LOOMWATCH_KEEP_DAYS)")
    there = [next(each for each in (place, *place.parents) if each.exists()) for place in places]
    return min(shutil.disk_usage(place).free for place in there) + unused


def hold_roll(database: Database, roll: Roll, *, reason: str, by: str) -> None:
    """Keeps a roll from being pruned. Raises `StorageError` without a reason."""
    if not reason.strip():
        raise StorageError(f"a hold needs a reason: say why roll {roll.name} must be kept")
    with database.session() as session:
        if session.get(RollRow, roll.id, with_for_update=True) is None:
            raise StorageError(f"roll {roll.name} is not there any more: see loomwatch rolls list")
        session.merge(RollHoldRow(roll_id=roll.id, reason=reason.strip(), by=by, at=datetime.now(UTC)))
        audit.record(
            session, by=by, action="roll.hold", subject=roll.name, detail={"line": roll.line, "reason": reason}
        )


def release_roll(database: Database, roll: Roll, *, by: str) -> None:
    """Ends a hold. Raises `StorageError` when the roll is not on hold."""
    with database.session() as session:
        row = session.get(RollHoldRow, roll.id)
        if row is None:
            raise StorageError(f"roll {roll.name} is not on hold")
        session.delete(row)
        audit.record(session, by=by, action="roll.release", subject=roll.name, detail={"line": roll.line})


def is_held(database: Database, roll: Roll) -> str:
    """Why a roll is on hold, "" when it is not."""
    with database.reading() as session:
        return session.scalar(select(RollHoldRow.reason).where(RollHoldRow.roll_id == roll.id)) or ""


def claim_chore(database: Database, name: str, *, period: str, by: str) -> bool:
    """True for exactly one of all that ask for a chore of one period (`2026-03-14T08`)."""
    with database.session() as session:
        database.lock(session, f"chore:{name}")
        row = session.get(ChoreRow, name)
        if row is not None and row.period >= period:
            return False
        session.merge(ChoreRow(name=name, period=period, by=by, at=datetime.now(UTC)))
        return True


def _oldest(database: Database, now: datetime, *, but: set[int]) -> Roll | None:
    held = exists().where(RollHoldRow.roll_id == RollRow.id)
    with database.reading() as session:
        row = session.scalar(
            select(RollRow)
            .where(RollRow.closed_at <= now, ~held, RollRow.id.not_in(but))
            .order_by(RollRow.closed_at, RollRow.id)
            .limit(1)
        )
        return None if row is None else as_roll(row)


def _forget(
    database: Database, pictures: PictureStore, roll: Roll, *, by: str, reason: str, at: datetime, dry_run: bool
) -> Pruned | None:
    """None when the roll was put on hold, moved or taken away meanwhile."""
    with database.session() as session:
        database.lock(session, f"rolls:{roll.line}")
        row = session.get(RollRow, roll.id, with_for_update=True)
        if row is None or as_roll(row) != roll or session.get(RollHoldRow, roll.id) is not None:
            return None
        lock_line(database, session, roll.line)
        frames, gaps = (
            session.scalar(select(func.count(table.id)).where(in_roll(roll, table))) or 0
            for table in (FrameRow, GapRow)
        )
        defects = session.scalar(select(func.count(DefectRow.id)).where(DefectRow.roll_id == roll.id)) or 0
        confirmed = confirmed_of(session, roll)
        shown = session.execute(select(FragmentRow.crop, FragmentRow.heat).where(FragmentRow.roll_id == roll.id))
        keys = sorted({key for pair in shown for key in pair if key} - {each.crop for each in confirmed})
        pruned = Pruned(
            line=roll.line,
            roll=roll.name,
            closed_at=roll.closed_at or at,
            reason=reason,
            frames=frames,
            gaps=gaps,
            defects=defects,
            pictures=len(keys),
            at=datetime.now(UTC),
            by=by,
        )
        if dry_run:
            return pruned
        session.add_all(confirmed)
        sessions = _delete(session, roll)
        _drop_counts(session, sessions)
        record = PruningRow(
            at=pruned.at,
            by=by,
            reason=reason,
            line=roll.line,
            roll=roll.name,
            opened_at=roll.opened_at,
            closed_at=pruned.closed_at,
            frames=frames,
            gaps=gaps,
            defects=defects,
            pictures=len(keys),
            pictures_left=keys,
        )
        session.add(record)
        session.flush()
        number = record.id
    log.info("roll %s of line %s is pruned: %s", roll.name, roll.line, reason)
    _remove_pictures(database, pictures, number, keys)
    return pruned


def _delete(session: Session, roll: Roll) -> set[tuple[str, str]]:
    """All that is known of a roll; the camera sessions it was captured in."""
    sessions: set[tuple[str, str]] = set()
    for table in (FrameRow, GapRow):
        found = session.execute(select(table.camera, table.session).where(in_roll(roll, table)).distinct())
        sessions |= {(camera, name) for camera, name in found}
    options = {"synchronize_session": False}
    for own in (FragmentRow, DefectRow, SeriesRow, RollWidthRow, RollDetailRow):
        session.execute(delete(own).where(own.roll_id == roll.id), execution_options=options)
    for table in (FrameRow, GapRow):
        session.execute(delete(table).where(in_roll(roll, table)), execution_options=options)
    session.execute(delete(RollRow).where(RollRow.id == roll.id), execution_options=options)
    return sessions


def _drop_counts(session: Session, sessions: set[tuple[str, str]]) -> None:
    """The counts of camera sessions of which nothing is left."""
    for camera, name in sorted(sessions):
        left = any(
            session.scalar(select(table.id).where(table.camera == camera, table.session == name).limit(1)) is not None
            for table in (FrameRow, GapRow)
        )
        if not left:
            session.execute(delete(CaptureRow).where(CaptureRow.camera == camera, CaptureRow.session == name))


def _finish(database: Database, pictures: PictureStore) -> None:
    """Removes what an earlier pruning could not."""
    with database.reading() as session:
        rows = session.execute(select(PruningRow.id, PruningRow.pictures_left)).all()
    for number, keys in rows:
        if keys:
            _remove_pictures(database, pictures, number, keys)


def _remove_pictures(database: Database, pictures: PictureStore, number: int, keys: list[str]) -> None:
    if not keys:
        return
    left = pictures.delete_all(keys)
    if left:
        log.warning("%d pictures could not be removed, the next pruning tries again", len(left))
    with database.session() as session:
        row = session.get(PruningRow, number, with_for_update=True)
        if row is not None:
            row.pictures_left = left


def shrink(database: Database) -> None:
    """Gives what pruning emptied back: PostgreSQL's partitions end where their last row is. A SQLite file stays as
    large and fills up again."""
    if not is_sqlite(database.url):
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in (FrameRow, FragmentRow, DefectRow):
                connection.execute(text(f"VACUUM (ANALYZE) {table.__tablename__}"))
