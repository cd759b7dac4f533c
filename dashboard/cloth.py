"""The picture of the cloth as it runs: a camera's newest frames one below the other, in true proportions."""

import io
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dashboard.language import figure
from dashboard.pictures import read_picture
from dashboard.units import UnitSet
from inspection.types import Pixels
from storage.live import StripPiece

SLACK_MM = 1.0  # frames whose ends are so near touch
HATCH_PX = 12
HATCH_RGB, HATCH_LINE_RGB = (206, 210, 214), (150, 157, 165)
TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # m or yd
TICK_SPACE_PX = 70  # at least, between two
LABEL_PX = 15


def draw_strip(pieces: Sequence[StripPiece], *, width_px: int, height_px: int, own: UnitSet) -> bytes:
    """The newest cloth of a camera as JPEG of `width_px` x `height_px`, its end at the bottom, lengths at the left.

    pieces: in the order of their capture, at least one. Cloth that no piece shows is hatched. What was captured before
    the counter was reset is left out. Pieces that cannot be read count as missing.
    """
    newest = pieces[-1]
    end_mm = newest.position_mm + newest.length_mm
    scale = width_px / max(newest.x1_mm - newest.x0_mm, 1.0)
    canvas = _hatched(width_px, height_px).copy()
    for piece in _of_this_run(pieces):
        bottom = height_px - round((end_mm - piece.position_mm - piece.length_mm) * scale)
        top = height_px - round((end_mm - piece.position_mm) * scale)
        if bottom <= 0 or top >= height_px or bottom <= top:
            continue
        try:
            cloth = cv2.resize(read_picture(piece.jpeg), (width_px, bottom - top), interpolation=cv2.INTER_AREA)
        except OSError:
            continue
        shown = cloth[max(0, -top) :]
        canvas[max(0, top) : max(0, top) + len(shown)] = shown
    return _with_lengths(canvas, end_mm=end_mm, scale=scale, own=own)


def _of_this_run(pieces: Sequence[StripPiece]) -> list[StripPiece]:
    """The newest pieces up to the last place where the counter went back."""
    run = [pieces[-1]]
    for piece in reversed(pieces[:-1]):
        if piece.position_mm > run[-1].position_mm + SLACK_MM:
            break
        run.append(piece)
    return run


@lru_cache(maxsize=8)  # of a screen's cameras
def _hatched(width_px: int, height_px: int) -> Pixels:
    y, x = np.mgrid[0:height_px, 0:width_px]
    lines: NDArray[np.bool_] = (x + y) % HATCH_PX < 2
    return np.where(lines[:, :, None], HATCH_LINE_RGB, HATCH_RGB).astype(np.uint8)


def _with_lengths(canvas: Pixels, *, end_mm: float, scale: float, own: UnitSet) -> bytes:
    picture = Image.fromarray(canvas)
    pen, font = ImageDraw.Draw(picture), _font()
    height = canvas.shape[0]
    ticks = [own.long_mm * each for each in TICKS]
    step = next((each for each in ticks if each * scale >= TICK_SPACE_PX), ticks[-1])
    first = np.ceil((end_mm - height / scale) / step)
    for number in np.arange(first, np.floor(end_mm / step) + 1):
        y = height - (end_mm - number * step) * scale
        if not LABEL_PX < y < height - LABEL_PX:
            continue
        pen.line([(0, y), (14, y)], fill=(255, 255, 255), width=3)
        pen.line([(0, y), (14, y)], fill=(20, 20, 20), width=1)
        pen.text(
            (19, y),
            f"{figure(own.along(number * step), 'g')} {own.long}",
            font=font,
            anchor="lm",
            fill=(255, 255, 255),
            stroke_width=2,
            stroke_fill=(20, 20, 20),
        )
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=75)  # it goes to every screen each second
    return out.getvalue()


@cache
def _font() -> Any:
    return ImageFont.load_default(LABEL_PX)
