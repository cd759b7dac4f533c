"""What a runtime is. To add one: write its module and name it in `builders.BUILDERS`."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cras_core.graph import ROUTE


class Answer(NamedTuple):
    """maps: (N, T, T) float32 raw scores (eq. 9); scores: (N,) float32 (eq. 10); styles: (N,) int64 compared with."""

    maps: NDArray[np.float32]
    scores: NDArray[np.float32]
    styles: NDArray[np.int64]


class Runtime(Protocol):
    """Runs one model's scoring graph. Safe for one thread at a time."""

    name: str  # ENGINE-PRECISION, such as torch-float32

    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        """tiles: (N, T, T, 3), N at least 1; styles: (N,), `graph.ROUTE` where a tile is to find its own."""
        ...


def compare_by_style(
    styles: NDArray[np.int64],
    routed: NDArray[np.int64],
    compare: Callable[[int, NDArray[np.bool_]], tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> Answer:
    """One call of `compare(style, rows)` for every style among the tiles, rows (N,) being which are of it.

    A style's constants are then constants to the engine too; the tiles of a roll are all of one style.
    """
    chosen = np.where(styles == ROUTE, routed, styles)
    maps: Any = None
    scores = np.empty(len(chosen), np.float32)
    for style in np.unique(chosen):
        rows = chosen == style
        own, scores[rows] = compare(int(style), rows)
        if rows.all():
            maps = own
        else:
            maps = np.empty((len(chosen), *own.shape[1:]), np.float32) if maps is None else maps
            maps[rows] = own
    return Answer(maps, scores, chosen)


def in_steps(
    score: Callable[[NDArray[np.uint8], NDArray[np.int64]], Answer],
    tiles: NDArray[np.uint8],
    styles: NDArray[np.int64],
    *,
    step: int,
) -> Answer:
    """`Runtime.score` by calls of `score` with at most `step` tiles each, so that memory does not grow with them."""
    parts = [score(tiles[first : first + step], styles[first : first + step]) for first in range(0, len(tiles), step)]
    return parts[0] if len(parts) == 1 else Answer(*(np.concatenate(part) for part in zip(*parts, strict=True)))
