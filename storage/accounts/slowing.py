"""What slows guessing down: after five wrong passwords each further try waits twice as long, up to a limit.

Counted for the account, for the address, and for the account at the address, in the database, so that all server
processes agree. Where somebody has signed in from an address before, only the tries for this account from that address
count there: an attacker elsewhere keeps nobody out. And no wait is longer than `LONGEST`, nor does a try made while
waiting prolong it.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from storage.database import Database
from storage.tables import SignInTallyRow

FREE_TRIES = 5
FIRST_WAIT = timedelta(seconds=2)
LONGEST = {"account": timedelta(minutes=1), "address": timedelta(minutes=15), "pair": timedelta(minutes=5)}
FORGIVEN_EVERY = timedelta(minutes=10)  # one wrong try
KNOWN_FOR = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class _Keys:
    account: str
    address: str
    pair: str
    known: str

    @classmethod
    def of(cls, name: str, address: str) -> "_Keys":
        """Hashes: what is typed as a name may be a password typed into the wrong field."""
        return cls(*(_hashed(*parts) for parts in (
            ("account", name), ("address", address), ("pair", name, address), ("known", name, address)
        )))  # fmt: skip


def count_try(database: Database, session: Session, *, name: str, address: str, at: datetime) -> timedelta:
    """Counts a try as wrong before its password is looked at, so that tries at the same time do not slip through.

    Zero when it may go on; else how long to wait, and nothing is counted.
    """
    database.lock(session, "sign-in")
    keys = _Keys.of(name, address)
    known = session.get(SignInTallyRow, keys.known)
    if known is not None and at - known.last_at < KNOWN_FOR:
        wait = _wait(session, keys.pair, "pair", at)
    else:
        wait = max(_wait(session, keys.account, "account", at), _wait(session, keys.address, "address", at))
    if wait > timedelta(0):
        return wait
    for key in (keys.account, keys.address, keys.pair):
        _count(session, key, at)
    return timedelta(0)


def count_right(session: Session, *, name: str, address: str, at: datetime) -> None:
    """The password was right: what was counted for the account at this address is forgotten, the address is known.

    The account's own count stays where others guess it from elsewhere, and so does the address's: who has an account
    must not use it to go on guessing others'. This try is taken off both.
    """
    keys = _Keys.of(name, address)
    session.execute(delete(SignInTallyRow).where(SignInTallyRow.key == keys.pair))
    for key in (keys.account, keys.address):
        row = session.get(SignInTallyRow, key)
        if row is not None:
            row.failures = max(0, row.failures - 1)
    known = session.get(SignInTallyRow, keys.known)
    if known is None:
        session.add(SignInTallyRow(key=keys.known, failures=0, last_at=at))
    else:
        known.last_at = at
    session.execute(delete(SignInTallyRow).where(SignInTallyRow.last_at < at - KNOWN_FOR))


def _wait(session: Session, key: str, kind: str, at: datetime) -> timedelta:
    row = session.get(SignInTallyRow, key)
    over = -1 if row is None else _failures(row, at) - FREE_TRIES
    if row is None or over < 0:
        return timedelta(0)
    wait = min(FIRST_WAIT * (1 << min(over, 20)), LONGEST[kind])
    return max(timedelta(0), row.last_at + wait - at)


def _count(session: Session, key: str, at: datetime) -> None:
    row = session.get(SignInTallyRow, key)
    if row is None:
        session.add(SignInTallyRow(key=key, failures=1, last_at=at))
    else:
        row.failures = _failures(row, at) + 1
        row.last_at = at


def _failures(row: SignInTallyRow, at: datetime) -> int:
    """Those not yet forgiven: people mistype, and a whole mill may share an address."""
    return max(0, row.failures - int((at - row.last_at) / FORGIVEN_EVERY))


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
