"""Thresholds: honest about what held-out normal fabric can show."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from scipy.stats import genpareto, poisson

from cras_core.calibration import NORMAL_SHARES, Threshold, normal_scores, set_threshold, split_folds
from cras_core.config import CrasConfig
from cras_core.errors import DataSetError
from cras_core.false_alarms import (
    Events,
    HeldOut,
    begin_level,
    find_events,
    find_peaks,
    fit_tail,
    rate_interval,
    threshold_at,
)
from cras_core.features import Features

CONFIG = CrasConfig(score_scale="surprise", false_alarms_per_100m=10.0)
METRES_PER_TILE = 0.0512


def features_of(*styles_and_groups):
    styles = tuple(sorted({style for style, _ in styles_and_groups}))
    count = len(styles_and_groups)
    return Features(
        vectors=np.zeros((count, 1, 1), np.float16),
        styles=styles,
        style_of=np.asarray([styles.index(style) for style, _ in styles_and_groups]),
        groups=tuple(group for _, group in styles_and_groups),
        pictures=np.arange(count),
        places=np.zeros((count, 2), np.int64),
        metres=np.full(count, METRES_PER_TILE),
        device=torch.device("cpu"),
    )


def held_out(scores, *, groups=None, pictures=None):
    """Tiles in one row, each its own picture unless told."""
    count = len(scores)
    return HeldOut(
        scores=np.asarray(scores, np.float64),
        pictures=np.arange(count) if pictures is None else np.asarray(pictures),
        places=np.stack([np.zeros(count, np.int64), np.arange(count)], axis=1),
        groups=groups or [str(index // 13) for index in range(count)],
        metres=np.full(count, METRES_PER_TILE),
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


def events_of(scores, start):
    return Events.of(held_out(scores), start=start)


def test_with_enough_fabric_the_threshold_is_read_off_and_no_extrapolation():
    scores = np.random.default_rng(0).normal(size=20_000)
    events = events_of(scores, 1.0)
    value, extrapolated = threshold_at(events, rate_per_m=200 / events.metres)
    assert not extrapolated
    assert (scores > value).sum() == 199  # the 200th highest itself: further fabric exceeds it 200 times in the mean


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_rate_is_extrapolated_and_comes_near_the_truth(seed):
    scores = np.random.default_rng(seed).exponential(size=400)
    rate = 1e-4 / METRES_PER_TILE  # one tile in 10 000
    value, extrapolated = threshold_at(events_of(scores, np.quantile(scores, 0.85)), rate_per_m=rate)
    assert extrapolated
    assert 1e-6 < np.exp(-value) < 3e-3  # the share of tiles that really rises above it


def tail_of(excess):
    events = events_of(excess, 0.0)
    return fit_tail(*events.counted(), whole=events.whole)


def test_the_tail_fit_finds_an_exponential_tail():
    scale, shape = tail_of(np.random.default_rng(1).exponential(2.0, size=20_000))
    assert scale == pytest.approx(2.0, rel=0.05)
    assert abs(shape) < 0.05


def test_the_tail_fit_finds_a_heavier_tail_and_bounds_it():
    random = np.random.default_rng(1)
    assert tail_of(genpareto.rvs(0.1, size=20_000, random_state=random))[1] == pytest.approx(0.1, abs=0.03)
    assert tail_of(genpareto.rvs(0.45, size=20_000, random_state=random))[1] == 0.2
    assert tail_of([2.0]) == (2.0, 0.0)


@given(excess=st.lists(st.integers(1, 1000), min_size=2, max_size=30, unique=True))
def test_the_tail_fit_is_that_of_probability_weighted_moments(excess):
    """Hosking and Wallis 1987, where no event joins another: a0 = E[x], a1 = E[x (1 - F(x))]."""
    n, rising = len(excess), sorted(excess)
    mean = sum(rising) / n
    weighted = sum(x * (n - 1 - place) for place, x in enumerate(rising)) / (n * (n - 1))
    shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else 0.0
    shape = min(max(shape * n / (n + 60), -0.2), 0.2)
    np.testing.assert_allclose(tail_of(excess), (mean * (1 - shape), shape), atol=1e-6, rtol=1e-6)


def frames_of(scores):
    """Frames of several rows and columns of tiles, each its own group. scores: (n, rows, columns)."""
    scores = np.asarray(scores, np.float64)
    pictures, rows, columns = (index.ravel() for index in np.indices(scores.shape))
    return HeldOut(
        scores=scores.ravel(),
        pictures=pictures,
        places=np.stack([rows, columns], axis=1),
        groups=[str(number) for number in pictures],
        metres=np.full(scores.size, 0.1 / scores[0].size),
    )


def alarms_above(frames, level):
    """Regions of touching tiles, by a labelling of its own."""
    return sum(label(frame > level, structure=np.ones((3, 3)))[1] for frame in frames)


@given(data=st.data(), rows=st.integers(1, 4), columns=st.integers(1, 6), count=st.integers(1, 3))
def test_events_are_counted_at_every_level_as_they_would_be_there(data, rows, columns, count):
    values = st.lists(st.integers(0, 9), min_size=rows * columns * count, max_size=rows * columns * count)
    frames = np.asarray(data.draw(values), np.float64).reshape(count, rows, columns)
    peaks, bases, tiles = find_events(frames_of(frames), start=0.0)
    for level in range(10):
        expected = alarms_above(frames, level)
        assert ((peaks > level) & (bases <= level)).sum() == expected
        assert len(find_peaks(frames_of(frames), start=level)) == expected
    assert all(frames.ravel()[tile] == peak for tile, peak in zip(tiles, peaks, strict=True))
    levels, counts = Events.of(frames_of(frames), start=0.0).counted()
    for place in range(len(levels) - 1):
        assert counts[place] == alarms_above(frames, (levels[place] + levels[place + 1]) / 2)


def woven(random, count, *, bars):
    """Frames of 2 x 4 tiles; with bars, in one row of ten all tiles are high together."""
    scores = random.exponential(size=(count, 2, 4))
    high = 1.5 + random.exponential(size=(count, 2, 1)) + 0.1 * scores
    return np.where(random.random((count, 2, 1)) < 0.1, high, scores) if bars else scores


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "bars"])
def fresh(request):
    """Whether it has bars; levels, and false alarms a frame above each."""
    frames = woven(np.random.default_rng(9), 800, bars=request.param)
    levels = np.linspace(0, 9, 31)
    return request.param, levels, [alarms_above(frames, level) / len(frames) for level in levels]


@pytest.mark.parametrize("wanted", [1.0, 3.0, 13.5])
def test_the_rate_is_kept_in_the_mean_where_tiles_touch(fresh, wanted):
    """Not counted at a low level, where neighbours are one, and then exceeded at a higher one, where they are two."""
    bars, levels, rates = fresh
    random = np.random.default_rng(0)
    shown = []
    for _ in range(150):
        held = frames_of(woven(random, 15, bars=bars))
        start = begin_level(held, rate_per_m=wanted / 1.5)
        value, _ = threshold_at(Events.of(held, start=start), rate_per_m=wanted / 1.5)
        shown.append(15 * np.interp(value, levels, rates))
    assert 0.75 * wanted < np.mean(shown) < 1.2 * wanted


def test_a_rate_beyond_what_fabric_can_give_is_answered_by_the_level_of_the_most_alarms():
    """Where everything is an alarm, every frame is a single one."""
    frames = woven(np.random.default_rng(2), 20, bars=False)
    held = frames_of(frames)
    found = set_threshold(held, replace(CONFIG, false_alarms_per_100m=1e6), group_split=False)
    most = max(alarms_above(frames, level) for level in frames.ravel())
    assert alarms_above(frames, found.value - 1e-6) == most
    assert not found.extrapolated


def test_events_of_one_group_tell_less_of_a_tail_than_those_of_several():
    random = np.random.default_rng(6)
    scores = random.exponential(size=60)
    near, far = (
        set_threshold(held_out(scores, groups=groups), CONFIG, group_split=False).value
        for groups in ([str(place) for place in range(60)], ["one"] * 60)
    )
    assert far > near


def test_touching_tiles_of_one_picture_are_one_false_alarm():
    scores = [5, 6, 0, 7, 0, 9]
    assert sorted(find_peaks(held_out(scores, pictures=[0] * 6), start=1)) == [6, 7, 9]
    assert len(find_peaks(held_out(scores, pictures=[0] * 6), start=-1)) == 1
    assert sorted(find_peaks(held_out(scores), start=1)) == [5, 6, 7, 9]
    corner = HeldOut(
        scores=np.asarray([3.0, 4.0, 8.0]),
        pictures=np.zeros(3, np.int64),
        places=np.asarray([[0, 0], [1, 1], [1, 3]]),
        groups=["a"] * 3,
        metres=np.ones(3),
    )
    assert sorted(find_peaks(corner, start=1)) == [4, 8]


@settings(deadline=None)
@given(
    scores=st.lists(st.floats(0, 20), min_size=1, max_size=60),
    rates=st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=2).map(sorted),
)
def test_nothing_is_infinite_and_rarer_alarms_do_not_lower_the_threshold(scores, rates):
    held = held_out(scores)
    low, high = (set_threshold(held, replace(CONFIG, false_alarms_per_100m=rate), group_split=False) for rate in rates)
    assert np.isfinite([low.value, high.value]).all()
    assert all(each.value_low <= each.value <= each.value_high for each in (low, high))
    assert low.more_metres_needed >= high.more_metres_needed
    if not high.extrapolated or low.extrapolated == high.extrapolated:
        assert low.value >= high.value - 1e-9 or low.extrapolated != high.extrapolated
    assert high.exceedances <= max(rates[1] / 100 * high.metres, 0) + 1e-9 or high.extrapolated


@given(events=st.integers(0, 60), metres=st.floats(0.1, 1e4))
def test_the_rate_interval_is_poissons(events, metres):
    low, high = rate_interval(events, metres)
    assert poisson.cdf(events, high * metres / 100) == pytest.approx(0.025, rel=1e-6)
    if events:
        assert poisson.sf(events - 1, low * metres / 100) == pytest.approx(0.025, rel=1e-6)
    else:
        assert low == 0


def test_a_threshold_tells_how_it_was_set_and_how_much_more_fabric_it_takes():
    scores = np.random.default_rng(0).exponential(size=39)
    found = set_threshold(held_out(scores), CONFIG, group_split=False)
    assert found.extrapolated
    assert (found.held_out_tiles, found.held_out_groups) == (39, 3)
    assert found.metres == pytest.approx(39 * METRES_PER_TILE)
    assert found.more_metres_needed == pytest.approx(30 - found.metres)
    assert found.value_low <= found.value <= found.value_high
    assert found.exceedances == (scores > found.value).sum()
    assert found.low_per_100m <= 10 <= found.high_per_100m


def test_a_threshold_that_fabric_supports_is_not_marked():
    scores = np.random.default_rng(0).exponential(size=2_000)
    found = set_threshold(held_out(scores), CONFIG, group_split=False)
    assert found.metres > 30
    assert not found.extrapolated
    assert found.more_metres_needed == 0
    assert found.exceedances == int(10 / 100 * found.metres)  # between two ranks, so strictly above the lower
    assert found.low_per_100m < 10 < found.high_per_100m


@pytest.mark.parametrize("wanted", [3.0, 3.5, 8.0])
def test_what_is_read_off_is_kept_in_the_mean_by_further_fabric(wanted):
    """Not one alarm too many: of n values, the j-th highest is exceeded with the chance j / (n + 1)."""
    random = np.random.default_rng(4)
    shown = []
    for _ in range(800):
        events = events_of(random.exponential(size=60), 0.2)
        value, extrapolated = threshold_at(events, rate_per_m=wanted / events.metres)
        assert not extrapolated
        shown.append(60 * np.exp(-value))
    assert np.mean(shown) == pytest.approx(wanted, rel=0.06)


@pytest.mark.parametrize("wanted", [0.3, 1.0])
def test_an_extrapolated_threshold_is_kept_in_the_mean_although_its_scale_is_only_estimated(wanted):
    """An exponential tail of 9 events: the plain fit, not knowing that it may be wrong, would give 1.8 times 0.3."""
    random = np.random.default_rng(5)
    shown = []
    for _ in range(800):
        scores = random.exponential(size=60)
        alone = held_out(scores, groups=[str(place) for place in range(60)])
        events = Events.of(alone, start=np.sort(scores)[-10])
        value, extrapolated = threshold_at(events, rate_per_m=wanted / events.metres)
        assert extrapolated
        shown.append(60 * np.exp(-value))
    assert np.mean(shown) == pytest.approx(wanted, rel=0.25)


def test_the_asked_rate_is_kept_on_fabric_of_the_same_kind():
    """Thresholds from 2 000 tiles, checked on 50 000 others: the rate lies within the interval's reach."""
    random = np.random.default_rng(3)
    found = set_threshold(held_out(random.exponential(size=2_000)), CONFIG, group_split=False)
    seen = (random.exponential(size=50_000) > found.value).sum() / (50_000 * METRES_PER_TILE) * 100
    assert found.low_per_100m < seen < found.high_per_100m


