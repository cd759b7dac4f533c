"""Randomness that belongs to a place: the same seed, stream and index always give the same value, in any order.

Hashing is splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def uniform(seed: int, stream: str, index: Integers) -> Floats:
    """In [0, 1), one value an index."""
    return np.asarray((_mixed(seed, stream, index) >> np.uint64(11)) / 2.0**53, np.float64)


def bell(seed: int, stream: str, index: Integers) -> Floats:
    """Mean 0, standard deviation 1, within [-3, 3]: the sum of three uniform values."""
    mixed = _mixed(seed, stream, index)
    part = np.uint64(0x1FFFFF)
    thirds = (mixed & part) + ((mixed >> np.uint64(21)) & part) + ((mixed >> np.uint64(42)) & part)
    return np.asarray(thirds * (2.0 / 2**21) - 3.0, np.float64)


def smooth(seed: int, stream: str, at: Floats, *, period: float) -> Floats:
    """A smooth curve through one `bell` value a `period`, at the places `at`."""
    place = np.asarray(at, np.float64) / period
    index = np.floor(place)
    part = place - index
    weight = part * part * (3.0 - 2.0 * part)
    before = bell(seed, stream, index.astype(np.int64))
    after = bell(seed, stream, index.astype(np.int64) + 1)
    return before + (after - before) * weight


def _mixed(seed: int, stream: str, index: Integers) -> NDArray[np.uint64]:
    start = (seed * _GOLDEN + int.from_bytes(stream.encode()[:8], "little") * 0xD1342543DE82EF95) & _MASK
    value = np.atleast_1d(index).astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(start)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (value ^ (value >> np.uint64(31))).reshape(np.shape(index))
