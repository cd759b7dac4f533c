"""The worker's loop: receive -> inspect -> store in one transaction -> done. Frames that are ready within a moment are
stored in one transaction together, which costs little more than one alone. ZeroMQ and the slot have own threads.

*done* is said only after the commit, and storing is idempotent, so whatever breaks in between is inspected again by
this worker or another and stored once.
"""

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from cras_core.errors import CrasError
from inference_worker import pictures
from inference_worker.constant import ConstantSlot
from inference_worker.inspect import FrameScorer, Inspected, inspect_frame
from inference_worker.pruning import start_pruning
from inference_worker.receiver import Keys, Receiver, read_keys
from inference_worker.watchdog import Watchdog
from inspection.endpoints import parse_endpoint, refuse_plain
from inspection.errors import RecordRefused, SettingsError, StorageError
from inspection.settings import StoreSettings, WorkerSettings
from inspection.types import Capture, Gap, TiledFrame, warnings_of
from inspection.wire import Record
from storage.database import Database, open_database
from storage.frames import Outcome, store_capture, store_gap, store_reports
from storage.live import Live, LiveCamera, ServiceState
from storage.pictures import PictureStore
from storage.rolls import roll_at

log = logging.getLogger(__name__)

TOGETHER = 16  # frames stored in one transaction, when so many are ready
TOGETHER_S = 0.05  # no frame waits longer for others to be stored with
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # while the database is away
OVERLAY_PX = 1280
PREFIX = "LOOMWATCH_WORKER_"


class Slot(Protocol):
    """Where the running model is: `slot.ModelSlot` or `constant.ConstantSlot`."""

    problem: str

    def scorer(self) -> FrameScorer | None: ...
    def wait(self, timeout_s: float) -> None: ...


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
        self._finished: deque[tuple[float, int]] = deque(maxlen=64)  # (time, tiles) of the last frames
        self._last: dict[str, tuple[int, float]] = {}  # camera -> (time of capture, position) of its last frame

    def run(self) -> None:
        settings = self._settings
        start_pruning(self._store, self._database, self._pictures, name=self.name, stop=self._stop)
        with self._slot() as slot, self._watchdog:
            scorer = self._first_model(slot)
            if scorer is None:
                return
            with Receiver(
                settings.ingestors,
                worker=self.name,
                credit=settings.credit,
                keys=self._keys,
                discover_s=settings.discover_s,
            ) as receiver:
                log.info("worker %s takes frames from %s", self.name, ", ".join(settings.ingestors))
                told = 0.0
                while not self._stop.is_set():
                    record = receiver.receive(0.2)
                    self._watchdog.begin()
                    for done in self._handle(record, receiver, lambda: slot.scorer() or scorer):
                        receiver.done(done)
                    self._watchdog.end()
                    if time.monotonic() - told > 1.0:
                        told = time.monotonic()
                        self._tell(slot)
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
        )

    def _first_model(self, slot: Slot) -> FrameScorer | None:
        """Waits for a model; without one no frame is asked for, so none is lost to this worker."""
        while not self._stop.is_set():
            if (scorer := slot.scorer()) is not None:
                return scorer
            self._tell(slot)
            slot.wait(0.5)
        return None

    def _tell(self, slot: Slot) -> None:
        running = slot.scorer()
        state = "waiting" if running is None else "problem" if slot.problem else "running"
        detail = slot.problem or (f"{running.name} by {running.runtime_name}" if running else "")
        self._live.publish_service(
            ServiceState(name=self.name, kind="worker", state=state, detail=detail, at_ns=time.time_ns())
        )

    def _handle(self, record: Record | None, receiver: Receiver, scorer: Callable[[], FrameScorer]) -> Iterator[Record]:
        """Inspects and stores a record and, with it, those that are ready behind it; each that is stored. What is
        stopped before it could be stored is left out."""
        inspected: list[tuple[TiledFrame, Inspected]] = []
        until = time.monotonic() + TOGETHER_S
        while record is not None:
            match record:
                case TiledFrame():
                    found = self._inspect(record, scorer())
                    if isinstance(found, Gap):
                        if self._store_gap(found):
                            yield record
                    else:
                        inspected.append((record, found))
                case Gap():
                    if self._store_gap(record):
                        yield record
                case Capture():
                    capture = record
                    if self._stored_or_dropped(lambda: store_capture(self._database, capture)):  # noqa: B023 - at once
                        yield record
            full = len(inspected) >= TOGETHER or time.monotonic() >= until
            record = None if full or not inspected or self._stop.is_set() else receiver.receive(0.0)
        yield from self._store_frames(inspected)

    def _inspect(self, tiled: TiledFrame, scorer: FrameScorer) -> Inspected | Gap:
        self._watchdog.begin()
        try:
            return inspect_frame(
                scorer,
                tiled,
                style=self._style(tiled),
                batch_size=len(tiled.tiles) if self._constant else self._settings.batch_size,
                merge_mm=self._settings.merge_mm,
                received_at_ns=time.time_ns(),
            )
        except CrasError as error:
            log.error("frame %s of %s is not inspected: %s", tiled.header.sequence, tiled.header.camera, error)
            return tiled.header.gap(f"model_mismatch: {error}")

    def _store_frames(self, inspected: Sequence[tuple[TiledFrame, Inspected]]) -> Iterator[TiledFrame]:
        """In one transaction; those that are stored. What would be refused every time it comes becomes a gap."""
        if not inspected:
            return
        outcomes: list[Outcome] = []

        def store() -> None:
            outcomes[:] = store_reports(self._database, self._pictures, [found.report for _, found in inspected])

        if not self._stored(store):
            return
        for (tiled, found), outcome in zip(inspected, outcomes, strict=True):
            if isinstance(outcome, RecordRefused):
                log.error("%s", outcome)
                if self._store_gap(tiled.header.gap(f"refused: {outcome}")):
                    yield tiled
            else:
                self._show(found)
                yield tiled

    def _store_gap(self, gap: Gap) -> bool:
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

    def _show(self, inspected: Inspected) -> None:
        """Live figures and the camera's last picture, for the screens; lost without harm when Redis is away."""
        report, header = inspected.report, inspected.report.header
        now = time.monotonic()
        self._finished.append((now, len(report.tile_scores)))
        span_s = now - self._finished[0][0]
        tiles_per_s = sum(tiles for _, tiles in list(self._finished)[1:]) / span_s if span_s > 0 else 0.0
        before = self._last.get(header.camera)
        self._last[header.camera] = (header.captured_at_ns, header.position_mm)
        speed = 0.0
        if before and header.captured_at_ns > before[0] and header.position_mm > before[1]:
            speed = (header.position_mm - before[1]) * 60 / 1000 / ((header.captured_at_ns - before[0]) / 1e9)
        overlay = pictures.overlay(inspected.fabric, inspected.ratios, report.defects, left_px=header.fabric_left_px)
        picture = pictures.shrink(overlay, longest_px=OVERLAY_PX)
        self._live.publish_camera(
            LiveCamera(
                line=header.line,
                camera=header.camera,
                overlay_jpeg=pictures.encode(picture, suffix=".jpg"),
                position_mm=header.position_mm + header.length_mm,
                speed_m_min=speed,
                latency_ms=(time.time_ns() - header.captured_at_ns) / 1e6,
                tiles_per_s=tiles_per_s,
                score=float(report.tile_scores.max()),
                threshold=report.threshold,
                model=report.model,
                at_ns=time.time_ns(),
                warnings=warnings_of(header.quality_flags),
            )
        )
