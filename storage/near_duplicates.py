"""Whether two pictures are nearly the same: a perceptual hash to find candidates, their grain to tell.

The hash is of the low frequencies (DCT of 32 x 32, the median over its 8 x 8 lowest: Zauner 2010, pHash). Cloth repeats
itself, so two pieces of one roll may have hashes alike; what differs between them is the yarn. Two pictures are
therefore near duplicates only when their high frequencies agree as well, which those of two pieces never do.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.types import Pixels

ALIKE_BITS = 10  # of 64 that may differ
SIDE_PX = 512  # at which the grain is compared
GRAIN_PX = 3.0
SAME_GRAIN = 0.8  # correlation


def hash_of(pixels: Pixels) -> str:
    """(H, W[, 3]) -> 16 hexadecimal digits."""
    small = cv2.resize(_grey(pixels), (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    lowest = cv2.dct(small)[:8, :8].ravel()
    bits = lowest > np.median(lowest[1:])
    return f"{int.from_bytes(np.packbits(bits).tobytes()):016x}"


def bits_apart(first: str, second: str) -> int:
    """Of two hashes."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def is_same_cloth(first: Pixels, second: Pixels) -> bool:
    """Whether two pictures of one shape show the same yarns, whatever their brightness and compression."""
    a, b = _grey(first), _grey(second)
    if abs(a.shape[0] / a.shape[1] - b.shape[0] / b.shape[1]) > 0.02:
        return False
    scale = min(1.0, SIDE_PX / max(a.shape), SIDE_PX / max(b.shape))
    size = (max(8, round(a.shape[1] * scale)), max(8, round(a.shape[0] * scale)))
    grains = [_grain(cv2.resize(each, size, interpolation=cv2.INTER_AREA)) for each in (a, b)]
    lengths = [float(np.linalg.norm(grain)) for grain in grains]
    if min(lengths) < 1e-3:  # without any grain, such as a single colour
        return min(lengths) == max(lengths)
    return float((grains[0] * grains[1]).sum()) / (lengths[0] * lengths[1]) > SAME_GRAIN


def _grain(grey: NDArray[Any]) -> NDArray[np.float32]:
    """What is finer than `GRAIN_PX`, without the strictly periodic part that every piece of a weave shares."""
    picture = grey.astype(np.float32)
    fine = picture - cv2.GaussianBlur(picture, (0, 0), GRAIN_PX)
    spectrum = np.fft.rfft2(fine)
    power = np.abs(spectrum)
    spectrum[power > 8 * np.median(power)] = 0  # the weave's own frequencies
    return np.asarray(np.fft.irfft2(spectrum, s=fine.shape), np.float32)


def _grey(pixels: Pixels) -> Pixels:
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    return pixels if pixels.ndim == 2 else pixels[:, :, 0]
