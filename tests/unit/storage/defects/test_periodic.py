"""The detector against its simulated table, with fixed seeds, and its rules one by one."""

import numpy as np
import pytest

from benchmarks.periodic import LANES, PERIOD_MM, is_right, lane, live, random_lane
from storage.defects import periodic
from storage.defects.periodic import MAX_MISSES, Element, find_periodic, suspects, tolerance_mm

TRIALS = 30
AT_LEAST = (0.97, 0.85, 0.75, 0.85)  # of the lanes of each kind; benchmarks/periodic.py tells the shares of many


@pytest.mark.parametrize(("kind", "share"), list(zip(LANES, AT_LEAST, strict=True)), ids=[name for name, *_ in LANES])
def test_simulated_lanes_are_found(kind, share):
    _, slots, missed, clutter = kind
    rng = np.random.default_rng(11)
    found = [is_right(find_periodic(lane(rng, slots=slots, missed=missed, clutter=clutter))) for _ in range(TRIALS)]
    assert sum(found) >= share * TRIALS


def test_random_lanes_hold_nothing():
    rng = np.random.default_rng(12)
    assert [find_periodic(random_lane(rng)) for _ in range(60)] == [None] * 60
    assert [live(random_lane(rng))[0] for _ in range(20)] == [None] * 20


def test_a_clean_series_is_told_with_its_fourth_defect_and_foretells_the_next():
    places = [1000 + n * PERIOD_MM for n in range(4)]
    assert find_periodic(places[:3]) is None
    found = find_periodic(places)
    assert found.period_mm == pytest.approx(PERIOD_MM)
    assert (found.hits, found.slots) == ((0, 1, 2, 3), 4)
    assert found.next_mm == pytest.approx(1000 + 4 * PERIOD_MM)
    assert found.closes_mm == pytest.approx(1000 + (3 + MAX_MISSES + 1) * PERIOD_MM + tolerance_mm(PERIOD_MM))


def test_half_the_period_and_its_double_are_not_taken_for_it():
    found = find_periodic([n * PERIOD_MM for n in range(12)])
    assert found.period_mm == pytest.approx(PERIOD_MM)


@pytest.mark.parametrize(("period_mm", "expected"), [(40.0, True), (6000.0, True), (39.0, False), (6100.0, False)])
def test_periods_lie_between_40_mm_and_6_m(period_mm, expected):
    found = find_periodic([n * period_mm for n in range(20)])
    assert (found is not None and found.period_mm == pytest.approx(period_mm)) == expected


def test_a_series_reaches_over_three_misses_and_not_over_four():
    slots = [0, 1, 2, 3, 7, 8]
    assert find_periodic([n * PERIOD_MM for n in slots]).hits == (0, 1, 2, 3, 4, 5)
    slots = [0, 1, 2, 3, 4, 9]
    assert find_periodic([n * PERIOD_MM for n in slots]).hits == (0, 1, 2, 3, 4)


def test_only_the_last_200_m_and_20_defects_count():
    old = [n * PERIOD_MM for n in range(6)]
    assert find_periodic([*old, 200_000 + 5 * PERIOD_MM + 1]) is None
    clutter = [10_000 + n * n * 137.31 for n in range(20)]
    assert find_periodic([*old, *clutter]) is None


def test_a_roller_s_slow_drift_is_followed():
    """0.3 % of stretch over the window."""
    places = np.cumsum(PERIOD_MM * np.linspace(1, 1.003, 18))
    assert len(find_periodic(places.tolist()).hits) == 18


def test_suspects_are_the_elements_within_3_percent_nearest_first():
    elements = [Element(name="dryer", period_mm=640.0), Element(name="guide roller", period_mm=628.3),
                Element(name="screen", period_mm=914.0)]  # fmt: skip
    assert [each.name for each in suspects(630.0, elements)] == ["guide roller", "dryer"]
    assert suspects(700.0, elements) == ()


def test_periods_that_promise_nothing_are_left_out_without_loss(monkeypatch):
    """What a defect that was just stored is part of, against the walk of every period through it."""
    rng = np.random.default_rng(13)
    lanes = [lane(rng, slots=slots, missed=missed, clutter=clutter) for _, slots, missed, clutter in LANES * 6]
    lanes += [random_lane(rng) for _ in range(12)]
    lanes += [np.sort(rng.uniform(0, length_mm, 20)) for length_mm in (60_000, 100_000, 200_000) for _ in range(6)]
    slow = [6000.0 * n + rng.normal(0, 5) for n in (0, 1, 5, 6, 7)]  # four slots between two of them
    lanes += [np.sort([*slow, *rng.uniform(-150_000, 0, 4)])]
    asked = [(places, through) for places in lanes for through in (len(places) - 1, len(places) // 2)]
    found = [find_periodic(places, through=through) for places, through in asked]

    def every_period(places, through):
        apart = np.abs(np.delete(places, through) - places[through])
        return periodic._apart(periodic._possible(apart))

    monkeypatch.setattr(periodic, "_promising", every_period)
    monkeypatch.setattr(periodic, "_in_reach", lambda places, through: len(places))
    assert found == [find_periodic(places, through=through) for places, through in asked]
    assert sum(each is not None for each in found) > 20
