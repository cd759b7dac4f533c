"""Pictures for people: heat over cloth, and a defect's surroundings with their heat."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.types import Defect, FrameHeader, Pixels, Scores

HEAT_FROM, HEAT_TO = 0.6, 2.0  # of the threshold: transparent below, full red from there on


def heat(ratios: Scores) -> Pixels:
    """Scores in units of the threshold (H, W) -> RGB (H, W, 3): black below, then dark red over orange to yellow."""
    level = np.clip((ratios - HEAT_FROM) / (HEAT_TO - HEAT_FROM), 0, 1)
    colour = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2RGB), np.uint8)


def overlay(fabric: Pixels, ratios: Scores, defects: Sequence[Defect], *, left_px: int) -> Pixels:
    """Cloth (H, W[, C]) with its heat on top and its defects outlined: RGB (H, W, 3). left_px: the fabric's edge."""
    return _outlined(_heated(fabric, ratios), defects, left_px=left_px, scale=(1.0, 1.0))


def preview(fabric: Pixels, ratios: Scores, defects: Sequence[Defect], *, left_px: int, longest_px: int) -> Pixels:
    """As `overlay`, at most `longest_px` on its longest side; nothing but shrinking is done at full size. fabric: of
    the size of `ratios`, or every n-th row of it."""
    width, height = small_size(*ratios.shape, longest_px=longest_px)
    small = np.asarray(_shrunk(fabric, (width, height)), np.uint8)
    if ratios.max() <= HEAT_FROM:
        heat = np.zeros((height, width), np.float32)
    else:
        heat = np.asarray(_shrunk(ratios, (width, height)), np.float32)
    scale = (width / ratios.shape[1], height / ratios.shape[0])
    return _outlined(_heated(small, heat), defects, left_px=left_px, scale=scale)


def _heated(fabric: Pixels, ratios: Scores) -> Pixels:
    picture = to_rgb(fabric).copy()
    hot = [np.flatnonzero((ratios > HEAT_FROM).any(axis=axis)) for axis in (1, 0)]
    if not hot[0].size:  # as most of the time
        return picture
    place = np.s_[hot[0][0] : hot[0][-1] + 1, hot[1][0] : hot[1][-1] + 1]
    strength = np.clip((ratios[place] - HEAT_FROM) / (HEAT_TO - HEAT_FROM), 0, 1)[:, :, None] * 0.75
    blended = picture[place].astype(np.float32) * (1 - strength) + np.array([255.0, 48.0, 16.0], np.float32) * strength
    picture[place] = blended.astype(np.uint8)
    return picture


def _outlined(picture: Pixels, defects: Sequence[Defect], *, left_px: int, scale: tuple[float, float]) -> Pixels:
    """`scale`: of the picture's columns and rows to the frame's."""
    thickness = max(1, round(max(picture.shape[:2]) / 500))
    for defect in defects:
        outlines, _ = cv2.findContours(defect.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        corner = np.array((defect.x0_px - left_px, defect.y0_px))
        placed = [np.rint((points + corner) * scale).astype(np.int32) for points in outlines]
        picture = np.asarray(cv2.drawContours(picture, placed, -1, (255, 210, 0), thickness), np.uint8)
    return picture


def to_rgb(pixels: Pixels) -> Pixels:
    """Grey (H, W) or (H, W, 1) or RGB -> RGB (H, W, 3)."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def small_size(height: int, width: int, *, longest_px: int) -> tuple[int, int]:
    """(width, height) of a picture that is at most `longest_px` on its longest side, and never grown."""
    scale = min(longest_px / max(height, width), 1.0)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _shrunk(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """By halves, each the mean of four pixels, and the rest by interpolation: an eighth of the time that means over any
    number of pixels take."""
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        half = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        image = cv2.resize(half, (half.shape[1] // 2, half.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if image.shape[1::-1] == size:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def encode(pixels: NDArray[np.uint8], *, suffix: str) -> bytes:
    """(H, W[, C]) grey or RGB -> ".png" or ".jpg" bytes."""
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
    done, data = cv2.imencode(suffix, pixels)
    if not done:
        raise ValueError(f"cannot encode {pixels.shape} as {suffix}")
    return data.tobytes()


def crop_box(defect: Defect, header: FrameHeader, *, tile_px: int) -> tuple[int, int, int, int]:
    """Fabric pixels (x0, x1, y0, y1) around a defect: its box and some more, at least a tile."""
    left, width = header.fabric_left_px, header.fabric_right_px - header.fabric_left_px
    x0, x1 = _widen(defect.x0_px - left, defect.x1_px - left, width, tile_px)
    y0, y1 = _widen(defect.y0_px, defect.y1_px, header.height_px, tile_px)
    return x0, x1, y0, y1


def _widen(start: int, end: int, limit: int, tile_px: int) -> tuple[int, int]:
    length = min(limit, max(tile_px, end - start + tile_px // 2))
    first = min(max(0, (start + end - length) // 2), limit - length)
    return first, first + length


def crops(
    fabric: Pixels, ratios: Scores, defects: tuple[Defect, ...], header: FrameHeader, *, tile_px: int
) -> tuple[tuple[bytes, bytes], ...]:
    """For each defect the cloth around it and the heat over the same place, both PNG."""
    pictures = []
    for defect in defects:
        x0, x1, y0, y1 = crop_box(defect, header, tile_px=tile_px)
        place = np.s_[y0:y1, x0:x1]
        pictures.append((encode(fabric[place], suffix=".png"), encode(heat(ratios[place]), suffix=".png")))
    return tuple(pictures)
