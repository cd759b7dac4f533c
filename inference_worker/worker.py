"""The worker's loop: receive -> inspect -> store in one transaction -> done. ZeroMQ and the slot have own threads.

*done* is said only after the commit, and storing is idempotent, so whatever breaks in between is inspected again by
this worker or another and stored once.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from cras_core.errors import CrasError
from inference_worker.collecting import Collector
from inference_worker.constant import ConstantSlot
from inference_worker.figures import Figures
from inference_worker.inspect import FrameScorer, Inspected, Models, inspect_frame
from inference_worker.pruning import start_pruning
from inference_worker.receiver import Keys, Receiver, read_keys
from inference_worker.screen import Screen
from inference_worker.teller import Slot, Teller
from inference_worker.watchdog import Watchdog
from inspection.endpoints import parse_endpoint, refuse_plain
from inspection.errors import RecordRefused, SettingsError, StorageError
from inspection.monitor import Monitor
from inspection.settings import StoreSettings, WorkerSettings
from inspection.types import Capture, Gap, TiledFrame
from storage.database import Database, open_database
from storage.frames import store_capture, store_gap, store_report
from storage.live import Live
from storage.pictures import PictureStore
from storage.rolls import roll_at

log = logging.getLogger(__name__)

RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # while the database is away
PREFIX = "LOOMWATCH_WORKER_"


class Beside(Protocol):
    """What looks at frames after they are stored: `shadow.ShadowScorer`, `collecting.Collector`."""

    def offer(self, inspected: Inspected) -> None: ...


class Worker:
    """One worker process. `run` returns when `stop` is set, after the frame in hand is stored."""

    def __init__(self, store: StoreSettings, settings: WorkerSettings, stop: threading.Event) -> None:
        if not settings.ingestors:
            raise SettingsError("no ingestors: set LOOMWATCH_WORKER_INGESTORS to their ZeroMQ addresses")
        listed = [parse_endpoint(endpoint) for endpoint in settings.ingestors]
        for endpoint in listed:
            refuse_plain(
                endpoint, keys=bool(settings.keys_dir), allow_plain_tcp=settings.allow_plain_tcp, prefix=PREFIX
            )
        self._keys = Keys(Path(settings.keys_dir), settings.key) if settings.keys_dir else None
        read_keys(self._keys, listed)  # refused now, not when there is a model
        self.name = settings.name or f"{socket.gethostname()}-{os.getpid()}"
        self._store, self._settings = store, settings
        self._stop = stop
        self._constant = settings.constant_ms >= 0
        self._watchdog = Watchdog(settings.hang_s)
        self._database: Database = open_database(store.database)
        self._pictures = PictureStore(store.pictures)
        self._runtimes = store.data_dir / "runtimes"
        self._besides: tuple[Beside, ...] = ()
        self._live = Live(store.redis)
        self._figures = Figures()
        self._screen = Screen(self._live, self._figures)
        self._teller = Teller(self.name, live=self._live, database=self._database, figures=self._figures)
        self._monitor = Monitor(
            "worker",
            host=settings.monitor_host,
            port=settings.monitor_port,
            problems=self._teller.problems,
            collect=self._teller.collect,
        )

    def run(self) -> None:
        settings = self._settings
        start_pruning(self._store, self._database, self._pictures, name=self.name, stop=self._stop)
        with (
            self._slot() as slot,
            self._beside() as shadow,
            self._collecting() as collector,
            self._watchdog,
            self._teller as teller,
            self._monitor,
        ):
            self._besides = tuple(each for each in (shadow, collector) if each is not None)
            teller.slot = slot
            scorer = self._first_model(slot)
            if scorer is None:
                return
            teller.running = scorer
            with Receiver(
                settings.ingestors,
                worker=self.name,
                credit=settings.credit,
                keys=self._keys,
                discover_s=settings.discover_s,
            ) as receiver:
                log.info("worker %s takes frames from %s", self.name, ", ".join(settings.ingestors))
                teller.receiver = receiver
                while not self._stop.is_set():
                    record = receiver.receive(0.2)
                    self._watchdog.begin()
                    teller.running = scorer = slot.scorer() or scorer
                    if record is not None and self._handle(record, scorer):
                        receiver.done(record)
                    self._screen.show()  # after the Done: nobody waits for a picture
                    self._watchdog.end()
        log.info("worker %s stopped", self.name)

    def _slot(self) -> AbstractContextManager[Slot]:
        settings = self._settings
        if self._constant:
            return ConstantSlot(delay_s=settings.constant_ms / 1000)
        import torch  # takes seconds, and a constant needs none of it

        from cras_core.device import pick_device
        from inference_worker.slot import ModelSlot

        device = pick_device(settings.device)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        return ModelSlot(
            self._database,
            device=device,
            poll_s=settings.model_poll_s,
            runtime=settings.runtime,
            memory=self._runtimes,
            keep_former=settings.keep_former,
        )

    def _beside(self) -> AbstractContextManager[Beside | None]:
        """Who scores frames beside the running model."""
        settings = self._settings
        if self._constant or not settings.shadow:
            return nullcontext()
        from cras_core.device import pick_device
        from inference_worker.shadow import ShadowScorer

        return ShadowScorer(
            self._database,
            self._pictures,
            device=pick_device(settings.device),
            poll_s=settings.model_poll_s,
            batch_size=settings.batch_size,
            merge_mm=settings.merge_mm,
        )

    def _collecting(self) -> AbstractContextManager[Beside | None]:
        """Who takes samples from the running line."""
        settings = self._settings
        if self._constant:
            return nullcontext()
        return Collector(self._database, self._pictures, poll_s=settings.model_poll_s, reservoir=settings.reservoir)

    def _first_model(self, slot: Slot) -> Models | None:
        """Waits for a model; without one no frame is asked for, so none is lost to this worker."""
        while not self._stop.is_set():
            if (scorer := slot.scorer()) is not None:
                return scorer
            slot.wait(0.5)
        return None

    def _handle(self, record: TiledFrame | Gap | Capture, models: Models) -> bool:
        """Inspects and stores one record; False when stopped before it could be stored."""
        match record:
            case Gap():
                return self._store_gap(record)
            case Capture():
                return self._stored_or_dropped(lambda: store_capture(self._database, record))
            case TiledFrame():
                return self._handle_frame(record, models)

    def _handle_frame(self, tiled: TiledFrame, models: Models) -> bool:
        style = self._style(tiled)
        scorer: FrameScorer = models.of(style)  # one model scores a whole frame
        try:
            inspected = inspect_frame(
                scorer,
                tiled,
                style=style,
                batch_size=len(tiled.tiles) if self._constant else self._settings.batch_size,
                merge_mm=self._settings.merge_mm,
                received_at_ns=time.time_ns(),
            )
        except CrasError as error:
            log.error("frame %s of %s is not inspected: %s", tiled.header.sequence, tiled.header.camera, error)
            return self._store_gap(tiled.header.gap(f"model_mismatch: {error}"))
        try:
            if not self._stored(lambda: store_report(self._database, self._pictures, inspected.report)):
                return False
        except RecordRefused as error:  # it would be refused every time it comes
            log.error("%s", error)
            return self._store_gap(tiled.header.gap(f"refused: {error}"))
        self._figures.inspected(inspected.report, stored_at_ns=time.time_ns())
        self._screen.take(inspected)
        for each in self._besides:
            each.offer(inspected)
        return True

    def _store_gap(self, gap: Gap) -> bool:
        self._figures.gap(gap)
        try:
            return self._stored(lambda: store_gap(self._database, gap))
        except RecordRefused as error:
            log.error("a gap is stored without its reason's details: %s", error)
            bare = replace(gap, reason=gap.reason.partition(":")[0])
            return self._stored_or_dropped(lambda: store_gap(self._database, bare))

    def _style(self, tiled: TiledFrame) -> str:
        """The style staff entered for the roll, or "" to route every tile by itself."""
        try:
            roll = roll_at(self._database, line=tiled.header.line, at=tiled.header.captured_at)
        except StorageError as error:
            log.warning("cannot ask for the roll, tiles are routed: %s", error)
            return ""
        return roll.style if roll else ""

    def _stored(self, store: Callable[[], object]) -> bool:
        """Stores, again and again while the database is away. False when stopped: the record is sent again.

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
                if self._stop.wait(wait_s):
                    return False

    def _stored_or_dropped(self, store: Callable[[], object]) -> bool:
        """A gap or a count that is refused is left out: what it leaves open shows as cloth that waits."""
        try:
            return self._stored(store)
        except RecordRefused as error:
            log.error("%s", error)
            return True
