"""The database: one engine, one transaction a `with`, the schema's version checked at the door.

`session()` writes, `reading()` only reads (the screens): on SQLite a reader never waits for the writer nor holds it up,
and on both databases all that one reading transaction sees is of one moment.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Executable, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage.engine import (
    errors_explained,
    is_sqlite,
    make_engine,
    parse_url,
    reading_options,
    refuse_network_share,
    sqlite_path,
)
from storage.partitions import make_partitions, month_of
from storage.roll_changes import write_changes
from storage.schema import SchemaStatus, refuse_unless_current, schema_status, status_of, upgrade
from storage.tables import Table
from storage.trends.totals import write_totals

__all__ = ["Database", "SchemaStatus", "open_database", "schema_status", "upgrade"]

_LOCK = text("SELECT pg_advisory_xact_lock(:number)")
_LOCK_ALL = text("SELECT pg_advisory_xact_lock(n) FROM unnest(CAST(:numbers AS bigint[])) AS n")


class Database:
    """A SQLite file or a PostgreSQL database. Connects when first used; the threads of a process share it."""

    def __init__(self, url: str) -> None:
        """Raises `StorageError` for a URL of anything else."""
        self.url = parse_url(url)
        self.engine = make_engine(self.url)
        self._sqlite = is_sqlite(self.url)
        self.known_names: set[tuple[str, str]] = set()  # kind and name of what is committed, so as not to ask again
        self._inserts: dict[type[Table], Executable] = {}
        self._months: set[str] = set()  # that have partitions
        self._reader = self.engine.execution_options(**reading_options(self.url))

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One writing transaction: committed at the end with the totals and counts it changes, else rolled back.

        Raises `StorageError`, one line without a password, for what a user can mend (server away, disk full, file
        not writable); a violated constraint stays SQLAlchemy's `IntegrityError`.
        """
        with errors_explained(self.url), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session
            write_totals(session)
            write_changes(session)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One reading transaction, a snapshot. Raises `StorageError` as `session` does."""
        with errors_explained(self.url), Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    def problem(self) -> str:
        """Why it does not answer, "" when it does."""
        if self._sqlite and not sqlite_path(self.url).exists():  # asking would make it
            return f"database {self}: the file is gone"
        try:
            with self.reading() as session:
                session.execute(text("SELECT 1"))
        except StorageError as error:
            return str(error)
        return ""

    def lock(self, session: Session, name: str) -> bool:
        """Holds `name` until the transaction ends against every other that locks it; False when that was so before.

        SQLite has one writer at a time anyway; PostgreSQL takes an advisory lock.
        """
        if not self._sqlite:
            session.connection().execute(_LOCK, {"number": _lock_number(name)})
        return not self._sqlite

    def lock_all(self, session: Session, names: Iterable[str]) -> None:
        """As `lock`, many in one question; always in the same order, so that two who want the same never block each
        other."""
        if not self._sqlite:
            numbers = sorted({_lock_number(name) for name in names})
            session.connection().execute(_LOCK_ALL, {"numbers": numbers})

    def insert_new(self, session: Session, table: type[Table], /, **values: Any) -> Any | None:
        """Inserts a row unless a unique constraint holds it already: its first key column, or None."""
        return session.connection().execute(self._insert(table), values).scalar()

    def make_room(self, times: Iterable[datetime]) -> None:
        """Before frames of these times of capture are stored: PostgreSQL keeps each month in a partition of its own
        (`storage.partitions`)."""
        if not self._sqlite:
            missing = {month_of(time) for time in times} - self._months
            if missing:
                with errors_explained(self.url):
                    make_partitions(self.engine, missing)
                self._months |= missing

    def _insert(self, table: type[Table]) -> Executable:
        """Made once a table: a frame inserts five rows, and building a statement costs more than running it."""
        statement = self._inserts.get(table)
        if statement is None:
            insert = sqlite.insert(table) if self._sqlite else postgresql.insert(table)
            statement = insert.on_conflict_do_nothing().returning(inspect(table).primary_key[0])
            self._inserts[table] = statement
        return statement


def _lock_number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)


def open_database(url: str) -> Database:
    """A database of just this program's version.

    Raises `SchemaError` for an older or newer one and `StorageError` when it cannot be reached; neither alters it.
    """
    database = Database(url)
    refuse_network_share(database.url)
    if is_sqlite(database.url) and not sqlite_path(database.url).exists():
        refuse_unless_current(schema_status(url), str(database))  # looking must not make the file
    try:
        refuse_unless_current(status_of(database.engine), str(database))
    except BaseException:
        database.close()
        raise
    return database
