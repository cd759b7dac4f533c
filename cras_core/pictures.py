"""Pictures: files to (H, W, 3) uint8 RGB, fitted to tiles. One error at the door, whatever is wrong with a file."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from cras_core.errors import PictureError

Pixels = NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")  # whatever a file is called: Pillow would hand an EPS to Ghostscript
MASK_SHAPE = 0.01  # by how much a mask's proportions may differ from its picture's


def read_picture(path: Path) -> Pixels:
    """A picture file as (H, W, 3) uint8 RGB; grey becomes three equal channels, an alpha channel is dropped.

    Raises `PictureError` when it is missing, truncated, not a picture, 16-bit, or of other channels (CMYK).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read {path}: {error.strerror or error}") from error
    return decode_picture(data, name=str(path))


def decode_picture(data: bytes, *, name: str) -> Pixels:
    """The same from a file's bytes; `name` is what an error calls it."""
    image = _open(io.BytesIO(data), name=name)
    if image.mode in ("P", "1"):
        return np.array(image.convert("RGB"))
    pixels = np.asarray(image)
    return as_rgb(pixels[:, :, :-1] if image.mode in ("LA", "RGBA") else pixels, name=name)


def picture_size(path: Path) -> tuple[int, int]:
    """(W, H) of a picture file by its header alone. Raises `PictureError` for what `read_picture` refuses by it."""
    try:
        with path.open("rb") as file:
            return _open(file, name=str(path), whole=False).size
    except OSError as error:
        raise PictureError(f"cannot read {path}: {error.strerror or error}") from error


def encode_png(pixels: Pixels) -> bytes:
    """(H, W, 3) uint8 RGB as a PNG file's bytes; in one channel when the three are equal."""
    grey = bool((pixels == pixels[:, :, :1]).all())
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if grey else pixels).save(file, "PNG")
    return file.getvalue()


def _open(file: IO[bytes], *, name: str, whole: bool = True) -> Image.Image:
    """8-bit, of a mode that is read. whole: with its pixels."""
    start = file.read(25)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(file, formats=FORMATS)
            if whole:
                image.load()
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} is not a picture that can be read: replace or remove it") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise PictureError(f"{name} is truncated or damaged ({error}): replace or remove it") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PictureError(f"{name} has more than {Image.MAX_IMAGE_PIXELS} pixels: cut it") from error
    # Pillow reads 16-bit RGB files as 8-bit without a word; only the file's header tells.
    depths = image.tag_v2.get(BITSPERSAMPLE, ()) if isinstance(image, TiffImageFile) else start[24:25]
    if isinstance(image, PngImageFile | TiffImageFile) and max(depths, default=8) > 8 and image.mode != "F":
        raise PictureError(f"{name} is 16-bit: save it as 8-bit grey or RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA", "P", "1"):
        channels = len(image.getbands())
        deep = {"I": "is 16-bit or 32-bit", "F": "is floating point"}.get(image.mode[0])
        what = deep or f"has {channels} channels ({image.mode})"
        raise PictureError(f"{name} {what}: save it as 8-bit grey or RGB")
    return image


def as_rgb(pixels: Pixels, *, name: str) -> Pixels:
    """(H, W), (H, W, 1) or (H, W, 3) uint8 -> (H, W, 3). Raises `PictureError` for any other form, NaN included."""
    if np.issubdtype(pixels.dtype, np.floating) and not np.isfinite(pixels).all():
        raise PictureError(
            f"{name} has {int((~np.isfinite(pixels)).sum())} pixels that are not finite numbers: repair it"
        )
    if pixels.dtype != np.uint8:
        raise PictureError(f"{name} must have 8-bit pixels, got {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise PictureError(f"{name} must have 1 or 3 channels, got an array of shape {pixels.shape}")
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def resize_to_tile(pixels: Pixels, *, tile_px: int, resize_px: int = 0) -> Pixels:
    """The whole picture as one tile: (H, W, 3) -> (1, tile_px, tile_px, 3), by areas when it shrinks.

    With `resize_px`, a picture larger than a tile keeps its proportions instead: its shorter side becomes `resize_px`,
    and the tile is its middle (the paper's recipe).
    """
    height, width = pixels.shape[:2]
    size = _fitted(width, height, tile_px=tile_px, resize_px=resize_px)
    if (width, height) != size:
        shrinks = min(height, width) > min(size)
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)
    return _middle(pixels, tile_px)[None]


def _fitted(width: int, height: int, *, tile_px: int, resize_px: int) -> tuple[int, int]:
    """The size (width, height) a picture gets before the tile is cut from its middle."""
    shorter = min(height, width)
    if not resize_px or shorter <= tile_px:
        return tile_px, tile_px
    return round(width * resize_px / shorter), round(height * resize_px / shorter)


def _middle(pixels: NDArray[Any], side_px: int) -> NDArray[Any]:
    top, left = ((length - side_px) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side_px, left : left + side_px]


@dataclass(frozen=True, slots=True)
class CutPicture:
    """tiles: (n, tile_px, tile_px, 3), row by row, `columns` in a row. length_px: rows of the picture they cover."""

    tiles: Pixels
    columns: int
    length_px: int


def cut_to_tiles(pixels: Pixels, *, tile_px: int, name: str) -> CutPicture:
    """A picture (H, W, 3) at its own scale as tiles side by side, the last ones flush with the edge.

    Raises `PictureError` when it is smaller than a tile.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < tile_px:
        raise PictureError(f"{name} is {width} x {height} px, smaller than a tile of {tile_px} px")
    rows, columns = _starts(height, tile_px), _starts(width, tile_px)
    tiles = np.stack([pixels[row : row + tile_px, col : col + tile_px] for row in rows for col in columns])
    return CutPicture(tiles=tiles, columns=len(columns), length_px=height)


def _starts(length_px: int, tile_px: int) -> list[int]:
    starts = list(range(0, length_px - tile_px + 1, tile_px))
    return starts if starts[-1] + tile_px == length_px else [*starts, length_px - tile_px]


def read_mask(path: Path, *, like: tuple[int, int], tile_px: int, resize_px: int = 0) -> NDArray[np.bool_]:
    """A ground truth mask, everything above 0 is defect: (tile_px, tile_px), nearest neighbour, fitted as its picture
    is by `resize_to_tile`. like: that picture's (H, W); the mask may be at another scale, but not of another shape.

    Raises `PictureError`.
    """
    pixels = read_picture(path).max(axis=2)
    (height, width), (own_height, own_width) = pixels.shape, like
    if abs(width * own_height - own_width * height) > MASK_SHAPE * own_width * height:
        raise PictureError(
            f"{path} is {width} x {height} px, its picture {own_width} x {own_height} px: give the mask of this picture"
        )
    size = _fitted(own_width, own_height, tile_px=tile_px, resize_px=resize_px)
    if (width, height) != size:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    return np.asarray(_middle(pixels, tile_px) > 0)
