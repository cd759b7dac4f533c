"""From scores to the record: defects are found in a scored frame, it is stored in one transaction, *done* is said, and
the screens are shown it. In a thread of its own, so that the worker's main thread scores the next frame meanwhile.

*done* is said only after the commit, and storing is idempotent, so whatever breaks in between is inspected again by
this worker or another and stored once.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from inference_worker.beside import Beside
from inference_worker.figures import Figures
from inference_worker.inspect import ScoredFrame, report_frame
from inference_worker.screen import Screen
from inference_worker.watchdog import Watchdog
from inspection.errors import RecordRefused, StorageError
from inspection.types import Capture, Gap
from inspection.wire import Record
from storage.database import Database
from storage.frames import store_capture, store_gap, store_report
from storage.pictures import PictureStore

log = logging.getLogger(__name__)

RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # while the database is away
TURN_S = 0.2  # between looks at what else there is to do

Work = ScoredFrame | Gap | Capture


class Writer:
    """Use with `with`: what was put is stored before the block ends, unless the database is away. One record is in
    work and one may wait."""

    def __init__(
        self,
        database: Database,
        pictures: PictureStore,
        *,
        figures: Figures,
        screen: Screen,
        besides: Sequence[Beside],
        done: Callable[[Record], None],
        merge_mm: float,
        hang_s: float,
        stop: threading.Event,
    ) -> None:
        """done: called with each record whose transaction has committed. stop: nobody waits for the database then."""
        self._database, self._pictures = database, pictures
        self._figures, self._screen, self._besides = figures, screen, besides
        self._done = done
        self._merge_mm = merge_mm
        self._stop = stop
        self._watchdog = Watchdog(hang_s)
        self._waiting: queue.Queue[Work] = queue.Queue(maxsize=1)
        self._ending = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        if kind is None:
            self.check()

    def put(self, work: Work) -> None:
        """Returns when the work waits to be done; once `stop` is set also when there is no room for it, since the
        database is away: it is sent again. Raises what ended the thread."""
        while True:
            self.check()
            try:
                return self._waiting.put(work, timeout=TURN_S)
            except queue.Full:
                if self._stop.is_set():
                    return None

    def check(self) -> None:
        """Raises what ended the thread, if anything did."""
        if self._error is not None:
            raise self._error

    # The thread. Everything below is its own.

    def _run(self) -> None:
        try:
            with self._watchdog:
                while True:
                    try:
                        work = self._waiting.get(timeout=TURN_S)
                    except queue.Empty:
                        if self._ending.is_set():
                            return
                    else:
                        self._write(work)
                    self._screen.show()  # after the Done: nobody waits for a picture
                    self._watchdog.end()
        except Exception as error:  # the thread's outermost: the worker ends with it
            log.exception("the writer stopped")
            self._error = error

    def _write(self, work: Work) -> None:
        self._watchdog.begin()
        match work:
            case ScoredFrame():
                self._write_frame(work)
            case Gap():
                if self._stored_gap(work):
                    self._done(work)
            case Capture():
                if self._stored_or_dropped(lambda: store_capture(self._database, work)):
                    self._done(work)

    def _write_frame(self, scored: ScoredFrame) -> None:
        inspected = report_frame(scored, merge_mm=self._merge_mm)
        try:
            if not self._stored(lambda: store_report(self._database, self._pictures, inspected.report)):
                return
        except RecordRefused as error:  # it would be refused every time it comes
            log.error("%s", error)
            if self._stored_gap(scored.tiled.header.gap(f"refused: {error}")):
                self._done(scored.tiled)
            return
        self._done(scored.tiled)
        self._figures.inspected(inspected.report, stored_at_ns=time.time_ns())
        self._screen.take(inspected)
        for each in self._besides:
            each.offer(inspected)

    def _stored_gap(self, gap: Gap) -> bool:
        self._figures.gap(gap)
        try:
            return self._stored(lambda: store_gap(self._database, gap))
        except RecordRefused as error:
            log.error("a gap is stored without its reason's details: %s", error)
            bare = replace(gap, reason=gap.reason.partition(":")[0])
            return self._stored_or_dropped(lambda: store_gap(self._database, bare))

    def _stored(self, store: Callable[[], object]) -> bool:
        """Stores, again and again while the database is away. False when the worker ends: the record is sent again.

        Raises `RecordRefused` for what will never be stored.
        """
        attempt = 0
        while True:
            self._watchdog.begin()
            try:
                store()
                return True
            except RecordRefused:
                raise
            except StorageError as error:
                wait_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                log.error("cannot store, next try in %.1f s: %s", wait_s, error)
                self._figures.store_retries.inc()
                attempt += 1
                if self._ending.wait(wait_s):
                    return False

    def _stored_or_dropped(self, store: Callable[[], object]) -> bool:
        """A gap or a count that is refused is left out: what it leaves open shows as cloth that waits."""
        try:
            return self._stored(store)
        except RecordRefused as error:
            log.error("%s", error)
            return True
