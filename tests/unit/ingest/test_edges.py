"""Fabric edges: on simulated cloth, where they are known, and on pictures made to mislead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.cloth import Cloth
from ingest.cloth_styles import STYLES
from ingest.edges import background_level, find_edges

RNG = np.random.default_rng(8)
STYLE_NAMES = sorted(STYLES)


def noise(height: int, width: int, *, level: float, spread: float = 1.5) -> np.ndarray:
    return np.clip(RNG.normal(level, spread, (height, width)), 0, 255).astype(np.uint8)


def fabric(height: int, width: int, *, level: float = 120, depth: float = 14, period_px: float = 5.0) -> np.ndarray:
    """A plain weave reduced to its essentials: crossing waves."""
    y, x = np.mgrid[:height, :width]
    woven = np.cos(2 * np.pi * y / period_px) * np.cos(2 * np.pi * x / period_px)
    return np.clip(level + depth * woven + RNG.normal(0, 2, (height, width)), 0, 255).astype(np.uint8)


def on(background: np.ndarray, left: int, right: int, **look: float) -> np.ndarray:
    frame = background.copy()
    frame[:, left:right] = fabric(frame.shape[0], right - left, **look)
    return frame


@pytest.mark.parametrize("style", STYLE_NAMES)
@pytest.mark.parametrize("lines", [128, 1024])
def test_the_edges_of_simulated_cloth_are_found_to_a_few_pixels_in_every_frame(style, lines):
    cloth = Cloth(style, seed=4, mm_per_px=0.2, defects_per_m=3.0)
    found = []
    for number in range(3):
        known = cloth.edges(number * lines, lines)
        edges = find_edges(cloth.lines(number * lines, lines))
        assert edges is not None
        assert edges == pytest.approx(known, abs=6)
        found.append(edges)
    assert np.ptp(np.array(found), axis=0).max() <= 16  # what the selvedge wavers by


@pytest.mark.parametrize("style", STYLE_NAMES)
def test_cloth_without_background_goes_from_side_to_side(style):
    cloth = Cloth(style, seed=4, mm_per_px=0.2, margin_mm=0.0, defects_per_m=3.0)
    assert find_edges(cloth.lines(0, 512)) == (0, 1024)
    assert find_edges(cloth.lines(512, 512)[:, 13:1000]) == (0, 987)


def test_grey_and_colour_agree():
    frame = Cloth("twill", seed=4, mm_per_px=0.2).lines(0, 256)
    grey = frame.mean(axis=2).astype(np.uint8)
    assert find_edges(grey) == pytest.approx(find_edges(frame), abs=2)
    assert find_edges(np.dstack([grey, grey, grey])) == find_edges(grey)


@pytest.mark.parametrize("level", [0, 12, 128, 246, 255])
def test_a_frame_without_fabric_has_no_edges(level):
    assert find_edges(noise(256, 512, level=level)) is None
    assert find_edges(np.full((256, 512), level, np.uint8)) is None


def test_shading_streaks_and_dirty_columns_are_no_fabric():
    frame = noise(512, 1024, level=120).astype(float)
    frame += 40 * np.linspace(-1, 1, 1024) ** 2  # vignetting
    frame += 15 * RNG.standard_normal((512, 1))  # streaks along the lines
    frame += 10 * RNG.standard_normal((1, 1024))  # pixels of different sensitivity
    assert find_edges(np.clip(frame, 0, 255).astype(np.uint8)) is None


@settings(max_examples=40, deadline=None)
@given(
    background=st.sampled_from([0, 30, 110, 200, 252]),
    level=st.sampled_from([25, 60, 120, 225]),
    left=st.integers(0, 400),
    width=st.integers(150, 600),
    period_px=st.floats(3.0, 9.0),
    depth=st.floats(6.0, 20.0),
)
def test_fabric_is_found_on_any_background(background, level, left, width, period_px, depth):
    frame = on(noise(200, 1024, level=background), left, left + width, level=level, period_px=period_px, depth=depth)
    edges = find_edges(frame)
    assert edges is not None
    # Where fabric and background are equally bright, only the fading texture tells.
    within = 8 if abs(level - background) > 20 else 14
    assert abs(edges[0] - left) <= (within if left > 16 else 16)
    assert abs(edges[1] - left - width) <= within


@settings(max_examples=20, deadline=None)
@given(left=st.integers(60, 300), right=st.integers(500, 964))
def test_a_mirrored_frame_has_mirrored_edges(left, right):
    frame = on(noise(128, 1024, level=240), left, right)
    edges = find_edges(frame)
    mirrored = find_edges(np.ascontiguousarray(frame[:, ::-1]))
    assert edges is not None
    assert mirrored == (1024 - edges[1], 1024 - edges[0])


@pytest.mark.parametrize("plain", [0, 40, 120, 255])
@pytest.mark.parametrize("width", [40, 120, 300])
def test_a_plain_stripe_does_not_cut_the_fabric(plain, width):
    frame = on(noise(256, 1024, level=245), 100, 900)
    frame[:, 350 : 350 + width] = noise(256, width, level=plain)
    edges = find_edges(frame)
    assert edges == pytest.approx((100, 900), abs=8)


def test_a_hole_and_a_stain_do_not_cut_the_fabric():
    frame = on(noise(256, 1024, level=245), 100, 900)
    frame[:, 300:420] = noise(256, 120, level=245)  # a hole as long as the frame
    frame[40:200, 500:700] = (frame[40:200, 500:700] * 0.3).astype(np.uint8)
    assert find_edges(frame) == pytest.approx((100, 900), abs=8)


def test_a_defect_at_the_selvedge_stays_inside_the_edges():
    frame = on(noise(1024, 1024, level=245), 100, 900)
    frame[300:400, 100:160] = noise(100, 60, level=245)  # a torn place
    frame[700:760, 840:900] = 10  # a stain
    assert find_edges(frame) == pytest.approx((100, 900), abs=8)


def test_the_innermost_place_of_a_slanting_edge_counts():
    frame = noise(1024, 1024, level=245)
    woven = fabric(1024, 1024)
    for line in range(1024):
        left = 100 + line // 64
        frame[line, left : left + 700] = woven[line, left : left + 700]
    edges = find_edges(frame)
    assert edges is not None
    assert 112 <= edges[0] <= 120  # the last line starts at 115
    assert 796 <= edges[1] <= 804  # the first one ends at 800


def test_specks_of_dirt_beside_the_fabric_are_not_fabric():
    frame = on(noise(256, 1024, level=245), 400, 900)
    frame[100:110, 50:62] = fabric(10, 12)
    frame[:, 200:216] = fabric(256, 16)
    assert find_edges(frame) == pytest.approx((400, 900), abs=8)


@pytest.mark.parametrize("shape", [(4, 500), (300, 20), (1, 1)])
def test_a_frame_too_small_to_tell_has_no_edges(shape):
    assert find_edges(np.zeros(shape, np.uint8)) is None


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), colour=st.booleans(), seed=st.integers(0, 99))
def test_any_picture_gives_edges_within_it_or_none(height, width, colour, seed):
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (height // 7 + 1, width // 7 + 1), dtype=np.uint8)
    pixels = np.kron(small, np.ones((7, 7), np.uint8))[:height, :width]
    edges = find_edges(np.dstack([pixels] * 3) if colour else pixels)
    assert edges is None or 0 <= edges[0] < edges[1] <= width


def test_the_background_s_level_is_that_beside_the_fabric():
    pixels = np.full((64, 400), 150, np.uint8)
    pixels[:, :60], pixels[:, 340:] = 12, 14
    assert background_level(pixels, 60, 340) in (12.0, 13.0, 14.0)
    assert background_level(pixels, 0, 340) == 14.0
    assert background_level(np.repeat(pixels[:, :, None], 3, axis=2), 60, 400) == 12.0
    assert background_level(pixels, 0, 400) == -1.0
