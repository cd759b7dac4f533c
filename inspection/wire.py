"""The wire format, version 1. Every message is a few ZeroMQ parts; the first is a msgspec-encoded (MessagePack) header.

worker (DEALER) -> ingestor (ROUTER)       one part
    Hello   who I am, what I hold, what I finished last. First message, and again after a silence
    Credit  n more records may be sent to me
    Done    key of a record whose transaction has committed
    Beat    I am alive
    Bye     I leave: give what I hold to others
ingestor -> worker
    Welcome answer to a Hello: lease, heartbeat interval    one part
    Beat                                                    one part
    StateMessage how the ingestor is, once a second         one part; costs no credit, nobody answers it
    FrameMessage                           two parts: header, raw tile pixels (N, T, T, C) uint8, C order
    GapMessage, CaptureMessage             one part

Frames, gaps and captures wait in the ingestor until their Done. Nothing is unpickled; sizes, names and numbers are
checked before any pixel is touched, and whatever does not fit is a `WireError`.
"""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from inspection.errors import ImageError, SettingsError, WireError
from inspection.states import CameraState, IngestState
from inspection.tiling import spans
from inspection.types import Capture, FrameHeader, Gap, TiledFrame

PROTOCOL = 1
MAX_HEADER_BYTES = 64 * 1024
MAX_PIXEL_BYTES = 256 * 1024 * 1024
MAX_SIDE_PX = 65_536
MAX_TILE_PX = 4_096
MAX_CREDIT = 1_024
MAX_NAME = 128  # characters of a line, camera, session or worker
MAX_CAMERAS = 16  # in one state
MAX_REASONS = 32  # of gaps, a camera
MAX_WARNINGS = 4  # a camera
MAX_COUNT = 2**53  # what JSON and Redis' readers take exactly
MAX_TEXT = 4_096  # characters of an origin or a reason
MAX_SEQUENCE = 2**31 - 1
MAX_POSITION_MM = 1e12

Record = TiledFrame | Gap | Capture


class RecordKey(NamedTuple):
    """What a record is known by until its Done. A frame and a gap that replaces it have the same key.

    kind: "record" a frame or gap; "capture" a camera's count so far, "end" its last, with `sequence` = its `frames`.
    """

    kind: Literal["record", "capture", "end"]
    camera: str
    session: str
    sequence: int


def key_of(record: Record) -> RecordKey:
    match record:
        case TiledFrame():
            return RecordKey("record", *record.header.key)
        case Gap():
            return RecordKey("record", *record.key)
        case Capture():
            return RecordKey("end" if record.ended else "capture", record.camera, record.session, record.frames)


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Starts over: the ingestor forgets the worker's credit, and gives what it does not hold to others."""

    worker: str
    protocol: int
    attempt: int = 0  # the Welcome repeats it, so that a late Welcome to an older Hello is told apart
    holds: tuple[RecordKey, ...] = ()
    done: tuple[RecordKey, ...] = ()  # the last few, in case their Done was lost with a connection


class Credit(msgspec.Struct, frozen=True, tag="credit"):
    records: int


class Done(msgspec.Struct, frozen=True, tag="done"):
    key: RecordKey


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    pass


class Bye(msgspec.Struct, frozen=True, tag="bye"):
    pass


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    protocol: int
    attempt: int
    lease_s: float
    heartbeat_s: float


class FrameMessage(msgspec.Struct, frozen=True, tag="frame"):
    header: FrameHeader
    tile_px: int
    overlap_px: int
    channels: int
    tiles: int


class GapMessage(msgspec.Struct, frozen=True, tag="gap"):
    gap: Gap


class CaptureMessage(msgspec.Struct, frozen=True, tag="capture"):
    capture: Capture


class StateMessage(msgspec.Struct, frozen=True, tag="state"):
    """`part`: an ingestor of more than `MAX_CAMERAS` cameras sends its state in several."""

    part: int
    state: IngestState


FromWorker = Hello | Credit | Done | Beat | Bye
ToWorker = Welcome | Beat | StateMessage | FrameMessage | GapMessage | CaptureMessage
Received = Welcome | Beat | StateMessage | TiledFrame | Gap | Capture

_encoder = msgspec.msgpack.Encoder()
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)

# Besides its own errors msgspec lets two of Python's through: text that is not UTF-8, and arrays nested too deep.
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode(message: FromWorker | Welcome | StateMessage) -> list[bytes]:
    """A message without pixels, as ZeroMQ parts."""
    return [_encoder.encode(message)]


