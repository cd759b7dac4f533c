"""Rolls put aside: suspended with a reason, cleared with a remark. The grade of a suspended roll is provisional."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from inspection.types import Roll
from storage import audit
from storage.database import Database
from storage.roll_changes import note_roll
from storage.tables import RollRow, SuspensionRow

LONGEST = 500  # characters of a reason or remark


def suspend_roll(database: Database, roll: Roll, *, reason: str, by: str) -> None:
    """Raises `StorageError`: suspended already, gone, or no reason."""
    reason = _words(reason, "a reason")
    with database.session() as session:
        _held(database, session, roll)
        if (open_ := suspension_of(session, roll.id)) is not None:
            raise StorageError(f"roll {roll.name} is suspended already, by {open_.by}: {open_.reason}")
        note_roll(session, roll.id)
        session.add(
            SuspensionRow(
                roll_id=roll.id,
                reason=reason,
                by=by,
                at=datetime.now(UTC),
                remark="",
                cleared_by="",
                cleared_at=None,
            )
        )
        audit.record(
            session, by=by, action="roll.suspend", subject=roll.name, detail={"line": roll.line, "reason": reason}
        )


def clear_roll(database: Database, roll: Roll, *, remark: str, by: str) -> None:
    """Raises `StorageError`: not suspended, gone, or no remark."""
    remark = _words(remark, "a remark")
    with database.session() as session:
        _held(database, session, roll)
        row = suspension_of(session, roll.id)
        if row is None:
            raise StorageError(f"roll {roll.name} is not suspended: somebody may have cleared it meanwhile")
        note_roll(session, roll.id)
        row.remark, row.cleared_by, row.cleared_at = remark, by, datetime.now(UTC)
        audit.record(
            session, by=by, action="roll.clear", subject=roll.name, detail={"line": roll.line, "remark": remark}
        )


def suspension_of(session: Session, roll_id: int) -> SuspensionRow | None:
    """The one that is not cleared."""
    return session.scalar(
        select(SuspensionRow).where(SuspensionRow.roll_id == roll_id, SuspensionRow.cleared_at.is_(None)).limit(1)
    )


def _held(database: Database, session: Session, roll: Roll) -> None:
    """Nobody else suspends, clears or closes it in this transaction."""
    database.lock(session, f"rolls:{roll.line}")
    if session.get(RollRow, roll.id) is None:
        raise StorageError(f"roll {roll.name} is not there any more: see loomwatch rolls list")


def _words(text: str, what: str) -> str:
    text = " ".join(text.split())
    if not text or len(text) > LONGEST:
        raise StorageError(f"{what} of 1 to {LONGEST} characters is needed, got {len(text)}")
    return text
