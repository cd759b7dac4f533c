"""What one transaction promises, on both databases."""

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from storage.database import open_database
from storage.tables import AuditRow, CameraRow, LineRow

pytestmark = pytest.mark.integration


def count(session):
    return session.scalar(select(func.count()).select_from(LineRow))


def line(name):
    return LineRow(name=name, created_at=datetime.now(UTC))


def break_off(database):
    with database.session() as session:
        session.add(line("a"))
        session.flush()
        raise RuntimeError("the power fails")


def test_an_exception_rolls_everything_back(database):
    with pytest.raises(RuntimeError, match="the power fails"):
        break_off(database)
    with database.reading() as session:
        assert count(session) == 0


def test_foreign_keys_are_enforced(database):
    with pytest.raises(IntegrityError), database.session() as session:
        session.add(CameraRow(name="c", line="nowhere", created_at=datetime.now(UTC)))


def test_a_reader_sees_one_moment_and_does_not_hold_the_writer_up(database):
    with database.reading() as session:
        assert count(session) == 0
        with database.session() as writer:
            writer.add(line("a"))
        assert count(session) == 0
    with database.reading() as session:
        assert count(session) == 1


def test_two_writers_that_first_read_do_not_deadlock(database, database_url):
    """On SQLite both would hold a read lock and refuse each other the write lock, had they not asked for it at once."""
    failures = []

    def write(name):
        try:
            with open_database(database_url) as own:
                for number in range(10):
                    with own.session() as session:
                        count(session)
                        session.add(line(f"{name}{number}"))
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.reading() as session:
        assert count(session) == 30


def test_a_time_without_a_zone_is_refused_and_others_come_back_in_utc(database):
    with pytest.raises(Exception, match="without a zone"), database.session() as session:
        session.add(LineRow(name="a", created_at=datetime(2026, 3, 14)))
    moment = datetime(2026, 3, 14, 8, 0, 0, 123456).astimezone()
    with database.session() as session:
        session.add(LineRow(name="a", created_at=moment))
    with database.reading() as session:
        found = session.scalars(select(LineRow.created_at)).one()
    assert found == moment
    assert found.utcoffset().total_seconds() == 0


def test_a_row_that_is_there_is_not_inserted_again(database):
    now = datetime.now(UTC)
    with database.session() as session:
        assert database.insert_new(session, LineRow, name="a", created_at=now) == "a"
        assert database.insert_new(session, LineRow, name="a", created_at=now) is None
        values = {"at": now, "by": "eva", "action": "a.b", "subject": "", "detail": {}}
        assert database.insert_new(session, AuditRow, **values) == 1
