"""Metrics against slow plain definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from sklearn.metrics import average_precision_score

from cras_core.metrics import aupro, auroc, average_precision

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


def test_perfect_maps_have_all_figures_at_one():
    masks = np.zeros((2, 6, 6), np.bool_)
    masks[0, 1:3, 1:3] = True
    maps = masks.astype(np.float32)
    assert auroc(maps, masks) == average_precision(maps, masks) == aupro(maps, masks) == 1


def test_without_regions_there_is_no_figure():
    maps = np.zeros((1, 4, 4), np.float32)
    assert aupro(maps, np.zeros(maps.shape, np.bool_)) is None
    assert aupro(maps, np.ones(maps.shape, np.bool_)) is None
