"""When two fragments are parts of one defect: a yes or no about a pair, and therefore the same in any order.

A fragment is what one frame shows of a defect. Two belong together

- where their masks are at most 10 mm apart (`NEAR_MM`). Within one frame the worker has already judged that, pixel by
  pixel and by its own setting, so only fragments of different frames are asked;
- or, both being warp lines, where one goes on at most 300 mm behind the end of the other (`ALONG_MM`) and at most 10 mm
  beside it: a warp thread that is seen, lost and seen again. Only lines: dots in a row may be marks of a roller, and a
  stain that follows a line is something else.

Positions can be compared only on one counter: of one camera, within a session; of two cameras, which share the line's
counter, when both saw the cloth within `TOGETHER`. Cloth of two rolls is never one defect (`storage.defects.merging`
asks only within a roll). What staff part by hand is a further answer (`storage.defects.by_hand`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from inspection.types import Mask
from storage.masks import decode_mask

NEAR_MM = 10.0
ALONG_MM = 300.0
TOGETHER = timedelta(minutes=10)
_ROUNDING_MM = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What of a fragment the question needs. start_x_mm, end_x_mm: the middle of a line at its two ends along the
    roll."""

    frame_id: int
    camera: str
    counter: str
    captured_at: datetime
    x0_mm: float
    x1_mm: float
    y0_mm: float
    y1_mm: float
    mm_per_px: float
    warp_line: bool
    start_x_mm: float
    end_x_mm: float
    mask: Callable[[], Mask]  # most pairs are told apart without it


def fragment_of(values: dict[str, Any]) -> Fragment:
    """values: the columns of a `FragmentRow`."""
    return Fragment(
        frame_id=values["frame_id"],
        camera=values["camera"],
        counter=values["counter"],
        captured_at=values["captured_at"],
        x0_mm=values["x0_mm"],
        x1_mm=values["x1_mm"],
        y0_mm=values["y0_mm"],
        y1_mm=values["y1_mm"],
        mm_per_px=(values["x1_mm"] - values["x0_mm"]) / (values["x1_px"] - values["x0_px"]),
        warp_line=values["warp_line"],
        start_x_mm=values["start_x_mm"],
        end_x_mm=values["end_x_mm"],
        mask=partial(decode_mask, values["mask"]),
    )


def together(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """`belong_together` of two fragments' columns."""
    return belong_together(fragment_of(a), fragment_of(b))


def belong_together(a: Fragment, b: Fragment) -> bool:
    if not _comparable(a, b):
        return False
    return _follow(a, b) or (a.frame_id != b.frame_id and are_near(a, b))


def reach_mm(fragment: Fragment) -> float:
    """How far along the roll others can lie that belong to it."""
    return ALONG_MM if fragment.warp_line else NEAR_MM


def _comparable(a: Fragment, b: Fragment) -> bool:
    if a.camera == b.camera:
        return a.counter == b.counter
    return abs(a.captured_at - b.captured_at) <= TOGETHER


def _follow(a: Fragment, b: Fragment) -> bool:
    """Whether both are warp lines and one goes on where the other ended."""
    if not (a.warp_line and b.warp_line):
        return False
    first, then = (a, b) if (a.y0_mm, a.y1_mm) <= (b.y0_mm, b.y1_mm) else (b, a)
    along, across = then.y0_mm - first.y1_mm, abs(then.start_x_mm - first.end_x_mm)
    return -NEAR_MM <= along <= ALONG_MM + _ROUNDING_MM and across <= NEAR_MM + _ROUNDING_MM


def are_near(a: Fragment, b: Fragment, *, reach: float = NEAR_MM) -> bool:
    """Whether the masks' squares of pixels come within `reach` mm of each other."""
    a, b = sorted((a, b), key=_box)  # which is asked about which must not matter
    reach += _ROUNDING_MM
    gap_x = max(a.x0_mm - b.x1_mm, b.x0_mm - a.x1_mm)
    gap_y = max(a.y0_mm - b.y1_mm, b.y0_mm - a.y1_mm)
    if max(gap_x, gap_y) > reach:
        return False
    ours, theirs = _border(a, b, reach), _border(b, a, reach)
    if not len(ours) or not len(theirs):
        return False
    if _any_inside(ours, b) or _any_inside(theirs, a):
        return True
    half = (a.mm_per_px + b.mm_per_px) / 2  # from the middles of two pixels to their sides
    few, many = sorted((ours, theirs), key=len)
    for point, close in zip(few, cKDTree(many).query_ball_point(few, reach + 1.5 * half), strict=True):
        apart = np.maximum(np.abs(many[close] - point) - half, 0)
        if (np.hypot(apart[:, 0], apart[:, 1]) <= reach).any():
            return True
    return False


def _box(fragment: Fragment) -> tuple[float, float, float, float]:
    return fragment.y0_mm, fragment.x0_mm, fragment.y1_mm, fragment.x1_mm


def _border(fragment: Fragment, other: Fragment, reach: float) -> NDArray[np.float64]:
    """(N, 2) x, y in mm: middles of the mask's border pixels that lie within reach of the other's box."""
    mask, scale = fragment.mask(), fragment.mm_per_px
    height, width = mask.shape
    left = max(0, int((other.x0_mm - reach - fragment.x0_mm) / scale) - 1)
    right = min(width, int((other.x1_mm + reach - fragment.x0_mm) / scale) + 2)
    top = max(0, int((other.y0_mm - reach - fragment.y0_mm) / scale) - 1)
    bottom = min(height, int((other.y1_mm + reach - fragment.y0_mm) / scale) + 2)
    if right <= left or bottom <= top:
        return np.empty((0, 2))
    padded = np.pad(mask[top:bottom, left:right], 1)
    inner = padded[1:-1, 1:-1]
    border = inner & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])
    rows, columns = np.nonzero(border)
    return np.stack(
        [fragment.x0_mm + (left + columns + 0.5) * scale, fragment.y0_mm + (top + rows + 0.5) * scale], axis=1
    )


def _any_inside(points: NDArray[np.float64], fragment: Fragment) -> bool:
    """Whether any of the points lies on the fragment's mask."""
    pixels = np.floor((points - (fragment.x0_mm, fragment.y0_mm)) / fragment.mm_per_px).astype(int)
    mask = fragment.mask()
    height, width = mask.shape
    inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=1)
    columns, rows = pixels[inside].T
    return bool(mask[rows, columns].any())


def ends_of(mask: Mask, *, x0_mm: float, mm_per_px: float) -> tuple[float, float]:
    """The middle across of the first and of the last 5 mm of a mask along the roll, in mm."""
    rows = max(1, round(5.0 / mm_per_px))
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    first, last = (cv2.moments(part, True) for part in (pixels[:rows], pixels[-rows:]))
    middles = (part["m10"] / part["m00"] if part["m00"] else math.nan for part in (first, last))
    start_x_mm, end_x_mm = (x0_mm + (middle + 0.5) * mm_per_px for middle in middles)
    return start_x_mm, end_x_mm
