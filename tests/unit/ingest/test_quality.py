"""Frames too dark or too bright to inspect, and a frame summed up in numbers."""

import functools

import cv2
import numpy as np
import pytest

from ingest.quality import judge, measure
from inspection.types import REASONS, Pixels

MM_PER_PX = 0.2


def weave(seed: int = 0, *, shape: tuple[int, int] = (256, 400), level: float = 120, contrast: float = 30) -> Pixels:
    return _weave(seed, shape, level, contrast).copy()


@functools.cache
def _weave(seed: int, shape: tuple[int, int], level: float, contrast: float) -> Pixels:
    y, x = np.mgrid[: shape[0], : shape[1]]
    yarns = np.sin(x * np.pi / 2) * np.sin(y * np.pi / 2 + (x // 4) * np.pi)
    noise = np.random.default_rng(seed).normal(0, 2, shape)
    return np.clip(level * (1 + contrast / 120 * yarns) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("level", "reason"), [(0, "too_dark"), (7, "too_dark"), (8, ""), (128, ""), (250, ""), (251, "saturated")]
)
@pytest.mark.parametrize("shape", [(64, 80), (64, 80, 3), (1, 1)])
def test_levels_at_the_limits_pass_and_beyond_them_fail(level, reason, shape):
    pixels = np.full(shape, level, np.uint8)
    assert judge(pixels, dark_level=8, bright_level=250) == reason


def test_every_reason_is_one_of_the_known_codes():
    for level in (0, 255):
        assert judge(np.full((8, 8), level, np.uint8), dark_level=8, bright_level=250) in REASONS


def test_a_white_fabric_with_texture_is_not_saturated():
    pixels = np.random.default_rng(0).integers(225, 256, (64, 64), dtype=np.uint8)
    assert judge(pixels, dark_level=8, bright_level=250) == ""


@pytest.mark.parametrize(("share", "reason"), [(0.4, ""), (0.6, "saturated")])
def test_a_frame_of_which_most_is_at_the_end_of_the_scale_is_saturated_whatever_its_mean(share, reason):
    pixels = np.full((64, 100, 3), 150, np.uint8)
    pixels[:, : round(share * 100)] = 255
    assert judge(pixels, dark_level=8, bright_level=250).partition(":")[0] == reason


def test_sharpness_and_color_are_what_their_definitions_say():
    pixels = np.random.default_rng(1).integers(0, 256, (32, 50, 3), dtype=np.uint8)  # one band: all of it
    look = measure(pixels, mm_per_px=MM_PER_PX)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(float)
    steps = np.mean(np.diff(grey, axis=0) ** 2) + np.mean(np.diff(grey, axis=1) ** 2)
    assert look.sharpness == pytest.approx(steps / grey.mean() ** 2, rel=1e-6)
    assert look.color == pytest.approx(pixels.reshape(-1, 3).mean(axis=0))
    np.testing.assert_allclose(look.columns, grey.mean(axis=0), atol=1e-3)


def test_light_changes_color_and_not_sharpness():
    bright, dim = (measure(weave(level=level), mm_per_px=MM_PER_PX) for level in (160, 80))
    assert dim.sharpness == pytest.approx(bright.sharpness, rel=0.1)
    assert dim.level == pytest.approx(bright.level / 2, rel=0.02)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0])
def test_defocus_costs_most_of_the_sharpness(sigma):
    sharp = weave()
    soft = cv2.GaussianBlur(sharp, (0, 0), sigma)
    assert measure(soft, mm_per_px=MM_PER_PX).sharpness < 0.25 * measure(sharp, mm_per_px=MM_PER_PX).sharpness


def test_a_band_from_side_to_side_is_measured_and_a_stain_or_a_single_yarn_is_not():
    plain = weave()
    seam, stain, yarn = plain.copy(), plain.copy(), plain.copy()
    seam[100:140] = np.clip(seam[100:140].astype(int) - 60, 0, 255)
    stain[100:140, :300] = 20
    yarn[100:103] = 20
    levels = [measure(pixels, mm_per_px=MM_PER_PX).band_level for pixels in (plain, seam, stain, yarn)]
    assert levels[0] < 8
    assert levels[1] == pytest.approx(60, abs=8)
    assert levels[2] < 8
    assert levels[3] < 22
    upside = measure(255 - seam, mm_per_px=MM_PER_PX).band_level
    assert upside == pytest.approx(60, abs=8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (20, 20, 3), (5, 17)])
def test_no_shape_is_too_small_to_measure(shape):
    look = measure(np.full(shape, 100, np.uint8), mm_per_px=MM_PER_PX)
    assert look.sharpness == 0
    assert look.band_level == 0
    assert look.columns.shape == shape[1:2]
