"""Signing in with name and password, and choosing another password."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete

from inspection.errors import SettingsError
from storage import audit
from storage.accounts import slowing
from storage.accounts.passwords import check_password, hash_password, is_outdated, is_password
from storage.accounts.sessions import Limits, forget_ended, hash_secret, start_session
from storage.accounts.users import parse_name, row_of
from storage.database import Database
from storage.tables import SessionRow


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


def change_password(
    database: Database, *, by: str, old: str, new: str, address: str, keep: str, at: datetime | None = None
) -> None:
    """`by` chooses another password. Who does not know the present one is slowed as when signing in.

    keep: the secret of the session that goes on; all others of theirs end. Raises `SettingsError`.
    """
    at = at or datetime.now(UTC)
    shown, key = parse_name(by)
    check_password(new, name=shown)
    with database.session() as session:
        row = row_of(session, by)
        hashed = row.password if row is not None else ""
        if not hashed:
            raise SettingsError(f"{shown} has no password here: ask an admin")
        wait = slowing.count_try(database, session, name=key, address=address, at=at)
    if wait:
        raise SettingsError(f"too many wrong passwords: wait {math.ceil(wait.total_seconds())} s, then try again")
    if not is_password(old, hashed):
        raise SettingsError("the present password is another one")
    renewed = hash_password(new)
    with database.session() as session:
        row = row_of(session, by)
        if row is None or row.disabled or row.password != hashed:
            raise SettingsError("the present password is another one")
        row.password = renewed
        slowing.count_right(session, name=key, address=address, at=at)
        others = SessionRow.hash != hash_secret(keep)
        session.execute(delete(SessionRow).where(SessionRow.user_id == row.id, others))
        audit.record(session, by=row.name, action="user.password", subject=row.name, detail={})
