"""What must hold of points whatever the roll: more defects are never fewer points, and cutting a roll loses none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection.errors import StorageError
from storage.defects.geometry import CODES
from storage.grading.cloth import Cloth, ClothDefect, WidthStretch
from storage.grading.grade import grade_cloth
from storage.grading.points import count_by_rule, count_points
from storage.grading.profile import AnyProfile
from tests.unit.storage.grading.cloths import IN, YD, cloth, defect, profile

WIDTH_MM, LENGTH_MM = 1500.0, 40 * YD
PROFILES = (
    profile(),
    profile("four-point-metric"),
    profile("ten-point"),
    profile(running="touched", cap_width="proportional", cap_reference_width_mm=1000.0),
    profile(split="literal", hole_rule="all_but_pinholes", tubular=True),
)


@st.composite
def defects(draw: st.DrawFn, length_mm: float = LENGTH_MM) -> ClothDefect:
    length = draw(st.floats(0, 400) | st.floats(0, 5 * YD))
    width = draw(st.floats(0, 60) | st.floats(0, WIDTH_MM))
    y0 = draw(st.floats(0, length_mm) | st.sampled_from([k * YD for k in range(40)]))
    x0 = draw(st.floats(0, WIDTH_MM))
    return ClothDefect(
        id=draw(st.integers(0, 10**6)),
        y0_mm=y0,
        y1_mm=min(length_mm, y0 + length),
        x0_mm=x0,
        x1_mm=min(WIDTH_MM, x0 + width),
        size_mm=float(np.hypot(length, width)),
        geometry=draw(st.sampled_from(["point", "warp_line", "weft_line", "diagonal", "area", "full_width", "edge"])),
        status=draw(st.sampled_from(["unreviewed", "confirmed", "rejected"])),
        severity=draw(st.sampled_from(["minor", "major", "critical"])),
        hole=draw(st.booleans()),
        code=draw(st.sampled_from(["", "knot", "shading"])),
    )


def roll(found, length_mm=LENGTH_MM):
    return cloth(length_mm, WIDTH_MM, *found)


many = st.lists(defects(), max_size=12)


@pytest.mark.parametrize("rules", PROFILES, ids=lambda rules: f"{rules.name}-{rules.running}-{rules.split}")
@settings(max_examples=40)
@given(found=many, further=defects())
def test_a_further_defect_never_lowers_the_points(rules, found, further):
    before, after = count_points(rules, roll(found)), count_points(rules, roll([*found, further]))
    assert after.total >= before.total
    by_unit = {unit.unit: unit.points for unit in after.units}
    assert all(by_unit[unit.unit] >= unit.points for unit in before.units)
    assert all(unit.points <= after.cap for unit in after.units)


@settings(max_examples=40)
@given(found=many, place=st.integers(0, 12), wrong=defects())
def test_a_false_alarm_never_counts(found, place, wrong):
    rejected = replace(wrong, status="rejected")
    for rules in PROFILES:
        without = grade_cloth(rules, roll(found))
        with_it = grade_cloth(rules, roll([*found[:place], rejected, *found[place:]]))
        assert with_it.points.units == without.points.units
        assert (with_it.grade, with_it.state, with_it.rate) == (without.grade, without.state, without.rate)


def cut(rules: AnyProfile, found: ClothDefect, at_mm: float) -> tuple[list[ClothDefect], list[ClothDefect]]:
    """What knives make of a defect: one that scores in each unit it touches is parted, another stays with its
    midpoint."""
    parted = found.length_mm > rules.unit_mm or rules.split == "literal" or found.code in rules.per_unit_codes
    if parted and found.y0_mm < at_mm < found.y1_mm:
        left, right = replace(found, y1_mm=at_mm), replace(found, y0_mm=at_mm)
        return [measured(left, found)], [measured(right, found)]
    left = (found.y0_mm + found.y1_mm) / 2 < at_mm - 1e-9 * rules.unit_mm
    return ([found], []) if left else ([], [found])


def measured(part: ClothDefect, whole: ClothDefect) -> ClothDefect:
    """A part of a line is as slanted as the line."""
    share = part.length_mm / whole.length_mm if whole.geometry in ("warp_line", "diagonal") else 1.0
    return replace(part, x1_mm=part.x0_mm + whole.width_mm * share, size_mm=max(part.length_mm, whole.width_mm * share))


CUT = (*PROFILES, profile(cap_width="proportional", cap_reference_width_mm=1000.0), profile(min_width_mm=1400))
stretches = st.lists(
    st.tuples(st.floats(0, LENGTH_MM), st.floats(0, 3 * YD), st.sampled_from([1390, 1400])), max_size=3
)


@pytest.mark.parametrize(
    "rules", CUT, ids=lambda rules: f"{rules.name}-{rules.running}-{rules.split}-{rules.cap_width}"
)
@settings(max_examples=40)
@given(found=many, narrow=stretches, number=st.integers(1, 35))
def test_splitting_a_roll_at_a_boundary_keeps_the_sum(rules, found, narrow, number):
    """Of what is long as a line is, and no hole: a part of one is a smaller hole, of an area a wider one. Of no edges,
    which a part may lie in and the whole not."""
    rules = rules.model_copy(update={"end_ignore_mm": 0, "edge_ignore_mm": 0})
    at_mm = number * rules.unit_mm
    long_ = {"geometry": "warp_line", "hole": False}
    found = [replace(each, **long_) if sum(map(len, cut(rules, each, at_mm))) == 2 else each for each in found]
    parts = [cut(rules, each, at_mm) for each in found]
    ends = [(y0_mm, min(LENGTH_MM, y0_mm + length_mm), width_mm) for y0_mm, length_mm, width_mm in narrow]

    def points(defects, from_mm, to_mm):
        moved = [replace(each, y0_mm=each.y0_mm - from_mm, y1_mm=each.y1_mm - from_mm) for each in defects]
        widths = [
            WidthStretch(y0_mm=max(y0_mm, from_mm) - from_mm, y1_mm=min(y1_mm, to_mm) - from_mm, width_mm=width_mm)
            for y0_mm, y1_mm, width_mm in ends
            if y0_mm < to_mm and y1_mm > from_mm
        ]
        return count_points(rules, replace(roll(moved, to_mm - from_mm), widths=tuple(widths))).total

    first = points([each for left, _ in parts for each in left], 0, at_mm)
    second = points([each for _, right in parts for each in right], at_mm, LENGTH_MM)
    whole = points(found, 0, LENGTH_MM)
    assert first + second <= whole
    if rules.running != "touched":  # where a part of a running defect that is no longer than a unit runs no more
        assert first + second == whole


@settings(max_examples=40)
@given(found=many, seed=st.randoms())
def test_the_order_of_defects_does_not_matter(found, seed):
    other = list(found)
    seed.shuffle(other)
    assert count_points(profile(), roll(found)).units == count_points(profile(), roll(other)).units


def test_points_agree_with_a_plain_count():
    """Point defects only, from their definition, without the program's own functions."""
    rng = np.random.default_rng(5)
    sizes, places = rng.uniform(0, 300, 500), rng.uniform(100, LENGTH_MM - 500, 500)
    found = [defect(y, size, geometry="point") for y, size in zip(places, sizes, strict=True)]
    yards = np.zeros(41)
    for size, y in zip(sizes, places, strict=True):
        yards[int((y + size / 2) // YD)] += 1 if size <= 3 * IN else 2 if size <= 6 * IN else 3 if size <= 9 * IN else 4
    assert count_points(profile(), roll(found)).total == np.minimum(yards, 4).sum()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "rejected"}, "false_alarm"),
        ({"severity": "minor"}, "minor"),
        ({"x0_mm": 0.0, "x1_mm": 25.4}, "edge"),
        ({"x0_mm": WIDTH_MM - 25.4, "x1_mm": WIDTH_MM}, "edge"),
        ({"x0_mm": 0.0, "x1_mm": 25.5}, ""),
        ({"y0_mm": 0.0, "y1_mm": 50.8}, "end"),
        ({"y0_mm": LENGTH_MM - 50.8, "y1_mm": LENGTH_MM}, "end"),
        ({"y0_mm": 0.0, "y1_mm": 50.9}, ""),
    ],
)
def test_what_is_left_out(changes, reason):
    (scored,) = count_points(profile(), roll([defect(5 * YD, 100.0, **changes)])).defects
    assert scored.left_out == reason
    assert bool(scored.points) is not bool(reason)


