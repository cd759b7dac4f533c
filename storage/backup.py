"""Backups: one SQLite file, whatever database it was taken from, and it can be restored into either.

Of a SQLite file it is a copy by SQLite's online backup, of PostgreSQL a copy of all rows in one REPEATABLE READ
transaction: both are of one moment, and the line goes on writing meanwhile. Pictures are copied beside it when asked.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Integer, delete, func, insert, select, text, union
from sqlalchemy import Table as SqlTable
from sqlalchemy.orm import Session

from inspection.errors import SchemaError, StorageError
from storage.database import Database
from storage.engine import errors_explained, is_sqlite, make_engine, parse_url, sqlite_path
from storage.partitions import PARTITIONED, add_partitions, month_of
from storage.pictures import PictureStore
from storage.schema import refuse_unless_current, schema_status, upgrade
from storage.tables import (
    AlarmServiceRow,
    ChoreRow,
    ConfirmedDefectRow,
    FragmentRow,
    FrameRow,
    GateRow,
    LeaseRow,
    SampleRow,
    ShadowFrameRow,
    Table,
    UtcDateTime,
)

ROWS_AT_ONCE = 1000
_OF_PROGRAMS = (AlarmServiceRow, ChoreRow, LeaseRow)  # who does what at present, which nobody would miss


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a backup holds. pictures: how many were copied; named: how many the database names."""

    path: Path
    bytes: int
    pictures: int
    named: int