def state_messages(state: IngestState) -> list[StateMessage]:
    """An ingestor's state, in as many messages as its cameras take."""
    parts = range(0, max(len(state.cameras), 1), MAX_CAMERAS)
    return [
        StateMessage(part, replace(state, cameras=state.cameras[start : start + MAX_CAMERAS]))
        for part, start in enumerate(parts)
    ]


def encode_record(record: Record) -> list[bytes | memoryview]:
    """A frame, gap or capture as ZeroMQ parts; a frame's pixels are not copied when they are contiguous."""
    match record:
        case Gap():
            return [_encoder.encode(GapMessage(record))]
        case Capture():
            return [_encoder.encode(CaptureMessage(record))]
        case TiledFrame():
            tiles = np.ascontiguousarray(record.tiles)
            message = FrameMessage(
                header=record.header,
                tile_px=record.tile_px,
                overlap_px=record.overlap_px,
                channels=tiles.shape[3],
                tiles=tiles.shape[0],
            )
            return [_encoder.encode(message), tiles.data.cast("B")]


def decode_from_worker(parts: Sequence[bytes | memoryview]) -> FromWorker:
    """What a worker sent. Raises `WireError` for anything else."""
    header = _header_part(parts)
    try:
        message = _from_worker.decode(header)
    except _UNDECODABLE as error:
        raise WireError(f"not a worker's message: {error}") from error
    if len(parts) != 1:
        raise WireError("a worker's message has 1 part, got 2")
    match message:
        case Hello():
            _check_name("worker", message.worker)
            for key in (*message.holds, *message.done):
                _check_key(key)
        case Done():
            _check_key(message.key)
        case Credit():
            if not 0 < message.records <= MAX_CREDIT:
                raise WireError(f"credit must be in [1, {MAX_CREDIT}], got {message.records}")
    return message


def decode_to_worker(parts: Sequence[bytes | memoryview]) -> Received:
    """What an ingestor sent; a frame's tiles are a read-only view on the received bytes. Raises `WireError`."""
    header = _header_part(parts)
    try:
        message = _to_worker.decode(header)
    except _UNDECODABLE as error:
        raise WireError(f"not an ingestor's message: {error}") from error
    if isinstance(message, FrameMessage):
        if len(parts) != 2:
            raise WireError("a frame has 2 parts, got 1")
        return _tiled(message, parts[1])
    if len(parts) != 1:
        raise WireError("only a frame has 2 parts")
    match message:
        case GapMessage():
            return _checked_gap(message.gap)
        case CaptureMessage():
            return _checked_capture(message.capture)
        case StateMessage():
            _check_state(message)
        case Welcome():
            _check_number("lease_s", message.lease_s, 1e-3, 86_400)
            _check_number("heartbeat_s", message.heartbeat_s, 1e-3, 3_600)
    return message


def _header_part(parts: Sequence[bytes | memoryview]) -> bytes | memoryview:
    if not 1 <= len(parts) <= 2:
        raise WireError(f"a message has 1 or 2 parts, got {len(parts)}")
    if len(parts[0]) > MAX_HEADER_BYTES:
        raise WireError(f"a header has at most {MAX_HEADER_BYTES} bytes, got {len(parts[0])}")
    return parts[0]


