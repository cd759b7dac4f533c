"""What the drivers are sent past SQLAlchemy: the same rows, the same errors, and numbers that name one thing only."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.exc import DataError, IntegrityError

from inspection.errors import RecordRefused
from storage.bulk import Question, take_numbers, write_rows
from storage.defects.merging import place_fragments
from storage.frames import store_report
from storage.reviews import merge_defects
from storage.tables import AuditRow, DefectRow, FrameRow, LineRow, MergedDefectRow
from tests.records import LINE, at, make_defect, make_report

pytestmark = pytest.mark.integration

AUDIT = {"at": datetime(2026, 3, 14, 8, 30, tzinfo=UTC), "by": "eva", "action": "a", "subject": "ü \t \\ '"}


def test_rows_come_back_as_they_were_written(database):
    rows = [{**AUDIT, "id": number, "detail": {"of": [number, None], "so": True, "why": "a\nb"}} for number in range(3)]
    with database.session() as session:
        write_rows(session.connection(), AuditRow, rows)
        write_rows(session.connection(), AuditRow, [])
    with database.reading() as session:
        found = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
        assert [{name: getattr(row, name) for name in rows[0]} for row in found] == rows


def test_a_question_is_answered_as_sqlalchemy_answers_it(database, pictures):
    for sequence in range(6):
        store_report(database, pictures, make_report(sequence, captured_at=at(sequence), defects=(make_defect(),)))
    frames = FrameRow.__table__
    statement = (
        select(frames.c.sequence, frames.c.position_mm, frames.c.scores)
        .where(frames.c.line == bindparam("line"), frames.c.captured_at >= bindparam("since"), frames.c.tiles > 3)
        .where((frames.c.sequence > bindparam("least")) | (frames.c.sequence == 0) & (bindparam("least") < 9))
        .order_by(frames.c.sequence)
    )
    asked = [{"line": LINE, "since": at(since), "least": least} for since, least in ((0, 2), (3, 0), (9, 0))]
    with database.reading() as session:
        connection = session.connection()
        wanted = [[tuple(row) for row in connection.execute(statement, each)] for each in asked]
        question = Question(statement)
        assert [[(a, b, bytes(c)) for a, b, c in rows] for rows in question.ask_all(connection, asked)] == wanted
        assert [row[0] for row in question.ask(connection, **asked[0])] == [0, 3, 4, 5]
        assert question.ask_all(connection, []) == []


def test_what_the_database_refuses_is_an_error_as_any_other(database):
    with pytest.raises(IntegrityError), database.session() as session:
        write_rows(session.connection(), LineRow, [{"name": "a", "created_at": None}])
    with database.reading() as session:
        assert session.scalars(select(LineRow)).all() == []


def test_a_value_that_postgresql_never_takes_is_refused_in_one_line(postgresql_url):
    from storage.database import open_database

    question = Question(select(LineRow.__table__.c.name).where(LineRow.__table__.c.name == bindparam("name")))
    with open_database(postgresql_url) as database:
        with pytest.raises(RecordRefused, match="NUL"), database.session() as session:
            question.ask(session.connection(), name="a\0b")
        with pytest.raises((RecordRefused, DataError), match="NUL"), database.session() as session:
            write_rows(session.connection(), LineRow, [{"name": "a\0b", "created_at": at(0)}])


def test_a_number_that_a_defect_was_known_by_never_names_another(database, pictures):
    """Of several that become one, the others' numbers lead to it for good."""
    for sequence in range(3):
        store_report(
            database, pictures, make_report(sequence * 9, captured_at=at(sequence * 9), defects=(make_defect(),))
        )
    with database.reading() as session:
        first, second, third = session.scalars(select(DefectRow.id).order_by(DefectRow.id))
    assert merge_defects(database, {first: None, second: None, third: None}, by="eva").defect_id == first
    store_report(database, pictures, make_report(40, captured_at=at(40), defects=(make_defect(), make_defect(300))))
    with database.reading() as session:
        now = set(session.scalars(select(DefectRow.id)))
        absorbed = set(session.scalars(select(MergedDefectRow.id)))
    assert absorbed == {second, third}
    assert first in now
    assert len(now) == 3
    assert not now & absorbed
    assert min(now - {first}) > third


def test_numbers_are_taken_in_order_and_go_on(database, pictures):
    with database.session() as session:
        assert take_numbers(session.connection(), DefectRow, 3) == [1, 2, 3]
        assert take_numbers(session.connection(), FrameRow, 0) == []
        assert place_fragments(session, line=LINE, roll_id=1, width_mm=100.0, fragments=[]) == []
