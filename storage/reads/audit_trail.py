"""The audit trail as it is read: the latest first, by person, act and words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from storage.database import Database
from storage.tables import AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Empty fields filter nothing. kind: what stands before the dot of an act: roll, defect, model, user, ..."""

    by: str = ""
    kind: str = ""
    subject: str = ""  # part of it, however it is written


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    at: datetime
    by: str
    action: str
    subject: str
    detail: dict[str, Any]


def list_entries(
    database: Database, wanted: AuditFilter, *, limit: int, offset: int = 0
) -> tuple[list[AuditEntry], int]:
    """A page of entries, the latest first, and how many there are."""
    with database.reading() as session:
        total = session.scalar(_filtered(select(func.count()).select_from(AuditRow), wanted)) or 0
        rows = session.scalars(
            _filtered(select(AuditRow), wanted).order_by(AuditRow.id.desc()).limit(limit).offset(offset)
        )
        entries = [
            AuditEntry(at=row.at, by=row.by, action=row.action, subject=row.subject, detail=row.detail) for row in rows
        ]
    return entries, total


def names(database: Database) -> list[str]:
    """Everybody who ever did anything."""
    with database.reading() as session:
        return sorted(session.scalars(select(AuditRow.by).distinct()), key=str.casefold)


def kinds(database: Database) -> list[str]:
    with database.reading() as session:
        actions = session.scalars(select(AuditRow.action).distinct())
        return sorted({action.partition(".")[0] for action in actions})


def _filtered(statement: Select[Any], wanted: AuditFilter) -> Select[Any]:
    if wanted.by:
        statement = statement.where(AuditRow.by == wanted.by)
    if wanted.kind:
        statement = statement.where(AuditRow.action.startswith(f"{wanted.kind}.", autoescape=True))
    if wanted.subject:
        statement = statement.where(AuditRow.subject.icontains(wanted.subject, autoescape=True))
    return statement
