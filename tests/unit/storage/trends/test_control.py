"""Control limits against the formulas written out, and against published figures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.trends.control import individuals_chart, u_chart

# NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.2: flow rates of ten batches
FLOWS = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]


def test_limits_of_the_handbooks_flow_rates():
    chart = individuals_chart(FLOWS)
    assert chart.center == pytest.approx(50.81, abs=0.005)
    assert chart.range_mean == pytest.approx(1.8778, abs=0.0005)
    assert chart.upper[0] == pytest.approx(55.8041, abs=0.0005)
    assert chart.lower[0] == pytest.approx(45.8159, abs=0.0005)
    assert set(chart.signals) == {""}


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0.1, 40)), min_size=5, max_size=40))
def test_u_limits_are_the_formula_and_wider_where_less_was_inspected(points):
    counts, areas = [count for count, _ in points], [area for _, area in points]
    chart = u_chart(counts, areas)
    mean = sum(counts) / sum(areas)
    for number, (count, area) in enumerate(points):
        assert chart.values[number] == pytest.approx(count / area)
        assert chart.upper[number] == pytest.approx(mean + 3 * math.sqrt(mean / area))
        assert chart.lower[number] == pytest.approx(max(0.0, mean - 3 * math.sqrt(mean / area)))
        if chart.signals[number] in ("high", "low"):
            assert not chart.lower[number] <= chart.values[number] <= chart.upper[number]
        else:
            assert chart.lower[number] <= chart.values[number] <= chart.upper[number]


def test_a_day_of_many_defects_is_marked_and_others_are_not():
    counts = [20, 22, 19, 21, 60, 20, 18]
    assert u_chart(counts, [10.0] * 7).signals == ("", "", "", "", "high", "", "")


def test_the_ninth_in_a_row_on_one_side_is_marked():
    values = [10.0, 8.0] * 6 + [9.2, 9.1] * 5
    signals = individuals_chart(values).signals
    center = np.mean(values)
    assert all(value > center for value in values[12:])
    assert signals[:20] == ("",) * 20
    assert signals[20:] == ("run", "run")


def test_points_without_cloth_have_no_value_and_few_points_no_limits():
    chart = u_chart([3, 0, 2, 4, 3, 2], [1.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    assert math.isnan(chart.values[1])
    assert math.isnan(chart.upper[1])
    assert chart.center == pytest.approx(14 / 5)
    few = u_chart([3, 2], [1.0, 1.0])
    assert math.isnan(few.center)
    assert np.isnan(few.upper).all()
    assert few.signals == ("", "")


def test_a_share_has_no_limit_beyond_itself():
    chart = individuals_chart([0.9, 1.0, 0.7, 1.0, 0.8, 1.0], highest=1.0)
    assert chart.upper.max() == 1.0
    assert individuals_chart([0.0, 0.1, 0.0, 0.2, 0.0]).lower.min() == 0.0
