"""The schema's version: which one a database has, which one this program needs, and the way from one to the other.

Migrations (Alembic, `storage/migrations/versions`) are one line of revisions. A database whose revision this program
does not know was made by a newer one. Looking never alters a database, nor does refusing one.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from inspection.errors import SchemaError, StorageError
from storage.engine import errors_explained, is_sqlite, make_engine, parse_url, refuse_network_share, sqlite_path
from storage.grading.shipped import install_shipped
from storage.tables import Table

VERSION_TABLE = "loomwatch_version"
_UPGRADE_LOCK = 0x6C6F6F6D  # of PostgreSQL: two programs that upgrade at once take turns

logging.getLogger("alembic").setLevel(logging.WARNING)  # it reports two lines each time a version is looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    """`current` is "" for a database without loomwatch's tables."""

    current: str
    head: str
    state: Literal["empty", "current", "older", "newer"]


def schema_status(url: str) -> SchemaStatus:
    """Compares a database with this program. Raises `StorageError` when it cannot be reached."""
    parsed = parse_url(url)
    if is_sqlite(parsed) and not sqlite_path(parsed).exists():
        return _status("")
    engine = make_engine(parsed)
    try:
        return status_of(engine)
    finally:
        engine.dispose()


def status_of(engine: Engine) -> SchemaStatus:
    """As `schema_status`, through an engine that is there already."""
    with errors_explained(engine.url), engine.connect() as connection:
        return _status(_revision(connection))


def refuse_unless_current(status: SchemaStatus, place: str) -> None:
    """Raises `SchemaError` that says what to do about a database of another version."""
    match status.state:
        case "empty":
            raise SchemaError(f"database {place} has no tables yet: run loomwatch db upgrade")
        case "older":
            raise SchemaError(
                f"database {place} is of an older loomwatch (revision {status.current}, needed is {status.head}): "
                "run loomwatch db upgrade"
            )
        case "newer":
            raise SchemaError(
                f"database {place} was made by a newer loomwatch (revision {status.current}, known is {status.head}): "
                "update loomwatch"
            )


def upgrade(url: str) -> SchemaStatus:
    """Brings a database to this program's version in one transaction; creates file, folder, tables and the grading
    profiles that come with the program where they are missing.

    Raises `SchemaError` for a newer database and `StorageError` when the database refuses; both leave it as it was.
    """
    parsed = parse_url(url)
    refuse_network_share(parsed)
    if is_sqlite(parsed):
        _make_folder(sqlite_path(parsed).parent)
    engine = make_engine(parsed)
    try:
        with errors_explained(parsed), engine.begin() as connection:
            if not is_sqlite(parsed):
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
            status = _status(_revision(connection))
            if status.state == "newer":
                refuse_unless_current(status, parsed.render_as_string(hide_password=True))
            if status.state == "empty" and (foreign := _same_names(connection)):
                raise SchemaError(
                    f"database {parsed.render_as_string(hide_password=True)} holds tables of another program "
                    f"({', '.join(foreign)}): name a database of its own for loomwatch"
                )
            if status.state != "current":
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            install_shipped(connection)
        return status_of(engine)
    finally:
        engine.dispose()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}: name another one") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision() or ""


def _status(current: str) -> SchemaStatus:
    script = ScriptDirectory.from_config(_config())
    head = script.get_current_head()
    if head is None:
        raise SchemaError("this installation of loomwatch has no migrations: install it again")
    if not current:
        return SchemaStatus(current="", head=head, state="empty")
    if current == head:
        return SchemaStatus(current=current, head=head, state="current")
    known = {revision.revision for revision in script.walk_revisions()}
    return SchemaStatus(current=current, head=head, state="older" if current in known else "newer")


def _same_names(connection: Connection) -> list[str]:
    return sorted(set(inspect(connection).get_table_names()) & set(Table.metadata.tables))
