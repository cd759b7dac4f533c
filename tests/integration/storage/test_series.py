"""Periodic defects on the running roll: told, named after the machine, foretold, closed."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select

from inspection.errors import StorageError
from storage.defects import series as series_module
from storage.defects.machine import list_elements, remove_element, set_element
from storage.defects.periodic import WINDOW_EVENTS, WINDOW_MM, find_periodic
from storage.defects.series import check_roll, closes_mm, event_of, same_lane
from storage.frames import store_report, store_reports
from storage.grading.stored import grade_roll
from storage.reads.defects import DefectFilter, list_defects, read_defect
from storage.reads.roll_map import roll_map
from storage.reviews import merge_defects, review_defect, split_defect
from storage.rolls import close_roll, correct_roll, open_roll
from storage.tables import DefectRow, FragmentRow, SeriesRow
from tests.records import (
    HEIGHT_PX,
    LENGTH_MM,
    LINE,
    MM_PER_PX,
    at,
    make_defect,
    make_header,
    make_png,
    make_report,
    on_frame,
)

pytestmark = pytest.mark.integration

PERIOD_MM = 628.3
CROP = (make_png(0), make_png(0))


def mark(number, *, shift_mm=0.0, x_px=200, session="session-1"):
    """The frame with the n-th mark of a roller of 200 mm."""
    y_mm = 20 + number * PERIOD_MM + shift_mm
    sequence = int(y_mm // LENGTH_MM)
    y_px = min(round((y_mm - sequence * LENGTH_MM) / MM_PER_PX), HEIGHT_PX - 8)
    header = make_header(sequence, captured_at=at(sequence / 60), session=session)
    return make_report(header=header, defects=(make_defect(x_px, y_px),), crops=(CROP,))


def sequence_of(report):
    return report.header.sequence


def series(database):
    with database.reading() as session:
        return list(session.scalars(select(SeriesRow).order_by(SeriesRow.id)))


def test_a_series_is_told_with_its_fourth_mark_and_its_suspect_and_grows(database, pictures):
    set_element(database, line=LINE, name="guide roller", kind="roller", values={"diameter_mm": 200.0}, by="eva")
    set_element(database, line=LINE, name="print", kind="screen", values={"repeat_mm": 914.0}, by="eva")
    for number in range(3):
        store_report(database, pictures, mark(number))
    assert series(database) == []
    store_report(database, pictures, mark(3))
    [row] = series(database)
    assert row.period_mm == pytest.approx(PERIOD_MM, abs=1)
    assert (row.suspect, row.hits, row.slots, row.open) == ("guide roller", 4, 4, True)
    assert row.last_mm + row.period_mm == pytest.approx(21 + 4 * PERIOD_MM, abs=3)
    for number in (4, 6, 7):
        store_report(database, pictures, mark(number))
    [row] = series(database)
    assert (row.hits, row.slots, row.open) == (7, 8, True)
    items, total = list_defects(database, DefectFilter(), limit=20)
    assert total == 7
    assert {item.series_id for item in items} == {row.id}
    detail = read_defect(database, items[0].id)
    assert detail.series.suspect == "guide roller"
    assert detail.series.next_mm == pytest.approx(21 + 8 * PERIOD_MM, abs=4)


def test_marks_that_come_late_make_the_same_series(database, pictures):
    for number in (5, 0, 4, 2, 3, 1):
        store_report(database, pictures, mark(number))
    [row] = series(database)
    assert (row.hits, row.slots) == (6, 6)


def test_a_series_closes_at_the_fourth_missed_slot_and_not_before(database, pictures):
    for number in range(5):
        store_report(database, pictures, mark(number))
    [row] = series(database)
    last = int(closes_mm(row.last_mm, row.period_mm) // LENGTH_MM)
    store_report(database, pictures, make_report(last - 1, captured_at=at(last / 60)))
    assert series(database)[0].open
    store_report(database, pictures, make_report(last, captured_at=at(last / 60)))
    assert not series(database)[0].open
    assert series(database)[0].closed_at is not None


def test_marks_that_come_late_open_no_series_of_a_roll_that_is_over_and_take_no_slot_away(database, pictures):
    open_roll(database, line=LINE, name="R-1", style="twill", by="eva", at=at(0))
    for number in range(20):
        if number != 2:
            store_report(database, pictures, mark(number))
    close_roll(database, line=LINE, by="eva", at=at(60))
    store_report(database, pictures, mark(2))
    [row] = series(database)
    assert (row.hits, row.slots, row.open) == (20, 20, False)
    assert row.last_mm == pytest.approx(21 + 19 * PERIOD_MM, abs=4)


def reject(database, pictures, *, state="rejected", only=slice(None)):
    with database.reading() as session:
        numbers = list(session.scalars(select(DefectRow.id).order_by(DefectRow.y0_mm)))[only]
    for number in numbers:
        review_defect(database, pictures, number, state=state, by="eva")
    return numbers


def test_false_alarms_are_no_hits_and_a_series_of_too_few_is_none_until_they_are_taken_back(database, pictures):
    roll = open_roll(database, line=LINE, name="R-1", style="twill", by="eva", at=at(0))
    for number in range(6):
        store_report(database, pictures, mark(number))
    numbers = reject(database, pictures, only=slice(4, 6))
    [row] = series(database)
    assert (row.hits, row.slots, row.open) == (4, 4, True)
    assert row.last_mm == pytest.approx(21 + 3 * PERIOD_MM, abs=3)
    assert read_defect(database, numbers[0]).series is None
    [first, *_] = reject(database, pictures, only=slice(0, 1))
    [row] = series(database)
    assert (row.hits, row.open, row.closed_at is None) == (3, False, False)
    assert set(roll_map(database, roll).defects["series"]) == {0}
    assert {each.series for each in grade_roll(database, roll).cloth.defects} == {""}
    reject(database, pictures, state="unreviewed")
    [row] = series(database)
    assert (row.hits, row.slots, row.open, row.closed_at) == (6, 6, True, None)
    assert read_defect(database, first).series.hits == 6
    close_roll(database, line=LINE, by="eva", at=at(10))
    reject(database, pictures)
    reject(database, pictures, state="confirmed")
    [row] = series(database)
    assert (row.hits, row.open) == (6, False)  # its roll is over


def test_marks_that_staff_join_and_part_are_counted_again(database, pictures):
    for number in range(4):
        store_report(database, pictures, mark(number))
    beside = make_report(header=make_header(1, captured_at=at(1 / 60)), defects=(make_defect(200, 40),), crops=(CROP,))
    store_report(database, pictures, beside)
    items, _ = list_defects(database, DefectFilter(), limit=9)
    lone = next(item.id for item in items if item.series_id is None)
    one, two = sorted(item.id for item in items if item.series_id is not None)[2:]
    joined = merge_defects(database, {one: None, two: None}, by="eva")
    assert [(row.hits, row.open) for row in series(database)] == [(3, False)]
    with database.reading() as session:
        pieces = session.execute(
            select(FragmentRow.frame_id, FragmentRow.number)
            .where(FragmentRow.defect_id == joined.defect_id)
            .order_by(FragmentRow.frame_id.desc())
        ).all()
    split_defect(database, joined.defect_id, [tuple(pieces[0])], by="eva")
    assert [row.hits for row in series(database)] == [3]  # of the parts one stays the mark
    store_report(database, pictures, mark(4))
    assert [(row.hits, row.open) for row in series(database)] == [(5, True)]
    assert read_defect(database, lone).series is None


def test_a_series_follows_a_rolls_boundary(database, pictures):
    open_roll(database, line=LINE, name="R-1", style="twill", by="eva", at=at(0))
    for number in range(9):
        store_report(database, pictures, mark(number))
    with database.reading() as session:
        times = list(session.scalars(select(DefectRow.captured_at).order_by(DefectRow.y0_mm)))
    close_roll(database, line=LINE, by="eva", at=times[3])
    assert [(row.hits, row.open) for row in series(database)] == [(3, False), (6, True)]
    correct_roll(database, line=LINE, name="R-1", by="eva", closed_at=times[7])
    rows = {row.roll_id: (row.hits, row.open) for row in series(database)}
    assert sorted(rows.values()) == [(2, False), (7, False)]


def test_another_lane_another_session_and_false_alarms_are_no_series(database, pictures):
    for number, (x_px, session) in enumerate([(100, "a"), (200, "a"), (100, "a"), (300, "a"), (100, "b"), (100, "b")]):
        store_report(database, pictures, mark(number, x_px=x_px, session=session))
    assert series(database) == []
    with database.session() as session:
        for row in session.scalars(select(DefectRow)):
            row.state = "rejected"
    for number in (6, 7):
        store_report(database, pictures, mark(number, x_px=100, session="b"))
    assert series(database) == []


def test_a_roll_looked_at_as_a_whole_holds_what_each_lane_holds_by_itself(sqlite_database, pictures):
    """`check_roll`, against a lane of all events for each event."""
    rng = np.random.default_rng(7)
    reports = [mark(number, x_px=x_px) for x_px in (60, 380) for number in range(8)]
    together = []
    for _, group in itertools.groupby(sorted(reports, key=sequence_of), key=sequence_of):
        same = list(group)
        clutter = [make_defect(int(rng.integers(100, 340)), int(rng.integers(0, 100))) for _ in range(2)]
        found = tuple(defect for report in same for defect in report.defects)
        found += tuple(on_frame(defect, same[0].header) for defect in clutter)
        together.append(replace(same[0], defects=found, crops=((b"", b""),) * len(found)))
    assert all(outcome is True for outcome in store_reports(sqlite_database, pictures, together))
    with sqlite_database.reading() as session:
        rows = session.scalars(select(DefectRow).order_by(DefectRow.id)).all()
        events = sorted(filter(None, map(event_of, rows)), key=lambda event: (event.y_mm, event.id))
        found = check_roll(session, rows[0].roll_id)
    plain = set()
    for index, event in enumerate(events):
        before = [
            each for each in events[: index + 1] if same_lane(event, each) and event.y_mm - each.y_mm <= WINDOW_MM
        ]
        lane = [each.y_mm for each in before[-WINDOW_EVENTS:]]
        if len(lane) >= 4 and (periodic := find_periodic(lane, through=len(lane) - 1)) is not None:
            plain.add(periodic)
    assert len(found) == 2
    assert set(found) <= plain
    assert {len(each.hits) for each in found} == {8}


def test_elements_are_told_by_what_turns(database):
    assert set_element(
        database, line=LINE, name="knit", kind="feeders", values={"feeders": 90, "courses_per_cm": 18}, by="eva"
    ).period_mm == pytest.approx(50)
    roller = set_element(database, line=LINE, name="r", kind="roller", values={"diameter_mm": 200}, by="eva")
    assert roller.period_mm == pytest.approx(628.3, abs=0.05)
    set_element(database, line=LINE, name="r", kind="screen", values={"repeat_mm": 640}, by="eva")
    assert [(row.name, row.kind, row.period_mm) for row in list_elements(database, line=LINE)][1] == (
        "r",
        "screen",
        640,
    )
    remove_element(database, line=LINE, name="r", by="eva")
    assert [row.name for row in list_elements(database, line=LINE)] == ["knit"]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("gear", {"diameter_mm": 1}, "is a roller, screen, feeders, got 'gear'"),
        ("roller", {"repeat_mm": 1}, "a roller needs diameter_mm, got repeat_mm"),
        ("feeders", {"feeders": 90}, "needs feeders and courses_per_cm, got feeders"),
        ("roller", {"diameter_mm": 0}, "diameter_mm must be over 0, got 0"),
        ("roller", {"diameter_mm": float("nan")}, "diameter_mm must be over 0, got nan"),
        ("screen", {"repeat_mm": 1e9}, "comes round within 600 m"),
    ],
)
def test_impossible_elements_are_refused(sqlite_database, kind, values, message):
    with pytest.raises(StorageError, match=message):
        set_element(sqlite_database, line=LINE, name="x", kind=kind, values=values, by="eva")
    assert list_elements(sqlite_database, line=LINE) == []


def test_the_database_finds_the_lane_that_the_rule_describes(database, pictures):
    rng = np.random.default_rng(5)
    reports = []
    for number in range(120):
        camera, session = ("left", "right")[number % 2], ("a", "b")[number // 2 % 7 == 0]
        header = make_header(number // 2, captured_at=at(number / 60), camera=camera, session=session)
        boxes = [(int(rng.integers(100, 260)), int(rng.integers(0, 60)), int(rng.integers(4, 50))) for _ in range(2)]
        found = tuple(make_defect(x, y, size_px=size) for x, y, size in boxes)
        reports.append(make_report(header=header, defects=found, crops=((b"", b""),) * 2))
    assert all(outcome is True for outcome in store_reports(database, pictures, reports))
    with database.session() as session:
        for row in session.scalars(select(DefectRow).where(DefectRow.id % 11 == 0)):
            row.state = "rejected"
    with database.reading() as session:
        rows = session.scalars(select(DefectRow)).all()
        events = [event for event in map(event_of, rows) if event is not None]
        full = 0
        for event, found in zip(events, series_module._lanes_of(session, events), strict=True):
            lane = sorted(
                (other.y0_mm + other.y1_mm, other.id)
                for other in events
                if same_lane(event, other) and -WINDOW_MM <= other.y0_mm - event.y_mm <= WINDOW_MM / 4
            )
            place = lane.index((event.y0_mm + event.y1_mm, event.id)) + 1
            wanted = lane[max(0, place - WINDOW_EVENTS) : place + series_module._LATER]
            assert found == wanted
            full += len(wanted) < len(lane)
    assert full > 20
