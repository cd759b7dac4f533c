"""How the databases answer what the screens ask: through an index, never by reading all frames or defects.

Every statement that a read sends is caught and explained. SQLite explains without looking at what the tables hold; of
PostgreSQL, which reads a table of a few rows as a whole, it is asked whether an index would do.
"""

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from inspection.settings import ReportSettings
from storage.coverage import roll_coverage
from storage.frames import store_gap, store_reports
from storage.grading.stored import grade_roll
from storage.reads import cameras, defects, roll_map, roll_runs, roll_summary
from storage.reads.defects import DefectFilter
from storage.reports.period_report import read_period_report
from storage.reports.roll_report import read_roll_report
from storage.reports.shifts import Period
from storage.retention import prune
from storage.rolls import close_roll, correct_roll, list_rolls, open_roll, roll_at, roll_figures
from tests.records import CAMERA, LINE, START, at, make_defect, make_gap, make_report

pytestmark = pytest.mark.integration

GROWING = ("frames", "fragments", "defects", "gaps")


def sequential_scans(database, statements):
    """Plans of statements that would read a growing table row by row."""
    sqlite = database.url.get_backend_name() == "sqlite"
    found = []
    with database.engine.connect() as connection:
        if not sqlite:
            connection.exec_driver_sql("SET enable_seqscan = off")
        for statement, parameters in statements:
            prefix = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
            lines = [str(row[-1]) for row in connection.exec_driver_sql(prefix + statement, parameters)]
            if sqlite and "LIMIT" in statement and "USE TEMP B-TREE FOR ORDER BY" not in lines:
                lines = [line for line in lines if " USING " not in line]  # along an index, as far as the limit
            signs = ("SCAN ",) if sqlite else ("Seq Scan on ",)
            found += [
                f"{line.strip()} <- {statement}"
                for line in lines
                for sign in signs
                if sign in line
                for name in [line.partition(sign)[2].split()[0]]
                if any(name == table or name.startswith(f"{table}_2") for table in GROWING)
            ]
    return found


@contextmanager
def caught(database):
    statements = []

    def note(connection, cursor, statement, parameters, context, many):
        words = statement.split(None, 1)[0]
        if words in ("SELECT", "UPDATE", "DELETE", "WITH") and not many and "pg_advisory" not in statement:
            statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


@pytest.fixture
def line(database, pictures):
    """A closed roll, cloth of no roll, and a gap."""
    open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
    reports = [
        make_report(sequence, captured_at=at(sequence), defects=(make_defect(100 + 30 * sequence),))
        for sequence in range(6)
    ]
    store_reports(database, pictures, reports)
    store_gap(database, make_gap(6, captured_at=at(6)))
    close_roll(database, line=LINE, by="eva", at=at(4))
    return next(roll for roll in list_rolls(database) if roll.name == "R1")


def test_no_screen_reads_all_frames_or_defects(database, pictures, line):
    automatic = next(roll for roll in list_rolls(database) if roll.automatic)
    (worst, *_), _ = defects.list_defects(database, DefectFilter(), limit=3)
    day = START.replace(hour=0)
    period = Period(name="", day=day.date(), start=day, end=day + timedelta(days=1))
    filters = [
        DefectFilter(),
        DefectFilter(roll=line),
        DefectFilter(roll=automatic),
        DefectFilter(style="twill"),
        DefectFilter(camera=CAMERA),
        DefectFilter(state="unreviewed"),
        DefectFilter(min_strength=1.5),
        DefectFilter(camera=CAMERA, state="unreviewed"),
        DefectFilter(geometry="point"),
        DefectFilter(severity="major"),
        DefectFilter(code="hole"),
        DefectFilter(by="eva"),
    ]
    with caught(database) as statements:
        cameras.camera_figures(database)
        cameras.score_trend(database, line=LINE, camera=CAMERA)
        defects.latest_defects(database, limit=5)
        roll_runs.rolls_to_choose(database, at=datetime.now(UTC))
        roll_at(database, line=LINE, at=at(1))
        for wanted in filters:
            defects.list_defects(database, wanted, limit=5)
            defects.count_by_state(database, wanted)
            defects.rank_of(database, wanted, worst.id)
            defects.neighbours_of(database, wanted, worst.id)
        defects.read_defect(database, worst.id)
        for roll in (line, automatic):
            roll_summary.roll_summary(database, roll)
            roll_map.roll_map(database, roll)
            grade_roll(database, roll)
            roll_coverage(database, roll)
            roll_figures(database, roll)
        read_roll_report(database, pictures, line, ReportSettings())
        read_period_report(database, period, ReportSettings())
        read_period_report(database, period, ReportSettings(), line=LINE)
    assert len(statements) > 100
    assert sequential_scans(database, statements) == []


def test_no_write_reads_all_frames_or_defects(database, line, pictures):
    with caught(database) as statements:
        late = [make_report(sequence, captured_at=at(sequence), defects=(make_defect(),)) for sequence in (7, 8, 9)]
        store_reports(database, pictures, late)
        store_gap(database, make_gap(10, captured_at=at(10)))
        open_roll(database, line=LINE, name="R2", style="twill", by="eva", at=at(8))
        close_roll(database, line=LINE, by="eva", at=at(9))
        correct_roll(database, line=LINE, name="R2", by="eva", opened_at=at(7))
        prune(database, pictures, by="eva", days=1)
    assert len(statements) > 40
    assert sequential_scans(database, statements) == []


def test_what_fits_no_filter_is_looked_for_in_an_index_alone(database, line):
    """Of a year's defects one after the other, so none of their rows may be read for it."""
    filters = [
        DefectFilter(style="denim"),
        DefectFilter(camera="camera-9"),
        DefectFilter(geometry="diagonal"),
        DefectFilter(severity="critical"),
        DefectFilter(code="hole"),
        DefectFilter(by="nobody"),
    ]
    with caught(database) as statements:
        for wanted in filters:
            assert defects.list_defects(database, wanted, limit=5) == ([], 0)
            assert not any(defects.count_by_state(database, replace(wanted, state="unreviewed")).values())
    plans = []
    with database.engine.connect() as connection:
        sqlite = database.url.get_backend_name() == "sqlite"
        if not sqlite:
            connection.exec_driver_sql("SET enable_seqscan = off")
            connection.exec_driver_sql("SET enable_bitmapscan = off")
        for statement, parameters in statements:
            if "frames" not in statement.partition("WHERE")[0]:  # which asks by numbers what is shown of each
                prefix = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
                plans += [str(row[-1]) for row in connection.exec_driver_sql(prefix + statement, parameters)]
    reads = [plan for plan in plans if "defects" in plan and ("SCAN" in plan or "SEARCH" in plan or "Scan" in plan)]
    assert len(reads) > 20
    allowed = ("COVERING INDEX", "INTEGER PRIMARY KEY", "Index Only Scan", "using pk_defects")
    assert [plan for plan in reads if not any(sign in plan for sign in allowed) and "ix_fragments" not in plan] == []
