"""How severe a defect is and what it scores alone, by the rules of its profile."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from storage.grading.points import count_points
from storage.grading.severity import highest, judge
from tests.unit.storage.grading.cloths import IN, YD, cloth, defect, profile
from tests.unit.storage.grading.test_points import LENGTH_MM, PROFILES, WIDTH_MM, defects


def judged(rules=None, chosen=None, **values):
    return judge(
        rules or profile(), defect(5000.0, values.pop("length_mm"), **values), width_mm=WIDTH_MM, chosen=chosen
    )


def place(length_mm, **values):
    return {"length_mm": length_mm, "geometry": "area"} | values


@pytest.mark.parametrize(
    ("values", "expected", "points"),
    [
        (place(2.0, strength=1.2), "minor", 0),
        (place(2.0, strength=1.6), "major", 1),
        (place(2.0, strength=1.2, hole=True), "major", 2),
        (place(50.0, strength=1.1), "major", 1),
        (place(9.5 * IN, strength=2.0), "critical", 4),
        (place(2 * IN, strength=2.0, hole=True), "critical", 4),
        (place(3.1 * YD, strength=2.0, geometry="warp_line"), "critical", 14),
        (place(20.0, strength=2.0, geometry="full_width"), "critical", 4),
    ],
)
def test_the_default_rules(values, expected, points):
    found = judged(**values)
    assert (found.severity, found.points) == (expected, points)


def test_each_rule_is_a_field_of_the_profile():
    strong = place(5.0, strength=6.0)
    assert judged(profile(critical_strength=5.0), **strong).severity == "critical"
    assert judged(profile(critical_points=None), **place(9.5 * IN, strength=2.0)).severity == "major"
    assert judged(profile(minor_max_mm=100.0, minor_max_strength=9.0), **strong).severity == "minor"
    assert judged(profile(counted=("minor", "major", "critical")), **place(2.0, strength=1.2)).points == 1


def test_what_staff_chose_stays_and_decides_whether_it_counts():
    big = place(9.5 * IN, strength=2.0)
    assert (judged(chosen="minor", **big).severity, judged(chosen="minor", **big).points) == ("minor", 0)
    assert judged(chosen="critical", **place(2.0, strength=1.0)).points == 1


def test_the_highest_of_several():
    assert highest(["minor", "critical", "major"]) == "critical"
    assert highest([]) is None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(found=defects())
def test_alone_a_defect_scores_as_on_empty_cloth_where_a_unit_begins_with_it(found):
    for rules in PROFILES:
        start = 3 * rules.unit_mm
        moved = replace(found, y0_mm=start, y1_mm=start + found.length_mm, status="confirmed", severity="major")
        alone = count_points(rules, cloth(LENGTH_MM + 10 * YD, WIDTH_MM, moved)).defects[0].points
        assert judge(rules, found, width_mm=WIDTH_MM, chosen="major").points == pytest.approx(alone)
