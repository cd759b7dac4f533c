"""A simulated camera over simulated cloth: `sim://STYLE?speed_m_min=6&seed=1&defects_per_m=1&...`

With a speed it behaves like a real line-scan camera: lines come when the cloth has passed, not when somebody asks. A
few frames wait in the camera; a reader later than that loses the oldest, and is told how much it lost.
"""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from ingest.cloth import Cloth
from ingest.cloth_styles import STYLES
from ingest.shots import Shot, Source
from inspection.errors import SourceError
from inspection.types import Pixels

SCHEME = "sim://"
BUFFER_FRAMES = 4  # finished frames that wait in the camera
NORMAL_PLACE_MM = 7_000_000.0  # far from where rolls start, so that nothing is learned from what is then inspected

# parameter: (default, least, most); all are numbers, seed a whole one
PARAMETERS: dict[str, tuple[float, float, float]] = {
    "speed_m_min": (0.0, 0.0, 1000.0),  # 0: as fast as frames are asked for
    "width_mm": (204.8, 8.0, 10_000.0),  # what the camera sees, background included
    "margin_mm": (9.0, 0.0, 1000.0),  # of background to each side; 0: fabric from side to side
    "seed": (1.0, 0.0, 2.0**31),
    "defects_per_m": (1.0, 0.0, 50.0),
    "length_m": (float("inf"), 1e-6, float("inf")),  # ends with the frame that reaches it
    "start_m": (0.0, 0.0, 100_000.0),  # where on the roll the first line lies
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How the cloth runs past the camera."""

    speed_m_min: float
    length_m: float
    start_m: float


class Clock(Protocol):
    """Time, as a camera needs it."""

    def now_ns(self) -> int:
        """Monotonic."""

    def utc_ns(self) -> int: ...

    def wait(self, closed: threading.Event, seconds: float) -> None:
        """Until `seconds` have passed or `closed` is set."""


class SystemClock:
    """The machine's."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        return time.time_ns()

    def wait(self, closed: threading.Event, seconds: float) -> None:
        closed.wait(seconds)


class SimulatedCamera(Source):
    """Frames of `frame_lines` lines of a cloth. Positions count from 0 at `run.start_m` of the cloth."""

    def __init__(self, cloth: Cloth, run: Run, *, frame_lines: int, clock: Clock | None = None) -> None:
        super().__init__()
        self.cloth = cloth
        self.run = run
        self.live = run.speed_m_min > 0
        self._lines = frame_lines
        self._clock = clock if clock is not None else SystemClock()
        self.first_line = round(run.start_m * 1000 / cloth.mm_per_px)

    def shots(self) -> Iterator[Shot]:
        frame_mm = self._lines * self.cloth.mm_per_px
        length_mm = self.run.length_m * 1000
        frames = length_mm if math.isinf(length_mm) else -(-length_mm // frame_mm)
        started_ns = self._clock.now_ns()
        offset_ns = self._clock.utc_ns() - started_ns
        frame_ns = frame_mm / (self.run.speed_m_min / 60 * 1000) * 1e9 if self.live else 0.0
        number = 0
        while number < frames and not self._closed.is_set():
            self.hear()
            if not self.live:
                yield self._shot(number, 1, self._clock.utc_ns())
                number += 1
                continue
            done = min(int((self._clock.now_ns() - started_ns) / frame_ns), frames)
            if done <= number:
                self._clock.wait(self._closed, (started_ns + (number + 1) * frame_ns - self._clock.now_ns()) / 1e9)
                continue
            lost = int(done) - BUFFER_FRAMES - number
            if lost > 0:
                at_ns = offset_ns + started_ns + int((number + lost) * frame_ns)
                yield self._shot(number, lost, at_ns, problem=f"camera_lost: {lost} frames, the reader was late")
                number += lost
            yield self._shot(number, 1, offset_ns + started_ns + int((number + 1) * frame_ns))
            number += 1

    def _shot(self, number: int, frames: int, at_ns: int, *, problem: str = "") -> Shot:
        frame_mm = self._lines * self.cloth.mm_per_px
        pixels = None if problem else self.cloth.lines(self.first_line + number * self._lines, self._lines)
        return Shot(
            pixels=pixels,
            problem=problem,
            origin="",
            captured_at_ns=at_ns,
            position_mm=number * frame_mm,
            length_mm=frames * frame_mm,
        )


def read_url(url: str, *, mm_per_px: float) -> tuple[Cloth, Run]:
    """The cloth and its run from `sim://STYLE?...`. Raises `SourceError`, quoting what it does not know."""
    parts = urlsplit(url)
    style = parts.netloc + parts.path.rstrip("/")
    if style not in STYLES:
        raise SourceError(f"unknown style {style!r} in {url}: choose from {', '.join(sorted(STYLES))}")
    values = {name: default for name, (default, _, _) in PARAMETERS.items()}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in PARAMETERS:
            raise SourceError(f"unknown parameter {name!r} in {url}: choose from {', '.join(sorted(PARAMETERS))}")
        values[name] = _number(name, text, url)
    fabric_mm = values["width_mm"] - 2 * values["margin_mm"]
    if fabric_mm < 5:
        raise SourceError(
            f"width_mm={values['width_mm']:g} leaves {fabric_mm:g} mm of fabric between margins of "
            f"{values['margin_mm']:g} mm in {url}: give at least 5 mm"
        )
    cloth = Cloth(
        style,
        seed=int(values["seed"]),
        mm_per_px=mm_per_px,
        width_mm=values["width_mm"],
        margin_mm=values["margin_mm"],
        defects_per_m=values["defects_per_m"],
    )
    return cloth, Run(speed_m_min=values["speed_m_min"], length_m=values["length_m"], start_m=values["start_m"])


def _number(name: str, text: str, url: str) -> float:
    _, least, most = PARAMETERS[name]
    try:
        value = float(int(text)) if name == "seed" else float(text)
    except ValueError:
        kind = "a whole number" if name == "seed" else "a number"
        raise SourceError(f"{name} must be {kind}, got {text!r} in {url}") from None
    if not least <= value <= most:
        raise SourceError(f"{name} must be in [{least:g}, {most:g}], got {text!r} in {url}")
    return value


def normal_frames(
    style: str,
    *,
    seed: int,
    length_m: float,
    frame_lines: int,
    width_mm: float = PARAMETERS["width_mm"][0],
    mm_per_px: float = 0.2,
) -> list[Pixels]:
    """At least `length_m` of a style's cloth without defects, from a place that no roll reaches.

    (frame_lines, W, 3) RGB uint8 each. Raises `SourceError` for an unknown style.
    """
    url = f"{SCHEME}{style}?seed={seed}&width_mm={width_mm:g}&defects_per_m=0"
    cloth, _ = read_url(url, mm_per_px=mm_per_px)
    first = round(NORMAL_PLACE_MM / mm_per_px)
    frames = int(-(-length_m * 1000 // (frame_lines * mm_per_px)))
    return [cloth.lines(first + number * frame_lines, frame_lines) for number in range(frames)]
