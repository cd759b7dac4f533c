"""Accounts in the database. A name is one however its letters are written; one admin always remains."""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Row, delete, func, select
from sqlalchemy.orm import Session

from inspection.errors import SettingsError
from storage import audit
from storage.accounts.passwords import check_password, hash_password
from storage.accounts.roles import Role, parse_role
from storage.database import Database
from storage.tables import SessionRow, UserRow

MAX_NAME = 64
Units: TypeAlias = Literal["metric", "imperial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: int
    name: str
    role: Role
    origin: str  # local, company or demo
    disabled: bool
    has_password: bool
    created_at: datetime
    signed_in_at: datetime | None
    language: str = ""  # "": as the browser asks
    units: Units = "metric"


def list_users(database: Database) -> list[User]:
    """By name."""
    with database.reading() as session:
        return [user_of(row) for row in session.scalars(select(UserRow).order_by(UserRow.key))]


def count_users(database: Database) -> int:
    """Accounts that can be signed in to."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(UserRow).where(~UserRow.disabled)) or 0


def add_user(database: Database, *, name: str, role: str, password: str | None, by: str, origin: str = "local") -> User:
    """password: None for an account that is signed in to in another way. Raises `SettingsError`."""
    shown, key = parse_name(name)
    wanted = parse_role(role)
    hashed = _hash_checked(password, name=shown)
    with database.session() as session:
        database.lock(session, "users")
        if session.scalar(select(UserRow.id).where(UserRow.key == key)) is not None:
            raise SettingsError(f"there is already a user {shown}: choose another name")
        row = UserRow(
            name=shown,
            key=key,
            role=wanted,
            password=hashed,
            origin=origin,
            disabled=False,
            created_at=datetime.now(UTC),
        )
        session.add(row)
        session.flush()
        audit.record(session, by=by, action="user.add", subject=shown, detail={"role": wanted, "origin": origin})
        return user_of(row)


def set_role(database: Database, *, name: str, role: str, by: str) -> None:
    """Raises `SettingsError`, also when it would leave no admin. It holds at once, in running sessions too."""
    wanted = parse_role(role)
    with database.session() as session:
        database.lock(session, "users")
        row = _row(session, name)
        before = row.role
        if before == wanted:
            return
        row.role = wanted
        keep_an_admin(session)
        audit.record(session, by=by, action="user.role", subject=row.name, detail={"role": [before, wanted]})


def set_password(database: Database, *, name: str, password: str, by: str) -> None:
    """Ends the user's sessions. Raises `SettingsError`."""
    shown, _ = parse_name(name)
    hashed = _hash_checked(password, name=shown)
    with database.session() as session:
        row = _row(session, name)
        if row.origin == "company":
            raise SettingsError(f"{row.name} signs in with the company's account, which has no password here")
        row.password = hashed
        session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
        audit.record(session, by=by, action="user.password", subject=row.name, detail={})


def set_preferences(database: Database, *, by: str, language: str, units: Units) -> None:
    """How `by` wants to see the screens; language: "" for the browser's. Raises `SettingsError`."""
    with database.session() as session:
        row = _row(session, by)
        row.language, row.units = language, units
        audit.record(
            session,
            by=row.name,
            action="user.preferences",
            subject=row.name,
            detail={"language": language, "units": units},
        )


def set_disabled(database: Database, *, name: str, disabled: bool, by: str) -> None:
    """Disabled, an account keeps its name and its past but cannot be used; its sessions end. Raises `SettingsError`,
    also when it would leave no admin."""
    with database.session() as session:
        database.lock(session, "users")
        row = _row(session, name)
        if row.disabled == disabled:
            return
        row.disabled = disabled
        keep_an_admin(session)
        if disabled:
            session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
        audit.record(session, by=by, action="user.disable" if disabled else "user.enable", subject=row.name, detail={})


def parse_name(name: str) -> tuple[str, str]:
    """A name as it is shown, and as it is compared. Raises `SettingsError`."""
    shown = " ".join(unicodedata.normalize("NFKC", name).split())
    if not 1 <= len(shown) <= MAX_NAME or not shown.isprintable():
        raise SettingsError(f"name: must have 1 to {MAX_NAME} printable characters, got {name[:80]!r}")
    return shown, shown.casefold()


def row_of(session: Session, name: str) -> UserRow | None:
    """The account of that name."""
    try:
        _, key = parse_name(name)
    except SettingsError:
        return None
    return session.scalar(select(UserRow).where(UserRow.key == key))


def user_of(row: UserRow | Row[*tuple[Any, ...]]) -> User:
    return User(
        id=row.id,
        name=row.name,
        role=parse_role(row.role),
        origin=row.origin,
        disabled=row.disabled,
        has_password=bool(row.password),
        created_at=row.created_at,
        signed_in_at=row.signed_in_at,
        language=row.language,
        units="imperial" if row.units == "imperial" else "metric",
    )


def _row(session: Session, name: str) -> UserRow:
    row = row_of(session, name)
    if row is None:
        raise SettingsError(f"there is no user {name}: see loomwatch users list")
    return row


def keep_an_admin(session: Session) -> None:
    """Raises `SettingsError` when none would be left."""
    session.flush()
    if session.scalar(select(UserRow.id).where(UserRow.role == "admin", ~UserRow.disabled).limit(1)) is None:
        raise SettingsError("this is the last admin: make somebody else one first")


def _hash_checked(password: str | None, *, name: str) -> str:
    if password is None:
        return ""
    check_password(password, name=name)
    return hash_password(password)