@pytest.mark.parametrize(("tiles", "share"), [(199, 0.02), (199, 0.05), (99, 0.01)])
def test_the_kept_scores_are_exceeded_by_their_share_of_further_tiles(tiles, share):
    random = np.random.default_rng(6)
    shown = [np.interp(share, NORMAL_SHARES, normal_scores(random.exponential(size=tiles))) for _ in range(800)]
    assert np.exp(-np.asarray(shown)).mean() == pytest.approx(share, rel=0.12)


def test_the_kept_scores_come_back_as_they_were_and_an_older_threshold_has_none():
    found = set_threshold(held_out(np.random.default_rng(0).exponential(size=400)), CONFIG, group_split=False)
    entry = json.loads(json.dumps(found.to_dict()))
    assert Threshold.from_dict(entry) == found
    assert found.exceeded_by(0.05) < found.exceeded_by(0.015) < found.exceeded_by(0.01) <= found.value
    assert replace(found, value=0.1).exceeded_by(0.01) == 0.1  # an alarm is held whatever normal tiles scored
    del entry["normal_scores"]
    assert Threshold.from_dict(entry).exceeded_by(0.02) is None


def test_probabilities_are_extrapolated_towards_one_and_never_past_it():
    scores = np.random.default_rng(0).beta(8, 2, size=50)
    found = set_threshold(held_out(scores), replace(CONFIG, score_scale="probability"), group_split=True)
    assert scores.max() - 0.2 < found.value < 1
    assert found.group_split


def test_thresholds_come_from_fabric_the_heads_never_saw(small_model):
    for facts in small_model.styles.values():
        assert facts.threshold.calibration == "crossfit"
        assert facts.threshold.held_out_tiles == facts.tiles
        assert facts.threshold.held_out_groups == facts.groups
