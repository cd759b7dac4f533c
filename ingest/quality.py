"""Whether a frame's fabric can be inspected at all; a frame that cannot be is a recorded gap.

`judge` looks at light alone. `measure` sums a frame up as a `Look`, for what only a comparison with the camera's own
past can tell (`ingest.reference`): how sharp a fabric looks depends on the fabric as much as on the lens.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.types import Pixels

Floats = NDArray[np.float32]

CLIPPED_SHARE = 0.5  # of the pixels at 255
BAND_LINES = 32
MAX_BANDS = 8
SEAM_MM = 4.0  # a seam is at least that long; single yarns are not
SEAM_BLOCKS = 16  # strips of the fabric, looked at from first line to last
SEAM_STRIP_PX = 8


def judge(pixels: Pixels, *, dark_level: float, bright_level: float) -> str:
    """ "" when the fabric can be inspected, else a code of `inspection.types.REASONS`: too_dark or saturated.

    pixels: (H, W) grey or (H, W, 3) RGB uint8, only what lies between the fabric's edges. Levels are means of all
    channels, in grey levels. Every fourth line is looked at.
    """
    lines = pixels[::4]
    level = float(np.mean(_channels(lines)))
    if level < dark_level:
        return "too_dark"
    if level > bright_level:
        return "saturated"
    # Half of the values at the very end can only be so when the mean is high.
    if level > 127 and np.count_nonzero(lines == 255) > CLIPPED_SHARE * lines.size:
        return f"saturated: {np.count_nonzero(lines == 255) / lines.size:.0%} of the picture is white"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A frame's fabric in a few numbers."""

    color: tuple[float, ...]  # mean of each channel, grey levels
    sharpness: float  # mean squared step to the next pixel, in units of the squared mean level
    band_level: float  # grey levels by which the most different full-width band differs from the rest
    columns: Floats  # (fabric width,) mean grey level of each column

    @property
    def level(self) -> float:
        return sum(self.color) / len(self.color)


def measure(fabric: Pixels, *, mm_per_px: float) -> Look:
    """fabric: (H, W) grey or (H, W, 3) RGB uint8. Looks at up to `MAX_BANDS` bands of lines, for seams at all lines."""
    height = fabric.shape[0]
    lines = min(BAND_LINES, height)
    starts = np.linspace(0, height - lines, max(1, min(MAX_BANDS, height // lines))).astype(int)
    bands = [fabric[start : start + lines] for start in starts]
    greys = [_grey(np.ascontiguousarray(band)) for band in bands]
    level = float(np.mean([grey.mean() for grey in greys]))
    steps = float(np.mean([_steps(grey) for grey in greys]))
    columns = np.mean([cv2.reduce(grey, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[0] for grey in greys], axis=0)
    color = np.mean([_channels(band) for band in bands], axis=0)
    return Look(
        color=tuple(float(value) for value in color),
        sharpness=steps / max(level, 1.0) ** 2,
        band_level=_band_level(fabric, mm_per_px=mm_per_px),
        columns=np.asarray(columns, np.float32),
    )


def _channels(pixels: Pixels) -> tuple[float, ...]:
    return tuple(cv2.mean(pixels)[: pixels.shape[2] if pixels.ndim == 3 else 1])


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8) if pixels.ndim == 3 else pixels


def _steps(grey: Pixels) -> float:
    total = 0.0
    for axis in (0, 1):
        first, second = (grey[:-1], grey[1:]) if axis == 0 else (grey[:, :-1], grey[:, 1:])
        if first.size:
            total += cv2.norm(first, second, cv2.NORM_L2SQR) / first.size
    return total


def _band_level(fabric: Pixels, *, mm_per_px: float) -> float:
    """A band of `SEAM_MM` differs when nine tenths of the width differ from their own usual level, all the same way."""
    blocks = min(SEAM_BLOCKS, fabric.shape[1])
    strip = min(SEAM_STRIP_PX, fabric.shape[1] // blocks)
    starts = np.linspace(0, fabric.shape[1] - strip, blocks).astype(int)
    rows = np.empty((fabric.shape[0], blocks), np.float32)
    for block, start in enumerate(starts):
        grey = _grey(np.ascontiguousarray(fabric[:, start : start + strip]))
        rows[:, block] = cv2.reduce(grey, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[:, 0]
    length = min(max(3, round(SEAM_MM / mm_per_px)), rows.shape[0])
    bands = cv2.blur(rows, (1, length), borderType=cv2.BORDER_REFLECT)
    apart = np.sort(bands - np.median(bands, axis=0), axis=1)
    edge = blocks // 10
    return max(float(apart[:, edge].max()), float(-apart[:, blocks - 1 - edge].min()), 0.0)
