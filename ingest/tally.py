"""What one camera's thread counts, for others to read at any time."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

WINDOW_S = 10.0  # of rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A tally at a moment; rates are of the last `WINDOW_S`."""

    state: Literal["running", "away", "ended"]
    position_mm: float
    speed_m_min: float
    frames_per_s: float
    pixels_per_s: float
    captured: int
    captured_mm: float
    reconnects: int
    warnings: tuple[str, ...]
    silent_s: float


class Heard(Protocol):
    """`shots.Source`."""

    heard_at: float


class Tally:
    """Of one camera, since its process started. Times are seconds of a clock that never goes back."""

    def __init__(self, camera: str, *, now: float | None = None) -> None:
        self.camera = camera
        self._lock = threading.Lock()
        self._since = time.monotonic() if now is None else now
        self._recent: deque[tuple[float, int, float]] = deque()  # (time, pixels, mm) of frames and gaps
        self._state: Literal["running", "away", "ended"] = "away"
        self._position_mm = self._captured_mm = 0.0
        self._captured = self._opened = 0
        self._warnings: tuple[str, ...] = ()
        self._heard_at = self._since
        self._source: Heard | None = None

    def opened(self, source: Heard) -> None:
        with self._lock:
            self._state, self._source = "running", source
            self._opened += 1

    def lost(self) -> None:
        with self._lock:
            self._heard_at = self._last_heard_at
            self._state, self._source = "away", None

    def ended(self) -> None:
        with self._lock:
            self._state = "ended"

    def passed(self, *, pixels: int, end_mm: float, length_mm: float, now: float | None = None) -> None:
        """A frame or a gap of `length_mm`, up to `end_mm`, is in the spool; pixels: 0 for a gap."""
        at = time.monotonic() if now is None else now
        with self._lock:
            self._heard_at = at
            self._recent.append((at, pixels, length_mm))
            self._forget(at)
            self._position_mm = end_mm
            self._captured += 1
            self._captured_mm += length_mm

    def warned(self, warnings: tuple[str, ...]) -> None:
        with self._lock:
            self._warnings = warnings

    def count(self, *, now: float | None = None) -> Counted:
        at = time.monotonic() if now is None else now
        with self._lock:
            self._forget(at)
            span_s = max(min(WINDOW_S, at - self._since), 1e-3)
            return Counted(
                state=self._state,
                position_mm=self._position_mm,
                speed_m_min=sum(mm for _, _, mm in self._recent) / span_s * 60 / 1000,
                frames_per_s=sum(pixels > 0 for _, pixels, _ in self._recent) / span_s,
                pixels_per_s=sum(pixels for _, pixels, _ in self._recent) / span_s,
                captured=self._captured,
                captured_mm=self._captured_mm,
                reconnects=max(self._opened - 1, 0),
                warnings=self._warnings,
                silent_s=max(at - self._last_heard_at, 0.0),
            )

    @property
    def _last_heard_at(self) -> float:
        return max(self._heard_at, self._source.heard_at if self._source is not None else 0.0)

    def _forget(self, at: float) -> None:
        while self._recent and at - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()
