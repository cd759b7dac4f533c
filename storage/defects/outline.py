"""A defect's outline: convex hull and moments of its mask, in whole micrometres, so that it grows without its pixels.

Outlines join: the hull of two hulls is the hull of both masks, and moments add up. Both are integers, so the outline of
a defect is the same to the last bit in whatever order its fragments came, and a warp line of 40 m costs no more to
lengthen than one of 40 cm. From the outline follow extent, maximum Feret diameter (the largest distance of two points,
which two corners of the hull have) and the principal axes (PCA of the pixels, weighted by their area).
"""

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import cv2
import numpy as np

from inspection.types import Mask

UM = 1000  # micrometres in a mm
FEW = 12  # corners of a hull
_HEAD = struct.Struct("<qq")  # corner that the hull is stored from
_SUM_BYTES = 16

Point = tuple[int, int]  # x, y


@dataclass(frozen=True, slots=True)
class Outline:
    """hull: corners (x, y) in um, strictly convex, from the lowest x on. sums: over the mask's area of
    1, x, y, xx, xy, yy, in um to the power it takes."""

    hull: tuple[Point, ...]
    sums: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What an outline says, in mm. Boxes as the cloth has them: x from its left edge, y along the roll."""

    x0_mm: float
    x1_mm: float
    y0_mm: float
    y1_mm: float
    size_mm: float  # maximum Feret diameter
    length_mm: float  # extent along the principal axis
    width_mm: float  # extent across it
    angle_deg: float  # of the principal axis to the warp, 0 (along the roll) to 90 (across it)


def outline_of(mask: Mask, *, x0_mm: float, y0_mm: float, mm_per_px: float) -> Outline:
    """Of a mask (H, W) with at least one pixel, whose corner [0, 0] lies at (x0_mm, y0_mm). Pixels are squares."""
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    lefts = mask.argmax(axis=1)
    ys = np.flatnonzero(mask[np.arange(len(mask)), lefts])
    lefts, rights = lefts[ys], mask.shape[1] - mask[ys, ::-1].argmax(axis=1)
    corners = np.empty((4, ys.size, 2), np.int32)
    corners[0::2, :, 0], corners[1::2, :, 0] = lefts, rights
    corners[:2, :, 1], corners[2:, :, 1] = ys, ys + 1
    hull_px = cv2.convexHull(corners.reshape(-1, 2))[:, 0, :].tolist()
    scale = mm_per_px * UM
    hull = _hull(
        (round(x0_mm * UM + x * scale), round(y0_mm * UM + y * scale))
        for x, y in hull_px
    )  # fmt: skip
    moments = cv2.moments(pixels, True)  # whole numbers, exact as doubles
    count = moments["m00"]
    middle_x, middle_y = moments["m10"] / count, moments["m01"] / count
    x, y = x0_mm * UM + (middle_x + 0.5) * scale, y0_mm * UM + (middle_y + 0.5) * scale
    area = count * scale * scale
    # a pixel is no point: a square of side s spreads by s^2 / 12 about its middle
    xx, xy, yy = ((moments[name] / count + own) * scale * scale for name, own in (
        ("mu20", 1 / 12), ("mu11", 0.0), ("mu02", 1 / 12))
    )  # fmt: skip
    weight, mean_x, mean_y = round(area), round(x), round(y)
    return Outline(
        hull=hull,
        sums=(
            weight,
            weight * mean_x,
            weight * mean_y,
            weight * (mean_x * mean_x + round(xx)),
            weight * (mean_x * mean_y + round(xy)),
            weight * (mean_y * mean_y + round(yy)),
        ),
    )


def join_outlines(outlines: Iterable[Outline]) -> Outline:
    """The outline of all their masks together; where masks overlap, their area counts twice in the moments."""
    parts = list(outlines)
    if len(parts) == 1:
        return parts[0]
    a, b, c, d, e, f = (sum(column) for column in zip(*(part.sums for part in parts), strict=True))
    return Outline(hull=_hull(point for part in parts for point in part.hull), sums=(a, b, c, d, e, f))


@lru_cache(maxsize=1024)  # a new fragment is measured by itself and as its defect
def measure(outline: Outline) -> Measures:
    xs, ys = zip(*outline.hull, strict=True)
    x0, y0 = min(xs), min(ys)
    axis_x, axis_y = principal_axis(outline)
    corners = [(x - x0, y - y0) for x, y in outline.hull]
    along = [x * axis_x + y * axis_y for x, y in corners]
    across = [y * axis_x - x * axis_y for x, y in corners]
    return Measures(
        x0_mm=x0 / UM,
        x1_mm=max(xs) / UM,
        y0_mm=y0 / UM,
        y1_mm=max(ys) / UM,
        size_mm=_largest_distance(corners) / UM,
        length_mm=(max(along) - min(along)) / UM,
        width_mm=(max(across) - min(across)) / UM,
        angle_deg=math.degrees(math.atan2(abs(axis_x), abs(axis_y))),
    )


def _largest_distance(corners: list[Point]) -> float:
    if len(corners) <= FEW:  # calling numpy would cost more than counting
        return math.sqrt(max((a - c) ** 2 + (b - d) ** 2 for (a, b), (c, d) in combinations(corners, 2)))
    points = np.array(corners) @ (1, 1j)  # as complex numbers: a distance is an absolute value
    return float(abs(points[:, None] - points).max())


def principal_axis(outline: Outline) -> tuple[float, float]:
    """Unit vector (x, y) in which the area is spread most; exact moments, so nothing is lost far along the roll."""
    weight, x, y, xx, xy, yy = outline.sums
    square = weight * weight
    var_x, cov, var_y = (
        (xx * weight - x * x) / square,
        (xy * weight - x * y) / square,
        (yy * weight - y * y) / square,
    )
    angle = 0.5 * math.atan2(2 * cov, var_x - var_y)
    return math.cos(angle), math.sin(angle)


def area_mm2(outline: Outline) -> float:
    return outline.sums[0] / UM**2


def encode_outline(outline: Outline) -> bytes:
    x, y = outline.hull[0]
    corners = np.array([(px - x, py - y) for px, py in outline.hull], np.int64)
    sums = b"".join(value.to_bytes(_SUM_BYTES, "little", signed=True) for value in outline.sums)
    return _HEAD.pack(x, y) + sums + corners.astype("<i4").tobytes()


def decode_outline(data: bytes) -> Outline:
    """Back, exactly."""
    x, y = _HEAD.unpack_from(data)
    start, end = _HEAD.size, _HEAD.size + 6 * _SUM_BYTES
    a, b, c, d, e, f = (
        int.from_bytes(data[at : at + _SUM_BYTES], "little", signed=True) for at in range(start, end, _SUM_BYTES)
    )
    offsets = np.frombuffer(data, "<i4", offset=end).reshape(-1, 2).tolist()
    return Outline(hull=tuple((x + dx, y + dy) for dx, dy in offsets), sums=(a, b, c, d, e, f))


def _hull(points: Iterable[Point]) -> tuple[Point, ...]:
    """Andrew's monotone chain, on integers and therefore exact; points on an edge are left out."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return tuple(ordered)
    lower, upper = _chain(ordered), _chain(reversed(ordered))
    return (*lower[:-1], *upper[:-1])


def _chain(points: Iterable[Point]) -> list[Point]:
    chain: list[Point] = []
    for x, y in points:
        while len(chain) >= 2:
            (ax, ay), (bx, by) = chain[-2], chain[-1]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain
