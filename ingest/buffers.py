"""Memory for the tiles of frames, used again and again. A camera fills tens of megabytes several times a second; left
to an allocator, what that takes grows by a frame now and then, for good. Here it is as much as was in hand at once.
"""

import ctypes
import functools
import math
import mmap
import weakref
from collections import deque
from typing import Any

import numpy as np

from inspection.types import Pixels

KEPT = 8  # buffers that nobody uses at the moment


class FrameBuffers:
    """Shared by threads, without a lock: memory becomes free in whatever thread the last user was, in the middle of
    anything, and a deque's ends may be changed there."""

    def __init__(self) -> None:
        self._free: deque[mmap.mmap] = deque(maxlen=KEPT)  # the longest unused first; it is dropped for one more

    def take(self, shape: tuple[int, ...]) -> Pixels:
        """An array whose content is arbitrary. Its memory is free again when nothing refers to it any more: not the
        array, no view of it, no message of ZeroMQ."""
        size = math.prod(shape)
        memory = self._reuse(size) or mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        loan = _loan_of(size).from_buffer(memory)  # what all views hold, however they are made
        weakref.finalize(loan, self._free.append, memory).atexit = False
        return np.frombuffer(loan, np.uint8).reshape(shape)

    def _reuse(self, size: int) -> mmap.mmap | None:
        for _ in range(len(self._free)):  # other threads take from it meanwhile
            try:
                memory = self._free.pop()
            except IndexError:
                return None
            if len(memory) == size:
                return memory
            self._free.appendleft(memory)
        return None


@functools.lru_cache(16)
def _loan_of(size: int) -> Any:
    """A type of objects that show so many bytes of a memory, and of whose end one can hear."""
    return type("Loan", (ctypes.c_uint8 * size,), {})
