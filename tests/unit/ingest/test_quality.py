"""Frames too dark or too bright to inspect."""

import numpy as np
import pytest

from ingest.quality import judge
from inspection.types import REASONS


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
