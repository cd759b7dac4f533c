"""What a defect looks like, as a short vector: to find others like it.

Taken from the picture and the mask alone, not from a model's features: those change with every training, and likeness
must compare across models and years. Four parts of equal weight, so that no one of them decides alone:

- form: the mask in a square around it, 8 x 8 (line, ring or blot, and how it lies);
- size: logarithms of extent along, extent across and area;
- colour: how the defect differs from the cloth around it, per channel, and how much it varies;
- grain: the directions of the edges in it, 8 bins of unsigned gradient (Dalal & Triggs, CVPR 2005).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.types import Defect, FrameHeader, Pixels

SIDE = 8
DIRECTIONS = 8
LENGTH = SIDE * SIDE + 3 + 4 + DIRECTIONS
AROUND_PX = 24  # cloth around a defect that it is compared with
LARGEST_PX = 256  # longest side that is looked at; larger ones are shrunk


def likenesses(fabric: Pixels, defects: tuple[Defect, ...], header: FrameHeader) -> tuple[bytes, ...]:
    """fabric: (H, fabric width, C). (`LENGTH`,) float16, little endian, a defect."""
    return tuple(likeness(fabric, defect, left_px=header.fabric_left_px).astype("<f2").tobytes() for defect in defects)


def likeness(fabric: Pixels, defect: Defect, *, left_px: int) -> NDArray[np.float32]:
    """(`LENGTH`,), each part of length 1 at most."""
    x0, x1 = defect.x0_px - left_px, defect.x1_px - left_px
    rows = slice(max(0, defect.y0_px - AROUND_PX), min(fabric.shape[0], defect.y1_px + AROUND_PX))
    columns = slice(max(0, x0 - AROUND_PX), min(fabric.shape[1], x1 + AROUND_PX))
    cloth = fabric[rows, columns]
    if cloth.ndim == 2 or cloth.shape[2] == 1:
        cloth = np.repeat(cloth.reshape(*cloth.shape[:2], 1), 3, axis=2)
    mask: Pixels = np.zeros(cloth.shape[:2], np.uint8)
    top, left = defect.y0_px - rows.start, x0 - columns.start
    mask[top : top + defect.mask.shape[0], left : left + defect.mask.shape[1]] = defect.mask
    scale = min(1.0, LARGEST_PX / max(mask.shape))
    if scale < 1:
        size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
        cloth = np.asarray(cv2.resize(cloth, size, interpolation=cv2.INTER_AREA), np.uint8)
        mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    inside = mask.astype(np.bool_)
    if not inside.any():  # thinner than a pixel of the shrunken picture
        inside[:] = True
    parts = (_form(defect), _size(defect), _colour(cloth, inside), _grain(cloth, inside))
    return np.concatenate([part / max(1.0, float(np.linalg.norm(part))) for part in parts]).astype(np.float32)


def _form(defect: Defect) -> NDArray[np.float32]:
    height, width = defect.mask.shape
    side = max(height, width)
    size = (max(1, round(SIDE * width / side)), max(1, round(SIDE * height / side)))
    small = cv2.resize(defect.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    square = np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return (square / max(float(np.linalg.norm(square)), 1e-6)).ravel()


def _size(defect: Defect) -> NDArray[np.float32]:
    extents = (defect.y1_mm - defect.y0_mm, defect.x1_mm - defect.x0_mm, defect.area_mm2)
    return np.asarray(np.log10(np.maximum(extents, 0.01)) / 4, np.float32)


def _colour(cloth: Pixels, inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    own = cloth[inside].astype(np.float32) / 255
    around = cloth[~inside].astype(np.float32) / 255 if not inside.all() else own
    differs = own.mean(axis=0) - around.mean(axis=0)
    return np.append(differs, own.std() - around.std()).astype(np.float32) * 2


def _grain(cloth: Pixels, inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(cloth, cv2.COLOR_RGB2GRAY).astype(np.float32)
    along, across = cv2.Sobel(grey, cv2.CV_32F, 0, 1), cv2.Sobel(grey, cv2.CV_32F, 1, 0)
    bins = ((np.arctan2(along, across) % np.pi) / np.pi * DIRECTIONS).astype(int) % DIRECTIONS
    found = np.bincount(bins[inside], weights=np.hypot(along, across)[inside], minlength=DIRECTIONS)
    return (found / max(float(np.linalg.norm(found)), 1e-6)).astype(np.float32)
