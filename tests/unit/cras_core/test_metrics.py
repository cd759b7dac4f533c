"""Metrics against slow plain definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, roc_auc_score

from cras_core import metrics
from cras_core.metrics import aupro, auroc, average_precision, curves, f1_max

CASES = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30)  # few values: many ties


@given(CASES)
def test_auroc_is_the_share_of_pairs_in_order_ties_counting_half(cases):
    scores, truth = np.asarray([s for s, _ in cases], np.float32), np.asarray([t for _, t in cases])
    positive, negative = scores[truth], scores[~truth]
    if not len(positive) or not len(negative):
        assert auroc(scores, truth) is None
        return
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert auroc(scores, truth) == pytest.approx(np.mean(pairs))


@given(CASES)
def test_average_precision_is_sklearns(cases):
    scores, truth = np.asarray([s for s, _ in cases], np.float32), np.asarray([t for _, t in cases])
    if truth.all() or not truth.any():
        assert average_precision(scores, truth) is None
        return
    assert average_precision(scores, truth) == pytest.approx(average_precision_score(truth, scores))


@given(CASES)
def test_f1_max_is_the_best_of_every_threshold(cases):
    scores, truth = np.asarray([s for s, _ in cases], np.float32), np.asarray([t for _, t in cases])
    if truth.all() or not truth.any():
        assert f1_max(scores, truth) is None
        return
    best = 0.0
    for threshold in set(scores.tolist()):
        found = scores >= threshold
        best = max(best, 2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert f1_max(scores, truth) == pytest.approx(best)


def slow_aupro(maps, masks, limit):
    """One threshold after the other, one region after the other."""
    regions = []
    for image, mask in zip(maps, masks, strict=True):
        labels, count = label(mask, structure=np.ones((3, 3)))
        regions += [image[labels == index] for index in range(1, count + 1)]
    normal = maps[~masks]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        overlap = np.mean([(region >= threshold).mean() for region in regions])
        points.append(((normal >= threshold).mean(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= limit:
            break
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([3, 20, 10_000]), limit=st.sampled_from([0.05, 0.3, 1.0]))
def test_aupro_is_the_slow_one(seed, levels, limit):
    random = np.random.default_rng(seed)
    masks = random.random((3, 8, 8)) < 0.2
    masks[0, 2:4, 2:4] = True
    maps = (random.integers(0, levels, masks.shape) + 0.3 * levels * masks * random.random()).astype(np.float32)
    assert aupro(maps, masks, limit=limit) == pytest.approx(slow_aupro(maps, masks, limit))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 1.0, 1e4]), shift=st.sampled_from([0.0, -2.0, 0.9]))
def test_large_arrays_are_counted_on_levels_and_the_figures_stay(seed, scale, shift):
    random = np.random.default_rng(seed)
    masks = np.zeros((4, 40, 40), np.bool_)
    masks[:2, 5:15, 8:20] = masks[1, 30:33, 2:9] = True
    maps = ((random.gamma(2, 1, masks.shape) + masks + shift) * scale).astype(np.float32)
    functions = (auroc, average_precision, f1_max, aupro)
    plain = [function(maps, masks) for function in functions]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "EXACT", 3000)  # in parts, the last one ragged; so few pixels that a tie shows
        assert [function(maps, masks) for function in functions] == pytest.approx(plain, abs=1e-3)


def test_a_million_pixels_and_more_agree_with_sklearn():
    random = np.random.default_rng(5)
    masks = random.random((5, 500, 500)) < 0.01
    maps = (random.gamma(2, 1, masks.shape) + 2 * masks).astype(np.float32)
    assert maps.size > metrics.EXACT
    assert auroc(maps, masks) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-5)
    assert average_precision(maps, masks) == pytest.approx(
        average_precision_score(masks.ravel(), maps.ravel()), abs=1e-4
    )


def test_a_constant_map_tells_nothing():
    masks = np.zeros((2, 10, 10), np.bool_)
    masks[0, :2] = True
    maps = np.full(masks.shape, 3.5, np.float32)
    assert auroc(maps, masks) == 0.5
    assert average_precision(maps, masks) == pytest.approx(0.1)
    assert f1_max(maps, masks) == pytest.approx(2 / 11)
    assert aupro(maps, masks) == pytest.approx(0.15)


@given(CASES)
def test_curves_run_from_nothing_to_everything(cases):
    scores, truth = np.asarray([s for s, _ in cases], np.float32), np.asarray([t for _, t in cases])
    found = curves(scores, truth)
    if truth.all() or not truth.any():
        assert found is None
        return
    assert np.trapezoid(found.hit_rate, found.false_rate) == pytest.approx(auroc(scores, truth))
    assert (found.hit_rate[0], found.false_rate[0]) == (0, 0)
    assert (found.hit_rate[-1], found.false_rate[-1]) == (1, 1)
    assert found.recall[-1] == 1
    assert found.precision[-1] == pytest.approx(truth.mean())
    assert (np.diff(found.recall) >= 0).all()


def test_curves_are_thinned_for_drawing():
    random = np.random.default_rng(0)
    truth = random.random(50_000) < 0.1
    scores = (random.normal(size=truth.size) + truth).astype(np.float32)
    found = curves(scores, truth, points=100)
    assert max(len(found.recall), len(found.hit_rate)) <= 102
    assert np.trapezoid(found.hit_rate, found.false_rate) == pytest.approx(auroc(scores, truth), abs=1e-3)


def test_perfect_maps_have_all_figures_at_one():
    masks = np.zeros((2, 6, 6), np.bool_)
    masks[0, 1:3, 1:3] = True
    maps = masks.astype(np.float32)
    assert auroc(maps, masks) == average_precision(maps, masks) == f1_max(maps, masks) == aupro(maps, masks) == 1


def test_without_regions_there_is_no_figure():
    maps = np.zeros((1, 4, 4), np.float32)
    assert aupro(maps, np.zeros(maps.shape, np.bool_)) is None
    assert aupro(maps, np.ones(maps.shape, np.bool_)) is None
