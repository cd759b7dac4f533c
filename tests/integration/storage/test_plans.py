"""How the databases answer what the screens ask: through an index, never by reading all frames or defects.

Every statement that a read sends is caught and explained. SQLite explains without looking at what the tables hold; of
PostgreSQL, which reads a table of a few rows as a whole, it is asked whether an index would do.
"""

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import event

from inspection.settings import ReportSettings
from storage import sample_captures, samples
from storage.alarms import alarm_store
from storage.alarms.outbox import backlog_of
from storage.alarms.rules import parse_rule
from storage.frames import store_gap, store_reports
from storage.gates import gate_row
from storage.grading.kept import keep_grades
from storage.grading.profile_store import choose_profile
from storage.grading.stored import grade_roll
from storage.reads import audit_trail, cameras, defects, models, pieces, roll_map, roll_runs, roll_summary
from storage.reads.defects import DefectFilter
from storage.reads.lost_cloth import lost_cloth
from storage.reads.regression import regression_set
from storage.reads.replay import last_cloth
from storage.reports.period_report import read_period_report
from storage.reports.roll_report import read_roll_report
from storage.reports.shifts import Period
from storage.retention import is_held, prune
from storage.reviews import merge_defects, review_defect, unmerge
from storage.rolls import close_roll, correct_roll, list_rolls, open_roll, roll_at, roll_figures
from storage.sample_guard import hold_doubtful
from storage.sample_places import near_confirmed
from storage.sensitivity import factors
from storage.suspensions import suspension_of
from storage.tables import SampleRow, Table
from storage.trends import reads as trends
from storage.trends.periods import Plant
from storage.trends.reads import TrendFilter
from tests.records import CAMERA, LINE, START, at, make_defect, make_gap, make_report

pytestmark = pytest.mark.integration

_PARTS_OF_INDICES = """
    SELECT part.relname, whole.relname FROM pg_inherits
    JOIN pg_class part ON part.oid = inhrelid JOIN pg_class whole ON whole.oid = inhparent
"""
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
        make_report(
            sequence,
            captured_at=at(sequence),
            defects=(make_defect(100 + 30 * sequence),),
            likenesses=(np.arange(8, dtype="<f2").tobytes(),),
        )
        for sequence in range(6)
    ]
    store_reports(database, pictures, reports)
    store_gap(database, make_gap(6, captured_at=at(6)))
    close_roll(database, line=LINE, by="eva", at=at(4))
    return next(roll for roll in list_rolls(database) if roll.name == "R1")


