"""Two distributions of scores: no drift by chance, drift when scores move, and the measures themselves."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from storage.trends.drift import BINS_PER_UNIT, LAST_BIN, compare, stability_index


def counts(values):
    bins = np.clip((np.asarray(values) * BINS_PER_UNIT).astype(int), 0, LAST_BIN)
    return np.bincount(bins, minlength=LAST_BIN + 1)


def draw(seed, number, mean=0.5, spread=0.06):
    return np.random.default_rng(seed).normal(mean, spread, number)


def test_days_of_the_same_fabric_are_steady():
    reference = counts(draw(0, 1000))
    states = [compare(reference, counts(draw(seed, number))).state for seed in range(1, 40) for number in (300, 2700)]
    assert states.count("steady") >= 77
    assert "drifted" not in states


@pytest.mark.parametrize(
    ("mean", "spread", "expected"),
    [
        (0.5, 0.06, "steady"),
        (0.52, 0.06, "watch"),
        (0.56, 0.06, "drifted"),
        (0.5, 0.12, "drifted"),
        (0.3, 0.06, "drifted"),
    ],
)
def test_scores_that_move_are_seen(mean, spread, expected):
    found = compare(counts(draw(1, 1000)), counts(draw(2, 2000, mean, spread)))
    assert found.state == expected


def test_a_trifle_that_only_many_frames_show_is_steady():
    found = compare(counts(draw(1, 50_000)), counts(draw(2, 50_000, 0.503)))
    assert found.p_value < 0.01
    assert found.state == "steady"


def test_the_distance_is_that_of_the_two_sample_test_on_the_same_bins():
    before, now = draw(1, 1000), draw(2, 700, 0.505)
    found = compare(counts(before), counts(now))
    bins = [np.repeat(np.arange(LAST_BIN + 1), counts(values)) for values in (before, now)]
    expected = ks_2samp(*bins, method="asymp")
    assert found.ks == pytest.approx(expected.statistic)
    assert 0.001 < expected.pvalue < 0.5
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.1)  # which corrects the asymptote for few samples


def test_the_index_is_the_sum_over_tenths_of_the_reference():
    reference, current = np.zeros(128, int), np.zeros(128, int)
    reference[10:20], current[10:20] = 100, [190, 10, *[100] * 8]
    p, q = current[10:20] / 1000, reference[10:20] / 1000
    assert stability_index(reference, current) == pytest.approx(sum((p - q) * np.log(p / q)))
    assert stability_index(reference, reference * 3) == 0


def test_few_frames_say_nothing():
    assert compare(counts(draw(1, 1000)), counts(draw(2, 299, 0.9))).state == "gathering"
    assert compare(counts(draw(1, 299)), counts(draw(2, 1000, 0.9))).state == "gathering"
    assert compare(counts([]), counts([])).state == "gathering"
