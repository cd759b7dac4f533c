"""Picture files to pixels: 8-bit grey or RGB, or one clear line about what is wrong with the file."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from inspection.errors import ImageError
from inspection.types import Pixels

PICTURE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm"))
VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".ts"))

# Pillow knows others too, some of which it hands to programs of their own (EPS to Ghostscript)
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")
_OTHER_MODES = {
    "La": "has premultiplied transparency",
    "CMYK": "has 4 channels (CMYK)",
    "YCbCr": "is YCbCr",
    "LAB": "is CIELAB",
    "HSV": "is HSV",
    "F": "has floating point pixels",
    "I": "has 16-bit or 32-bit pixels",
}


def read_picture(path: Path) -> Pixels:
    """(H, W) grey or (H, W, 3) RGB uint8. An alpha channel is dropped, and RGBA of equal channels is grey; a palette
    becomes RGB.

    Raises `ImageError`: missing, empty, truncated, no picture, other than 8-bit, channels other than grey or RGB.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}: check that it exists and may be read") from error
    return decode_picture(data, name=str(path))


def decode_picture(data: bytes, *, name: str) -> Pixels:
    """`read_picture` from a file's bytes; `name` is what an error calls it."""
    image = _open(data, name=name)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{name}: truncated or damaged ({error}): write it again or remove it") from error
    if image.mode == "L":
        return np.array(image)
    if image.mode in ("1", "P"):
        return np.array(image.convert("L" if image.mode == "1" else "RGB"))
    pixels = np.array(image)
    if image.mode == "LA":
        return np.ascontiguousarray(pixels[:, :, 0])
    if image.mode == "RGBA" and np.array_equal(pixels[:, :, :2], pixels[:, :, 1:3]):
        return np.ascontiguousarray(pixels[:, :, 0])
    return np.ascontiguousarray(pixels[:, :, :3])


def picture_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) as a picture file's header says, even when the rest is damaged; None when it says nothing."""
    try:
        width, height = Image.open(io.BytesIO(data), formats=_FORMATS).size
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _open(data: bytes, *, name: str) -> Image.Image:
    if not data:
        raise ImageError(f"{name}: the file is empty: write it again or remove it")
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a picture of a known format: save it as 8-bit PNG, or remove it") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: too large for one picture: cut it into frames ({error})") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{name}: truncated or damaged ({error}): write it again or remove it") from error
    # Pillow reads 16-bit colour files as 8-bit without a word; only the header of the file tells.
    deep = data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 24 and data[24] == 16
    if deep and image.mode in ("RGB", "RGBA", "LA", "I;16"):
        raise ImageError(f"{name}: has 16-bit pixels: save it as 8-bit grey or RGB")
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        what = (
            "has 16-bit pixels"
            if image.mode.startswith("I;")
            else _OTHER_MODES.get(image.mode, f"has pixels of kind {image.mode}")
        )
        raise ImageError(f"{name}: {what}: save it as 8-bit grey or RGB")
    return image
