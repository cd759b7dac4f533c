"""The audit trail: every change by a person, in the same transaction as the change itself."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage.tables import AuditRow

_NOTHING: Mapping[str, Any] = {}

_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # of the control characters all but tabs and ends of lines


def record(
    session: Session, *, by: str, action: str, subject: str, detail: dict[str, Any], told: Mapping[str, Any] = _NOTHING
) -> None:
    """`action` is noun.verb (`roll.open`, `model.promote`), `subject` names the thing, `detail` is JSON; `told` stands
    in it, too, and is the program's own words. What people write comes by here, whatever way they wrote it.

    Raises `StorageError` for text with control characters: PostgreSQL keeps no NUL, and no page or paper shows others.
    """
    for text in _texts([by, subject, detail]):
        if _UNSEEN.search(text):
            raise StorageError(f"text must have no control characters, got {text[:40]!r}: write it without them")
    session.add(AuditRow(at=datetime.now(UTC), by=by, action=action, subject=subject, detail=dict(told) | detail))


def _texts(value: object) -> Iterator[str]:
    """All that is written in JSON, names of fields among it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, list[object]]:
    """Field: [before, after]."""
    fields = sorted(before.keys() | after.keys())
    return {name: [before.get(name), after.get(name)] for name in fields if before.get(name) != after.get(name)}
