"""Signing in with name and password, and by a one-time link."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from inspection.errors import SettingsError
from storage.accounts import slowing
from storage.accounts.passwords import hash_password, is_outdated, is_password
from storage.accounts.sessions import Limits, forget_ended, start_session
from storage.accounts.users import parse_name, row_of
from storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of a try: the session's secret, or how long to wait, or neither: name or password is wrong."""

    secret: str = ""
    wait: timedelta = timedelta(0)


def sign_in(
    database: Database, *, name: str, password: str, address: str, limits: Limits, at: datetime | None = None
) -> Tried:
    """A wrong name, a wrong password, a disabled account and one without a password look alike and take as long."""
    at = at or datetime.now(UTC)
    try:
        _, key = parse_name(name)
    except SettingsError:
        key = ""
    with database.session() as session:
        wait = slowing.count_try(database, session, name=key, address=address, at=at)
        row = row_of(session, name)
        hashed = row.password if row is not None and not row.disabled else ""
    if wait:
        return Tried(wait=wait)
    if not is_password(password, hashed):
        return Tried()
    renewed = hash_password(password) if is_outdated(hashed) else hashed
    with database.session() as session:
        row = row_of(session, name)
        if row is None or row.disabled or row.password != hashed:  # changed meanwhile
            return Tried()
        row.password = renewed
        slowing.count_right(session, name=key, address=address, at=at)
        forget_ended(session, limits, at=at)
        return Tried(secret=start_session(session, row, how="password"))
