"""A roll's coverage from what is stored: it adds up at every moment, and cloth that waits or was never seen keeps a
roll from being graded first."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from inspection.errors import StorageError
from inspection.types import Capture
from storage.coverage import LIMIT, coverage_limit, set_coverage_limit
from storage.frames import store_capture, store_gap, store_report, store_reports
from storage.grading.kept import grade_rolls
from storage.grading.stored import grade_roll
from storage.reads.roll_map import roll_map
from storage.reads.roll_summary import roll_summary
from storage.retention import prune
from storage.roll_details import find_roll
from storage.rolls import close_roll, list_rolls, open_roll
from storage.tables import CaptureRow
from tests.records import LENGTH_MM, LINE, at, make_capture, make_gap, make_header, make_report, nanoseconds

pytestmark = pytest.mark.integration

WIDTH_MM = 128.0
FRAME_MIN = 1 / 60  # a frame each second


def weave(database, pictures, sequences, *, camera="camera-1", begun=0.0, session="session-1", x_mm=0.0):
    """Frames of a camera, one a second since its sequence 0 at `begun`."""
    reports = [
        make_report(
            header=make_header(
                sequence,
                camera=camera,
                session=session,
                captured_at=at(begun + sequence * FRAME_MIN),
                x_offset_mm=x_mm,
            )
        )
        for sequence in sequences
    ]
    assert all(outcome is True for outcome in store_reports(database, pictures, reports))


def counted(database, frames, *, minutes, camera="camera-1", session="session-1", begun=0.0):
    """What the camera said it had captured, that long after the start of all records."""
    count = replace(make_capture(frames), camera=camera, session=session, started_at_ns=nanoseconds(at(begun)))
    store_capture(database, count)
    with database.session() as open_:
        open_.execute(update(CaptureRow).where(CaptureRow.session == session).values(updated_at=at(minutes)))


def named(database, name):
    return find_roll(database, name=name, line=LINE)


def test_every_moment_of_a_running_roll_adds_up_to_the_camera_s_count(database, pictures):
    roll = open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    store_capture(database, make_capture(8))
    acts = [(3, ""), (0, ""), (2, ""), (1, "too_dark"), (5, "spool_full"), (4, ""), (6, ""), (7, "")]
    for sequence, reason in acts:
        if reason:
            store_gap(database, make_gap(sequence, captured_at=at(1), reason=reason))
        else:
            store_report(database, pictures, make_report(sequence, captured_at=at(1)))
        covered = roll_summary(database, roll)
        assert covered.captured_mm == pytest.approx(8 * LENGTH_MM)
    assert (covered.inspected_mm, covered.gap_mm, covered.waiting_mm) == pytest.approx((192, 64, 0))
    assert covered.coverage == pytest.approx(0.75)


lengths = st.lists(st.sampled_from([100.0, 250.0, 333.25]), min_size=1, max_size=12)
examples = iter(range(10_000))


@given(captured=lengths, data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_in_whatever_order_adds_up_to_what_was_captured(sqlite_database, captured, data):
    line = f"line-{next(examples)}"
    roll = open_roll(sqlite_database, line=line, name="R1", style="", by="eva", at=at(0))
    gaps, position_mm = [], 0.0
    for sequence, length_mm in enumerate(captured):
        place = {"position_from_mm": position_mm, "position_to_mm": position_mm + length_mm}
        names = {"line": line, "camera": f"camera of {line}"}
        gaps.append(make_gap(sequence, captured_at=at(1 + sequence), **place, **names))
        position_mm += length_mm
    total = Capture(
        line=line,
        camera=f"camera of {line}",
        session="session-1",
        frames=len(gaps),
        captured_mm=position_mm,
        started_at_ns=nanoseconds(at(1)),
        ended=True,
    )
    store_capture(sqlite_database, total)
    told_mm = 0.0
    for gap in data.draw(st.permutations(gaps)):
        store_gap(sqlite_database, gap)
        told_mm += gap.length_mm
        summary = roll_summary(sqlite_database, roll)
        assert summary.gap_mm == pytest.approx(told_mm)
        assert gap.sequence or summary.waiting_mm == pytest.approx(position_mm - told_mm), "its origin is known now"
    assert summary.waiting_mm == 0


def test_a_roll_that_is_closed_over_a_backlog_is_not_first_until_the_rest_has_come(database, pictures):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    weave(database, pictures, range(15))
    counted(database, 100, minutes=100 * FRAME_MIN)
    close_roll(database, line=LINE, by="eva", at=at(2))
    roll = named(database, "R1")
    graded = grade_roll(database, roll)
    assert (graded.summary.inspected_mm, graded.summary.waiting_mm) == pytest.approx((15 * LENGTH_MM, 85 * LENGTH_MM))
    assert graded.cloth.coverage == pytest.approx(0.15)
    assert (graded.grade.grade, graded.grade.state) == ("incomplete", "provisional")
    assert graded.grade.reasons[-1] == "2.72 m of the cloth are captured and not inspected yet"
    (missed,) = graded.cloth.missed
    assert (missed.y0_mm, missed.y1_mm) == pytest.approx((15 * LENGTH_MM, 100 * LENGTH_MM))
    assert missed.reason == "the cloth is captured and not inspected yet"
    assert list(roll_map(database, roll).gaps["code"]) == ["waiting"]
    (kept,) = grade_rolls(database, [roll])
    assert (kept.grade, kept.waiting_mm) == ("incomplete", pytest.approx(85 * LENGTH_MM))
    weave(database, pictures, range(15, 99))
    assert grade_rolls(database, [roll])[0].state == "provisional"
    weave(database, pictures, [99])
    (kept,) = grade_rolls(database, [roll])
    assert (kept.grade, kept.state, kept.coverage) == ("first", "final", 1.0)


def test_a_count_that_comes_behind_the_close_makes_a_kept_grade_fall(database, pictures):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    weave(database, pictures, range(15))
    counted(database, 15, minutes=15 * FRAME_MIN)
    close_roll(database, line=LINE, by="eva", at=at(2))
    roll = named(database, "R1")
    assert [(each.grade, each.state) for each in grade_rolls(database, [roll])] == [("first", "final")]
    counted(database, 100, minutes=100 * FRAME_MIN)
    assert [(each.grade, each.state) for each in grade_rolls(database, [roll])] == [("incomplete", "provisional")]


def test_a_roll_knows_nothing_of_what_waits_on_the_next_one(database, pictures):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    store_report(database, pictures, make_report(0, captured_at=at(1)))
    first = close_roll(database, line=LINE, by="eva", at=at(2))
    second = open_roll(database, line=LINE, name="R2", style="", by="eva", at=at(2))
    store_report(database, pictures, make_report(1, captured_at=at(3)))
    store_capture(database, make_capture(4))
    assert roll_summary(database, first).captured_mm == pytest.approx(LENGTH_MM)
    assert roll_summary(database, first).coverage == 1
    assert roll_summary(database, second).waiting_mm == pytest.approx(2 * LENGTH_MM)


def test_what_waits_between_two_rolls_counts_for_both_until_it_is_known(database, pictures):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    weave(database, pictures, range(50))
    close_roll(database, line=LINE, by="eva", at=at(1))  # behind the sequence 59
    open_roll(database, line=LINE, name="R2", style="", by="eva", at=at(1))
    weave(database, pictures, range(80, 100))
    close_roll(database, line=LINE, by="eva", at=at(2))
    rolls = [named(database, name) for name in ("R1", "R2")]
    waiting = [roll_summary(database, roll).waiting_mm / LENGTH_MM for roll in rolls]
    assert waiting == pytest.approx([11, 20]), "as much as can have passed while each was open"
    assert [each.grade for each in grade_rolls(database, rolls)] == ["incomplete", "incomplete"]
    weave(database, pictures, range(50, 80))
    assert [(each.grade, each.state, each.waiting_mm) for each in grade_rolls(database, rolls)] == [
        ("first", "final", 0.0)
    ] * 2


def test_a_session_of_which_nothing_has_come_waits_as_a_whole(database, pictures):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    weave(database, pictures, range(10))
    counted(database, 10, minutes=10 * FRAME_MIN, camera="camera-2", session="other")
    close_roll(database, line=LINE, by="eva", at=at(1))
    summary = roll_summary(database, named(database, "R1"))
    assert [(each.camera, each.waiting_mm / LENGTH_MM) for each in summary.cameras] == [
        ("camera-1", 0),
        ("camera-2", pytest.approx(10)),
    ]


def test_a_roll_of_which_nothing_has_come_yet_waits_and_no_camera_is_silent(database, pictures):
    weave(database, pictures, range(10))
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(10 * FRAME_MIN))
    counted(database, 15, minutes=15 * FRAME_MIN)
    summary = roll_summary(database, named(database, "R1"))
    assert summary.waiting_mm == pytest.approx(5 * LENGTH_MM)
    assert [each.reason for each in summary.unseen] == ["waiting"]


def test_gaps_that_came_as_one_leave_nothing_that_waits(database, pictures):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    weave(database, pictures, [0, 1, 12])
    store_gap(database, make_gap(2, captured_at=at(0.1), length_mm=10 * LENGTH_MM))
    counted(database, 13, minutes=1)
    close_roll(database, line=LINE, by="eva", at=at(1))
    assert roll_summary(database, named(database, "R1")).waiting_mm == 0


def test_what_was_forgotten_does_not_wait(database, pictures):
    for name, minutes in (("R1", 0), ("R2", 1), ("R3", 2)):
        open_roll(database, line=LINE, name=name, style="", by="eva", at=at(minutes))
        weave(database, pictures, range(minutes * 60, minutes * 60 + 60, 1))
        close_roll(database, line=LINE, by="eva", at=at(minutes + 1))
    counted(database, 180, minutes=3)
    prune(database, pictures, by="eva", days=1, at=at(24 * 60 + 1.5))
    assert [roll.name for roll in list_rolls(database)] == ["R3", "R2"]
    assert [roll_summary(database, named(database, name)).waiting_mm for name in ("R2", "R3")] == [0, 0]


def test_an_automatic_roll_has_nothing_waiting_where_a_roll_of_staff_lies(database, pictures):
    weave(database, pictures, range(10))
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(10 * FRAME_MIN))
    weave(database, pictures, range(10, 20))
    close_roll(database, line=LINE, by="eva", at=at(20 * FRAME_MIN))
    weave(database, pictures, range(20, 30))
    automatic = next(roll for roll in list_rolls(database) if roll.automatic)
    summary = roll_summary(database, automatic)
    assert (summary.inspected_mm, summary.waiting_mm) == pytest.approx((20 * LENGTH_MM, 0))


# --- silent cameras ------------------------------------------------------------------------------------------------


def side_by_side(database, pictures, *, left, right):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    weave(database, pictures, left)
    weave(database, pictures, right, camera="camera-2", session="session-2", x_mm=WIDTH_MM)
    close_roll(database, line=LINE, by="eva", at=at(2))
    return named(database, "R1")


def test_a_camera_that_falls_silent_leaves_cloth_that_nobody_saw(database, pictures):
    roll = side_by_side(database, pictures, left=range(100), right=range(10))
    graded = grade_roll(database, roll)
    assert graded.cloth.coverage == pytest.approx(0.55)
    assert (graded.grade.grade, graded.grade.state) == ("incomplete", "final")
    (missed,) = graded.cloth.missed
    assert (missed.y0_mm, missed.y1_mm, missed.share) == pytest.approx((10 * LENGTH_MM, 100 * LENGTH_MM, 0.5))
    assert (missed.x0_mm, missed.x1_mm) == pytest.approx((WIDTH_MM, 2 * WIDTH_MM))
    assert missed.reason == "the camera was silent while others saw the cloth"


def test_cameras_a_frame_apart_miss_nothing(database, pictures):
    roll = side_by_side(database, pictures, left=range(100), right=range(99))
    assert grade_roll(database, roll).grade.grade == "first"


def test_a_camera_that_delivers_nothing_of_a_roll_is_missed_where_nobody_else_looks(database, pictures):
    side_by_side(database, pictures, left=range(100), right=range(100))
    for session, camera in (("session-1", "camera-1"), ("session-2", "camera-2")):
        counted(database, 100, minutes=100 * FRAME_MIN, camera=camera, session=session)
    open_roll(database, line=LINE, name="R2", style="", by="eva", at=at(2))
    weave(database, pictures, range(50), session="next", begun=3)
    close_roll(database, line=LINE, by="eva", at=at(10))
    graded = grade_roll(database, named(database, "R2"))
    assert (graded.grade.grade, graded.cloth.coverage) == ("incomplete", pytest.approx(0.5))
    (missed,) = graded.cloth.missed
    assert (missed.x0_mm, missed.x1_mm, missed.y1_mm) == pytest.approx((WIDTH_MM, 2 * WIDTH_MM, 50 * LENGTH_MM))
    open_roll(database, line=LINE, name="R3", style="", by="eva", at=at(10))
    weave(database, pictures, range(50), session="last", begun=11)
    weave(database, pictures, range(50), camera="new", session="new", x_mm=WIDTH_MM, begun=11)
    close_roll(database, line=LINE, by="eva", at=at(20))
    assert grade_roll(database, named(database, "R3")).grade.grade == "first", "it was replaced"


# --- the limit -----------------------------------------------------------------------------------------------------


def test_a_line_sets_its_own_limit(database, pictures):
    store_report(database, pictures, make_report(0))
    assert coverage_limit(database, line=LINE) == LIMIT
    set_coverage_limit(database, line=LINE, limit=0.5, by="eva")
    assert coverage_limit(database, line=LINE) == 0.5
    with pytest.raises(StorageError, match=r"must be in \[0, 1\], got 98"):
        set_coverage_limit(database, line=LINE, limit=98, by="eva")
    with pytest.raises(StorageError, match="there is no line line-9"):
        set_coverage_limit(database, line="line-9", limit=0.5, by="eva")
