"""From points to a grade: limits, coverage, rejects, and what keeps a grade provisional."""

from dataclasses import replace

import pytest

from storage.grading.grade import grade_cloth
from tests.unit.storage.grading.cloths import IN, YD, cloth, defect, profile


def points_on(points: int, *, status="confirmed", width_in=36.0, **changes):
    """100 yd x 36 in are 100 yd2: as many points as points per 100 yd2."""
    found = [defect(k * YD + 400, 2 * IN, status=status) for k in range(1, points % 4 + 1)]
    found += [defect((50 + k) * YD + 100, 20 * IN, status=status) for k in range(points // 4)]
    return cloth(100 * YD, width_in * IN, *found, **changes)


@pytest.mark.parametrize(("points", "grade", "outcome"), [(40, "first", "first"), (41, "second", "cut_and_upgrade")])
def test_a_limit_includes_itself(points, grade, outcome):
    found = grade_cloth(profile(), points_on(points))
    assert (found.rate, found.grade, found.outcome) == (pytest.approx(points), grade, outcome)


@pytest.mark.parametrize(("points", "grade"), [(40, "A"), (60, "B"), (61, "C"), (80, "C"), (81, "D")])
def test_grades_of_several_limits(points, grade):
    assert grade_cloth(profile("four-point-abc"), points_on(points)).grade == grade


@pytest.mark.parametrize(("points", "grade"), [(28, "first"), (29, "second")])
def test_the_limit_of_a_fabric(points, grade):
    assert grade_cloth(profile("four-point-denim"), points_on(points)).grade == grade


def test_a_metric_profile_converts_its_limit_and_not_its_total():
    metric = profile("four-point-metric")
    roll = cloth(100_000, 1000, *[defect(1000 * k + 100, 20, hole=True) for k in range(1, 24)])
    graded = grade_cloth(metric, roll)
    assert (graded.rate, graded.points.total) == (pytest.approx(46.0), 46)
    assert graded.limits == (("first", pytest.approx(47.84, abs=0.001)),)
    assert graded.is_first
    assert not grade_cloth(metric, replace(roll, length_mm=95_000.0)).is_first


def test_a_grade_is_provisional_until_all_that_counts_is_reviewed():
    waiting = grade_cloth(profile(), points_on(5, status="unreviewed"))
    assert (waiting.state, waiting.points.total, waiting.unreviewed) == ("provisional", 5, 2)
    assert waiting.reasons == ("2 defects wait for review and count as found",)
    assert grade_cloth(profile(), points_on(5)).state == "final"
    edge = defect(5 * YD, 10, x0_mm=0, x1_mm=5, status="unreviewed")
    assert grade_cloth(profile(), cloth(100 * YD, 900, edge)).state == "final"
    assert grade_cloth(profile(), points_on(5, running=True)).state == "provisional"


def test_a_roll_below_its_coverage_limit_is_never_first():
    for coverage, grade in ((0.98, "first"), (0.9799, "incomplete"), (0.0, "incomplete")):
        assert grade_cloth(profile(), points_on(5, coverage=coverage)).grade == grade
    found = grade_cloth(profile(), points_on(5, coverage=0.5))
    assert found.outcome == "inspect"
    assert "50.0% of the cloth was inspected, at least 98.0% must be" in found.reasons[0]


def test_a_grade_is_provisional_while_cloth_waits_to_be_inspected():
    found = grade_cloth(profile(), points_on(5, coverage=0.99, waiting_mm=900))
    assert (found.grade, found.state) == ("first", "provisional")
    assert found.reasons == ("0.90 m of the cloth are captured and not inspected yet",)


def test_what_is_bad_already_needs_no_further_inspection():
    assert grade_cloth(profile(), points_on(60, coverage=0.5)).grade == "second"
    running = cloth(120 * YD, 1500, defect(20 * YD, 12 * YD), coverage=0.5)
    assert grade_cloth(profile(), running).grade == "reject"


def test_a_repeating_defect_is_rejected_by_its_span():
    marks = [defect(20 * YD + 600 * k, 5, series="roller") for k in range(17)]
    assert grade_cloth(profile(), cloth(120 * YD, 1500, *marks)).grade == "reject"
    assert grade_cloth(profile(), cloth(120 * YD, 1500, *marks[:16])).grade == "first"
    others = [replace(mark, series="") for mark in marks]
    assert grade_cloth(profile(), cloth(120 * YD, 1500, *others)).grade == "first"


def test_a_buyers_limit_on_full_width_defects():
    bars = [defect(k * 10 * YD + 100, 5, x0_mm=0, x1_mm=1500, size_mm=1500, geometry="full_width") for k in range(1, 4)]
    rules = profile(reject_full_width=2)
    assert grade_cloth(rules, cloth(120 * YD, 1500, *bars[:2])).grade == "first"
    found = grade_cloth(rules, cloth(120 * YD, 1500, *bars))
    assert (found.grade, found.reasons[0]) == ("reject", "3 defects over the full width, at most 2 may be")


def test_without_length_or_width_there_is_no_grade():
    for roll, what in ((cloth(0, 1500, defect(0, 5)), "length"), (cloth(1000, 0), "width")):
        found = grade_cloth(profile(), roll)
        assert (found.grade, found.outcome, found.rate) == ("none", "", None)
        assert what in found.reasons[0]
