"""GenICam features, the same for every driver: settings written at the opening, chunk data asked for and read.

Names are those of EMVA's Standard Features Naming Convention (SFNC), and what older cameras call the same. Chunk data
is optional everywhere: what a camera does not have, or a driver cannot read, is None.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from inspection.errors import SourceError

log = logging.getLogger(__name__)

Value = bool | int | float | str
Errors = tuple[type[Exception], ...]  # all that a driver raises, and `LookupError`

_ORIGIN = re.compile(r" : \w+Exception thrown")

FRAME_ID = ("FrameID", "FrameCounter", "Framecounter", "FrameNumber")
TIMESTAMP = ("Timestamp",)
ENCODER = ("EncoderValue", "ShaftEncoderCounter", "CounterValue")
EXPOSURE = ("ExposureTime", "ExposureTimeAbs")
GAIN = ("Gain", "GainAbs")
WANTED = (FRAME_ID, TIMESTAMP, ENCODER, EXPOSURE, GAIN)


class Nodes(Protocol):
    """A camera's, or its chunks', features by name."""

    def read(self, name: str) -> Value | None:
        """None for one that is not there, or not readable now. Raises nothing."""

    def write(self, name: str, text: str) -> None:
        """Raises any error of the driver's; `LookupError` for one that is not there."""

    def is_command(self, name: str) -> bool: ...

    def execute(self, name: str) -> None:
        """Raises any error of the driver's."""


def set_features(nodes: Nodes, features: Mapping[str, Value], *, camera: str, errors: Errors) -> None:
    """Writes features in their order. Raises `SourceError` for one that the camera refuses, with its reason."""
    for name, value in features.items():
        told = f"camera {camera}: feature {name} = {value!r}"
        try:
            if nodes.is_command(name):
                if value is True:
                    nodes.execute(name)
                continue
            present = nodes.read(name)
            if isinstance(present, int) and not isinstance(present, bool) and not _is_whole(value):
                raise SourceError(f"{told}: a whole number is needed")
            nodes.write(name, str(value).lower() if isinstance(value, bool) else str(value))
        except LookupError:
            raise SourceError(f"{told}: the camera has no such feature") from None
        except errors as error:
            raise SourceError(f"{told} is refused: {reason(error)}") from error


def _is_whole(value: Value) -> bool:
    try:
        return float(value) == int(float(value))
    except (ValueError, OverflowError):
        return False


def reason(error: Exception) -> str:
    """A driver's error in one line, without where in its own sources it arose."""
    text = " ".join(str(error).split())
    return _ORIGIN.split(text)[0].strip(" .") or type(error).__name__


class Chunks:
    """What a camera tells of each frame besides its pixels. `encoder`: name of the chunk with the encoder's counter,
    "" for the first of those that are known."""

    def __init__(self, *, encoder: str) -> None:
        self._encoder: Sequence[str] = (encoder.removeprefix("Chunk"),) if encoder else ENCODER

    def switch_on(self, nodes: Nodes, errors: Errors) -> bool:
        """Asks for every chunk that helps and is there; False when the camera has none."""
        try:
            nodes.write("ChunkModeActive", "true")
        except errors as error:
            log.debug("no chunk data: %s", error)
            return False
        for selector in (name for names in (*WANTED, self._encoder) for name in names):
            try:
                nodes.write("ChunkSelector", selector)
                nodes.write("ChunkEnable", "true")
            except errors:
                continue  # not this camera's word for it, or always on
        return True

    def switch_off(self, nodes: Nodes, errors: Errors) -> None:
        try:
            nodes.write("ChunkModeActive", "false")
        except errors as error:
            log.debug("chunk data stays on: %s", error)

    def frame_id(self, nodes: Nodes) -> int | None:
        return _whole(_first(nodes, FRAME_ID))

    def timestamp(self, nodes: Nodes) -> int | None:
        return _whole(_first(nodes, TIMESTAMP))

    def ticks(self, nodes: Nodes) -> int | None:
        return _whole(_first(nodes, self._encoder))

    def exposure_us(self, nodes: Nodes) -> float | None:
        return _number(_first(nodes, EXPOSURE))

    def gain(self, nodes: Nodes) -> float | None:
        return _number(_first(nodes, GAIN))


def exposure_and_gain(nodes: Nodes) -> tuple[float, float]:
    """As the camera is set, 0 for what it does not tell."""
    exposure, gain = (_number(_read_first(nodes, names)) for names in (EXPOSURE, GAIN))
    return exposure or 0.0, gain or 0.0


def _first(nodes: Nodes, names: Sequence[str]) -> Value | None:
    return _read_first(nodes, [f"Chunk{name}" for name in names])


def _read_first(nodes: Nodes, names: Sequence[str]) -> Value | None:
    for name in names:
        if (value := nodes.read(name)) is not None:
            return value
    return None


def _whole(value: Value | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Value | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None
