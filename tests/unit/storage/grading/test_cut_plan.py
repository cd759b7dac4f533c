"""The cut plan gives the most first-quality length: every way of cutting small rolls is tried by force."""

import math
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.grading.cloth import MissedStretch
from storage.grading.cut_plan import plan_cuts
from storage.grading.grade import grade_cloth
from tests.unit.storage.grading.cloths import YD, cloth, defect, profile

WIDTH_MM, YARDS = 914.4, 9
SALE = {"min_piece_mm": 2 * YD, "cut_out_running": True, "remnant_value": 0.3}
RULES = {
    "plain": profile(end_ignore_mm=0, cut=SALE, min_coverage=0.9),
    "keep running": profile(
        end_ignore_mm=0, cut=SALE | {"cut_out_running": False}, reject_running_mm=2.5 * YD, min_coverage=0.8
    ),
    "bars": profile(end_ignore_mm=0, cut=SALE | {"min_piece_mm": YD}, reject_full_width=1, min_coverage=0),
}


@st.composite
def rolls(draw):
    length_mm = draw(st.sampled_from([YARDS * YD, (YARDS - 0.4) * YD]))
    found = [
        defect(
            y := draw(st.floats(0, length_mm - 10)),
            min(draw(st.sampled_from([5.0, 100.0, 300.0, 1.2 * YD, 3 * YD])), length_mm - y),
            geometry=(geometry := draw(st.sampled_from(["warp_line", "warp_line", "full_width"]))),
            x0_mm=100.0,
            x1_mm=800.0 if geometry == "full_width" else 101.0,
            series=draw(st.sampled_from(["", "", "roller"])),
        )
        for _ in range(draw(st.integers(0, 7)))
    ]
    missed = tuple(
        MissedStretch(y0_mm=y, y1_mm=y + 700, share=draw(st.sampled_from([0.5, 1.0])))
        for y in draw(st.lists(st.floats(0, length_mm - 700), max_size=2))
    )
    return cloth(length_mm, WIDTH_MM, *found, missed=missed)


def parts(found, y0, y1):
    """The defects of a piece, in its own millimetres; of a running one its part."""
    inside = []
    for each in found:
        if each.length_mm > YD + 1e-6:
            if each.y0_mm < y1 - 1e-6 and each.y1_mm > y0 + 1e-6:
                a, b = max(each.y0_mm, y0), min(each.y1_mm, y1)
                size = max(b - a, each.width_mm if each.geometry == "full_width" else 0)
                inside.append(replace(each, y0_mm=a - y0, y1_mm=b - y0, size_mm=size))
        elif y0 <= (each.y0_mm + each.y1_mm) / 2 + 1e-7 and (each.y0_mm + each.y1_mm) / 2 < y1 - 1e-7:
            inside.append(replace(each, y0_mm=max(0, each.y0_mm - y0), y1_mm=min(y1 - y0, each.y1_mm - y0)))
    return inside


def is_first(rules, roll, y0, y1):
    """A piece graded as a roll of its own."""
    if y1 - y0 < rules.cut.min_piece_mm - 1e-6:
        return False
    for each in roll.defects:
        through = [cut for cut in (y0, y1) if each.y0_mm + 1e-6 < cut < each.y1_mm - 1e-6]
        if each.length_mm <= YD and through:
            return False
        if rules.cut.cut_out_running and each.length_mm > YD + 1e-6 and each.y0_mm < y1 and each.y1_mm > y0:
            first = math.floor(each.y0_mm / YD + 1e-9) * YD
            last = math.ceil(each.y1_mm / YD - 1e-9) * YD
            if first < y1 - 1e-6 and last > y0 + 1e-6:
                return False
    missed = sum(max(0.0, min(y1, gap.y1_mm) - max(y0, gap.y0_mm)) * gap.share for gap in roll.missed)
    coverage = max(0.0, 1 - missed / (y1 - y0))
    if abs(coverage - rules.min_coverage) < 1e-6:
        coverage = rules.min_coverage
    piece = cloth(y1 - y0, WIDTH_MM, *parts(roll.defects, y0, y1), coverage=coverage)
    return grade_cloth(rules, piece).is_first