def test_tubular_cloth_has_no_edge():
    assert count_points(profile(tubular=True), roll([defect(YD, 50, x0_mm=0, x1_mm=20)])).total == 1


def test_the_end_of_a_running_roll_is_not_its_end():
    last = defect(LENGTH_MM - 40, 30)
    assert count_points(profile(), replace(roll([last]), running=True)).total == 1


def test_what_counts_in_each_unit_is_a_name_that_staff_can_choose():
    assert set(profile().per_unit_codes) <= CODES.keys()
    assert profile(per_unit_codes=("shade", "barre")).per_unit_codes == ("shading", "barre")  # as profiles once said


def test_shade_counts_in_each_yard_it_touches():
    shade = defect(2.5 * YD, 2 * YD, code="shading", geometry="area", x0_mm=100, x1_mm=1400)
    points = count_points(profile(), roll([shade]))
    assert [(unit.unit, unit.points) for unit in points.units] == [(2, 4), (3, 4), (4, 4)]
    assert count_by_rule(points) == [("per_unit", 1, 12)]


def test_a_narrow_yard_costs_its_points():
    narrow = WidthStretch(y0_mm=3.2 * YD, y1_mm=4.5 * YD, width_mm=1390)
    wide = WidthStretch(y0_mm=0, y1_mm=3.2 * YD, width_mm=1400)
    cloth = replace(roll([]), widths=(wide, narrow))
    assert count_points(profile(min_width_mm=1400), cloth).narrow == (3, 4)
    assert count_points(profile(min_width_mm=1400), cloth).total == 8
    assert count_points(profile(), cloth).total == 0


def test_the_last_part_of_a_yard_keeps_the_full_cap():
    found = [defect(10 * YD + 60 * k, 12, hole=True) for k in range(3)]
    assert count_points(profile(end_ignore_mm=0), roll(found, 10.2 * YD)).total == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: roll([], -1.0), "length_mm must be at least 0, got -1.0"),
        (lambda: cloth(1.0, float("nan")), "width_mm must be at least 0, got nan"),
        (lambda: cloth(1.0, 1.0, coverage=1.2), r"coverage must be in \[0, 1\], got 1.2"),
        (lambda: defect(5, -1.0), "cannot reach from"),
        (lambda: defect(float("inf"), 1.0), "y0_mm must be a number, got inf"),
    ],
)
def test_impossible_rolls_and_defects_are_refused(make, message):
    with pytest.raises(StorageError, match=message):
        make()


def test_cloth_is_frozen():
    with pytest.raises(AttributeError):
        roll([]).length_mm = 5  # type: ignore[misc]
    assert isinstance(roll([]), Cloth)
