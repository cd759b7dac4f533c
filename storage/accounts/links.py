"""One-time links: the way in before there is a password. Each works once and for an hour; only its hash is kept.

The secret stands behind the # of the address, the part that browsers keep to themselves: no server, proxy or log sees
it, and the page takes it out of the address before it does anything else.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from inspection.errors import SettingsError
from storage import audit
from storage.accounts.passwords import check_password, hash_password
from storage.accounts.sessions import hash_secret, start_session
from storage.accounts.users import parse_name, row_of
from storage.database import Database
from storage.tables import OneTimeLinkRow, SessionRow, UserRow

Purpose: TypeAlias = Literal["first-admin", "password", "demo"]

VALID_FOR = timedelta(hours=1)
DEMO_USER = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """purpose: make the first admin; choose the password of user `name`; walk into a demo."""

    purpose: Purpose
    name: str


def make_link(database: Database, *, purpose: Purpose, name: str = "", by: str, at: datetime | None = None) -> str:
    """The secret of a new link. Raises `SettingsError` when there is no such user."""
    at = at or datetime.now(UTC)
    secret = secrets.token_urlsafe(32)
    with database.session() as session:
        if purpose == "password":
            row = row_of(session, name)
            if row is None or row.disabled or row.origin == "company":
                raise SettingsError(f"there is no user {name} who could have a password: see loomwatch users list")
            name = row.name
        session.execute(delete(OneTimeLinkRow).where(OneTimeLinkRow.expires_at < at))
        session.add(OneTimeLinkRow(hash=hash_secret(secret), purpose=purpose, name=name, expires_at=at + VALID_FOR))
        audit.record(session, by=by, action="user.link", subject=name or "first admin", detail={"purpose": purpose})
    return secret


def look_at_link(database: Database, secret: str, *, at: datetime | None = None) -> Link | None:
    """What it is for, without using it up; None when it is none, used or expired."""
    with database.reading() as session:
        row = _valid(session, secret, at or datetime.now(UTC))
        return None if row is None else _link_of(row)


def use_link(database: Database, secret: str, *, name: str = "", password: str = "", at: datetime | None = None) -> str:
    """Uses it up and starts a session: its secret. name: of a first admin. password: but for a demo.

    Raises `SettingsError`, and the link can be tried again, for a name or password that is not taken; also when the
    link is none, used or expired, and when there is an admin already.
    """
    at = at or datetime.now(UTC)
    link = look_at_link(database, secret, at=at)
    if link is None:
        raise _gone()
    hashed = ""
    if link.purpose != "demo":
        shown, _ = parse_name(link.name or name)
        check_password(password, name=shown)
        hashed = hash_password(password)
    with database.session() as session:
        database.lock(session, "users")
        row = _valid(session, secret, at)
        if row is None:
            raise _gone()
        session.delete(row)
        return start_session(session, _account(session, link, name=name, hashed=hashed, at=at), how="link")


def _account(session: Session, link: Link, *, name: str, hashed: str, at: datetime) -> UserRow:
    """The link's account, made or with its new password."""
    if link.purpose == "password":
        row = row_of(session, link.name)
        if row is None or row.disabled:
            raise _gone()
        row.password = hashed
        session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
        audit.record(session, by=row.name, action="user.password", subject=row.name, detail={})
        return row
    admin = select(UserRow.id).where(UserRow.role == "admin", ~UserRow.disabled).limit(1)
    if link.purpose == "first-admin" and session.scalar(admin) is not None:
        raise SettingsError("there is an admin already: ask them for an account")
    shown, key = parse_name(name if link.purpose == "first-admin" else DEMO_USER)
    row = session.scalar(select(UserRow).where(UserRow.key == key))
    if row is not None and link.purpose == "first-admin":
        raise SettingsError(f"there is already a user {shown}: choose another name")
    if row is None:
        row = UserRow(
            name=shown,
            key=key,
            role="admin",
            password=hashed,
            origin="local" if hashed else "demo",
            disabled=False,
            created_at=at,
        )
        session.add(row)
        session.flush()
        audit.record(session, by=shown, action="user.add", subject=shown, detail={"role": "admin", "by": "link"})
    return row


def _valid(session: Session, secret: str, at: datetime) -> OneTimeLinkRow | None:
    row = session.get(OneTimeLinkRow, hash_secret(secret))
    return row if row is not None and row.expires_at > at else None


def _link_of(row: OneTimeLinkRow) -> Link:
    purpose: Purpose = next(each for each in ("first-admin", "password", "demo") if each == row.purpose)
    return Link(purpose=purpose, name=row.name)


def _gone() -> SettingsError:
    return SettingsError("this link was used already or is too old: ask for another, or see loomwatch users link")
