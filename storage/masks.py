"""A defect's mask as the bytes in its row: a 1-bit PNG, which packs a thin region's box to a few hundred bytes."""

import io

import numpy as np
from PIL import Image

from inspection.errors import StorageError
from inspection.types import Mask


def encode_mask(mask: Mask) -> bytes:
    """(H, W) bool -> PNG of bit depth 1."""
    out = io.BytesIO()
    Image.fromarray(mask.astype(np.bool_)).save(out, format="PNG", optimize=True)
    return out.getvalue()


def decode_mask(png: bytes) -> Mask:
    """Back, exactly: (H, W) bool. Raises `StorageError` for bytes that are no mask."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.mode != "1":
                raise StorageError(f"a mask is a 1-bit PNG, got one of mode {image.mode}")
            return np.array(image, dtype=np.bool_)
    except (OSError, SyntaxError, ValueError) as error:
        raise StorageError(f"a stored mask cannot be read: {error}") from error
