"""A stand-in for the model, for benchmarks and tests of everything around it: a constant score after a fixed time."""

import time
from types import TracebackType
from typing import Self

import numpy as np

from inspection.types import Pixels, TileResult

NAME = "constant"


class ConstantScorer:
    """Scores every tile 0 against a threshold of 1, so that nothing is ever a defect; each call takes `delay_s`."""

    name = NAME
    runtime_name = NAME
    act = 0

    def __init__(self, *, delay_s: float) -> None:
        self._delay_s = delay_s

    def of(self, style: str) -> Self:
        """The same for any style."""
        return self

    def check(self, *, tile_px: int, mm_per_px: float) -> None:
        """Takes tiles of any size and scale."""

    def score(self, tiles: Pixels, *, style: str = "") -> TileResult:
        """tiles: (N, T, T, C)"""
        time.sleep(self._delay_s)
        count, side = tiles.shape[:2]
        return TileResult(
            maps=np.zeros((count, side, side), np.float32),
            scores=np.zeros(count, np.float32),
            styles=(style,) * count,
            thresholds=np.ones(count, np.float32),
        )


class ConstantSlot:
    """What `slot.ModelSlot` is for a model."""

    problem = ""

    def __init__(self, *, delay_s: float) -> None:
        self._scorer = ConstantScorer(delay_s=delay_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def scorer(self) -> ConstantScorer:
        return self._scorer

    def wait(self, timeout_s: float) -> None:
        """Nothing ever changes."""
