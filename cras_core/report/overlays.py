"""An example as pictures: as it was, its scores as heat, the truth's outline beside what the threshold finds."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cras_core.metrics import Truth
from cras_core.pictures import Pixels
from cras_core.report.findings import Example

TRUTH = (40, 200, 90)  # RGB
FOUND = (235, 60, 60)
HEAT_SHARE = 0.55


def original(example: Example) -> Pixels:
    return example.tile


def heat(example: Example) -> Pixels:
    """Scores over the picture; the threshold is the middle of the colours, twice it and more their end."""
    shares = np.clip(example.heat / max(2 * example.threshold, 1e-12), 0, 1)
    colours = cv2.applyColorMap(np.rint(shares * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    return np.asarray(np.rint(HEAT_SHARE * colours + (1 - HEAT_SHARE) * example.tile), np.uint8)


def outlines(example: Example) -> Pixels:
    """The truth green, what lies over the threshold red."""
    pixels = np.ascontiguousarray(example.tile.copy())
    for mask, colour in ((example.heat > example.threshold, FOUND), (example.mask, TRUTH)):
        cv2.drawContours(pixels, _contours(mask), -1, colour, max(1, round(len(mask) / 128)))
    return pixels


def jpeg(pixels: Pixels) -> bytes:
    """(H, W, 3) RGB as a JPEG to look at."""
    fine = [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, data = cv2.imencode(".jpg", pixels[:, :, ::-1], fine)
    return bytes(data)


def _contours(mask: Truth) -> list[NDArray[np.int32]]:
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(each, np.int32) for each in found]