def most_by_force(rules, roll):
    """Every set of cuts at yards."""
    y = [*(k * YD for k in range(YARDS)), roll.length_mm]
    value = {(i, j): (y[j] - y[i]) * is_first(rules, roll, y[i], y[j]) for i, j in combinations(range(len(y)), 2)}
    best = 0.0
    inner = range(1, len(y) - 1)
    for count in range(len(y) - 1):
        for cuts in combinations(inner, count):
            ends = (0, *cuts, len(y) - 1)
            best = max(best, sum(value[pair] for pair in pairwise(ends)))
    return best


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@settings(max_examples=40)
@given(roll=rolls())
def test_no_way_of_cutting_gives_more_first_quality(rules, roll):
    plan = plan_cuts(rules, roll)
    assert plan.first_mm == pytest.approx(most_by_force(rules, roll), abs=1e-3)
    for piece in plan.pieces:
        assert not piece.first or is_first(rules, roll, piece.y0_mm, piece.y1_mm)


@settings(max_examples=40)
@given(roll=rolls())
def test_the_pieces_are_the_roll(roll):
    plan = plan_cuts(RULES["plain"], roll)
    assert plan.pieces[0].y0_mm == 0
    assert plan.pieces[-1].y1_mm == roll.length_mm
    for one, next_one in pairwise(plan.pieces):
        assert one.y1_mm == next_one.y0_mm
        assert one.first or next_one.first
    whole = grade_cloth(RULES["plain"], roll).points.total
    assert sum(piece.points for piece in plan.pieces) == pytest.approx(whole)


def bad_stretch(y_yards, count):
    return [defect((y_yards + k) * YD + 100, 300) for k in range(count)]


def test_a_bad_stretch_is_cut_out():
    """300 yd with 40 bad yards in the middle: 160 points on 300 yd2 are too many."""
    roll = cloth(300 * YD, 914.4, *bad_stretch(100, 40))
    rules = profile("four-point-denim")
    assert grade_cloth(rules, roll).grade == "second"
    plan = plan_cuts(rules, roll)
    # 28 points per 100 yd2 allow 7 bad yards in 100: each side takes some of them along
    assert [piece.first for piece in plan.pieces] == [True, False, True]
    assert plan.first_mm == pytest.approx(plan_by_hand() * YD)
    assert plan.value_mm == pytest.approx(plan.first_mm + 0.6 * (300 * YD - plan.first_mm))
    assert plan.whole_value_mm == pytest.approx(0.6 * 300 * YD)
    assert plan.worthwhile


def plan_by_hand():
    """Left piece of 100 + a yards, right one of 160 + b, 4 points a bad yard, at most 28 per 100."""
    a = max(k for k in range(40) if 4 * k / (100 + k) <= 0.28)
    b = max(k for k in range(40) if 4 * k / (160 + k) <= 0.28)
    return 260 + a + b


def test_a_first_roll_is_left_whole():
    plan = plan_cuts(profile(), cloth(120 * YD, 1500, defect(10 * YD + 100, 30)))
    assert (plan.cuts, plan.worthwhile) == (0, False)
    assert plan.value_mm == plan.whole_value_mm == pytest.approx(120 * YD)


def test_cutting_a_first_roll_for_one_running_yard_is_not_worth_it():
    plan = plan_cuts(profile(), cloth(120 * YD, 1500, defect(60 * YD, 2 * YD)))
    assert plan.first_mm == pytest.approx(118 * YD)
    assert not plan.worthwhile


def test_a_roll_shorter_than_a_piece_has_no_first_piece():
    plan = plan_cuts(profile(), cloth(14 * YD, 1500))
    assert plan.first_mm == 0
    assert [piece.first for piece in plan.pieces] == [False]


def test_uninspected_cloth_is_not_sold_as_first():
    """Half of 100 m was not seen."""
    missed = (MissedStretch(y0_mm=50 * YD, y1_mm=100 * YD, share=1.0),)
    roll = cloth(100 * YD, 1500, coverage=0.5, missed=missed)
    plan = plan_cuts(profile(), roll)
    assert [(piece.first, round(piece.y1_mm / YD)) for piece in plan.pieces] == [(True, 51), (False, 100)]
    assert plan_cuts(profile(min_coverage=1.0), roll).first_mm == pytest.approx(50 * YD)


def test_no_cloth_has_no_plan():
    assert plan_cuts(profile(), cloth(0, 1500)).pieces == ()
