"""Who acts: of several alarm services one holds the lease, and how far it has read the record is stored with it.

A holder that is gone is followed by another when its lease has run out. Every change of an alarm is made in a
transaction that holds the lease, so a holder that was only slow changes nothing any more.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.database import Database
from storage.tables import AlarmServiceRow, FrameRow, GapRow

_ROW = 1


def take_lease(
    database: Database, session: Session, *, holder: str, at: datetime, lease_s: float
) -> AlarmServiceRow | None:
    """The row, held until the transaction ends and leased until `lease_s` from now; None when another holds it.

    The first service ever begins with what is stored from now on.
    """
    database.lock(session, "alarm_service")
    row = session.get(AlarmServiceRow, _ROW, with_for_update=True)
    if row is None:
        row = AlarmServiceRow(
            id=_ROW,
            frame_id=session.scalar(select(func.max(FrameRow.id))) or 0,
            gap_id=session.scalar(select(func.max(GapRow.id))) or 0,
        )
        session.add(row)
    elif row.holder != holder and row.until > at:
        return None
    row.holder, row.until = holder, at + timedelta(seconds=lease_s)
    session.flush()
    return row


def give_lease_back(database: Database, *, holder: str, at: datetime) -> None:
    """So that another may act at once."""
    with database.session() as session:
        row = session.get(AlarmServiceRow, _ROW, with_for_update=True)
        if row is not None and row.holder == holder:
            row.until = at


def holds_lease(database: Database, *, holder: str, at: datetime) -> bool:
    with database.reading() as session:
        row = session.get(AlarmServiceRow, _ROW)
        return row is not None and row.holder == holder and row.until > at
