"""Bootstrap intervals against figures of pictures that were really drawn again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cras_core.intervals import count_images, count_pixels, figures, mean_rounds, middle, resample
from cras_core.metrics import aupro, auroc, average_precision, f1_max


def cases(seed, *, pictures=12, size=16, levels=0):
    """Score maps, masks and which pictures are anomalous; with few levels there are many ties."""
    random = np.random.default_rng(seed)
    anomalous = np.arange(pictures) >= pictures // 2
    masks = np.zeros((pictures, size, size), np.bool_)
    for index in np.flatnonzero(anomalous):
        y, x = random.integers(0, size - 5, 2)
        masks[index, y : y + 4, x : x + 3] = True
        masks[index, 0, :2] = True
    maps = random.gamma(2, 1, masks.shape) + 1.5 * masks
    return (np.floor(maps * levels) if levels else maps).astype(np.float32), masks, anomalous


def exact(scores, truth):
    return {
        "auroc": auroc(scores, truth),
        "ap": average_precision(scores, truth),
        "f1_max": f1_max(scores, truth),
    }


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([0, 1]))
def test_weighted_counts_give_the_figures_of_the_pictures_drawn(seed, levels):
    maps, masks, anomalous = cases(seed, levels=levels)
    random = np.random.default_rng(seed)
    drawn = np.concatenate([random.choice(np.flatnonzero(anomalous == kind), 6) for kind in (False, True)])
    weights = np.bincount(drawn, minlength=12)[None].astype(float)

    scores = maps.max(axis=(1, 2))
    image = figures(count_images(scores, anomalous), weights)
    for name, value in exact(scores[drawn], anomalous[drawn]).items():
        assert image[name][0] == pytest.approx(value)

    pixel = figures(count_pixels(maps, masks, anomalous), weights)
    wanted = exact(maps[drawn], masks[drawn]) | {"aupro": aupro(maps[drawn], masks[drawn])}
    for name, value in wanted.items():
        assert pixel[name][0] == pytest.approx(value, abs=0.005)


def test_the_interval_is_that_of_a_plain_bootstrap():
    maps, _, anomalous = cases(1, pictures=40)
    scores = (maps.max(axis=(1, 2)) + anomalous).astype(np.float32)
    rounds = resample(count_images(scores, anomalous), exact(scores, anomalous), rounds=1000, seed=3)
    random = np.random.default_rng(8)
    plain = []
    for _ in range(1000):
        drawn = np.concatenate([random.choice(np.flatnonzero(anomalous == kind), 20) for kind in (False, True)])
        plain.append((scores[drawn[20:], None] > scores[None, drawn[:20]]).mean())
    low, high = middle(rounds["auroc"])
    assert low < auroc(scores, anomalous) < high
    assert [low, high] == pytest.approx(np.quantile(plain, [0.025, 0.975]).tolist(), abs=0.03)
    assert rounds["auroc"].std() == pytest.approx(np.std(plain), rel=0.1)


def test_rounds_are_the_same_for_the_same_seed_only():
    maps, masks, anomalous = cases(2)
    counts = count_pixels(maps, masks, anomalous)
    one, same, other = (resample(counts, {"auroc": 0.9}, rounds=20, seed=seed)["auroc"] for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_constant_map_has_a_figure_of_one_half_and_no_spread():
    _, masks, anomalous = cases(3)
    maps = np.zeros(masks.shape, np.float32)
    rounds = resample(count_pixels(maps, masks, anomalous), {"auroc": 0.5, "aupro": aupro(maps, masks)}, rounds=50)
    assert middle(rounds["auroc"]) == pytest.approx((0.5, 0.5))
    assert middle(rounds["aupro"]) == pytest.approx((0.15, 0.15))


def test_without_anomalies_there_is_no_interval():
    maps, masks, _ = cases(4)
    good = np.zeros(12, np.bool_)
    rounds = resample(count_images(maps.max(axis=(1, 2)), good), {"auroc": None, "ap": None}, rounds=10)
    assert middle(rounds["auroc"]) is None
    empty = figures(count_pixels(maps, np.zeros_like(masks), good), np.ones((2, 12)))
    assert all(np.isnan(values).all() for values in empty.values())


def test_perfect_pictures_stay_within_one():
    maps, masks, anomalous = cases(5)
    maps = masks.astype(np.float32)
    rounds = resample(count_pixels(maps, masks, anomalous), {"auroc": 1.0, "ap": 1.0, "f1_max": 1.0, "aupro": 1.0})
    assert [middle(values) for values in rounds.values()] == [(1.0, 1.0)] * 4


def test_the_mean_is_over_the_classes_that_have_the_figure():
    nan = np.nan
    rounds = mean_rounds([np.asarray([0.5, 1.0, nan]), np.asarray([1.0, nan, nan])])
    assert rounds[:2].tolist() == [0.75, 1.0]
    assert np.isnan(rounds[2])
