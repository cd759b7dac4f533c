"""Forms by the rules of the trade, at their limits, and the names that go with them."""

import numpy as np
import pytest

from storage.defects.geometry import GEOMETRIES, NAMES, Cloth, classify, propose_names
from storage.defects.outline import measure, outline_of

MM = 0.5
CLOTH_MM = 1600.0


def form_of(height_mm, width_mm, *, x_mm=700.0, cloth_mm=CLOTH_MM, right_mm=CLOTH_MM):
    mask = np.ones((round(height_mm / MM), round(width_mm / MM)), np.bool_)
    measures = measure(outline_of(mask, x0_mm=x_mm, y0_mm=2e6, mm_per_px=MM))
    return classify(measures, Cloth(width_mm=cloth_mm, right_mm=right_mm, right_reach_mm=right_mm - x_mm))


@pytest.mark.parametrize(
    ("height_mm", "width_mm", "expected"),
    [
        (10, 10, "point"),
        (10.5, 10, "area"),
        (10.5, 2.5, "warp_line"),
        (12, 3, "warp_line"),
        (12, 3.5, "area"),
        (40_000, 2, "warp_line"),
        (3, 12, "weft_line"),
        (3, 1279.5, "weft_line"),
        (3, 1280, "full_width"),
        (300, 1300, "full_width"),
        (60, 60, "area"),
    ],
)
def test_boxes_are_told_by_their_sides(height_mm, width_mm, expected):
    x_mm = 30.0 if width_mm > 1000 else 700.0
    assert form_of(height_mm, width_mm, x_mm=x_mm) == expected


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(0, "warp_line"), (13, "warp_line"), (17, "diagonal"), (45, "diagonal"), (-45, "diagonal"), (73, "diagonal"),
     (77, "weft_line"), (90, "weft_line"), (-80, "weft_line")],
)  # fmt: skip
def test_lines_are_told_by_their_direction(degrees, expected):
    along = np.linspace(0, 100, 2000)
    xs, ys = along * np.sin(np.radians(degrees)), along * np.cos(np.radians(degrees))
    mask = np.zeros((int(np.ptp(ys) / MM) + 4, int(np.ptp(xs) / MM) + 4), np.bool_)
    mask[((ys - ys.min()) / MM).astype(int) + 1, ((xs - xs.min()) / MM).astype(int) + 1] = True
    measures = measure(outline_of(mask, x0_mm=500.0, y0_mm=0.0, mm_per_px=MM))
    cloth = Cloth(width_mm=CLOTH_MM, right_mm=CLOTH_MM, right_reach_mm=1100.0)
    assert classify(measures, cloth) == expected
    assert measures.angle_deg == pytest.approx(abs(degrees), abs=1)


def test_an_edge_defect_lies_within_25_mm_of_the_cloth_s_edge_with_all_of_it():
    assert form_of(100, 5, x_mm=20.0) == "edge"
    assert form_of(100, 5, x_mm=20.5) == "warp_line"
    assert form_of(5, 5, x_mm=CLOTH_MM - 25) == "edge"
    assert form_of(5, 5, x_mm=CLOTH_MM - 25.5) == "point"


def test_the_border_to_the_next_camera_is_no_edge():
    assert form_of(5, 5, x_mm=790.0, right_mm=800.0) == "point"
    assert form_of(5, 5, x_mm=790.0, right_mm=800.0, cloth_mm=800.0) == "edge"


def test_across_one_of_two_cameras_is_not_across_the_cloth():
    assert form_of(3, 790, x_mm=5.0, right_mm=800.0) == "weft_line"
    assert form_of(3, 790, x_mm=5.0, right_mm=800.0, cloth_mm=800.0) == "full_width"


def test_every_form_has_names_and_every_name_a_form():
    assert len({name.code for name in NAMES}) == len(NAMES)
    for geometry in GEOMETRIES:
        assert propose_names(geometry)
    assert {name.code for geometry in GEOMETRIES for name in propose_names(geometry)} == {name.code for name in NAMES}


def test_what_is_known_of_the_cloth_orders_the_names():
    assert propose_names("point", hole=True)[0].code == "hole"
    assert "hole" not in {name.code for name in propose_names("point", hole=False)}
    assert "hole" in {name.code for name in propose_names("point", hole=None)}
    assert propose_names("point", hole=False, periodic=True)[0].periodic
    assert propose_names("warp_line")[0].code == "broken_end"
