"""A worker that hangs without dying keeps its heart beating, so it has to find out by itself: it ends the process, and
whoever supervises that starts it again. Its frames go to others as those of any dead worker."""

import logging
import os
import threading
import time
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h


class Watchdog:
    """Use with `with`; `begin` when work starts or has come a step further, `end` when it is done. hang_s: patience,
    0 for ever."""

    def __init__(self, hang_s: float) -> None:
        self._hang_s = hang_s
        self._began: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        if self._hang_s > 0:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def begin(self) -> None:
        self._began = time.monotonic()

    def end(self) -> None:
        self._began = None

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._hang_s / 4)):
            began = self._began
            if began is not None and time.monotonic() - began > self._hang_s:
                log.critical("hung for %g s over one frame: the process ends itself", self._hang_s)
                os._exit(EXIT_CODE)
