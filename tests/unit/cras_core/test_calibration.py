"""Thresholds: honest about what held-out normal fabric can show."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from cras_core.calibration import set_threshold, split_folds
from cras_core.config import CrasConfig
from cras_core.errors import DataSetError
from cras_core.false_alarms import fit_tail, rate_interval, threshold_at
from cras_core.features import Features

CONFIG = CrasConfig(score_scale="logit")
METRES_PER_TILE = 51.2**2 / 1000 / 1000  # on a roll 1 m wide


def features_of(*styles_and_groups):
    styles = tuple(sorted({style for style, _ in styles_and_groups}))
    return Features(
        vectors=np.zeros((len(styles_and_groups), 1, 1), np.float16),
        styles=styles,
        style_of=np.asarray([styles.index(style) for style, _ in styles_and_groups]),
        groups=tuple(group for _, group in styles_and_groups),
        device=torch.device("cpu"),
    )


@given(
    sizes=st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(1, 5), min_size=2, max_size=9), min_size=1),
    folds=st.integers(2, 5),
    seed=st.integers(0, 9),
)
def test_folds_never_split_a_group_nor_take_all_of_a_style(sizes, folds, seed):
    tiles = [(s, f"{s}{g}") for s, groups in sizes.items() for g, count in enumerate(groups) for _ in range(count)]
    features = features_of(*tiles)
    found = split_folds(features, folds=folds, seed=seed)
    for group in set(features.groups):
        assert len({found.of_tile[i] for i, name in enumerate(features.groups) if name == group}) == 1
    for index in range(len(features.styles)):
        assert len(set(found.of_tile[features.of_style(index)])) >= 2
        assert 0 in found.of_tile[features.of_style(index)]
    assert not found.split


def test_a_styles_only_group_is_split_into_contiguous_halves_and_marked():
    found = split_folds(features_of(*[("a", "roll")] * 7, ("b", "x"), ("b", "y")), folds=5, seed=0)
    own = found.of_tile[:7].tolist()
    assert own in ([0, 0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0])
    assert found.split == {"a"}


def test_a_single_tile_cannot_be_both_learned_and_held_out():
    with pytest.raises(DataSetError, match="style a has a single tile"):
        split_folds(features_of(("a", "x"), ("b", "x"), ("b", "y")), folds=2, seed=0)


def test_with_enough_fabric_the_threshold_is_the_quantile_and_no_extrapolation():
    scores = np.random.default_rng(0).normal(size=20_000)
    value, extrapolated = threshold_at(scores, probability=0.01)
    assert not extrapolated
    assert (scores > value).sum() == 200


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_rate_is_extrapolated_and_comes_near_the_truth(seed):
    scores = np.random.default_rng(seed).exponential(size=400)
    value, extrapolated = threshold_at(scores, probability=1e-4)
    assert extrapolated
    assert value > scores.max() - 1
    assert 1e-6 < np.exp(-value) < 3e-3  # the rate it really has, asked 1e-4, from 400 tiles


def test_the_tail_fit_is_the_moment_estimate_drawn_to_an_exponential():
    scores = np.random.default_rng(1).exponential(2.0, size=50_000)
    tail = fit_tail(scores)
    assert tail.scale == pytest.approx(2.0, rel=0.05)
    assert abs(tail.shape) < 0.05
    assert tail.share == pytest.approx(0.15)
    assert tail.quantile(tail.share) == pytest.approx(tail.start)


@settings(deadline=None)
@given(
    scores=st.lists(st.floats(-20, 20), min_size=1, max_size=60),
    rates=st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=2).map(sorted),
)
def test_rarer_alarms_never_lower_the_threshold_and_nothing_is_infinite(scores, rates):
    values = [
        set_threshold(
            np.asarray(scores), ["g"] * len(scores), replace(CONFIG, false_alarms_per_100m=rate), group_split=False
        ).value
        for rate in rates
    ]
    assert np.isfinite(values).all()
    if len(scores) * METRES_PER_TILE * rates[1] / 100 < 3:  # both extrapolated, from one tail
        assert values[0] >= values[1] - 1e-9


@given(events=st.integers(0, 60), metres=st.floats(0.1, 1e4))
def test_the_rate_interval_is_poissons(events, metres):
    low, high = rate_interval(events, metres)
    assert poisson.cdf(events, high * metres / 100) == pytest.approx(0.025, rel=1e-6)
    if events:
        assert poisson.sf(events - 1, low * metres / 100) == pytest.approx(0.025, rel=1e-6)
    else:
        assert low == 0


def test_a_threshold_tells_how_it_was_set_and_how_much_more_fabric_it_takes():
    scores = np.random.default_rng(0).normal(size=39)
    groups = [f"strip {index // 13}" for index in range(39)]
    found = set_threshold(scores, groups, replace(CONFIG, false_alarms_per_100m=10.0), group_split=False)
    assert found.extrapolated
    assert (found.held_out_tiles, found.held_out_groups) == (39, 3)
    assert found.metres == pytest.approx(39 * METRES_PER_TILE)
    assert found.more_metres_needed == pytest.approx(30 - found.metres)
    assert found.value_low <= found.value <= found.value_high
    assert found.exceedances == (scores > found.value).sum()
    assert found.low_per_100m <= 10 <= found.high_per_100m


def test_a_threshold_that_fabric_supports_is_not_marked():
    scores = np.random.default_rng(0).normal(size=20_000)
    found = set_threshold(scores, [str(i // 13) for i in range(20_000)], CONFIG, group_split=False)
    assert found.metres > 30
    assert not found.extrapolated
    assert found.more_metres_needed == 0
    assert found.exceedances == pytest.approx(10 / 100 * found.metres, abs=1)
    assert found.low_per_100m < 10 < found.high_per_100m


def test_probabilities_are_extrapolated_towards_one_and_never_past_it():
    scores = np.random.default_rng(0).beta(8, 2, size=50)
    found = set_threshold(scores, ["g"] * 50, replace(CONFIG, score_scale="probability"), group_split=True)
    assert scores.max() - 0.2 < found.value < 1
    assert found.group_split


def test_thresholds_come_from_fabric_the_heads_never_saw(small_model):
    for facts in small_model.styles.values():
        assert facts.threshold.calibration == "crossfit"
        assert facts.threshold.held_out_tiles == facts.tiles
        assert facts.threshold.held_out_groups == facts.groups
