"""An encoder's counter to mm along the roll: wraps, reversals, resets and glitches told apart.

What a reading can be, compared with the last good one (`delta` in mm, counted the short way round the counter):

    wrap      the counter starts again at its end: `delta` is small, nothing to tell
    forward   0 <= delta <= what the line can run in the time between
    reversed  the cloth goes back, at a possible speed, while frames keep coming
    reset     the counter was set to zero, or comes back lower after a pause: a new epoch, positions start again
    glitch    further than the line can run: no position until the counter agrees with the last good reading again, or
              with itself for `TRUSTED` readings in a row, which then begin a new epoch

When in doubt between a reversal and a reset it is a reset: the cloth is then inspected again, and never taken for
cloth that was seen before.
"""

from dataclasses import dataclass
from typing import Literal

TRUSTED = 3  # readings that agree with each other and not with the past
REVERSAL_S = 5.0  # frames that keep coming; behind a longer silence a lower counter is a reset
REVERSAL_MM = 20_000.0
SLACK_FRAMES = 2.0  # that may lie in the camera's and the driver's buffers, so that their times are no measure

Kind = Literal["forward", "reversed", "reset", "glitch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`position_mm`: in the present epoch; of a glitch the last good one."""

    kind: Kind
    position_mm: float


class Encoder:
    """`mm_per_tick`: of cloth, negative for an encoder that counts down while the cloth runs forward. `bits`: of the
    counter, which wraps at 2^bits."""

    def __init__(self, *, mm_per_tick: float, bits: int, max_speed_m_min: float) -> None:
        self._mm_per_tick = abs(mm_per_tick)
        self._sign = 1 if mm_per_tick > 0 else -1
        self._range = 1 << bits
        self._mm_per_s = max_speed_m_min * 1000 / 60
        self._ticks: int | None = None  # last good one
        self._at_ns = 0
        self._position_mm = 0.0
        self._strange: list[tuple[int, int]] = []  # (ticks, at_ns) of glitches in a row that agree with each other

    def read(self, ticks: int, at_ns: int, *, frame_mm: float) -> Reading:
        """The next reading. `at_ns`: of a clock that never goes back; `frame_mm`: length of a frame."""
        value = self._sign * ticks % self._range
        if self._ticks is None:
            return self._accept("forward", value, at_ns, value * self._mm_per_tick)
        moved_mm = self._moved_mm(self._ticks, value)
        passed_s = max(at_ns - self._at_ns, 0) / 1e9
        reach_mm = self._reach_mm(passed_s, frame_mm)
        since_zero_mm = value * self._mm_per_tick
        if 0 <= moved_mm <= reach_mm:
            return self._accept("forward", value, at_ns, self._position_mm + moved_mm)
        if moved_mm < 0:
            near_zero = since_zero_mm <= frame_mm and -moved_mm > 2 * self._mm_per_tick
            back = -moved_mm <= min(reach_mm, REVERSAL_MM) and passed_s <= REVERSAL_S
            if back and not near_zero:
                return self._accept("reversed", value, at_ns, self._position_mm + moved_mm)
            if near_zero or since_zero_mm <= reach_mm or (passed_s > REVERSAL_S and -moved_mm <= reach_mm):
                return self._accept("reset", value, at_ns, since_zero_mm)
        return self._doubt(value, at_ns, frame_mm)

    def _doubt(self, value: int, at_ns: int, frame_mm: float) -> Reading:
        if self._strange:
            before, before_ns = self._strange[-1]
            reach_mm = self._reach_mm(max(at_ns - before_ns, 0) / 1e9, frame_mm)
            if not 0 <= self._moved_mm(before, value) <= reach_mm:
                self._strange.clear()
        self._strange.append((value, at_ns))
        if len(self._strange) >= TRUSTED:
            return self._accept("reset", value, at_ns, value * self._mm_per_tick)
        return Reading(kind="glitch", position_mm=self._position_mm)

    def _moved_mm(self, before: int, now: int) -> float:
        half = self._range // 2
        return ((now - before + half) % self._range - half) * self._mm_per_tick

    def _reach_mm(self, passed_s: float, frame_mm: float) -> float:
        return self._mm_per_s * passed_s + SLACK_FRAMES * frame_mm

    def _accept(self, kind: Kind, value: int, at_ns: int, position_mm: float) -> Reading:
        self._ticks, self._at_ns, self._position_mm = value, at_ns, position_mm
        self._strange.clear()
        return Reading(kind=kind, position_mm=position_mm)