def _tiled(message: FrameMessage, pixels: bytes | memoryview) -> TiledFrame:
    header, tile = message.header, message.tile_px
    _check_names(header)
    _check_text("origin", header.origin)
    if len(header.quality_flags) > 16:
        raise WireError(f"a frame has at most 16 quality flags, got {len(header.quality_flags)}")
    for flag in header.quality_flags:
        _check_name("quality flag", flag)
    for name in ("position_mm", "x_offset_mm", "exposure_us", "gain"):
        _check_number(name, getattr(header, name), -MAX_POSITION_MM, MAX_POSITION_MM)
    _check_number("background_level", header.background_level, -1, 255)
    if not 0 < header.height_px <= MAX_SIDE_PX or not 0 < header.width_px <= MAX_SIDE_PX:
        raise WireError(f"a frame's sides must be in [1, {MAX_SIDE_PX}], got {header.width_px} x {header.height_px}")
    if not 0 <= header.fabric_left_px < header.fabric_right_px <= header.width_px:
        raise WireError(
            f"fabric edges {header.fabric_left_px}, {header.fabric_right_px} do not fit {header.width_px} px"
        )
    if not 0 < tile <= MAX_TILE_PX:
        raise WireError(f"tile size must be in [1, {MAX_TILE_PX}], got {tile}")
    if message.channels not in (1, 3):
        raise WireError(f"tiles have 1 or 3 channels, got {message.channels}")
    if not 0 < header.mm_per_px < 100:
        raise WireError(f"mm per pixel must be in (0, 100), got {header.mm_per_px}")
    expected = message.tiles * tile * tile * message.channels
    if not 0 < expected <= MAX_PIXEL_BYTES or len(pixels) != expected:
        raise WireError(f"{message.tiles} tiles of {tile} px need {expected} bytes of pixels, got {len(pixels)}")
    width = header.fabric_right_px - header.fabric_left_px
    try:
        rows = len(spans(header.height_px, tile_px=tile, overlap_px=message.overlap_px))
        columns = len(spans(width, tile_px=tile, overlap_px=message.overlap_px))
    except (ImageError, SettingsError) as error:
        raise WireError(f"impossible tiling: {error}") from error
    if rows * columns != message.tiles:
        raise WireError(f"the frame takes {rows} x {columns} tiles, got {message.tiles}")
    tiles = np.frombuffer(pixels, np.uint8).reshape(message.tiles, tile, tile, message.channels)
    tiles.flags.writeable = False
    return TiledFrame(header=header, tile_px=tile, overlap_px=message.overlap_px, tiles=tiles)


def _checked_gap(gap: Gap) -> Gap:
    _check_names(gap)
    _check_text("reason", gap.reason)
    _check_number("position_from_mm", gap.position_from_mm, -MAX_POSITION_MM, MAX_POSITION_MM)
    _check_number("position_to_mm", gap.position_to_mm, gap.position_from_mm, MAX_POSITION_MM)
    return gap


def _checked_capture(capture: Capture) -> Capture:
    _check_key(key_of(capture))
    _check_name("line", capture.line)
    _check_number("started_at_ns", capture.started_at_ns, 0, 2**63 - 1)
    _check_number("captured_mm", capture.captured_mm, 0, MAX_POSITION_MM)
    return capture


def _check_state(message: StateMessage) -> None:
    state = message.state
    _check_number("part", message.part, 0, MAX_SIDE_PX)
    _check_name("ingestor", state.name)
    _check_name("line", state.line)
    _check_numbers(state)
    if len(state.cameras) > MAX_CAMERAS:
        raise WireError(f"a state has at most {MAX_CAMERAS} cameras, got {len(state.cameras)}")
    for camera in state.cameras:
        _check_name("camera", camera.camera)
        _check_numbers(camera)
        if len(camera.gaps) > MAX_REASONS or len(camera.warnings) > MAX_WARNINGS:
            raise WireError(f"a camera has at most {MAX_REASONS} reasons of gaps and {MAX_WARNINGS} warnings")
        for name in (*camera.gaps, *camera.warnings):
            _check_name("reason or warning", name)
        for count in camera.gaps.values():
            _check_number("gaps", count, 0, MAX_COUNT)


def _check_numbers(state: IngestState | CameraState) -> None:
    """All but a position are counts, sizes or rates."""
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, int | float):
            least = -MAX_POSITION_MM if field.name == "position_mm" else 0
            _check_number(field.name, value, least, MAX_COUNT)


def _check_names(record: FrameHeader | Gap) -> None:
    _check_key(RecordKey("record", *record.key))
    _check_name("line", record.line)
    _check_number("captured_at_ns", record.captured_at_ns, 0, 2**63 - 1)


def _check_key(key: RecordKey) -> None:
    _check_name("camera", key.camera)
    _check_name("session", key.session)
    if not 0 <= key.sequence <= MAX_SEQUENCE:
        raise WireError(f"a sequence number must be in [0, {MAX_SEQUENCE}], got {key.sequence}")


def _check_name(what: str, name: str) -> None:
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise WireError(f"a {what} is 1 to {MAX_NAME} printable characters, got {name[:MAX_NAME]!r}")


def _check_text(what: str, text: str) -> None:
    if len(text) > MAX_TEXT or "\0" in text:
        raise WireError(f"a {what} has at most {MAX_TEXT} characters and no zero byte, got {text[:MAX_NAME]!r}")


def _check_number(what: str, value: float, lowest: float, highest: float) -> None:
    if not (math.isfinite(value) and lowest <= value <= highest):
        raise WireError(f"{what} must be in [{lowest:g}, {highest:g}], got {value}")