def ask_as_screens_do(database, pictures, line):
    automatic = next(roll for roll in list_rolls(database) if roll.automatic)
    (worst, *_), _ = defects.list_defects(database, DefectFilter(), limit=3)
    day = START.replace(hour=0)
    period = Period(name="", day=day.date(), start=day, end=day + timedelta(days=1))
    filters = [
        DefectFilter(),
        DefectFilter(roll=line),
        DefectFilter(roll=automatic),
        DefectFilter(line=LINE),
        DefectFilter(since=day, until=day + timedelta(days=1)),
        DefectFilter(line=LINE, since=day, until=day + timedelta(days=1)),
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
    cameras.camera_figures(database)
    cameras.score_trend(database, line=LINE, camera=CAMERA)
    defects.latest_defects(database, limit=5)
    alarm_store.list_alarms(database, past=5)
    alarm_store.list_alarms(database, line=LINE, past=5)
    roll_runs.rolls_to_choose(database, at=datetime.now(UTC))
    list_rolls(database, since=datetime.now(UTC))
    roll_at(database, line=LINE, at=at(1))
    for wanted in filters:
        defects.list_defects(database, wanted, limit=5)
        defects.count_by_state(database, wanted)
        defects.rank_of(database, wanted, worst.id)
        defects.neighbours_of(database, wanted, worst.id)
    defects.read_defect(database, worst.id)
    defects.nearby_defects(database, worst.id, limit=5)
    defects.reviewers(database)
    assert pieces.similar_defects(database, worst.id, limit=5)
    pieces.pieces_of(database, worst.id)
    for roll in (line, automatic):
        roll_summary.roll_summary(database, roll)
        roll_map.roll_map(database, roll)
        grade_roll(database, roll)
        roll_figures(database, roll)
        is_held(database, roll)
        with database.reading() as session:
            suspension_of(session, roll.id)
    read_roll_report(database, pictures, line, ReportSettings())
    read_period_report(database, period, ReportSettings())
    read_period_report(database, period, ReportSettings(), line=LINE)
    keep_grades(database, most=5)
    plant, month = Plant.of(ReportSettings()), TrendFilter(first=START.date(), last=START.date() + timedelta(days=30))
    for by in ("day", "shift", "line", "style", "camera", "loom"):
        trends.read_trends(database, plant, month, by=by)
    trends.read_trends(database, plant, replace(month, severity="major"), by="day")
    trends.read_kinds(database, plant, month)
    trends.read_width(database, month)
    trends.read_drift(database, month)
    assert last_cloth(database, "twill", model="first").frames == 6
    lost_cloth(database, since=at(0))
    audit_trail.list_entries(database, audit_trail.AuditFilter(), limit=5)
    samples.page_of_samples(database, samples.SampleFilter(style="twill"), limit=5, offset=0)
    samples.page_of_samples(database, samples.SampleFilter(state="held"), limit=5, offset=0)
    samples.count_samples(database)
    models.sample_counts(database)
    regression_set(database)
    sample_captures.is_taken(database, 1, counter="a", metre=2)
    factors(database)
    with database.reading() as session:
        gate_row(session, 1)


def write_as_the_line_and_staff_do(database, pictures):
    late = [make_report(sequence, captured_at=at(sequence), defects=(make_defect(),)) for sequence in (7, 8, 9)]
    store_reports(database, pictures, late)
    store_gap(database, make_gap(10, captured_at=at(10)))
    open_roll(database, line=LINE, name="R2", style="twill", by="eva", at=at(8))
    one, two, three = [item.id for item in defects.latest_defects(database, limit=3)]
    review_defect(database, pictures, three, state="rejected", by="eva")
    joined = merge_defects(database, {one: None, two: None}, by="eva")
    unmerge(database, pictures, joined, by="eva")
    close_roll(database, line=LINE, by="eva", at=at(9))
    correct_roll(database, line=LINE, name="R2", by="eva", opened_at=at(7))
    hold_doubtful(database)
    with database.reading() as session:
        near_confirmed(
            session, SampleRow(line=LINE, camera=CAMERA, counter="a", x0_mm=0.0, x1_mm=9.0, y0_mm=0.0, y1_mm=9.0)
        )
    severe = parse_rule({"name": "severe-defect", "kind": "severe_defect"})
    for level in ("raise", "clear"):
        with database.session() as session:
            alarm_store.observe(session, severe, line=LINE, signals=[alarm_store.Signal(level=level)], at=at(11))
            alarm_store.pass_time(session, line=LINE, rules=[severe], at=at(11))
    backlog_of(database, "mes")
    choose_profile(database, style="twill", profile="four-point", by="eva")
    prune(database, pictures, by="eva", days=1)


def test_no_screen_reads_all_frames_or_defects(database, pictures, line):
    with caught(database) as statements:
        ask_as_screens_do(database, pictures, line)
    assert len(statements) > 150
    assert sequential_scans(database, statements) == []


def test_no_write_reads_all_frames_or_defects(database, line, pictures):
    with caught(database) as statements:
        write_as_the_line_and_staff_do(database, pictures)
    assert len(statements) > 80
    assert sequential_scans(database, statements) == []


def test_each_index_is_of_use(database, line, pictures):
    """A statement looks along it, or it keeps values unique, or the rows that name another are found by it when that
    one goes."""
    with caught(database) as statements:
        ask_as_screens_do(database, pictures, line)
        write_as_the_line_and_staff_do(database, pictures)
    plans = ""
    with database.engine.connect() as connection:
        sqlite = database.url.get_backend_name() == "sqlite"
        if not sqlite:
            connection.exec_driver_sql("SET enable_seqscan = off")
        for statement, parameters in statements:
            prefix = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
            plans += "".join(f"{row[-1]}\n" for row in connection.exec_driver_sql(prefix + statement, parameters))
        names = {} if sqlite else dict(connection.exec_driver_sql(_PARTS_OF_INDICES).all())
    seen = {names.get(name, name) for name in re.findall(r"\w+", plans)}
    of_no_use = {
        index.name
        for table in Table.metadata.sorted_tables
        for index in table.indexes
        if not (index.unique or any(key.ondelete for key in index.columns[0].foreign_keys) or index.name in seen)
    }
    assert of_no_use == set()


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
