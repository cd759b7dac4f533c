"""Where the fabric lies in a frame, so that background never becomes a tile.

Cloth is told from background by its order, not by its brightness: yarns cross, so once everything that runs straight
along a line or a column is taken away (streaks of a conveyor, shading of the light, a stripe of the pattern, a dirty
sensor column), a pixel of cloth still says much about its neighbours, and a pixel of background is left with noise.

1. Residual: grey minus its running mean across, minus the running mean along the roll of that.
2. Order of a block of columns: largest correlation of the residual with itself, shifted by 1 to 3 px, the median over
   bands of lines, so that a defect or a splice in some lines does not count. Measured on 88 real line-scan strips:
   background up to 0.21, fabric from 0.38 even out of focus.
3. The web is the longest run of ordered columns, with whatever lies beyond a gap no wider than twice itself: a hole,
   a stain or a plain stripe does not cut the fabric. One web a camera.
4. Each edge is then placed to the pixel, band by band, by the step in brightness nearest the fabric, or where there is
   none by where the residual fades; the innermost of all bands counts, bands that disagree with most are left out (a
   torn selvedge is a defect to be inspected, not an edge).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.types import Pixels

Floats = NDArray[np.float32]

BAND_LINES = 32
MAX_BANDS = 8
BLOCK_PX = 16
MEAN_PX = 9  # of the running mean: yarns up to some 12 px apart stay in the residual
APART = (np.arange(MEAN_PX) == MEAN_PX // 2) - np.full(MEAN_PX, 1 / MEAN_PX)  # a pixel less the mean around it
SHIFTS = ((0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0), (1, 1), (1, -1))  # (lines, columns)
MIN_ORDER = 0.28
MIN_TEXTURE = 0.8  # grey levels; below, order is rounding or the camera's own
MIN_RUN = 3  # blocks
MAX_TRIM = 4  # blocks
SEARCH_PX = 32  # to each side of a block boundary
STEP_PX = 3
FRINGE_PX = 8
MIN_STEP = 6.0  # grey levels


@dataclass(frozen=True, slots=True)
class _Profile:
    """A band of lines, summed up by column."""

    level: Floats  # (W,) grey levels
    texture: Floats  # (W,) mean size of the residual

    def mirrored(self) -> "_Profile":
        return _Profile(self.level[::-1], self.texture[::-1])


def find_edges(pixels: Pixels) -> tuple[int, int] | None:
    """Columns [left, right) that are fabric in all lines of a frame, or None when there is no fabric in it.

    pixels: (H, W) grey or (H, W, 3) RGB uint8. A frame that is fabric from side to side gives (0, W).
    """
    if pixels.shape[0] < MEAN_PX or pixels.shape[1] < MIN_RUN * BLOCK_PX:
        return None
    profiles, residuals = _bands(pixels)
    covariance, variance = _texture(residuals)
    run = _longest_run((covariance >= MIN_ORDER * variance) & (covariance >= MIN_TEXTURE**2))
    if run is None:
        return None
    width, blocks = pixels.shape[1], covariance.size
    left = _place(profiles, *_trim(covariance, run[0]))
    # The right edge is the left one in a mirror; a strip narrower than a block at the far side counts as fabric.
    mirrored = [profile.mirrored() for profile in profiles]
    trimmed, outward = _trim(covariance[::-1], blocks - run[1])
    right = width - _place(mirrored, trimmed + (width % BLOCK_PX if trimmed else 0), outward)
    return (left, right) if right - left >= MIN_RUN * BLOCK_PX else None


def background_level(pixels: Pixels, left: int, right: int) -> float:
    """Median grey of what shows beside the fabric [left, right), which is what shows through a hole; -1 when too little
    does. A few columns by the selvedge, which may be fringe, are left out."""
    sides = [side for side in (pixels[:, : max(0, left - FRINGE_PX)], pixels[:, right + FRINGE_PX :]) if side.size]
    if sum(side.shape[1] for side in sides) < FRINGE_PX:
        return -1.0
    thinned = [np.ascontiguousarray(side[::8]) for side in sides]
    greys = [cv2.cvtColor(side, cv2.COLOR_RGB2GRAY) if side.ndim == 3 else side for side in thinned]
    return float(np.median(np.concatenate([grey.ravel() for grey in greys])))


def _bands(pixels: Pixels) -> tuple[list[_Profile], Floats]:
    """Up to `MAX_BANDS` blocks of neighbouring lines, spread over the frame, enough to know the edges by: their
    profiles, and their residuals (bands, lines, W)."""
    height, width = pixels.shape[:2]
    lines = min(BAND_LINES, height)
    starts = np.linspace(0, height - lines, min(MAX_BANDS, height // lines)).astype(int)
    profiles = []
    residuals = np.empty((starts.size, lines, width), np.float32)
    for start, residual in zip(starts, residuals, strict=True):
        part = pixels[start : start + lines]
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY) if part.ndim == 3 else np.ascontiguousarray(part)
        residual[...] = cv2.sepFilter2D(grey, cv2.CV_32F, APART, APART)
        texture = cv2.blur(cv2.reduce(np.abs(residual), 0, cv2.REDUCE_AVG), (MEAN_PX, 1))[0]
        level = cv2.reduce(grey, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[0]
        profiles.append(_Profile(np.asarray(level, np.float32), np.asarray(texture, np.float32)))
    return profiles, residuals


def _texture(residuals: Floats) -> tuple[Floats, Floats]:
    """(blocks,) largest covariance of the residual with itself moved, and its variance, in squared grey levels."""
    variance = _covariance(residuals, 0, 0)
    largest = np.zeros_like(variance)
    for lines, columns in SHIFTS:
        covariance = _covariance(residuals, lines, columns)
        if lines * columns == 0:
            covariance += variance / MEAN_PX  # what taking away the mean does to plain noise
        np.maximum(largest, np.abs(covariance), out=largest)
    return largest, variance


def _covariance(residuals: Floats, lines: int, columns: int) -> Floats:
    """(bands, lines, W) -> (blocks,) the residual times itself moved: mean over a block, median over the bands."""
    bands, height, width = residuals.shape
    blocks = width // BLOCK_PX
    above, below = residuals[:, : height - lines], residuals[:, lines:]
    products = np.zeros((bands, width), np.float32)  # the few columns at the side without a partner stay zero
    start, end = max(columns, 0), width + min(columns, 0)
    for product, before, after in zip(products, above, below, strict=True):
        np.einsum("yx,yx->x", before[:, start - columns : end - columns], after[:, start:end], out=product[start:end])
    by_block = products[:, : blocks * BLOCK_PX].reshape(bands, blocks, BLOCK_PX).mean(axis=2) / (height - lines)
    return np.asarray(np.median(by_block, axis=0), np.float32)


def _longest_run(woven: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Blocks [first, last) of the web."""
    # A block that disagrees with both its neighbours is dirt, or a stain.
    padded = np.pad(woven, 1, mode="edge").astype(np.int8)
    smooth = (padded[:-2] + padded[1:-1] + padded[2:] >= 2).astype(np.int8)
    changes = np.flatnonzero(np.diff(np.concatenate(([0], smooth, [0]))))
    runs = [(int(first), int(last)) for first, last in zip(changes[::2], changes[1::2], strict=True)]
    runs = [(first, last) for first, last in runs if last - first >= MIN_RUN]
    if not runs:
        return None
    longest = max(range(len(runs)), key=lambda index: runs[index][1] - runs[index][0])
    first, last = runs[longest]
    for start, end in runs[longest + 1 :]:
        if start - last <= 2 * (end - start):
            last = end
    for start, end in reversed(runs[:longest]):
        if first - end <= 2 * (end - start):
            first = start
    return first, last


