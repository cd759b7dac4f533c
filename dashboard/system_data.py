"""What the page System asks and does. What only an admin sees is asked for through `allowed`, as acts are."""

import json
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st

from dashboard.csv_file import csv_of
from dashboard.language import _, figure, language
from dashboard.signed_in import allowed
from dashboard.stored_sentences import told
from dashboard.stored_words import said
from dashboard.stores import store
from inspection.errors import SettingsError
from storage.accounts import links, users
from storage.accounts.users import User
from storage.database import schema_status
from storage.reads import audit_trail, lost_cloth
from storage.reads.audit_trail import AuditEntry, AuditFilter
from storage.reads.lost_cloth import LostCloth
from storage.redis_client import place

LOW_FREE_GB = 5.0
LOG_BYTES = 64 * 1024
LOG_LINES = 200
PASSWORD = re.compile(r"(://[^\s/:@]*:)[^\s/]+(@)")  # in an address that another program wrote into the log
EXPORT_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A part of the system: its name, whether it is well, and what there is to say."""

    name: str
    good: bool
    said: str


def database_check() -> Check:
    return _database_check(language())


@st.cache_data(ttl=5, show_spinner=False)
def _database_check(spoken: str) -> Check:
    database = store().database
    problem = database.problem()
    size = _size_of(database.url.database) if database.url.get_backend_name() == "sqlite" else ""
    return Check(name=_("Database"), good=not problem, said=told(problem) or f"{database}{size}")


def disk_check() -> Check:
    return _disk_check(language())


@st.cache_data(ttl=5, show_spinner=False)
def _disk_check(spoken: str) -> Check:
    """The disk of the data folder; a database or pictures elsewhere are not on it."""
    folder = store().settings.data_dir
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return Check(name=_("Disk"), good=False, said=f"{folder}: {error.strerror}")
    free_gb, total_gb = usage.free / 1e9, usage.total / 1e9
    good = free_gb >= max(LOW_FREE_GB, store().settings.keep_free_gb)
    return Check(
        name=_("Disk"),
        good=good,
        said=_(
            "{free_gb} GB of {total_gb} GB free at {folder}",
            free_gb=figure(free_gb, ",.0f"),
            total_gb=figure(total_gb, ",.0f"),
            folder=folder,
        ),
    )


def redis_place() -> str:
    return place(store().settings.redis)


@st.cache_data(ttl=30, show_spinner=False)
def lost(hours: int) -> list[LostCloth]:
    return lost_cloth.lost_cloth(store().database, since=datetime.now(UTC) - timedelta(hours=hours))


def versions() -> dict[str, str]:
    return _versions(language())


@st.cache_data(ttl=60, show_spinner=False)
def _versions(spoken: str) -> dict[str, str]:
    status = schema_status(store().settings.database)
    return {
        "loomwatch": version("loomwatch"),
        _("Database's tables"): f"{status.current}, {said(status.state)}",
        _("Database"): store().database.url.get_backend_name(),
        "Python": platform.python_version(),
        "Streamlit": version("streamlit"),
        "SQLAlchemy": version("sqlalchemy"),
        _("System"): f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


# --- an admin's ----------------------------------------------------------------------------------------------------


def log_files() -> list[str]:
    """Names of the services' logs, where this machine's supervisor writes them."""
    allowed("admin", by_itself=True)
    folder = store().settings.logs_dir
    return sorted(path.name for path in folder.glob("*.log")) if folder.is_dir() else []


def log_tail(name: str) -> str:
    """Its last lines, without the passwords of addresses in them. Raises `SettingsError` for a file that is none of the
    logs."""
    if name not in log_files():
        raise SettingsError(f"there is no log {name}")
    path: Path = store().settings.logs_dir / name
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        text = file.read(LOG_BYTES).decode("utf-8", "replace")
    return "\n".join(PASSWORD.sub(r"\1***\2", line) for line in text.splitlines()[-LOG_LINES:])


def list_users() -> list[User]:
    allowed("admin", by_itself=True)
    return users.list_users(store().database)


def audit_entries(wanted: AuditFilter, *, limit: int, offset: int) -> tuple[list[AuditEntry], int]:
    allowed("admin", by_itself=True)
    return audit_trail.list_entries(store().database, wanted, limit=limit, offset=offset)


def audit_csv(wanted: AuditFilter) -> Callable[[], bytes]:
    """Makes the file when it is asked for, which is after the page has run and knows nobody any more."""
    allowed("admin", by_itself=True)
    database = store().database

    def write() -> bytes:
        return csv_of(table_of(audit_trail.list_entries(database, wanted, limit=EXPORT_ROWS)[0]))

    return write


def table_of(entries: list[AuditEntry]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            _("When"): [entry.at.isoformat(timespec="seconds") for entry in entries],
            _("Who"): [entry.by for entry in entries],
            _("What"): [entry.action for entry in entries],
            _("Of what"): [entry.subject for entry in entries],
            _("How"): [json.dumps(entry.detail, ensure_ascii=False) if entry.detail else "" for entry in entries],
        }
    )


def audit_names() -> list[str]:
    allowed("admin", by_itself=True)
    return audit_trail.names(store().database)


def audit_kinds() -> list[str]:
    allowed("admin", by_itself=True)
    return audit_trail.kinds(store().database)


# --- acts ----------------------------------------------------------------------------------------------------------


def add_user(name: str, role: str) -> str:
    """Returns the link by which they choose their password."""
    user = users.add_user(store().database, name=name, role=role, password=None, by=allowed("admin"))
    return password_link(user.name)


def set_role(name: str, role: str) -> None:
    users.set_role(store().database, name=name, role=role, by=allowed("admin"))


def set_disabled(name: str, disabled: bool) -> None:
    users.set_disabled(store().database, name=name, disabled=disabled, by=allowed("admin"))


def password_link(name: str) -> str:
    """A link by which somebody chooses their password, once, within an hour."""
    secret = links.make_link(store().database, purpose="password", name=name, by=allowed("admin"))
    here = urlsplit(st.context.url or "")
    return f"{here.scheme or 'http'}://{here.netloc or 'localhost'}/welcome#{secret}"


def _size_of(path: str | None) -> str:
    try:
        return f", {figure(Path(path or '').stat().st_size / 1e6, ',.0f')} MB"
    except OSError:
        return ""
