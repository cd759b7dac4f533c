"""A camera's own reference: how each fabric it knows looked when it was first seen, kept in a file.

The first frames of a fabric are learned (`LEARNED` of them). A fabric is known again by its color, and left for
another when `STEPS` frames in a row look the same way different; a slow change is no other fabric but a drift, and is
told of. Sharpness is compared with the reference; in the first frames of a new fabric there is none.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from ingest.quality import Look

log = logging.getLogger(__name__)

LEARNED = 8  # frames
STEPS = 3  # frames that look different, to be another fabric
SAME_SHARE = 0.15  # of a channel's level
SAME_LEVELS = 8.0  # grey levels, for dark fabrics
SHARPER = 2.0  # times the reference: no lens does that, it is another fabric
KNOWN = 32  # fabrics, the oldest is forgotten
SLOW = 1 / 16  # share of a frame in the running mean
DARKER_SHARE = 0.10
SOFTER_SHARE = 0.6
MAX_BYTES = 1_000_000


class Reference(msgspec.Struct, frozen=True):
    color: tuple[float, ...]
    sharpness: float
    band_level: float

    @property
    def level(self) -> float:
        return sum(self.color) / len(self.color)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A frame beside its reference."""

    sharpness: float | None = None  # share of the reference's; None: there is none yet
    band_level: float | None = None  # of the fabric that was there last; None: none is known
    drift: tuple[str, ...] = ()  # warnings
    new_fabric: bool = False


class References:
    """`path`: the file they are kept in; one that cannot be read is as none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _load(path)
        self._current: Reference | None = None
        self._color: list[float] = []  # running means
        self._sharpness = 0.0
        self._different: list[Look] = []
        self._learning: list[Look] = []

    def compare(self, look: Look) -> Compared:
        if self._learning:
            return self._learn(look)
        if self._current is None or not self._is_same(look):
            return self._doubt(look)
        self._different.clear()
        self._color = [mean + SLOW * (value - mean) for mean, value in zip(self._color, look.color, strict=True)]
        self._sharpness += SLOW * (look.sharpness - self._sharpness)
        return Compared(
            band_level=self._current.band_level,
            sharpness=look.sharpness / max(self._current.sharpness, 1e-12),
            drift=self._drift(self._current),
        )

    def _is_same(self, look: Look) -> bool:
        assert self._current is not None
        return _near(look.color, self._color) and look.sharpness <= SHARPER * self._current.sharpness

    def _doubt(self, look: Look) -> Compared:
        if self._different and not _near(look.color, self._different[-1].color):
            self._different.clear()
        self._different.append(look)
        if len(self._different) < STEPS:
            return Compared(band_level=None if self._current is None else self._current.band_level)
        seen, self._different = self._different, []
        color = _middle_color(seen)
        sharpness = median(each.sharpness for each in seen)
        fitting = [
            known for known in self._known if _near(color, known.color) and sharpness <= SHARPER * known.sharpness
        ]
        if not fitting:
            self._learning = seen
            return Compared(new_fabric=True)
        self._take(min(fitting, key=lambda known: abs(known.level - sum(color) / len(color))), color, sharpness)
        return Compared(new_fabric=True)

    def _learn(self, look: Look) -> Compared:
        if not _near(look.color, self._learning[0].color):
            self._learning = []
            return self._doubt(look)
        self._learning.append(look)
        if len(self._learning) >= LEARNED:
            seen, self._learning = self._learning, []
            learned = Reference(
                color=_middle_color(seen),
                sharpness=median(each.sharpness for each in seen),
                band_level=median(each.band_level for each in seen),
            )
            self._known = [*self._known, learned][-KNOWN:]
            self._take(learned, learned.color, learned.sharpness)
            _save(self._path, self._known)
        return Compared()

    def _take(self, reference: Reference, color: tuple[float, ...], sharpness: float) -> None:
        self._current, self._color, self._sharpness = reference, list(color), sharpness

    def _drift(self, reference: Reference) -> tuple[str, ...]:
        found = []
        light = sum(self._color) / len(self._color) / max(reference.level, 1.0) - 1
        if abs(light) > DARKER_SHARE:
            found.append(
                f"brightness_drift: {abs(light):.0%} {'brighter' if light > 0 else 'darker'} than its reference"
            )
        share = self._sharpness / max(reference.sharpness, 1e-12)
        if share < SOFTER_SHARE:
            found.append(f"focus_drift: {share:.0%} of its reference's sharpness")
        return tuple(found)


def _near(one: tuple[float, ...], other: tuple[float, ...] | list[float]) -> bool:
    if len(one) != len(other):
        return False
    return all(abs(a - b) <= max(SAME_LEVELS, SAME_SHARE * b) for a, b in zip(one, other, strict=True))


def _middle_color(looks: list[Look]) -> tuple[float, ...]:
    return tuple(median(values) for values in zip(*(look.color for look in looks), strict=True))


def _load(path: Path) -> list[Reference]:
    try:
        if not path.exists() or path.stat().st_size > MAX_BYTES:
            return []
        return msgspec.json.decode(path.read_bytes(), type=list[Reference])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read, the camera learns its reference anew: %s", path, error)
        return []


def _save(path: Path, known: list[Reference]) -> None:
    beside = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(known))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        log.warning("%s cannot be written, the reference is learned again at the next start: %s", path, error)
