"""Engines for the two databases, and their drivers' errors as one clear line.

SQLite runs in WAL, so readers never wait for the writer; a writing transaction takes the write lock at once
(`BEGIN IMMEDIATE`) and waits for it up to `BUSY_S`, because two writers that both began by reading would deadlock. A
commit is on the disk when it returns (`synchronous = FULL`): an ingestor forgets a frame after it. With NORMAL a power
cut could take the last seconds of commits away, frames that nobody has any more; storing many frames in one
transaction is what makes FULL cheap.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from inspection.errors import RecordRefused, StorageAwayError, StorageError

BUSY_S = 30.0
CONNECT_S = 10

_WAYS_OUT = {  # sign in the driver's message, in order of precedence -> what to do
    "readonly": "make the file and its folder writable for this user",
    "read-only": "connect to a server that may be written to",
    "disk is full": "free some space",
    "no space left": "free some space",
    "disk i/o error": "check the disk and its free space",
    "unable to open": "check that the folder exists and this user may write in it",
    "database is locked": f"another program has held it for {BUSY_S:.0f} s, stop that program",
    "not a database": "the file is something else, name another one",
    "malformed": "the file is damaged, restore a backup",
    "password authentication failed": "correct the user or the password in the database URL",
    "no password supplied": "add the password to the database URL",
    "permission denied": "grant this user the rights on the database",
    "does not exist": "create it, or correct the database URL",
    "cannot contain nul": "write it without that character",
    "resolve": "check the host in the database URL",
    "connection": "check that the server runs and the database URL is right",
}


def parse_url(url: str) -> URL:
    """A SQLAlchemy URL with the driver we ship. Raises `StorageError`; never repeats the URL, which may hold a
    password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StorageError(
            "the database URL cannot be read: write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from error
    match parsed.drivername:
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return parsed.set(drivername="postgresql+psycopg")
        case "sqlite" | "sqlite+pysqlite":
            if parsed.database in (None, "", ":memory:"):
                raise StorageError("services cannot share a SQLite database in memory: write sqlite:///FILE")
            return parsed
        case other:
            raise StorageError(f"a database URL starts with sqlite:/// or postgresql://, got {other}://")


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def sqlite_path(url: URL) -> Path:
    """The file of a SQLite URL, also of one in SQLite's own form `file:PATH?mode=ro&uri=true`."""
    return Path((url.database or "").removeprefix("file:").partition("?")[0])


SHARES = ("nfs", "nfs4", "cifs", "smbfs", "smb2", "smb3", "afs", "afpfs", "webdav", "davfs", "ceph", "glusterfs",
          "lustre", "beegfs", "gpfs", "ocfs2", "gfs2", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs",
          "fuse.rclone", "fuse.davfs", "fuse.smbnetfs")  # fmt: skip


def refuse_network_share(url: URL) -> None:
    """SQLite's log is shared by memory, which programs on two hosts do not share, and file locks of network shares are
    not kept reliably: a database there is damaged sooner or later. Raises `StorageError`."""
    if not is_sqlite(url):
        return
    path = sqlite_path(url).absolute()
    mounts = [(Path(part.mountpoint), part.fstype.lower(), part.opts) for part in psutil.disk_partitions(all=True)]
    around = [mount for mount in mounts if mount[0] in (path, *path.resolve().parents)]
    if not around:
        return
    place, kind, options = max(around, key=lambda mount: len(mount[0].parts))
    if kind in SHARES or "remote" in options.split(","):
        raise StorageError(
            f"database {path} lies on a network share ({kind} at {place}), where SQLite files get damaged: put it on a "
            "local disk (LOOMWATCH_DATA_DIR), or use PostgreSQL (LOOMWATCH_DATABASE_URL)"
        )


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """A file that several programs make at once: SQLite refuses all but one of them here without waiting its turn."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def make_engine(url: URL) -> Engine:
    """An engine that connects when first used. Connections of its option `loomwatch_reading` only read."""
    if not is_sqlite(url):
        return create_engine(url, connect_args={"connect_timeout": CONNECT_S}, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        _switch_to_wal(connection)
        for pragma in ("foreign_keys = ON", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("loomwatch_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def reading_options(url: URL) -> dict[str, Any]:
    """Execution options of a transaction that only reads: all of its figures are of one moment on both databases."""
    if is_sqlite(url):
        return {"loomwatch_reading": True}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


@contextmanager
def errors_explained(url: URL) -> Iterator[None]:
    """Turns what a user can mend into a `StorageError`; a violated constraint or a wrong statement, the program's own
    business, passes. What the database will never take is a `RecordRefused`, what another try may not meet a
    `StorageAwayError`."""
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        if isinstance(error, IntegrityError):
            raise
        if isinstance(error, ProgrammingError) and "permission denied" not in str(error.orig):
            raise
        if isinstance(error, DataError):  # a value that the database does not take, now or later
            raise RecordRefused(_explain(url, error)) from error
        away = isinstance(error, (OperationalError, PoolTimeoutError))
        raise (StorageAwayError if away else StorageError)(_explain(url, error)) from error


def _explain(url: URL, error: DBAPIError | PoolTimeoutError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    reason = lines[0].rstrip(".:") if lines else type(cause).__name__
    if url.password:
        reason = reason.replace(str(url.password), "***")
    message = f"database {url.render_as_string(hide_password=True)}: {reason}"
    for sign, way_out in _WAYS_OUT.items():
        if sign in reason.lower():
            return f"{message}: {way_out}"
    return message
