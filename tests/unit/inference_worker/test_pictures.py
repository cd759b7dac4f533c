"""Pictures for people."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_worker.pictures import _widen, encode, heat, overlay, preview, small_size, to_rgb
from tests.records import make_defect


def test_calm_cloth_is_shown_as_it_is() -> None:
    cloth = np.random.default_rng(0).integers(0, 255, (40, 50, 1)).astype(np.uint8)
    assert np.array_equal(overlay(cloth, np.zeros((40, 50), np.float32), (), left_px=0), to_rgb(cloth))


def test_heat_is_coloured_and_each_defect_outlined_where_its_mask_ends() -> None:
    ratios = np.zeros((40, 50), np.float32)
    ratios[10:20, 10:30] = 1.8
    found = make_defect(x0_px=7 + 10, x1_px=7 + 30, y0_px=10, y1_px=20, mask=np.ones((10, 20), bool))
    shown = overlay(np.full((40, 50), 90, np.uint8), ratios, [found], left_px=7).astype(int)
    assert (shown[14, 20] - 90)[0] > 60  # red
    assert tuple(shown[10, 15]) == (255, 210, 0)
    assert tuple(shown[0, 0]) == (90, 90, 90)


def test_a_preview_shows_in_small_what_the_overlay_shows() -> None:
    rng = np.random.default_rng(0)
    cloth = cv2.GaussianBlur(rng.integers(60, 120, (320, 800, 3)).astype(np.uint8), (0, 0), 3)
    ratios = np.zeros((320, 800), np.float32)
    ratios[80:160, 200:440] = 1.8
    mask = np.ones((80, 240), bool)
    found = make_defect(x0_px=7 + 200, x1_px=7 + 440, y0_px=80, y1_px=160, mask=mask)
    small = preview(cloth, ratios, [found], left_px=7, longest_px=100)
    whole = overlay(cloth, ratios, [], left_px=7)
    assert small.shape == (40, 100, 3)
    assert tuple(small[10, 40]) == (255, 210, 0)  # the outline
    inner = np.s_[13:17, 28:52]
    shrunk = cv2.resize(whole, (100, 40), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(small[inner], shrunk[inner], atol=3)
    np.testing.assert_allclose(small[25:], shrunk[25:], atol=3)
    fewer_rows = preview(cloth[::4], ratios, [found], left_px=7, longest_px=100)
    np.testing.assert_allclose(fewer_rows[inner], small[inner], atol=6)


def test_heat_is_dark_on_calm_cloth_and_bright_far_over_the_threshold() -> None:
    shown = heat(np.array([[0.0, 3.0]], np.float32)).astype(int)
    assert shown[0, 0].sum() < 40
    assert shown[0, 1].sum() > 500


def test_colours_survive_the_encoding() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., 0] = 200  # red
    back = cv2.cvtColor(cv2.imdecode(np.frombuffer(encode(pixels, suffix=".png"), np.uint8), 1), cv2.COLOR_BGR2RGB)
    assert np.array_equal(back, pixels)


@pytest.mark.parametrize(("shape", "expected"), [((100, 400), (50, 200)), ((20, 30), (20, 30)), ((1, 999), (1, 200))])
def test_a_picture_is_shrunk_to_its_longest_side_and_never_grown(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert small_size(*shape, longest_px=200) == expected[::-1]


@given(st.integers(1, 500), st.integers(0, 499), st.integers(1, 500), st.integers(8, 300))
def test_a_crop_holds_its_defect_and_at_least_a_tile_where_the_cloth_allows(
    limit: int, start: int, length: int, tile: int
) -> None:
    start = min(start, limit - 1)
    end = min(limit, start + length)
    first, last = _widen(start, end, limit, tile)
    assert 0 <= first <= start < end <= last <= limit
    assert last - first >= min(limit, tile)
