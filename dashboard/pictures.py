"""A defect's pictures for people: its surroundings with the heat on top, with its outline, and small for a list."""

import base64
import io

import cv2
import numpy as np
from PIL import Image

from inspection.types import Mask, Pixels
from storage.reads.defects import DefectItem

OUTLINE_RGB = (255, 196, 0)
OUTLINE_SHADE_RGB = (20, 20, 20)  # around the outline, so that it shows on any cloth
THUMBNAIL_FROM_PX = 96  # of the crop, at least
SHOWN_PX = 512  # smaller crops are enlarged to this before lines are drawn


def read_picture(data: bytes) -> Pixels:
    """PNG or JPEG bytes -> RGB (H, W, 3). Raises `OSError` for anything else."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"), np.uint8)


def write_png(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def crop_start(box: tuple[int, int], limit_px: int, length_px: int) -> int:
    """Where a crop of `length_px` begins on one axis: centered on the defect's box, inside [0, limit_px)."""
    return min(max(0, (box[0] + box[1] - length_px) // 2), max(0, limit_px - length_px))


def mask_in_crop(item: DefectItem, mask: Mask, crop_shape: tuple[int, int]) -> Mask:
    """The defect's mask at its place in the crop: (H, W) of the crop."""
    x0, x1, y0, y1 = item.box_px
    left = x0 - crop_start((x0, x1), item.fabric_px[0], crop_shape[1])
    top = y0 - crop_start((y0, y1), item.fabric_px[1], crop_shape[0])
    placed = np.zeros(crop_shape, bool)
    rows, columns = placed[max(0, top) :, max(0, left) :].shape
    cut = mask[max(0, -top) :, max(0, -left) :][:rows, :columns]
    placed[max(0, top) : max(0, top) + cut.shape[0], max(0, left) : max(0, left) + cut.shape[1]] = cut
    return placed


def blend_heat(crop: Pixels, heat: Pixels) -> Pixels:
    """Heat (black where there is none) over the cloth, which is greyed so that the heat's colours are its own."""
    if heat.shape != crop.shape:
        heat = np.asarray(cv2.resize(heat, (crop.shape[1], crop.shape[0])), np.uint8)
    grey = np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2).astype(np.float32)
    strength = (heat.max(axis=2, keepdims=True).astype(np.float32) / 255) ** 0.7
    blended = grey * 0.75 * (1 - 0.8 * strength) + heat.astype(np.float32) * 0.8 * strength
    return np.asarray(blended.clip(0, 255), np.uint8)


def draw_outline(crop: Pixels, mask: Mask) -> Pixels:
    """The crop with the outline of the mask (H, W), enlarged to at least `SHOWN_PX` so that the line is fine."""
    factor = max(1, round(SHOWN_PX / max(crop.shape[:2])))
    size = (crop.shape[1] * factor, crop.shape[0] * factor)
    large = np.ascontiguousarray(cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    over = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    grown = cv2.dilate(over, np.ones((5, 5), np.uint8))  # the line lies around the defect, not on it
    outlines, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    thickness = max(2, round(max(size) / 250))
    cv2.drawContours(large, outlines, -1, OUTLINE_SHADE_RGB, thickness + 2, cv2.LINE_AA)
    cv2.drawContours(large, outlines, -1, OUTLINE_RGB, thickness, cv2.LINE_AA)
    return large


def thumbnail(data: bytes, item: DefectItem, *, side_px: int) -> str:
    """The defect with a little cloth around it, small and square, in a data URL. data: its crop."""
    with Image.open(io.BytesIO(data)) as picture:
        x0, x1, y0, y1 = item.box_px
        side = min(*picture.size, max(THUMBNAIL_FROM_PX, round(1.5 * max(x1 - x0, y1 - y0))))
        corner = []
        for start, end, fabric, length in (
            (x0, x1, item.fabric_px[0], picture.width),
            (y0, y1, item.fabric_px[1], picture.height),
        ):
            middle = (start + end) // 2 - crop_start((start, end), fabric, length)
            corner.append(min(max(0, middle - side // 2), length - side))
        left, top = corner
        small = picture.convert("RGB").crop((left, top, left + side, top + side))
    out = io.BytesIO()
    small.resize((side_px, side_px), Image.Resampling.LANCZOS).save(out, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def shrunken(data: bytes, *, side_px: int) -> str:
    """All of a picture, small and square, in a data URL."""
    with Image.open(io.BytesIO(data)) as picture:
        small = picture.convert("RGB").resize((side_px, side_px), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def shape_of(data: bytes) -> tuple[int, int]:
    """(H, W) of an encoded picture, read from its header."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.height, picture.width
