"""Every worked example of the published summaries, to the figure, with the variants that parties may agree on."""

import pytest

from storage.grading.grade import grade_cloth
from storage.grading.points import count_points
from tests.unit.storage.grading.cloths import IN, YD, cloth, defect, profile


def spread(*sizes_mm, step_mm=5 * YD, **changes):
    """One defect in each fifth yard."""
    return [defect((k + 1) * step_mm + 100, size, **changes) for k, size in enumerate(sizes_mm)]


def one_yard(**fields):
    """120 yd x 60 in with one defect of each kind."""
    defects = [
        defect(10 * YD + 10, 1 * IN),
        defect(10 * YD + 200, 5 * IN),
        defect(10 * YD + 500, 8 * IN),
        defect(20 * YD + 10, IN / 2, hole=True, geometry="point"),
        defect(30 * YD, 3.1 * YD),
        defect(50 * YD + 10, 5, x0_mm=0, x1_mm=60 * IN, size_mm=60 * IN, geometry="full_width"),
        defect(60 * YD + 10, 12 * IN, x0_mm=2, x1_mm=IN),
        defect(70 * YD + 10, 12 * IN, status="rejected"),
    ]
    return grade_cloth(profile(**fields), cloth(120 * YD, 60 * IN, *defects))


def test_a_roll_of_130_yards():
    sizes = [2] * 6 + [5] * 5 + [8] * 2 + [12]
    holes = spread(2 * IN, hole=True, geometry="point")
    defects = [*spread(*(size * IN for size in sizes), step_mm=6 * YD), *holes]
    grade = grade_cloth(profile(), cloth(130 * YD, 45 * IN, *defects))
    assert grade.points.total == 30
    assert grade.rate == pytest.approx(18.4615, abs=1e-4)
    assert (grade.grade, grade.state, grade.measure) == ("first", "final", "100yd2")


def test_a_roll_of_100_metres():
    sizes = [60] * 7 + [120] * 4 + [200] * 2 + [300]
    defects = [*spread(*sizes, step_mm=5000), *spread(30, step_mm=2000, hole=True)]
    grade = grade_cloth(profile("four-point-metric"), cloth(100_000, 1500, *defects))
    assert grade.points.total == 29
    assert grade.rate == pytest.approx(19.3333, abs=1e-4)
    assert grade.measure == "100m2"


def test_a_roll_with_a_defect_of_each_kind():
    grade = one_yard()
    assert grade.points.total == 24
    assert grade.rate == pytest.approx(12.0)
    units = {unit.unit: (unit.raw, unit.points) for unit in grade.points.units}
    assert units == {10: (6, 4), 20: (2, 2), 30: (4, 4), 31: (4, 4), 32: (4, 4), 33: (2, 2), 50: (4, 4)}
    assert [each.left_out for each in grade.points.defects][-2:] == ["edge", "false_alarm"]
    assert grade.points.capped_off == 2


def test_a_running_defect_by_each_yard_touched():
    grade = one_yard(running="touched")
    assert grade.points.total == 26
    assert grade.rate == pytest.approx(13.0)


def test_a_running_end_of_11_yards_is_a_reject_whatever_its_rate():
    roll = cloth(120 * YD, 60 * IN, defect(30 * YD, 11 * YD))
    grade = grade_cloth(profile(), roll)
    assert grade.points.total == 44
    assert grade.rate == pytest.approx(22.0)
    assert (grade.grade, grade.outcome) == ("reject", "rework")
    assert "from 27.43 m to 37.49 m" in grade.reasons[0]
    assert grade_cloth(profile(reject_running_mm=None), roll).grade == "first"
    assert grade_cloth(profile(), cloth(120 * YD, 60 * IN, defect(30 * YD, 10 * YD))).grade == "first"


@pytest.mark.parametrize(("inches", "points"), [(3.00, 1), (3.01, 2), (6, 2), (6.01, 3), (9, 3), (9.01, 4), (36, 4)])
def test_bands_include_their_upper_bound(inches, points):
    assert count_points(profile(), cloth(120 * YD, 60 * IN, defect(YD, inches * IN))).total == points


