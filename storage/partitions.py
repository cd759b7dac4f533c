"""PostgreSQL's partitions: frames and fragments, the tables that grow most, lie by month of capture.

A roll, a shift or a minute is then looked for in one small table, and a month that was pruned gives its space back.
Defects are not partitioned: their numbers are what reviews, samples and other defects refer to, and the time of the
first capture changes when an earlier fragment comes. A month's partitions are made when its first record is about to be
stored, aside, and then attached, so that those who read meanwhile do not wait. They are never dropped: a worker may
still hold a late frame of the month, and an empty one costs nothing.

A unique constraint of a partitioned table must hold the time of capture: that (camera, session, sequence) is stored
once is kept by `storage.frames`, which holds a lock of that name while it looks and inserts, as it must anyway for
frames and gaps to share their keys. A defect's frame is no foreign key for the same reason; fragments' frames are one,
with the time of capture.
"""

import hashlib
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

PARTITIONED = ("frames", "fragments")
LOCK_MS = 300  # well under the second after which PostgreSQL looks for a deadlock and ends one of the two
AGAIN_S = 0.1
GIVE_UP_S = 30.0
LOCK_NOT_AVAILABLE = "55P03"
_LOCK = int.from_bytes(hashlib.blake2b(b"partitions", digest_size=8).digest(), signed=True)


def month_of(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y_%m}"


def make_partitions(engine: Engine, months: Iterable[str]) -> None:
    """Makes what is missing, in a short transaction of its own. Several may do so at once.

    To attach a partition takes locks of all tables that it refers to, one after another. A transaction that writes may
    hold one of them and want another, so none is waited for long while others are held: all are let go and tried again.
    """
    months = list(months)
    give_up = time.monotonic() + GIVE_UP_S
    while True:
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_MS}ms'")
                add_partitions(connection, months)
                return
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != LOCK_NOT_AVAILABLE or time.monotonic() > give_up:
                raise
        time.sleep(AGAIN_S)


def add_partitions(connection: Connection, months: Iterable[str]) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    for month in sorted(months):
        first = date(int(month[:4]), int(month[5:]), 1)
        last = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        for table in PARTITIONED:
            name = f"{table}_{month}"
            if connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar() is None:
                connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING IDENTITY)")
                connection.exec_driver_sql(
                    f"ALTER TABLE {table} ATTACH PARTITION {name} "
                    f"FOR VALUES FROM ('{first} 00:00:00+00') TO ('{last} 00:00:00+00')"
                )
