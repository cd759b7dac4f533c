"""A grade kept with its roll is that of the roll at every moment: whatever changes it makes it be found anew."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from inference_worker.grades import keep_in_turn
from storage.coverage import set_coverage_limit
from storage.frames import store_gap, store_report
from storage.grading import kept
from storage.grading.kept import grade_of, grade_rolls, keep_grades
from storage.grading.profile_store import add_profile, choose_profile, read_profile
from storage.grading.stored import grade_in, grade_roll
from storage.retention import prune
from storage.reviews import merge_defects, name_defect, review_defect, set_severity, split_defect
from storage.roll_details import set_details
from storage.rolls import close_roll, correct_roll, list_rolls, open_roll
from storage.suspensions import clear_roll, suspend_roll
from storage.tables import DefectRow, FragmentRow, RollGradeRow, RollRow
from tests.records import LENGTH_MM, LINE, at, make_defect, make_gap, make_header, make_report

pytestmark = pytest.mark.integration


@pytest.fixture
def graded(monkeypatch):
    """Which rolls were graded from their rows."""
    seen = []
    real = kept.grade_in

    def grade(session, roll):
        seen.append(roll.name)
        return real(session, roll)

    monkeypatch.setattr(kept, "grade_in", grade)
    return seen


def afresh(database, roll):
    with database.reading() as session:
        return grade_of(session, grade_in(session, roll))


def ids(database):
    with database.reading() as session:
        return session.scalars(select(DefectRow.id).order_by(DefectRow.id)).all()


def late_frame(database, pictures, roll):
    found = (make_defect(x_px=300, size_px=40, y0_mm=100 * LENGTH_MM, y1_mm=100 * LENGTH_MM + 10),)
    assert store_report(database, pictures, make_report(100, captured_at=at(3), defects=found))


def move_end(database, pictures, roll):
    correct_roll(database, line=LINE, name=roll.name, by="eva", closed_at=at(1.5))


def open_before(database, pictures, roll):
    correct_roll(database, line=LINE, name=roll.name, by="eva", opened_at=at(1.5))


def split(database, pictures, roll):
    number = ids(database)[0]
    bridge = (make_defect(x_px=250, y0_mm=31 * LENGTH_MM, y1_mm=31 * LENGTH_MM + 2),)
    store_report(database, pictures, make_report(101, captured_at=at(3), defects=bridge))
    first, *_, last = ids(database)
    merge_defects(database, {first: None, last: None}, by="eva")
    with database.reading() as session:
        pieces = session.execute(
            select(FragmentRow.frame_id, FragmentRow.number).where(FragmentRow.defect_id == number)
        ).all()
    split_defect(database, number, [tuple(pieces[-1])], by="eva")


CHANGES = {
    "a late frame": late_frame,
    "a late gap": lambda database, pictures, roll: store_gap(database, make_gap(200, captured_at=at(3))),
    "a verdict": lambda database, pictures, roll: review_defect(
        database, pictures, ids(database)[0], state="rejected", by="eva"
    ),
    "a name": lambda database, pictures, roll: name_defect(database, ids(database)[0], code="hole", by="eva"),
    "a severity": lambda database, pictures, roll: set_severity(
        database, ids(database)[0], severity="critical", by="eva"
    ),
    "a merging": lambda database, pictures, roll: merge_defects(
        database, dict.fromkeys(ids(database)[:2]), by="eva"
    ),
    "a merging and a split": split,
    "papers": lambda database, pictures, roll: set_details(database, roll, by="eva", loom="7", width_mid_mm=90.0),
    "a profile of its own": lambda database, pictures, roll: set_details(
        database, roll, by="eva", profile="four-point-metric"
    ),
    "a suspension": lambda database, pictures, roll: suspend_roll(database, roll, reason="stained", by="eva"),
    "a limit of coverage": lambda database, pictures, roll: set_coverage_limit(
        database, line=LINE, limit=1.0, by="eva"
    ),
    "another end": move_end,
    "another beginning": open_before,
}  # fmt: skip
UNSEEN = ("a name", "a suspension", "a limit of coverage")  # in the figures of this roll


@pytest.mark.parametrize("name", CHANGES)
def test_a_kept_grade_holds_until_what_it_rests_on_changes(database, pictures, woven, graded, name):
    store_gap(database, make_gap(300, captured_at=at(4)))
    before = grade_rolls(database, [woven])
    assert grade_rolls(database, [woven]) == before
    assert graded == ["R1"], "the second time it was kept"
    CHANGES[name](database, pictures, woven)
    (roll,) = [roll for roll in list_rolls(database) if roll.name == "R1"]
    (after,) = grade_rolls(database, [roll])
    assert after == afresh(database, roll)
    assert after != before[0] or name in UNSEEN
    assert graded == ["R1", "R1"]
    assert grade_rolls(database, [roll]) == [after]
    assert graded == ["R1", "R1"]


def test_what_does_not_concern_a_roll_leaves_its_grade(database, pictures, woven, graded):
    before = grade_rolls(database, [woven])
    suspend_roll(database, woven, reason="stained", by="eva")
    clear_roll(database, woven, remark="washed", by="eva")
    assert grade_rolls(database, [woven]) == before
    graded.clear()
    other = open_roll(database, line="line-2", name="R2", style="twill", by="eva", at=at(0))
    suspend_roll(database, other, reason="stained", by="eva")
    open_roll(database, line=LINE, name="R3", style="twill", by="eva", at=at(20))
    header = make_header(0, session="later", captured_at=at(30))
    store_report(database, pictures, make_report(header=header, defects=(make_defect(),)))
    choose_profile(database, style="twill", profile="four-point-silk", by="eva")
    assert grade_rolls(database, [woven]) == before
    assert graded == []


def test_a_roll_that_runs_is_graded_each_time_and_one_that_ended_is_kept(database, graded):
    roll = open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
    for _ in range(2):
        assert grade_rolls(database, [roll])[0].grade == "none"
    assert graded == ["R1", "R1"]
    closed = close_roll(database, line=LINE, by="eva", at=at(5))
    assert keep_grades(database, most=10) == 1
    assert keep_grades(database, most=10) == 0
    assert grade_rolls(database, [closed])[0].state == "final"
    assert graded == ["R1"] * 3


def test_a_profile_is_not_missed_by_a_roll_that_ended_by_a_clock_that_is_ahead(database, woven, monkeypatch):
    """The newest version of the time that the roll ended at may come after the roll was graded."""
    ends = datetime.now(UTC) + timedelta(hours=1)
    with database.session() as session:  # as another host's clock closed it
        session.execute(update(RollRow).where(RollRow.id == woven.id).values(closed_at=ends))
    (roll,) = [roll for roll in list_rolls(database) if roll.name == "R1"]
    clock = type("Clock", (datetime,), {"now": classmethod(lambda cls, zone: ends + timedelta(minutes=1))})
    monkeypatch.setattr(kept, "datetime", clock)
    before = grade_rolls(database, [roll])
    assert grade_rolls(database, [roll]) == before
    profile = read_profile(database, "four-point").profile.model_copy(update={"min_coverage": 0.5})
    assert add_profile(database, profile, by="eva").version == 2
    assert grade_rolls(database, [roll])[0].profile_version == 2


def test_a_roll_that_changes_while_it_is_graded_is_not_kept_as_it_was(database, pictures, woven, monkeypatch):
    real = kept.keep

    def keep(database, found):
        late_frame(database, pictures, woven)
        real(database, found)

    monkeypatch.setattr(kept, "keep", keep)
    before = grade_rolls(database, [woven])
    monkeypatch.setattr(kept, "keep", real)
    after = grade_rolls(database, [woven])
    assert after == [afresh(database, woven)] != before


def test_workers_keep_the_grades_of_rolls_that_ended_one_of_them_at_a_time(database, woven, graded):
    assert [keep_in_turn(database, name=f"worker-{number}", at=at(60)) for number in range(3)] == [1, 0, 0]
    assert keep_in_turn(database, name="worker-1", at=at(61)) == 0
    grade_rolls(database, [woven])
    assert graded == ["R1"]


def test_another_version_of_the_program_grades_anew(database, woven, graded, monkeypatch):
    before = grade_rolls(database, [woven])
    monkeypatch.setattr(kept, "PROGRAM", "next")
    assert keep_grades(database, most=5) == 1
    assert grade_rolls(database, [woven]) == before
    assert graded == ["R1", "R1"]


def test_a_line_may_ask_for_more_coverage_than_the_profile_never_for_less(database, woven):
    for sequence in range(100, 102):
        store_gap(database, make_gap(sequence, captured_at=at(5)))
    set_coverage_limit(database, line=LINE, limit=0.5, by="eva")
    assert grade_roll(database, woven).profile.profile.min_coverage == 0.98
    set_coverage_limit(database, line=LINE, limit=0.99, by="eva")
    for number in ids(database):
        with database.session() as session:
            session.execute(update(DefectRow).where(DefectRow.id == number).values(state="rejected"))
    assert grade_roll(database, woven).grade.grade == "incomplete"
    set_coverage_limit(database, line=LINE, limit=0.98, by="eva")
    assert grade_roll(database, woven).grade.grade != "incomplete"


def test_a_pruned_roll_takes_its_grade_along(database, pictures, woven):
    grade_rolls(database, [woven])
    assert prune(database, pictures, by="eva", days=1, at=woven.closed_at + timedelta(days=2))
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(RollGradeRow)) == 0
    grade_rolls(database, [])
