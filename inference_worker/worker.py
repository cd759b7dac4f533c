"""The worker's loop: receive -> score, while the writer's thread finds defects in the frame before, stores it and says
done. ZeroMQ and the slot have threads of their own, so that receiving, scoring and writing overlap."""

import logging
import os
import socket
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import cv2

from cras_core.errors import CrasError
from inference_worker.beside import Beside
from inference_worker.collecting import Collector
from inference_worker.constant import ConstantSlot
from inference_worker.figures import Figures
from inference_worker.grades import start_keeping_grades
from inference_worker.inspect import FrameScorer, Models, score_frame
from inference_worker.pruning import start_pruning
from inference_worker.receiver import Keys, Receiver, read_keys
from inference_worker.screen import Screen
from inference_worker.teller import Slot, Teller
from inference_worker.watchdog import Watchdog
from inference_worker.writer import Work, Writer
from inspection.endpoints import parse_endpoint, refuse_plain
from inspection.errors import SettingsError, StorageError
from inspection.monitor import Monitor
from inspection.settings import StoreSettings, WorkerSettings
from inspection.types import TiledFrame
from inspection.wire import Record
from storage.database import Database, open_database
from storage.live import Live
from storage.past_frames import Ring
from storage.pictures import PictureStore
from storage.rolls import roll_at

log = logging.getLogger(__name__)

PREFIX = "LOOMWATCH_WORKER_"


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
        start_keeping_grades(self._database, name=self.name, stop=self._stop)
        with (
            self._slot() as slot,
            self._beside() as shadow,
            self._collecting() as collector,
            self._watchdog,
            self._teller as teller,
            self._monitor,
        ):
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
                with self._writer(receiver, shadow, collector) as writer:
                    while not self._stop.is_set():
                        record = receiver.receive(0.2)
                        teller.running = scorer = slot.scorer() or scorer
                        if record is not None:
                            self._watchdog.begin()
                            work = self._scored(record, scorer)
                            self._watchdog.end()  # the writer has its own
                            writer.put(work)
                        writer.check()
        log.info("worker %s stopped", self.name)

    def _writer(self, receiver: Receiver, *besides: Beside | None) -> Writer:
        return Writer(
            self._database,
            self._pictures,
            figures=self._figures,
            screen=self._screen,
            besides=[each for each in besides if each is not None],
            done=receiver.done,
            merge_mm=self._settings.merge_mm,
            hang_s=self._settings.hang_s,
            stop=self._stop,
        )

    def _slot(self) -> AbstractContextManager[Slot]:
        settings = self._settings
        cv2.setNumThreads(1)  # its own would serve all of ours, and be as low as the thread that needs them first
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
        return Collector(
            self._database,
            self._pictures,
            poll_s=settings.model_poll_s,
            reservoir=settings.reservoir,
            past=Ring(frames=settings.past_frames, every_mm=1000 * settings.past_every_m),
        )

    def _first_model(self, slot: Slot) -> Models | None:
        """Waits for a model; without one no frame is asked for, so none is lost to this worker."""
        while not self._stop.is_set():
            if (scorer := slot.scorer()) is not None:
                return scorer
            slot.wait(0.5)
        return None

    def _scored(self, record: Record, models: Models) -> Work:
        """A frame with its scores, or as the gap that it is when no model here fits it; anything else as it came."""
        if not isinstance(record, TiledFrame):
            return record
        style = self._style(record)
        scorer: FrameScorer = models.of(style)  # one model scores a whole frame
        try:
            return score_frame(
                scorer,
                record,
                style=style,
                batch_size=len(record.tiles) if self._constant else self._settings.batch_size,
                received_at_ns=time.time_ns(),
            )
        except CrasError as error:
            log.error("frame %s of %s is not inspected: %s", record.header.sequence, record.header.camera, error)
            return record.header.gap(f"model_mismatch: {error}")

    def _style(self, tiled: TiledFrame) -> str:
        """The style staff entered for the roll, or "" to route every tile by itself."""
        try:
            roll = roll_at(self._database, line=tiled.header.line, at=tiled.header.captured_at)
        except StorageError as error:
            log.warning("cannot ask for the roll, tiles are routed: %s", error)
            return ""
        return roll.style if roll else ""
