"""The map's layout: it fits, all of the roll is on it, and it says what its scale is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.reports.roll_drawing import GAP, LABELS, RollMap, map_scale
from tests.unit.storage.grading.cloths import cloth

WIDTH, HEIGHT = 510.0, 306.0


@given(length_mm=st.floats(1, 20_000_000), width_mm=st.floats(100, 4000), unit_mm=st.sampled_from([914.4, 1000.0]))
def test_every_roll_fits_and_is_all_there(length_mm, width_mm, unit_mm):
    scale = map_scale(length_mm=length_mm, width_mm=width_mm, unit_mm=unit_mm, width=WIDTH, height=HEIGHT)
    assert scale.rows * (scale.height + LABELS + GAP) <= HEIGHT
    assert scale.rows * scale.row_mm >= length_mm * (1 - 1e-9)
    assert scale.points_per_mm * scale.row_mm == pytest.approx(WIDTH)
    assert scale.height == pytest.approx(width_mm * scale.points_per_mm * scale.enlarged)


def test_a_roll_of_100_m_is_true_to_scale_and_one_of_5_km_says_how_much_it_is_enlarged():
    def caption(length_m):
        drawn = RollMap(cloth(length_m * 1000, 1500), (), {}, None, unit_mm=1000, unit="m", width=WIDTH, height=HEIGHT)
        return drawn.caption()

    assert caption(100).endswith("20 m long, left selvedge at its bottom, true to scale.")
    assert "width enlarged" in caption(5000)


@given(y0=st.floats(0, 100_000), length=st.floats(0, 50_000))
def test_a_stretch_is_drawn_once_from_end_to_end(y0, length):
    drawn = RollMap(cloth(100_000, 1500), (), {}, None, unit_mm=1000, unit="m", width=WIDTH, height=HEIGHT)
    y1 = min(100_000.0, y0 + length)
    parts = drawn._rows_of(y0, y1)
    assert sum(b - a for _, a, b in parts) / drawn.scale.points_per_mm == pytest.approx(y1 - y0, abs=1e-3)
    assert all(0 <= a <= b <= WIDTH * (1 + 1e-9) for _, a, b in parts)
