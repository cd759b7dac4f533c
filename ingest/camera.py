"""One thread a camera: source -> shot -> frame or gap -> tiles -> spool. Nothing that passed goes untold.

What cannot be inspected becomes a gap with its reason, whatever it is: no pixels, no fabric, too dark, too narrow, or
an error nobody expected. Sequence numbers count frames and gaps alike, from 0 at each session: a start of the camera,
or a new epoch of its encoder. What passed while a live camera was away is the next session's first gap.
"""

import logging
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ingest.edges import background_level, find_edges
from ingest.gates import Gates
from ingest.share import own_share
from ingest.shots import Shot, Source
from ingest.spool import Session, Spool
from ingest.tally import Tally
from inspection.errors import ImageError, SourceError, WireError
from inspection.settings import CameraSettings, IngestSettings
from inspection.tiling import cut
from inspection.types import FLAGS, Frame, FrameHeader, Gap, TiledFrame, warnings_of
from inspection.wire import MAX_NAME, MAX_TEXT, MAX_WARNINGS, decode_to_worker, encode_record

log = logging.getLogger(__name__)

OpenSource = Callable[[CameraSettings], Source]

COUNT_S = 1.0  # between counts sent
BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # between tries to open a lost camera again
SPEED_SHOTS = 8  # that the last known speed rests on


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """How a live camera was lost: where its last shot ended, when, and how fast the cloth ran."""

    end_mm: float
    at_ns: int
    speed_mm_s: float
    absolute: bool


