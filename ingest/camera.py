"""One thread a camera: source -> shot -> frame or gap -> tiles -> spool. Nothing that passed goes untold.

What cannot be inspected becomes a gap with its reason, whatever it is: no pixels, no fabric, too dark, too narrow, or
an error nobody expected. Sequence numbers count frames and gaps alike, from 0 at each start of the camera.
"""

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from ingest.edges import background_level, find_edges
from ingest.quality import judge
from ingest.shots import Shot, Source
from ingest.spool import Session, Spool
from inspection.errors import ImageError, SourceError, WireError
from inspection.settings import CameraSettings, IngestSettings
from inspection.tiling import cut
from inspection.types import Frame, FrameHeader, Gap, TiledFrame
from inspection.wire import MAX_TEXT, decode_to_worker, encode_record

log = logging.getLogger(__name__)

OpenSource = Callable[[CameraSettings], Source]

COUNT_S = 1.0  # between counts sent
BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # between tries to open a lost camera again


class Camera(threading.Thread):
    """Runs from `start` until its source ends, or until `stop` is set and the source closed (`close`).

    A live camera that fails is opened again, with back-off, as a new session; a folder or video that fails has ended.
    """

    def __init__(
        self, camera: CameraSettings, source: Source, *, settings: IngestSettings, spool: Spool, stop: threading.Event,
        open_source: OpenSource,
    ) -> None:  # fmt: skip
        super().__init__(name=f"camera {camera.name}", daemon=True)
        self._camera = camera
        self._source = source
        self._settings = settings
        self._spool = spool
        self._stop_asked = stop
        self._open = open_source

    def close(self) -> None:
        """Ends the source's shots; from any thread, after `stop` was set."""
        self._source.close()

    def run(self) -> None:
        failures = 0
        while True:
            frames = self._run_session()
            if frames is None or self._stop_asked.is_set() or not self._source.live:
                return
            failures = 0 if frames else failures
            while not self._reopen(failures):
                if self._stop_asked.is_set():
                    return
                failures += 1
            failures += 1

    def _run_session(self) -> int | None:
        """Takes all shots; None when the source has ended, the number of records when it failed."""
        now = datetime.now(UTC)
        session = self._spool.begin(
            line=self._settings.line,
            camera=self._camera.name,
            session=f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}",
            started_at_ns=time.time_ns(),
        )
        log.info("camera %s starts session %s", self._camera.name, session.folder.name)
        try:
            with self._source as source:
                self._take(source, session)
        except Exception as error:  # noqa: BLE001  the thread's outermost: any driver may raise anything
            log.exception("camera %s failed") if not isinstance(error, SourceError) else log.error("%s", error)
            return session.next_sequence
        finally:
            session.end()
            log.info("camera %s ended after %d frames and gaps", self._camera.name, session.next_sequence)
        return None

    def _take(self, source: Source, session: Session) -> None:
        counted_at = -COUNT_S
        end_mm: float | None = None
        for shot in source.shots():
            if end_mm is not None and shot.position_mm - end_mm > self._camera.mm_per_px / 2:
                lost = replace(shot, position_mm=end_mm, length_mm=shot.position_mm - end_mm)
                session.put(self._gap(lost, session, "camera_lost"), wait=False, stop=self._stop_asked)
            end_mm = shot.position_mm + shot.length_mm
            if not session.put(self._record(shot, session), wait=not source.live, stop=self._stop_asked):
                return
            if time.monotonic() - counted_at >= COUNT_S:
                counted_at = time.monotonic()
                session.count()
            if self._stop_asked.is_set():
                return

    def _record(self, shot: Shot, session: Session) -> TiledFrame | Gap:
        """The shot as the next record of the session: cut, or a gap that says why not."""
        try:
            tiled = self._cut(shot, session)
            if isinstance(tiled, TiledFrame):
                decode_to_worker(encode_record(tiled))  # what a worker would refuse must not wait for one
                return tiled
            reason = tiled
        except WireError as error:
            reason = f"unreadable: {error}"
        except Exception as error:  # a frame nobody was prepared for must not cost the next ones
            log.exception("camera %s, frame %d", self._camera.name, session.next_sequence)
            reason = f"unreadable: {error}"
        return self._gap(shot, session, reason)

    def _cut(self, shot: Shot, session: Session) -> TiledFrame | str:
        """The fabric's tiles, or the reason why there are none."""
        settings, pixels = self._settings, shot.pixels
        if pixels is None:
            return shot.problem or "unreadable"
        edges = find_edges(pixels)
        left, right = edges or (0, pixels.shape[1])
        # without edges the whole frame is judged: a dark lamp is a better reason than missing fabric
        reason = judge(pixels[:, left:right], dark_level=settings.dark_level, bright_level=settings.bright_level)
        if reason or edges is None:
            return reason or "no_fabric"
        header = FrameHeader(
            line=settings.line,
            camera=self._camera.name,
            session=session.journal.capture.session,
            sequence=session.next_sequence,
            origin=_clean(shot.origin),
            captured_at_ns=shot.captured_at_ns,
            position_mm=shot.position_mm,
            mm_per_px=self._camera.mm_per_px,
            height_px=pixels.shape[0],
            width_px=pixels.shape[1],
            fabric_left_px=left,
            fabric_right_px=right,
            x_offset_mm=self._camera.x_offset_mm,
            exposure_us=shot.exposure_us,
            gain=shot.gain,
            quality_flags=(),
            background_level=background_level(pixels, left, right),
        )
        frame = Frame(header=header, pixels=pixels)
        try:
            return cut(frame, tile_px=settings.tile_px, overlap_px=settings.overlap_px)
        except ImageError:
            return f"too_narrow: {right - left} x {pixels.shape[0]} px of fabric, a tile is {settings.tile_px} px"

    def _gap(self, shot: Shot, session: Session, reason: str) -> Gap:
        gap = Gap(
            line=self._settings.line,
            camera=self._camera.name,
            session=session.journal.capture.session,
            sequence=session.next_sequence,
            captured_at_ns=shot.captured_at_ns,
            position_from_mm=shot.position_mm,
            position_to_mm=shot.position_mm + shot.length_mm,
            reason=_clean(reason),
        )
        try:
            decode_to_worker(encode_record(gap))
        except WireError as error:
            raise SourceError(f"camera {self._camera.name}: the source gives impossible shots: {error}") from error
        return gap

    def _reopen(self, failures: int) -> bool:
        """Waits, and tries to open the lost camera again."""
        wait_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)] * random.uniform(0.8, 1.2)
        log.warning("camera %s is tried again in %.1f s", self._camera.name, wait_s)
        if self._stop_asked.wait(wait_s):
            return False
        try:
            self._source = self._open(self._camera)
        except SourceError as error:
            log.error("%s", error)
            return False
        return True


def _clean(text: str) -> str:
    """File names and errors may hold what no message can: lone surrogates, zero bytes, any length."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")[: MAX_TEXT // 4]
