"""Camera pixels to what is inspected: (H, W) grey or (H, W, 3) RGB, 8 bits. Converted once, here.

Names are those of EMVA's Pixel Format Naming Convention (PFNC) and of GigE Vision 1.x, as cameras give them:

    Mono8 Mono10 Mono12 Mono14 Mono16    one value in 8, or little endian in 16 bits
    ...10p, ...12p                       PFNC: a stream of bits without holes, lowest bits first
    ...10Packed, ...12Packed             GigE Vision: two pixels in three bytes, the outer ones hold their high bits
    BayerRG8 ...                         the same for the color filter's top left RG, GR, GB or BG
    RGB8 BGR8 RGBa8 BGRa8 RGB10 ...      three or four values a pixel, 8 bits or little endian in 16

More than 8 bits lose their lowest ones. Bayer is interpolated bilinearly; alpha is left out.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.errors import ImageError
from inspection.types import Pixels

Bytes = bytes | bytearray | memoryview | NDArray[np.uint8]

# The pattern's first two pixels -> OpenCV's code, which is named after the second line's second and third pixel.
_DEMOSAIC = {
    "RG": cv2.COLOR_BayerBG2RGB,
    "GR": cv2.COLOR_BayerGB2RGB,
    "GB": cv2.COLOR_BayerGR2RGB,
    "BG": cv2.COLOR_BayerRG2RGB,
}
_ORDER: dict[str, list[int] | None] = {"RGB": None, "BGR": [2, 1, 0], "RGBA": [0, 1, 2], "BGRA": [2, 1, 0]}
_NAME = re.compile(r"(?:(Mono)|Bayer(RG|GR|GB|BG)|(RGBA?|BGRA?))(8|10|12|14|16)(p|packed)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """How a camera's bytes become pixels. `packing`: "", "p" (PFNC) or "packed" (GigE Vision)."""

    name: str
    bits: int  # of a value
    values: int  # of a pixel
    packing: str
    bayer: str  # the pattern's first two pixels, "" for none
    order: list[int] | None  # of red, green and blue among the values; None: as they are

    @property
    def pixel_bits(self) -> int:
        if self.packing == "packed":
            return 12
        return self.values * (self.bits if self.packing == "p" or self.bits == 8 else 16)

    def line_bytes(self, width: int) -> int:
        return -(-width * self.pixel_bits // 8)


def pixel_format(name: str) -> PixelFormat:
    """The format of that name. Raises `ImageError` for one that is not known."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ImageError(_unknown(name))
    _, bayer, color, bits_text, suffix = found.groups()
    bits, packing = int(bits_text), (suffix or "").lower()
    if color:
        # GigE Vision 1.x calls its plain color formats packed: their three values lie together
        packing = "" if packing == "packed" else packing
    if packing and (color or bits not in (10, 12)):
        raise ImageError(_unknown(name))
    return PixelFormat(
        name=name,
        bits=bits,
        values=len(color) if color else 1,
        packing=packing,
        bayer=(bayer or "").upper(),
        order=_ORDER[color.upper()] if color else None,
    )


def _unknown(name: str) -> str:
    return (
        f"pixel format {name!r} is not known: set PixelFormat to Mono8, Mono10, Mono12, Mono16, RGB8, BGR8, RGBa8 or "
        "a Bayer format, packed or not"
    )


def to_pixels(data: Bytes, form: PixelFormat, *, width: int, height: int, padding: int = 0) -> Pixels:
    """A camera's buffer as (height, width) grey or (height, width, 3) RGB uint8.

    Mono8 and RGB8 without padding are a view on `data`, anything else a copy. `padding`: unused bytes behind each
    line. Lines of a packed format that end within a byte follow each other without a hole when there is no padding.
    Raises `ImageError` when there are fewer bytes than the picture takes.
    """
    raw = np.frombuffer(data, np.uint8)
    if padding or (width * form.pixel_bits) % 8 == 0:
        rows, row_bytes = height, form.line_bytes(width)
    else:
        rows, row_bytes = 1, -(-width * height * form.pixel_bits // 8)
    stride = row_bytes + padding
    needed = rows * stride - padding
    if width < 1 or height < 1 or raw.size < needed:
        raise ImageError(f"{width} x {height} px of {form.name} take {needed} bytes, the camera gave {raw.size}")
    if padding and raw.size < rows * stride:  # the last line's padding may be left out
        raw = np.concatenate((raw, np.zeros(padding, np.uint8)))
    lines = raw[: rows * stride].reshape(rows, stride)[:, :row_bytes]
    values = _to_8_bits(lines, form)
    count = width * height * form.values if rows == 1 else width * form.values
    values = values[:, :count]
    if form.values == 1:
        grey = values.reshape(height, width)
        return _demosaic(grey, form.bayer) if form.bayer else grey
    pixels = values.reshape(height, width, form.values)
    return pixels if form.order is None else np.ascontiguousarray(pixels[:, :, form.order])


def _to_8_bits(lines: Pixels, form: PixelFormat) -> Pixels:
    """(rows, bytes) -> (rows, values): the highest 8 bits of each value."""
    if form.packing:
        return _UNPACK[form.packing, form.bits](lines)
    if form.bits == 8:
        return lines
    # Little endian: the high byte holds the highest bits, the low one the rest.
    wide = np.ascontiguousarray(lines).view("<u2")
    return np.asarray(np.minimum(wide >> (form.bits - 8), 255), np.uint8)


def _demosaic(grey: Pixels, pattern: str) -> Pixels:
    if min(grey.shape) < 4:
        raise ImageError(f"a Bayer picture has at least 4 x 4 px, got {grey.shape[1]} x {grey.shape[0]}")
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(grey), _DEMOSAIC[pattern]), np.uint8)


def _packed(lines: Pixels) -> Pixels:
    """GigE Vision: high bits of the first pixel, low bits of both, high bits of the second."""
    groups, rest = divmod(lines.shape[1], 3)
    out = np.empty((lines.shape[0], 2 * groups + (1 if rest else 0)), np.uint8)
    out[:, 0 : 2 * groups : 2] = lines[:, 0 : 3 * groups : 3]
    out[:, 1 : 2 * groups : 2] = lines[:, 2 : 3 * groups : 3]
    if rest:
        out[:, -1] = lines[:, 3 * groups]
    return out


def _12p(lines: Pixels) -> Pixels:
    """PFNC: three bytes hold 12 bits and 12 bits."""
    padded = _whole(lines, 3)
    out = np.empty((lines.shape[0], padded.shape[1] // 3 * 2), np.uint8)
    out[:, 0::2] = (padded[:, 0::3] >> 4) | (padded[:, 1::3] << 4)
    out[:, 1::2] = padded[:, 2::3]
    return out


def _10p(lines: Pixels) -> Pixels:
    """PFNC: five bytes hold four times 10 bits."""
    padded = _whole(lines, 5)
    out = np.empty((lines.shape[0], padded.shape[1] // 5 * 4), np.uint8)
    for index in range(4):
        shift = 2 * index + 2  # where the highest 8 of the value's 10 bits begin, in byte `index`
        low, high = padded[:, index::5], padded[:, index + 1 :: 5]
        out[:, index::4] = high if shift == 8 else (low >> shift) | (high << (8 - shift))
    return out


def _whole(lines: Pixels, group: int) -> Pixels:
    """Lines filled up with zeros to whole groups of bytes."""
    missing = -lines.shape[1] % group
    return np.pad(lines, ((0, 0), (0, missing))) if missing else lines


_UNPACK: dict[tuple[str, int], Callable[[Pixels], Pixels]] = {
    ("p", 10): _10p,
    ("p", 12): _12p,
    ("packed", 10): _packed,
    ("packed", 12): _packed,
}
