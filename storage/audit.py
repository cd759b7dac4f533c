"""The audit trail: every change by a person, in the same transaction as the change itself."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.tables import AuditRow


def record(session: Session, *, by: str, action: str, subject: str, detail: dict[str, Any]) -> None:
    """`action` is noun.verb (`roll.open`, `model.promote`), `subject` names the thing, `detail` is JSON."""
    session.add(AuditRow(at=datetime.now(UTC), by=by, action=action, subject=subject, detail=detail))


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, list[object]]:
    """Field: [before, after]."""
    fields = sorted(before.keys() | after.keys())
    return {name: [before.get(name), after.get(name)] for name in fields if before.get(name) != after.get(name)}
