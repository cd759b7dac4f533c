"""How a binding looks: one repeat as a height map of crossing yarns, lit from the side, and where the yarns lie."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.cloth_noise import bell
from ingest.cloth_styles import Style

CELL = 16  # samples a yarn

SPREAD = 0.05  # of a yarn's place, in distances between yarns, standard deviation


def lit_repeat(style: Style, *, pick_blur: float, end_blur: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(picks * CELL, ends * CELL) brightness around 1, and how much of each place the ends (warp) cover, 0 to 1.

    The blurs, in samples, are the size of a pixel: sampling the result does not alias.
    """
    over = style.woven
    picks, ends = over.shape
    sign = np.where(over, 1.0, -1.0)
    # A yarn's middle goes up and down smoothly along its own direction; its section is round.
    cells = np.ones((CELL, CELL))
    side = (np.arange(CELL) + 0.5) / CELL * 2 - 1
    section = np.sqrt(np.maximum(1 - (1.04 * side) ** 2, 0.0))
    ground = np.kron(sign, cells).astype(np.float32)
    end_height = _wrap_blur(ground, 0.33 * CELL, 0.01) + 1.3 * np.tile(section, ends)[None, :]
    pick_height = _wrap_blur(-ground, 0.01, 0.33 * CELL) + 1.3 * np.tile(section, picks)[:, None]
    top = (end_height > pick_height).astype(np.float32)
    height = np.maximum(end_height, pick_height)
    height = (height - height.min()) / (height.max() - height.min())
    down, right = (np.roll(height, -1, axis) - np.roll(height, 1, axis) for axis in (0, 1))
    lit = 1 - style.relief * (1 - height) + 0.8 * style.relief * (0.8 * down + 0.5 * right)
    lit = _wrap_blur(np.clip(lit, 0.15, None).astype(np.float32), pick_blur, end_blur)
    return lit / lit.mean(), _wrap_blur(top, pick_blur, end_blur)


def yarn_bounds(key: int, stream: str, first: int, count: int, *, spacing_mm: float) -> NDArray[np.float64]:
    """(count,) where yarns first, first + 1, ... begin, in mm; never further apart than yarns can be."""
    index = np.arange(first, first + count)
    return (index + SPREAD * bell(key, stream, index)) * spacing_mm


def _wrap_blur(image: NDArray[np.float32], down: float, right: float) -> NDArray[np.float32]:
    """Gaussian blur of a periodic picture."""
    rows, columns = image.shape
    pad = 4 * CELL
    wide = np.pad(image, pad, mode="wrap")
    blurred = cv2.GaussianBlur(wide, (0, 0), sigmaX=max(right, 0.01), sigmaY=max(down, 0.01))
    return np.asarray(blurred[pad : pad + rows, pad : pad + columns], np.float32)