class Camera(threading.Thread):
    """Runs from `start` until its source ends, or until `stop` is set and the source closed (`close`).

    A live camera that fails is opened again, with back-off, for as long as it takes; so is one that does not answer at
    the start (`source` None). A folder or video that fails has ended.
    """

    def __init__(
        self, camera: CameraSettings, source: Source | None, *, settings: IngestSettings, spool: Spool,
        stop: threading.Event, open_source: OpenSource,
    ) -> None:  # fmt: skip
        super().__init__(name=f"camera {camera.name}", daemon=True)
        self._camera = camera
        self._source = source
        self._settings = settings
        self._spool = spool
        self._stop_asked = stop
        self._open = open_source
        self._gates = Gates(camera, settings)
        self._left: _Left | None = None
        self._base_mm = 0.0  # where the positions of a source that counts from 0 begin
        self._ends: deque[tuple[float, int]] = deque(maxlen=SPEED_SHOTS)  # (end in mm, time of capture) of shots
        self._flagged: set[str] = set()  # what is being warned of
        self.tally = Tally(camera.name)

    def close(self) -> None:
        """Ends the source's shots; from any thread, after `stop` was set."""
        if self._source is not None:
            self._source.close()

    def run(self) -> None:
        try:
            self._run()
        finally:
            self.tally.ended()

    def _run(self) -> None:
        failures = 0
        if self._source is None:
            self._left = _Left(end_mm=0.0, at_ns=time.time_ns(), speed_mm_s=0.0, absolute=False)
        while True:
            if self._source is not None:
                self.tally.opened(self._source)
                frames = self._run_source(self._source)
                if frames is None or self._stop_asked.is_set() or not self._source.live:
                    return
                failures = 0 if frames else failures
                self.tally.lost()
            while not self._reopen(failures):
                if self._stop_asked.is_set():
                    self._tell_outage_at_the_stop()
                    return
                failures += 1
            failures += 1

    def _run_source(self, source: Source) -> int | None:
        """Takes all shots; None when the source has ended, the number of records when it failed."""
        session, records = self._begin(), 0
        try:
            with source:
                end_mm: float | None = None
                counted_at = -COUNT_S
                for shot in source.shots():
                    if shot.new_epoch and session.next_sequence:
                        records += session.next_sequence
                        self._end(session)
                        session, end_mm = self._begin(), None
                    shot = self._placed(shot, session)
                    if end_mm is not None and shot.position_mm - end_mm > self._camera.mm_per_px / 2:
                        lost = replace(shot, position_mm=end_mm, length_mm=shot.position_mm - end_mm)
                        self._put(session, self._gap(lost, session, "camera_lost"), wait=False)
                    end_mm = shot.position_mm + shot.length_mm
                    if not self._put(session, self._record(shot, session), wait=not source.live):
                        return None
                    self._note(shot)
                    if time.monotonic() - counted_at >= COUNT_S:
                        counted_at = time.monotonic()
                        session.count()
                    if self._stop_asked.is_set():
                        return None
        except Exception as error:
            if isinstance(error, SourceError):
                log.error("%s", error)
            else:
                log.exception("camera %s failed", self._camera.name)
            return records + session.next_sequence
        finally:
            self._end(session)
        return None

    def _begin(self) -> Session:
        now = datetime.now(UTC)
        session = self._spool.begin(
            line=self._settings.line,
            camera=self._camera.name,
            session=f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}",
            started_at_ns=time.time_ns(),
        )
        self._gates.begin()
        self._ends.clear()
        log.info("camera %s starts session %s", self._camera.name, session.folder.name)
        return session

    def _end(self, session: Session) -> None:
        session.end()
        log.info("camera %s ended after %d frames and gaps", self._camera.name, session.next_sequence)

    def _note(self, shot: Shot) -> None:
        """Where and how fast the cloth is, for the case that the camera is lost."""
        end_mm = shot.position_mm + shot.length_mm
        self._ends.append((end_mm, shot.captured_at_ns))
        (first_mm, first_ns), speed_mm_s = self._ends[0], 0.0
        if shot.captured_at_ns > first_ns:
            speed_mm_s = max((end_mm - first_mm) / ((shot.captured_at_ns - first_ns) / 1e9), 0.0)
        self._left = _Left(end_mm=end_mm, at_ns=shot.captured_at_ns, speed_mm_s=speed_mm_s, absolute=shot.absolute)

    def _placed(self, shot: Shot, session: Session) -> Shot:
        """The shot in the camera's own count; the first one behind an outage is preceded by the gap it left."""
        if session.next_sequence == 0 and self._left is not None and not shot.new_epoch:
            self._tell_outage(session, shot)
        return shot if shot.absolute else replace(shot, position_mm=self._base_mm + shot.position_mm)

    def _tell_outage(self, session: Session, back: Shot | None) -> None:
        """The cloth that passed unseen: what the encoder counted, else time by the last speed. Its length may be 0."""
        left, self._left = self._left, None
        assert left is not None
        now_ns = back.captured_at_ns if back is not None else time.time_ns()
        away_s = max(now_ns - left.at_ns, 0) / 1e9
        reason = f"camera_lost: away for {away_s:.0f} s"
        if back is not None and back.absolute and left.absolute and back.position_mm >= left.end_mm:
            length_mm = back.position_mm - left.end_mm
        elif back is not None and back.absolute:
            left, length_mm = replace(left, end_mm=back.position_mm), 0.0  # another epoch: nobody counted
        else:
            length_mm = left.speed_mm_s * away_s
            reason += ", length by time and last speed"
        self._base_mm = left.end_mm + length_mm
        lost = Shot(
            pixels=None,
            problem=reason,
            origin="",
            captured_at_ns=left.at_ns,
            position_mm=left.end_mm,
            length_mm=length_mm,
        )
        self._put(session, self._gap(lost, session, reason), wait=False)

    def _tell_outage_at_the_stop(self) -> None:
        if self._left is not None:
            session = self._begin()
            self._tell_outage(session, None)
            self._end(session)

    def _put(self, session: Session, record: TiledFrame | Gap, *, wait: bool) -> bool:
        if not session.put(record, wait=wait, stop=self._stop_asked):
            return False
        match record:
            case Gap():
                self.tally.passed(pixels=0, end_mm=record.position_to_mm, length_mm=record.length_mm)
            case TiledFrame(header=header):
                end_mm = header.position_mm + header.length_mm
                pixels = header.height_px * header.width_px
                self.tally.passed(pixels=pixels, end_mm=end_mm, length_mm=header.length_mm)
        return True

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
        reason, warnings = self._gates.judge(pixels, edges, position_mm=shot.position_mm)
        flags = self._flags(shot.flags + warnings)
        if reason or edges is None:
            return reason or "no_fabric"
        share = own_share(self._camera, fabric=edges, width_px=pixels.shape[1])
        if share is None:
            return "no_fabric: all of it is a neighbour's"
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
            fabric_left_px=share.left_px,
            fabric_right_px=share.right_px,
            x_offset_mm=share.x_offset_mm,
            exposure_us=shot.exposure_us,
            gain=shot.gain,
            quality_flags=flags,
            background_level=background_level(pixels, *edges),
        )
        frame = Frame(header=header, pixels=pixels)
        try:
            room = self._spool.buffers.take
            return cut(frame, tile_px=settings.tile_px, overlap_px=settings.overlap_px, room=room)
        except ImageError:
            size = f"{share.right_px - share.left_px} x {pixels.shape[0]} px"
            return f"too_narrow: {size} of fabric, a tile is {settings.tile_px} px"

    def _flags(self, flags: tuple[str, ...]) -> tuple[str, ...]:
        """As they travel with the frame; each kind is logged when it begins."""
        codes = {flag.partition(":")[0]: flag for flag in flags}
        for code in codes.keys() - self._flagged:
            log.warning("camera %s: %s (%s)", self._camera.name, FLAGS.get(code, code), codes[code])
        self._flagged = set(codes)
        told = tuple(_clean(flag)[:MAX_NAME] for flag in codes.values())
        self.tally.warned(warnings_of(told)[:MAX_WARNINGS])
        return told

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
        except Exception:
            log.exception("camera %s cannot be opened", self._camera.name)
            return False
        if self._stop_asked.is_set():
            self._source.close()  # `close` may have met the source before
        return True


def _clean(text: str) -> str:
    """File names and errors may hold what no message can: lone surrogates, zero bytes, any length."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")[: MAX_TEXT // 4]
