"""A defect's mask as the bytes in its row: a 1-bit PNG, which packs a thin region's box to a few hundred bytes."""

import io

import cv2
import numpy as np
from PIL import Image

from inspection.errors import StorageError
from inspection.types import Mask


def encode_mask(mask: Mask) -> bytes:
    """(H, W) bool -> PNG of bit depth 1."""
    pixels = np.ascontiguousarray(mask, np.uint8) * np.uint8(255)
    done, png = cv2.imencode(".png", pixels, (cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 9))
    if not done:
        raise StorageError(f"a mask of {mask.shape} cannot be encoded")
    return png.tobytes()


def decode_mask(png: bytes) -> Mask:
    """Back, exactly: (H, W) bool. Raises `StorageError` for bytes that are no mask."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.mode != "1":
                raise StorageError(f"a mask is a 1-bit PNG, got one of mode {image.mode}")
            return np.array(image, dtype=np.bool_)
    except (OSError, SyntaxError, ValueError) as error:
        raise StorageError(f"a stored mask cannot be read: {error}") from error
