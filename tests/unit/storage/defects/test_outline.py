"""Outlines against the mask's pixels one by one: hull, size, axes, and that joining is exact in any order."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from storage.defects.outline import decode_outline, encode_outline, join_outlines, measure, outline_of, principal_axis

MM = 0.25
masks = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(lambda mask: mask.any())


def corners(mask, x0_mm=0.0, y0_mm=0.0):
    """All four corners of every pixel, in mm."""
    return [
        (x0_mm + (x + dx) * MM, y0_mm + (y + dy) * MM)
        for y, x in np.argwhere(mask)
        for dx, dy in itertools.product((0, 1), (0, 1))
    ]


@settings(max_examples=30, deadline=None)
@given(mask=masks)
def test_size_and_extent_are_those_of_the_pixels(mask):
    measures = measure(outline_of(mask, x0_mm=100.0, y0_mm=5000.0, mm_per_px=MM))
    points = corners(mask, 100.0, 5000.0)
    assert measures.size_mm == pytest.approx(max(math.dist(a, b) for a in points for b in points), abs=2e-3)
    xs, ys = zip(*points, strict=True)
    box = (measures.x0_mm, measures.x1_mm, measures.y0_mm, measures.y1_mm)
    assert box == pytest.approx((min(xs), max(xs), min(ys), max(ys)), abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(mask=masks, y_mm=st.floats(0, 1e7))
def test_measures_are_those_of_complex_arithmetic(mask, y_mm):
    outline = outline_of(mask, x0_mm=100.0, y0_mm=y_mm, mm_per_px=MM)
    measures, (axis_x, axis_y) = measure(outline), principal_axis(outline)
    corners = (np.array(outline.hull) - np.min(outline.hull, axis=0)) @ (1, 1j)
    turned = corners * complex(axis_x, -axis_y)
    assert (measures.size_mm, measures.length_mm, measures.width_mm) == pytest.approx(
        (abs(corners[:, None] - corners).max() / 1000, np.ptp(turned.real) / 1000, np.ptp(turned.imag) / 1000),
        rel=1e-12,
    )


@settings(max_examples=30, deadline=None)
@given(mask=masks)
def test_the_axis_is_the_covariance_s_first(mask):
    outline = outline_of(mask, x0_mm=3.0, y0_mm=9_000_000.0, mm_per_px=MM)  # nine kilometres along the roll
    rows, columns = np.nonzero(mask)
    spread = np.cov(np.stack([columns, rows]) * MM, bias=True).reshape(2, 2) + np.eye(2) * MM * MM / 12
    values, vectors = np.linalg.eigh(spread)
    if values[1] - values[0] > 0.01:  # a round one has no direction
        assert abs(np.dot(principal_axis(outline), vectors[:, 1])) == pytest.approx(1, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(mask=masks, cuts=st.lists(st.integers(0, 11), max_size=4), order=st.randoms())
def test_joined_parts_are_the_whole_to_the_last_bit_in_any_order(mask, cuts, order):
    bounds = sorted({0, mask.shape[0], *(cut for cut in cuts if cut < mask.shape[0])})
    parts = [
        outline_of(mask[top:bottom], x0_mm=7.0, y0_mm=40.0 + top * MM, mm_per_px=MM)
        for top, bottom in itertools.pairwise(bounds)
        if mask[top:bottom].any()
    ]
    whole = join_outlines(parts)
    shuffled = list(parts)
    order.shuffle(shuffled)
    tree = shuffled[0]
    for part in shuffled[1:]:
        tree = join_outlines([tree, part])
    assert tree == whole
    size_mm = measure(outline_of(mask, x0_mm=7.0, y0_mm=40.0, mm_per_px=MM)).size_mm
    assert measure(whole).size_mm == pytest.approx(size_mm, abs=2e-3)


@settings(max_examples=40, deadline=None)
@given(mask=masks, y_mm=st.floats(-1e6, 1e9))
def test_an_outline_comes_back_from_its_bytes(mask, y_mm):
    outline = outline_of(mask, x0_mm=0.1, y0_mm=y_mm, mm_per_px=0.2117)
    assert decode_outline(encode_outline(outline)) == outline


def test_a_line_of_forty_metres_has_a_small_outline():
    line = np.ones((800, 3), np.bool_)
    parts = [outline_of(line, x0_mm=500 + n % 3, y0_mm=n * 160.0, mm_per_px=0.2) for n in range(250)]
    whole = join_outlines(parts)
    assert measure(whole).size_mm == pytest.approx(math.hypot(40_000, 2.6), abs=0.5)
    assert len(whole.hull) < 20
