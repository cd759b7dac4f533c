"""What a runtime is. To add one: write its module and name it in `builders.BUILDERS`."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Answer(NamedTuple):
    """maps: (N, T, T) float32 raw scores (eq. 9); scores: (N,) float32 (eq. 10); styles: (N,) int64 compared with."""

    maps: NDArray[np.float32]
    scores: NDArray[np.float32]
    styles: NDArray[np.int64]


class Runtime(Protocol):
    """Runs one model's scoring graph. Safe for one thread at a time."""

    name: str  # ENGINE-PRECISION, such as torch-float32

    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        """tiles: (N, T, T, 3); styles: (N,), `graph.ROUTE` where a tile is to find its own."""
        ...
