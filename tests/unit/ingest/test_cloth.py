"""Simulated cloth: the same for the same place, with defects exactly where it says they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.cloth import BANK_LINES, BLOCK_LINES, Cloth
from ingest.cloth_defects import KINDS
from ingest.cloth_noise import bell, smooth, uniform
from ingest.cloth_styles import STYLES

MM = 0.2


def cloth(style="plain", *, seed=11, mm_per_px=MM, width_mm=60.0, margin_mm=6.0, defects_per_m=8.0):
    return Cloth(
        style, seed=seed, mm_per_px=mm_per_px, width_mm=width_mm, margin_mm=margin_mm, defects_per_m=defects_per_m
    )


@pytest.mark.parametrize("style", sorted(STYLES))
def test_frames_of_any_height_show_the_same_lines(style):
    whole = cloth(style).lines(500, 1024)
    assert whole.shape == (1024, 300, 3)
    assert whole.dtype == np.uint8
    for height in (256, 100):
        again = cloth(style)
        parts = [again.lines(start, min(height, 1524 - start)) for start in range(500, 1524, height)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


_SHARED = cloth("plaid")


@settings(max_examples=15, deadline=None)
@given(first=st.integers(0, 50_000_000), count=st.integers(1, 2 * BLOCK_LINES), skip=st.integers(0, BLOCK_LINES))
def test_a_line_does_not_depend_on_what_was_drawn_before(first, count, skip):
    lines = cloth("plaid").lines(first, count)
    _SHARED.lines(first + skip, 1)
    np.testing.assert_array_equal(_SHARED.lines(first, count), lines)


def test_seed_style_and_place_all_make_a_difference():
    lines = cloth().lines(0, 64)
    assert not np.array_equal(lines, cloth(seed=12).lines(0, 64))
    assert not np.array_equal(lines, cloth("twill").lines(0, 64))
    assert not np.array_equal(lines, cloth().lines(64, 64))
    assert not np.array_equal(lines, cloth().lines(BANK_LINES, 64))


def test_geometry_is_in_millimetres():
    """The same place at two scales shows the same fabric edges and the same defects."""
    fine, coarse = cloth(mm_per_px=0.1), cloth(mm_per_px=0.2)
    assert fine.defects(0, 2000) == coarse.defects(0, 2000)
    assert fine.lines(0, 10).shape[1] == 2 * coarse.lines(0, 10).shape[1]
    left_fine, right_fine = fine.edges(0, 1000)
    left, right = coarse.edges(0, 500)
    assert abs(left_fine / 2 - left) <= 1
    assert abs(right_fine / 2 - right) <= 1


@pytest.mark.parametrize("style", sorted(STYLES))
def test_every_defect_changes_the_cloth_in_its_box_and_nowhere_else(style):
    flawed, perfect = cloth(style, defects_per_m=12.0), cloth(style, defects_per_m=0.0)
    defects = flawed.defects(3000, 3800)
    lines = round(3800 / MM) - round(3000 / MM)
    first = round(3000 / MM)
    changed = (flawed.lines(first, lines).astype(int) != perfect.lines(first, lines)).any(axis=2)
    allowed = np.zeros_like(changed)
    for defect in defects:
        rows = slice(max(int(defect.y0_mm / MM) - first - 1, 0), max(int(defect.y1_mm / MM) - first + 2, 0))
        columns = slice(
            max(int((defect.x0_mm + 6) / MM) - 1 - 8 * (defect.kind == "mispick"), 0),
            int((defect.x1_mm + 6) / MM) + 2 + 8 * (defect.kind == "mispick"),  # to the wavering selvedge itself
        )
        allowed[rows, columns] = True
        assert changed[rows, columns].any() or defect.y1_mm > 3799, defect
    assert not (changed & ~allowed).any()
    mask = flawed.mask(first, lines)
    assert (mask & changed).sum() >= 0.5 * mask.sum()
    assert not (mask & ~allowed).any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_seen(kind):
    """Inside its mask the cloth differs by well over the camera's noise, and not by everything there is."""
    flawed, perfect = cloth("twill", defects_per_m=8.0), cloth("twill", defects_per_m=0.0)
    seen = []
    for defect in flawed.defects(0, 8_000):
        if defect.kind != kind:
            continue
        first, lines = int(defect.y0_mm / MM), int((defect.y1_mm - defect.y0_mm) / MM) + 2
        mask = flawed.mask(first, lines)
        difference = flawed.lines(first, lines).astype(int) - perfect.lines(first, lines)
        seen.append(np.abs(difference).mean(axis=2)[mask].mean())
    assert len(seen) >= 2
    assert min(seen) > 4.0
    assert max(seen) < 120.0


@pytest.mark.parametrize("per_m", [0.5, 1.0, 2.5])
def test_there_are_as_many_defects_as_asked_for_of_all_kinds(per_m):
    found = cloth(defects_per_m=per_m).defects(0, 400_000)
    assert len(found) == pytest.approx(400 * per_m, rel=0.15)
    counts = {kind: sum(defect.kind == kind for defect in found) for kind in KINDS}
    assert min(counts.values()) > 0.5 * len(found) / len(KINDS)


def test_perfect_cloth_has_no_defects():
    perfect = cloth(defects_per_m=0.0)
    assert perfect.defects(0, 100_000) == []
    assert not perfect.mask(0, 500).any()


@settings(max_examples=30, deadline=None)
@given(
    y0_mm=st.floats(0, 20_000),
    parts=st.lists(st.floats(1, 3000), min_size=1, max_size=5),
    width_mm=st.floats(18, 3000),
)
def test_defects_are_the_same_however_the_roll_is_asked_about(y0_mm, parts, width_mm):
    known = cloth(width_mm=20.0 + width_mm)
    whole = known.defects(y0_mm, y0_mm + sum(parts))
    pieces = set()
    for part in parts:
        pieces |= set(known.defects(y0_mm, y0_mm + part))
        y0_mm += part
    assert set(whole) == pieces
    for defect in whole:
        assert -0.5 <= defect.x0_mm < defect.x1_mm <= known.fabric_mm + 0.5
        assert defect.y0_mm < defect.y1_mm


def test_cloth_without_margin_fills_the_frame():
    full = cloth(margin_mm=0.0)
    assert full.edges(0, 100) == (0, 300)
    assert full.fabric_mm == pytest.approx(60.0)


def test_hashed_values_are_spread_as_they_say():
    index = np.arange(40_000)
    values, bells = uniform(1, "a", index), bell(1, "a", index)
    assert 0 <= values.min() < values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert bells.mean() == pytest.approx(0, abs=0.02)
    assert bells.std() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(values, uniform(1, "b", index))[0, 1]) < 0.02
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.02
    np.testing.assert_array_equal(uniform(1, "a", index[::-1]), values[::-1])


def test_a_smooth_curve_has_no_jumps():
    curve = smooth(1, "a", np.arange(0, 500, 0.1), period=7.0)
    assert np.abs(np.diff(curve)).max() < 0.2
    assert curve.std() > 0.4