def _trim(covariance: Floats, first: int) -> tuple[int, int]:
    """(column, px outward that may still be fabric): the web's left side without blocks much fainter than the rest.

    A shadow or dirt beside the selvedge can be a little ordered.
    """
    start = first
    if first:
        last = min(first + MAX_TRIM, covariance.size - 1)
        while start < last and covariance[start] < 0.15 * np.median(covariance[start + 1 : start + 9]):
            start += 1
    return start * BLOCK_PX, (start - first) * BLOCK_PX + SEARCH_PX


def _place(profiles: list[_Profile], about: int, outward: int) -> int:
    """The left edge to the pixel, from `outward` before column `about` to `SEARCH_PX` behind; fabric on its right."""
    places = np.array([_place_in_band(profile, about, outward) for profile in profiles])
    agreed = places[np.abs(places - np.median(places)) <= SEARCH_PX / 2]
    return int(agreed.max())


def _place_in_band(profile: _Profile, about: int, outward: int) -> int:
    texture, width = profile.texture, profile.level.size
    inside = slice(min(about + SEARCH_PX, width - 1), min(about + 4 * SEARCH_PX, width))
    fabric = float(np.median(texture[inside]))
    lowest = max(about - outward, 0)
    window = np.arange(max(lowest, STEP_PX), min(about + SEARCH_PX, width - STEP_PX))
    steps = _steps(profile.level)
    highest = float(steps[window].max())
    if highest >= max(MIN_STEP, 2 * float(steps[inside].max())):
        edge = _last_step(steps, window)
        # At the side of the picture there may be no background at all, only a stripe.
        if about > 0 or float(np.median(texture[:edge])) < fabric / 2:
            return edge
    if about == 0:
        return 0
    background = float(np.median(texture[max(lowest - 3 * SEARCH_PX, 0) : max(lowest, 1)]))
    faded = np.flatnonzero(texture[window] < np.sqrt(max(background, 0.1) * fabric))
    edge = int(window[faded[-1]]) + 1 if faded.size else lowest
    # Where the fabric itself has stripes, only the step right there can be the edge's.
    near = window[(window >= edge - STEP_PX) & (window < edge + MEAN_PX)]
    return _last_step(steps, near) if near.size and float(steps[near].max()) >= MIN_STEP else edge


def _last_step(steps: Floats, window: NDArray[np.int_]) -> int:
    """The step nearest the fabric of those that matter."""
    return int(window[steps[window] >= 0.6 * float(steps[window].max())][-1])


def _steps(profile: Floats) -> Floats:
    """(W,) -> (W,) how much the `STEP_PX` columns from x on differ from those before x, in grey levels."""
    sums = np.concatenate(([0.0], np.cumsum(profile, dtype=np.float64)))
    steps = np.zeros(profile.size, np.float32)
    middle = np.arange(STEP_PX, profile.size - STEP_PX + 1)
    ahead, behind = sums[middle + STEP_PX] - sums[middle], sums[middle] - sums[middle - STEP_PX]
    steps[middle[middle < profile.size]] = np.abs(ahead - behind)[middle < profile.size] / STEP_PX
    return steps
