"""What every source gives: `Shot`s, one a frame of the camera or a file, in the order in which the cloth passed."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from inspection.types import Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A stretch of cloth as a source gave it. `pixels` is None exactly when `problem` says why."""

    pixels: Pixels | None  # (H, W) grey or (H, W, 3) RGB uint8
    problem: str  # "" or a code of `inspection.types.REASONS`, optionally ": detail"
    origin: str  # file name, "" for a camera
    captured_at_ns: int  # UTC; of a file: when it was read
    position_mm: float  # of its first line
    length_mm: float
    exposure_us: float = 0.0
    gain: float = 0.0
    flags: tuple[str, ...] = ()  # `inspection.types.FLAGS`, optionally ": detail"
    new_epoch: bool = False  # the encoder was reset: positions start again
    absolute: bool = False  # positions are an encoder's, the same after the camera was lost and opened again


class Source(ABC):
    """A stream of shots, used as a context manager. `close` may come from any thread and ends `shots` soon."""

    live: bool  # cannot wait: what is not taken in time is lost

    def __init__(self) -> None:
        self._closed = threading.Event()
        self.heard_at = time.monotonic()  # its last sign of life, also while no cloth moves and no shot comes

    def hear(self) -> None:
        """To be called with whatever shows that the source is there."""
        self.heard_at = time.monotonic()

    @abstractmethod
    def shots(self) -> Iterator[Shot]:
        """The shots from where the source stands; ends with the source, or when it is closed. Iterate once."""

    def close(self) -> None:
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