def back_up(database: Database, path: Path, *, pictures: PictureStore, into: Path | None = None) -> Backup:
    """Writes a backup to `path`, which is whole or not there; pictures into the folder `into`, when one is given.

    Raises `StorageError` when the file is there already or cannot be written.
    """
    if path.exists():
        raise StorageError(f"{path} is there already: name another file, backups are not overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    try:
        if is_sqlite(database.url):
            _copy_file(sqlite_path(database.url), aside)
        else:
            _copy_out(database, aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.rename(path)
    except sqlite3.Error as error:
        raise StorageError(f"cannot write the backup {path}: {error}: check the disk and its free space") from error
    finally:
        for leftover in (aside, aside.with_name(aside.name + "-wal"), aside.with_name(aside.name + "-shm")):
            leftover.unlink(missing_ok=True)
    keys = list(picture_keys(f"sqlite:///{path}"))
    copied = 0
    if into is not None:
        target = PictureStore(str(into))
        for key in keys:
            if pictures.exists(key):
                target.put(key, pictures.get(key))
                copied += 1
    return Backup(path=path, bytes=path.stat().st_size, pictures=copied, named=len(keys))


def restore(
    url: str, path: Path, *, replace: bool = False, pictures: PictureStore | None = None, out_of: Path | None = None
) -> None:
    """Restores a backup into the database of `url`, pictures from the folder `out_of` into their store.

    An older backup is brought to this version. Raises `SchemaError` for one of a newer loomwatch, `StorageError` for
    a file that is no backup or damaged, and, unless `replace`, for a database that holds more than a new one. The
    database is then as it was.
    """
    if not path.is_file():
        raise StorageError(f"there is no backup {path}: check the path")
    status = schema_status(f"sqlite:///{path}")
    if status.state == "empty":
        raise StorageError(f"{path} is no backup of loomwatch: name another file")
    if status.state == "newer":
        refuse_unless_current(status, str(path))
    _refuse_damaged(path)
    there = schema_status(url)
    if there.state == "newer":
        raise SchemaError(f"the database is of a newer loomwatch (revision {there.current}): update loomwatch")
    if there.state == "older":
        raise SchemaError("the database is of an older loomwatch: run loomwatch db upgrade first")
    with tempfile.TemporaryDirectory(prefix="loomwatch-restore-") as folder:
        if there.state == "current" and not replace and _holds_anything(url, Path(folder)):
            raise StorageError(
                f"the database {parse_url(url).render_as_string(hide_password=True)} is not empty: restore into an "
                "empty one, or add --replace to give up all that is in it"
            )
        copy = Path(folder) / "backup.db"
        shutil.copyfile(path, copy)
        upgrade(f"sqlite:///{copy}")
        upgrade(url)
        if is_sqlite(parse_url(url)):
            _put_back(copy, sqlite_path(parse_url(url)))
        else:
            _copy_in(copy, url)
    if pictures is not None and out_of is not None:
        source = PictureStore(str(out_of))
        for key in picture_keys(f"sqlite:///{path}"):
            if source.exists(key):
                pictures.put(key, source.get(key))


def picture_keys(url: str) -> Iterator[str]:
    """All pictures that a database names."""
    with Database(url) as database, database.reading() as session:
        named = union(
            *(select(each) for each in (FragmentRow.crop, FragmentRow.heat, SampleRow.picture, ConfirmedDefectRow.crop))
        ).subquery()
        keys = session.scalars(select(named.c[0]).where(named.c[0] != "").execution_options(yield_per=ROWS_AT_ONCE))
        yield from keys
        for rules in session.scalars(select(GateRow.rules)):
            yield from (shown[key] for rule in rules for shown in rule["pictures"] for key in ("picture", "heat"))
        for apart in session.scalars(select(ShadowFrameRow.pictures)):
            yield from (shown[key] for shown in apart for key in ("crop", "heat") if shown[key])


def _copy_file(source: Path, target: Path) -> None:
    """In one step: a reader's snapshot, which no writer waits for; in several, each write would begin it anew."""
    with _connected(source) as from_, _connected(target) as to:
        from_.backup(to)
        to.execute("PRAGMA journal_mode = DELETE").close()  # one file, without a log beside it


def _put_back(source: Path, target: Path) -> None:
    try:
        with _connected(source) as from_, _connected(target) as to:
            from_.backup(to)
            to.execute("PRAGMA journal_mode = WAL").close()
    except sqlite3.Error as error:
        raise StorageError(f"cannot restore into {target}: {error}: stop all services that use it first") from error


class _connected:
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=30.0)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _refuse_damaged(path: Path) -> None:
    try:
        with _connected(path) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise StorageError(f"the backup {path} is damaged ({' '.join(found.split())}): restore another one")


def _holds_anything(url: str, folder: Path) -> bool:
    """Whether a database holds more than a new one does, or other rules and profiles."""
    fresh = f"sqlite:///{folder}/fresh.db"
    upgrade(fresh)
    with Database(url) as database, Database(fresh) as new, database.reading() as there, new.reading() as known:
        return any(
            _differ(there, known, table)
            for table in Table.metadata.sorted_tables
            if table.name not in {row.__tablename__ for row in _OF_PROGRAMS}
        )


def _differ(there: Session, known: Session, table: SqlTable) -> bool:
    told = select(*(each for each in table.columns if each.name != "id" and not isinstance(each.type, UtcDateTime)))
    expected = known.execute(told).all()
    found = there.execute(told.limit(len(expected) + 1)).all()
    return len(found) != len(expected) or any(row not in expected for row in found)


def _copy_out(database: Database, target: Path) -> None:
    upgrade(f"sqlite:///{target}")
    with Database(f"sqlite:///{target}") as copy:
        with database.reading() as session, copy.engine.begin() as into:
            _empty(into)
            _copy_rows(session.connection(), into)
        with copy.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")


def _copy_in(source: Path, url: str) -> None:
    parsed = parse_url(url)
    engine = make_engine(parsed)
    try:
        with (
            Database(f"sqlite:///{source}") as copy,
            copy.reading() as session,
            errors_explained(parsed),
            engine.begin() as into,
        ):
            _empty(into)
            times = session.scalars(
                select(func.min(FrameRow.captured_at)).group_by(func.substr(FrameRow.captured_at, 1, 7))
            )
            add_partitions(into, {month_of(at) for at in times})
            _copy_rows(session.connection(), into)
            for table in Table.metadata.sorted_tables:
                _set_sequence(into, table.name)
    finally:
        engine.dispose()


def _empty(connection: Connection) -> None:
    for table in reversed(Table.metadata.sorted_tables):
        connection.execute(delete(table))


def _copy_rows(source: Connection, target: Connection) -> None:
    for table in Table.metadata.sorted_tables:  # what others refer to comes first
        rows = source.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table)).mappings()
        for part in rows.partitions():
            target.execute(insert(table), [dict(row) for row in part])


def _set_sequence(connection: Connection, table: str) -> None:
    key = list(Table.metadata.tables[table].primary_key.columns)
    if len(key) != 1 or not isinstance(key[0].type, Integer) or table in PARTITIONED[1:]:
        return
    sequence = connection.execute(
        text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table, "column": key[0].name}
    ).scalar()
    if sequence is not None:
        most = connection.execute(select(func.coalesce(func.max(key[0]), 0))).scalar_one()
        connection.execute(
            text("SELECT setval(CAST(:name AS regclass), :next, false)"), {"name": sequence, "next": most + 1}
        )
