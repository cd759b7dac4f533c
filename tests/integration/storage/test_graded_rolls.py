"""Stored rolls with their grades: what frames, gaps, reviews and papers make of them."""

import math
from dataclasses import asdict

import pytest
from sqlalchemy import select

from inspection.errors import SettingsError, StorageError
from storage.frames import store_gap, store_report
from storage.grading.profile_store import choose_profile
from storage.grading.stored import grade_roll
from storage.reviews import review_defect
from storage.roll_details import RollDetails, find_roll, set_details
from storage.rolls import open_roll
from storage.tables import AuditRow, DefectRow
from tests.records import LENGTH_MM, LINE, at, make_gap, make_header, make_report

pytestmark = pytest.mark.integration
WIDTH_MM = 128.0


def defect_ids(database):
    with database.reading() as session:
        return list(session.scalars(select(DefectRow.id).order_by(DefectRow.id)))


def test_a_stored_roll_is_graded(database, woven):
    graded = grade_roll(database, woven)
    assert graded.cloth.length_mm == pytest.approx(100 * LENGTH_MM)
    assert graded.cloth.width_mm == graded.cloth.fabric_width_mm == pytest.approx(WIDTH_MM)
    assert [defect.y0_mm for defect in graded.cloth.defects] == pytest.approx(
        [30 * LENGTH_MM + 10, 60 * LENGTH_MM + 10]
    )
    assert graded.cloth.defects[0].size_mm == pytest.approx(math.hypot(2, 2))
    assert graded.grade.points.total == 2
    yards, inches = 3200 / 914.4, 128 / 25.4
    assert graded.grade.rate == pytest.approx(3600 * 2 / (yards * inches))
    assert (graded.grade.grade, graded.grade.state, graded.grade.unreviewed) == ("second", "provisional", 2)


def test_reviews_make_a_grade_final_and_false_alarms_go(database, pictures, woven):
    first, second = defect_ids(database)
    review_defect(database, pictures, first, state="rejected", by="eva")
    assert (grade_roll(database, woven).grade.points.total, grade_roll(database, woven).grade.state) == (
        1,
        "provisional",
    )
    review_defect(database, pictures, second, state="rejected", by="eva")
    grade = grade_roll(database, woven).grade
    assert (grade.points.total, grade.grade, grade.state) == (0, "first", "final")


def test_a_roll_with_too_many_gaps_is_incomplete(database, pictures, woven):
    for number in defect_ids(database):
        review_defect(database, pictures, number, state="rejected", by="eva")
    for sequence in range(100, 103):
        store_gap(database, make_gap(sequence, captured_at=at(5)))
    graded = grade_roll(database, woven)
    assert graded.cloth.coverage == pytest.approx(100 / 103)
    assert (graded.grade.grade, graded.grade.outcome) == ("incomplete", "inspect")
    (missed,) = graded.cloth.missed
    assert (missed.y0_mm, missed.y1_mm, missed.share) == pytest.approx((3200, 3296, 1.0))
    assert missed.reason == "the frame was too dark"


def test_two_cameras_side_by_side_are_one_width(database, pictures):
    roll = open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
    for sequence in range(10):
        for number in range(2):
            header = make_header(sequence, captured_at=at(1), camera=f"camera-{number}", x_offset_mm=number * WIDTH_MM)
            store_report(database, pictures, make_report(header=header))
    store_gap(database, make_gap(10, camera="camera-1", captured_at=at(2)))
    graded = grade_roll(database, roll)
    assert graded.widths.known == pytest.approx([256.0] * 3)
    (missed,) = graded.cloth.missed
    assert (missed.x0_mm, missed.x1_mm, missed.share) == pytest.approx((128, 256, 0.5))
    assert graded.grade.state == "provisional"  # it still runs


def test_entered_widths_count_instead_of_measured_ones(database, woven):
    set_details(database, woven, by="eva", width_start_mm=120.0, width_end_mm=124.0)
    graded = grade_roll(database, woven)
    assert (graded.cloth.width_mm, graded.cloth.fabric_width_mm) == pytest.approx((122.0, WIDTH_MM))
    assert graded.widths.entered


def test_a_roll_without_cloth_has_no_grade(database):
    roll = open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    assert grade_roll(database, roll).grade.grade == "none"


def test_the_profile_of_the_roll_then_of_the_style(database, woven):
    assert str(grade_roll(database, woven).profile) == "four-point version 1"
    choose_profile(database, style="twill", profile="four-point-silk", by="eva")
    assert str(grade_roll(database, woven).profile) == "four-point version 1", "it was closed before"
    set_details(database, woven, by="eva", profile="four-point-metric")
    assert grade_roll(database, woven).grade.measure == "100m2"


def test_what_papers_say_is_kept_with_who_said_it(database, woven):
    set_details(database, woven, by="eva", lot="L-1", ticketed_mm=3100.0)
    assert set_details(database, woven, by="ben", po="88") == RollDetails(lot="L-1", ticketed_mm=3100.0, po="88")
    assert asdict(grade_roll(database, woven).details)["lot"] == "L-1"
    with database.reading() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.action == "roll.set").order_by(AuditRow.id)).all()
    assert [(row.by, row.subject) for row in rows] == [("eva", "R1"), ("ben", "R1")]
    assert rows[0].detail == {"line": LINE, "lot": ["", "L-1"], "ticketed_mm": [None, 3100.0]}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"ticketed_mm": -5.0}, StorageError, "ticketed_mm of a roll must be more than 0 mm, got -5.0"),
        ({"width_mid_mm": float("nan")}, StorageError, "width_mid_mm .* got nan"),
        ({"lot": "x" * 201}, StorageError, "lot of a roll has at most 200 characters, got 201"),
        ({"colour": "red"}, StorageError, "a roll has no field colour: it has lot"),
        ({"profile": "mine"}, SettingsError, "there is no profile mine"),
        ({"lot": "L-2", "profile": "four-point", "profile_version": 9}, SettingsError, "there is no version 9"),
    ],
)
def test_wrong_papers_are_refused_and_nothing_is_half_written(database, woven, changes, error, message):
    with pytest.raises(error, match=message):
        set_details(database, woven, by="eva", **changes)
    assert grade_roll(database, woven).details == RollDetails()


def test_a_roll_is_found_by_its_name_and_line(database):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    open_roll(database, line="line-2", name="R1", style="", by="eva", at=at(0))
    assert find_roll(database, name="R1", line="line-2").line == "line-2"
    with pytest.raises(StorageError, match=r"rolls R1 on lines line-1, line-2: add --line"):
        find_roll(database, name="R1")
    with pytest.raises(StorageError, match="there is no roll R9 on line line-2"):
        find_roll(database, name="R9", line="line-2")
