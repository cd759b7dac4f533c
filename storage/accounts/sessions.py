"""Sessions: a random secret in the browser, its SHA-256 here. They end when idle, when old, and when the account does.

A wall screen is looked at and never touched, and must not go dark in the night: the session of a viewer with an account
here lasts as long as a page is open, and ends when it has not been seen for as long as others last. The company's
viewers are asked for again, so that what their provider takes away holds.
"""

import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit
from storage.accounts.users import User, user_of
from storage.database import Database
from storage.tables import SessionRow, UserRow

TOUCH_EVERY = timedelta(minutes=1)  # a use is written down no more often than that
SEEN_EVERY = timedelta(hours=1)  # that a viewer's page is open, likewise

# Built once, over the tables: every part of a page that renews itself asks it
_SESSIONS, _USERS = SessionRow.__table__, UserRow.__table__
_FOUND = (
    select(*_USERS.c, _SESSIONS.c.created_at.label("began_at"), _SESSIONS.c.used_at)
    .join_from(_SESSIONS, _USERS, _USERS.c.id == _SESSIONS.c.user_id)
    .where(_SESSIONS.c.hash == bindparam("hash"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    idle: timedelta
    absolute: timedelta


def start_session(session: Session, row: UserRow, *, how: str) -> str:
    """The secret for the browser. how: password, link or company."""
    secret = secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    row.signed_in_at = now
    session.add(SessionRow(hash=hash_secret(secret), user_id=row.id, created_at=now, used_at=now))
    audit.record(session, by=row.name, action="user.sign_in", subject=row.name, detail={"how": how})
    return secret


def find_user(database: Database, secret: str, limits: Limits, *, at: datetime | None = None) -> User | None:
    """Whose session it is; None when it has ended, by now or otherwise."""
    at = at or datetime.now(UTC)
    with database.reading() as session:
        found = session.connection().execute(_FOUND, {"hash": hash_secret(secret)}).first()
    if found is None or found.disabled:
        return None
    user = user_of(found)
    if at - (found.used_at if lasts(user) else found.began_at) > limits.absolute:
        return None
    if user.role != "viewer" and at - found.used_at > limits.idle:
        return None
    if lasts(user) and at - found.used_at > SEEN_EVERY:
        with suppress(StorageError, SQLAlchemyError):  # a full disk does not end it
            touch_session(database, secret, at=at)
    return user


def lasts(user: User) -> bool:
    """Whether its sessions go on while a page is open: a wall screen's."""
    return user.role == "viewer" and user.has_password


def touch_session(database: Database, secret: str, *, at: datetime | None = None) -> None:
    """Somebody did something just now."""
    at = at or datetime.now(UTC)
    hashed = hash_secret(secret)
    with database.reading() as session:
        used = session.scalar(select(SessionRow.used_at).where(SessionRow.hash == hashed))
    if used is not None and at - used > TOUCH_EVERY:
        with database.session() as session:
            row = session.get(SessionRow, hashed)
            if row is not None:
                row.used_at = at


def end_session(database: Database, secret: str) -> None:
    with database.session() as session:
        row = session.get(SessionRow, hash_secret(secret))
        if row is None:
            return
        name = session.get_one(UserRow, row.user_id).name
        session.delete(row)
        audit.record(session, by=name, action="user.sign_out", subject=name, detail={})


def forget_ended(session: Session, limits: Limits, *, at: datetime) -> None:
    session.execute(delete(SessionRow).where(SessionRow.used_at < at - limits.absolute))


def hash_secret(secret: str) -> str:
    """32 random bytes need no slow hash: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()
