"""What a camera driver gives, frame by frame (`Grab`), put in its place along the roll as `Shot`s.

Without an encoder a frame begins where the last one ended; frames the camera's own numbers skip are a shot without
pixels. With one, the counter at a frame's first line says where it lies:

    behind the end of what was captured    the cloth between was lost
    before it                              the first lines show cloth that was captured: they are left out
    most of it before                      nothing new: the line stands, or the cloth went back. Less than half a
                                           frame is left to the next one, which shows it too

The end of what was captured and the encoder may differ by a few lines without harm; beyond that the encoder is right.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ingest.encoder import Encoder
from ingest.shots import Shot
from inspection.types import Pixels
from inspection.wire import MAX_POSITION_MM

NEW_SHARE = 0.5  # of a frame's lines, to be worth a frame of its own
TOLERANCE = 0.005  # of a frame's length, that position and lines may differ
MANY_FRAMES = 100_000  # a larger step in a camera's numbers is no loss, but a start from elsewhere
SHORT_COUNTER = 65_535  # where GigE Vision 1.x starts again, with 1
DRIFT = 100e-6  # of a camera's clock against the host's, at most
LATE_NS = 5_000_000_000  # no frame waits that long: one of the clocks was set


@dataclass(frozen=True, slots=True, kw_only=True)
class Grab:
    """One frame as a driver gave it; None is what this camera does not tell. `pixels` None: `problem` says why."""

    pixels: Pixels | None
    problem: str = ""
    lines: int  # of the frame, also of one without pixels
    received_ns: int  # UTC, when the host had it
    frame_id: int | None = None
    device_ns: int | None = None  # the camera's clock
    ticks: int | None = None  # the encoder's counter at the first line
    exposure_us: float = 0.0
    gain: float = 0.0


class DeviceClock:
    """A camera's clock in UTC: when a frame was taken, not when the host found time for it. The least delay seen is
    taken for the true one; it may grow by `DRIFT`."""

    def __init__(self) -> None:
        self._offset_ns: float | None = None
        self._last_ns = 0

    def utc_ns(self, device_ns: int, received_ns: int) -> int:
        offset = float(received_ns - device_ns)
        if self._offset_ns is not None:
            expected = self._offset_ns + max(device_ns - self._last_ns, 0) * DRIFT
            if abs(offset - expected) <= LATE_NS:
                offset = min(offset, expected)
        self._offset_ns, self._last_ns = offset, device_ns
        return device_ns + round(offset)


class Track:
    """One camera from its opening on. `encoder` None: positions are lines x mm per line, from 0."""

    def __init__(self, *, mm_per_px: float, encoder: Encoder | None, mm_per_tick: float) -> None:
        self._mm_per_px = mm_per_px
        self._encoder = encoder
        self._mm_per_tick = abs(mm_per_tick)
        self._clock = DeviceClock()
        self._end_mm: float | None = None if encoder else 0.0
        self._last_id: int | None = None
        self._back = False  # the cloth went back since the last shot

    @property
    def absolute(self) -> bool:
        """Positions are the encoder's, and go on where they were when the camera is opened again."""
        return self._encoder is not None

    def shots(self, grab: Grab) -> Iterator[Shot]:
        """The shots a grab makes: what was lost before it, and its new lines; none when it shows nothing new."""
        at_ns = grab.received_ns
        if grab.device_ns is not None:
            at_ns = self._clock.utc_ns(grab.device_ns, grab.received_ns)
        lost = self._lost_frames(grab.frame_id)
        frame_mm = grab.lines * self._mm_per_px
        flags: list[str] = []
        new_epoch = False
        start_mm = self._end_mm
        if self._encoder is not None and grab.ticks is not None:
            clock_ns = grab.device_ns if grab.device_ns is not None else time.monotonic_ns()
            reading = self._encoder.read(grab.ticks, clock_ns, frame_mm=frame_mm)
            if reading.kind == "glitch":
                flags.append("encoder_glitch")
            else:
                start_mm, lost = reading.position_mm, 0
                new_epoch = reading.kind == "reset"
                self._back |= reading.kind == "reversed"
        elif self._encoder is not None:
            flags.append("encoder_missing")
        if start_mm is None:
            start_mm = 0.0
        if new_epoch or self._end_mm is None:
            self._end_mm = start_mm
            self._back = False
            flags += ["encoder_reset"] if new_epoch else []
        if not abs(start_mm) <= MAX_POSITION_MM / 2:
            start_mm, flags = self._end_mm, [*flags, "encoder_glitch"]
        yield from self._place(grab, at_ns, start_mm, lost, flags, new_epoch=new_epoch)

    def _place(
        self, grab: Grab, at_ns: int, start_mm: float, lost: int, flags: list[str], *, new_epoch: bool
    ) -> Iterator[Shot]:
        assert self._end_mm is not None
        frame_mm = grab.lines * self._mm_per_px
        if lost:
            why = f"camera_lost: {lost} frame{'s' if lost > 1 else ''} by the camera's own count"
            yield self._shot(None, why, at_ns, grab, lost * frame_mm, flags=())
        tolerance_mm = max(2 * self._mm_per_tick, self._mm_per_px, TOLERANCE * frame_mm)
        ahead_mm = start_mm - self._end_mm
        skip = 0
        if lost or abs(ahead_mm) <= tolerance_mm:
            pass
        elif ahead_mm > 0:
            why = f"camera_lost: {ahead_mm:.1f} mm by the encoder"
            yield self._shot(None, why, at_ns, grab, ahead_mm, flags=())
        else:
            skip = min(round(-ahead_mm / self._mm_per_px), grab.lines)
        left = grab.lines - skip
        if left < NEW_SHARE * grab.lines:
            return
        if self._back:
            flags.append("reversed")
        self._back = False
        pixels = None if grab.pixels is None else grab.pixels[skip:]
        yield self._shot(
            pixels, grab.problem, at_ns, grab, left * self._mm_per_px, flags=tuple(flags), new_epoch=new_epoch
        )

    def _shot(
        self, pixels: Pixels | None, problem: str, at_ns: int, grab: Grab, length_mm: float, *,
        flags: tuple[str, ...], new_epoch: bool = False,
    ) -> Shot:  # fmt: skip
        assert self._end_mm is not None
        shot = Shot(
            pixels=pixels,
            problem=problem,
            origin="",
            captured_at_ns=at_ns,
            position_mm=self._end_mm,
            length_mm=length_mm,
            exposure_us=grab.exposure_us,
            gain=grab.gain,
            flags=flags,
            new_epoch=new_epoch,
            absolute=self.absolute,
        )
        self._end_mm += length_mm
        return shot

    def _lost_frames(self, frame_id: int | None) -> int:
        """How many numbers lie between this frame's and the last one's. A camera that gives each frame the same
        number, or starts again, has lost nothing that its numbers could tell."""
        last, self._last_id = self._last_id, frame_id
        if last is None or frame_id is None:
            return 0
        step = frame_id - last
        if step < 0 and last <= SHORT_COUNTER and last > SHORT_COUNTER - MANY_FRAMES // 100 and frame_id >= 1:
            step += SHORT_COUNTER  # zero is not used
        return step - 1 if 1 < step <= MANY_FRAMES else 0
