"""Work on inspected frames beside the line, in a thread of low priority. The line never waits for it: a frame that
comes while it is busy is not looked at, and whatever goes wrong here ends in the log and nowhere else."""

import contextlib
import logging
import os
import queue
import threading
import time
from abc import ABC, abstractmethod
from typing import ClassVar, Self

from inference_worker.inspect import Inspected

log = logging.getLogger(__name__)

NICENESS = 15
TURN_S = 0.2  # between looks at what else there is to do


class Beside(ABC):
    """Use with `with`. `poll` and `see` run in the thread, `offer` in the line's."""

    costs_a_frame: ClassVar[tuple[type[Exception], ...]]  # errors that do

    def __init__(self, *, name: str, poll_s: float, frames: int) -> None:
        """poll_s: between two calls of `poll`; frames: so many may wait."""
        self._poll_s = poll_s
        self._waiting: queue.Queue[Inspected] = queue.Queue(maxsize=frames)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def offer(self, inspected: Inspected) -> None:
        """Called with every frame that was inspected and stored; it takes no time."""
        if self.wants(inspected):
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(inspected)

    @abstractmethod
    def wants(self, inspected: Inspected) -> bool:
        """Asked in the line's own thread."""

    @abstractmethod
    def poll(self) -> None:
        """Looks what there is to do."""

    @abstractmethod
    def see(self, inspected: Inspected) -> None:
        """Does it with a frame."""

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # Linux knows the priority of a thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        looked = -self._poll_s
        while not self._stop.is_set():
            try:
                if time.monotonic() - looked >= self._poll_s:
                    looked = time.monotonic()
                    self.poll()
                self.see(self._waiting.get(timeout=min(self._poll_s, TURN_S)))
            except queue.Empty:
                continue
            except self.costs_a_frame as error:
                log.warning("%s: a frame is left out: %s", self._thread.name, error)
