"""Who acts, of several processes of which only one may. A holder that is gone is followed when its lease has run out.

What the holder does, it does in the transaction that took the lease: one that was only slow changes nothing any more.
"""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from storage.database import Database
from storage.tables import LeaseRow


def take_lease(database: Database, session: Session, name: str, *, holder: str, at: datetime, lease_s: float) -> bool:
    """Held until the transaction ends, and leased for `lease_s` from `at`; False when another holds it."""
    database.lock(session, f"lease.{name}")
    row = session.get(LeaseRow, name, with_for_update=True)
    if row is None:
        row = LeaseRow(name=name, holder=holder, until=at)
        session.add(row)
    elif row.holder != holder and row.until > at:
        return False
    row.holder, row.until = holder, at + timedelta(seconds=lease_s)
    return True


def give_lease_back(database: Database, name: str, *, holder: str, at: datetime) -> None:
    """So that another may act at once."""
    with database.session() as session:
        row = session.get(LeaseRow, name, with_for_update=True)
        if row is not None and row.holder == holder:
            row.until = at


def holder_of(database: Database, name: str, *, at: datetime) -> str:
    """Who acts, "" when nobody does."""
    with database.reading() as session:
        row = session.get(LeaseRow, name)
        return row.holder if row is not None and row.until > at else ""
