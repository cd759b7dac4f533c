"""Grading profiles in the database: versions that never change, and which style is graded by which.

A roll is graded by its own profile where one was entered, else by its style's, else by the plant's, in the version that
was the newest when the roll was closed. So a profile that is edited never changes what was graded before.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from inspection.errors import SettingsError
from inspection.types import Roll
from storage import audit
from storage.database import Database
from storage.grading.profile import AnyProfile, dump_profile, parse_profile
from storage.roll_changes import note_cloth
from storage.tables import GradingChoiceRow, GradingProfileRow, LineRow

DEFAULT = "four-point"  # until the plant has chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProfile:
    """One version of a profile."""

    profile: AnyProfile
    version: int
    by: str
    created_at: datetime

    def __str__(self) -> str:
        return f"{self.profile.name} version {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChoice:
    """From `created_at` on rolls of `style` ("": of all others) are graded by `profile`."""

    style: str
    profile: str
    by: str
    created_at: datetime


def list_profiles(database: Database) -> list[StoredProfile]:
    """The newest version of each, by name."""
    newest = select(func.max(GradingProfileRow.id)).group_by(GradingProfileRow.name)
    with database.reading() as session:
        rows = session.scalars(
            select(GradingProfileRow).where(GradingProfileRow.id.in_(newest)).order_by(GradingProfileRow.name)
        )
        return [_stored(row) for row in rows]


def add_profile(database: Database, profile: AnyProfile, *, by: str) -> StoredProfile:
    """Stores a profile as the next version of its name; one equal to the newest version is that version."""
    content = dump_profile(profile)
    with database.session() as session:
        database.lock(session, "grading_profiles")
        newest = _newest(session, profile.name)
        if newest is not None and newest.content == content:
            return _stored(newest)
        row = GradingProfileRow(
            name=profile.name,
            version=newest.version + 1 if newest else 1,
            content=content,
            by=by,
            created_at=datetime.now(UTC),
        )
        session.add(row)
        session.flush()
        _note_rolls(session, row.created_at)
        detail: dict[str, Any] = {"version": row.version, "description": profile.description}
        if newest is not None:
            detail = {"version": row.version, "changed": audit.changes(newest.content, content)}
        audit.record(session, by=by, action="profile.add", subject=profile.name, detail=detail)
        return _stored(row)


def find_profile(session: Session, name: str, *, version: int = 0) -> StoredProfile:
    """A version of a profile; 0 is the newest. Raises `SettingsError` when there is none."""
    row = _newest(session, name, GradingProfileRow.version == version if version else None)
    if row is None:
        known = ", ".join(sorted(set(session.scalars(select(GradingProfileRow.name)))))
        wanted = f"version {version} of profile {name}" if version else f"profile {name}"
        raise SettingsError(f"there is no {wanted}: see loomwatch profiles list (there are {known})")
    return _stored(row)


def read_profile(database: Database, reference: str) -> StoredProfile:
    """`NAME` or `NAME@VERSION`. Raises `SettingsError`."""
    name, version = parse_reference(reference)
    with database.reading() as session:
        return find_profile(session, name, version=version)


def parse_reference(reference: str) -> tuple[str, int]:
    """Name and version, 0 where none was named. Raises `SettingsError`."""
    name, marked, version = reference.partition("@")
    if marked and not (version.isdecimal() and int(version) > 0):
        raise SettingsError(f"a profile is named NAME or NAME@VERSION, got {reference!r}")
    return name, int(version) if marked else 0


def choose_profile(database: Database, *, style: str, profile: str, by: str) -> None:
    """From now on rolls of `style` ("": of every style without a choice of its own) are graded by `profile`."""
    with database.session() as session:
        find_profile(session, profile)
        now = datetime.now(UTC)
        session.add(GradingChoiceRow(style=style, profile=profile, by=by, created_at=now))
        _note_rolls(session, now)
        audit.record(session, by=by, action="profile.choose", subject=profile, detail={"style": style})


def list_choices(database: Database) -> list[ProfileChoice]:
    """What is chosen now, a style."""
    newest = select(func.max(GradingChoiceRow.id)).group_by(GradingChoiceRow.style)
    with database.reading() as session:
        rows = session.scalars(
            select(GradingChoiceRow).where(GradingChoiceRow.id.in_(newest)).order_by(GradingChoiceRow.style)
        )
        return [
            ProfileChoice(style=row.style, profile=row.profile, by=row.by, created_at=row.created_at) for row in rows
        ]


def profile_of(session: Session, roll: Roll, *, own: str = "", own_version: int = 0) -> StoredProfile:
    """The profile that grades a roll; `own` is the one entered for it. Raises `SettingsError`."""
    at = min(roll.closed_at or datetime.now(UTC), datetime.now(UTC))
    name = own or _chosen(session, roll.style, at) or _chosen(session, "", at) or DEFAULT
    if own and own_version:
        return find_profile(session, name, version=own_version)
    row = _newest(session, name, GradingProfileRow.created_at <= at)
    if row is None:  # a roll from before the profile: its first version
        row = session.scalar(
            select(GradingProfileRow).where(GradingProfileRow.name == name).order_by(GradingProfileRow.version).limit(1)
        )
    return _stored(row) if row is not None else find_profile(session, name)


def _note_rolls(session: Session, since: datetime) -> None:
    """What was closed before keeps its profile."""
    for line in session.scalars(select(LineRow.name)):
        note_cloth(session, line=line, since=since)


def _chosen(session: Session, style: str, at: datetime) -> str | None:
    return session.scalar(
        select(GradingChoiceRow.profile)
        .where(GradingChoiceRow.style == style, GradingChoiceRow.created_at <= at)
        .order_by(GradingChoiceRow.id.desc())
        .limit(1)
    )


def _newest(session: Session, name: str, *conditions: ColumnElement[bool] | None) -> GradingProfileRow | None:
    return session.scalar(
        select(GradingProfileRow)
        .where(GradingProfileRow.name == name, *(each for each in conditions if each is not None))
        .order_by(GradingProfileRow.version.desc())
        .limit(1)
    )


def _stored(row: GradingProfileRow) -> StoredProfile:
    profile = parse_profile(json.dumps(row.content), source=f"{row.name} version {row.version} of the database")
    return StoredProfile(profile=profile, version=row.version, by=row.by, created_at=row.created_at)