@pytest.mark.parametrize(("size_mm", "points"), [(75, 1), (75.1, 2), (150, 2), (150.1, 3), (230, 3), (230.1, 4)])
def test_metric_bands(size_mm, points):
    assert count_points(profile("four-point-metric"), cloth(100_000, 1500, defect(1000, size_mm))).total == points


def test_a_line_across_a_yards_boundary_scores_once():
    roll = cloth(120 * YD, 60 * IN, defect(10 * YD - 150, 300))
    assert count_points(profile(), roll).total == 4


def test_the_literal_reading_scores_a_line_on_both_sides_of_the_boundary():
    """24 in, 12 on each side: 8 by the letter, 4 by the midpoint."""
    roll = cloth(120 * YD, 60 * IN, defect(10 * YD - 12 * IN, 24 * IN))
    assert count_points(profile(split="literal"), roll).total == 8
    assert count_points(profile(), roll).total == 4


def test_the_cap_of_a_wide_fabric():
    roll = cloth(120 * YD, 132 * IN, defect(10 * YD, 12 * IN), defect(10 * YD + 400, 12 * IN))
    assert count_points(profile(cap_width="proportional"), roll).total == 8
    assert count_points(profile(), roll).total == 4
    narrow = cloth(120 * YD, 60 * IN, *roll.defects)
    assert count_points(profile(cap_width="proportional"), narrow).total == 4


@pytest.mark.parametrize(
    ("rule", "pinhole", "inch", "larger"), [("by_size", 2, 2, 4), ("all", 4, 4, 4), ("all_but_pinholes", 1, 4, 4)]
)
def test_holes(rule, pinhole, inch, larger):
    for size_mm, points in ((1.5, pinhole), (IN, inch), (1.01 * IN, larger)):
        hole = defect(10 * YD, size_mm, hole=True)
        assert count_points(profile(hole_rule=rule), cloth(120 * YD, 60 * IN, hole)).total == points


def test_no_yard_is_lost_to_floating_point():
    """(3 * 914.4) // 914.4 is 2.0."""
    for yard in range(1000):
        roll = cloth(1000 * YD, 60 * IN, defect(yard * YD, 2 * YD))
        units = [unit.unit for unit in count_points(profile(end_ignore_mm=0), roll).units]
        assert units == [unit for unit in (yard, yard + 1) if unit < 1000]


def test_a_points_per_square_yard_is_1_19599_per_square_metre():
    metric = grade_cloth(profile("four-point-metric"), cloth(100_000, 1500))
    assert metric.limits[0][1] / 40 == pytest.approx(1.19599, abs=5e-6)


@pytest.mark.parametrize(
    ("changes", "points"),
    [
        ({"geometry": "warp_line", "size_mm": 25.4}, 1),
        ({"geometry": "warp_line", "size_mm": 127.0}, 3),
        ({"geometry": "warp_line", "size_mm": 254.0}, 5),
        ({"geometry": "warp_line", "size_mm": 914.4}, 10),
        ({"geometry": "weft_line", "size_mm": 25.4}, 1),
        ({"geometry": "weft_line", "size_mm": 127.0}, 3),
        ({"geometry": "weft_line", "size_mm": 762.0}, 5),
        ({"geometry": "weft_line", "size_mm": 763.0}, 10),
        ({"geometry": "full_width", "size_mm": 1524.0}, 10),
        ({"geometry": "point", "size_mm": 3.0, "hole": True}, 10),
    ],
)
def test_ten_point(changes, points):
    found = defect(10 * YD, 20.0, **changes)
    assert count_points(profile("ten-point"), cloth(120 * YD, 60 * IN, found)).total == points


def test_ten_point_is_first_with_no_more_points_than_yards():
    holes = [defect((k + 1) * YD + 100, 5, hole=True) for k in range(12)]
    assert grade_cloth(profile("ten-point"), cloth(120 * YD, 60 * IN, *holes)).grade == "first"
    assert grade_cloth(profile("ten-point"), cloth(119 * YD, 60 * IN, *holes)).grade == "second"
