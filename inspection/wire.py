"""The wire format, version 1. Every message is a few ZeroMQ parts; the first is a msgspec-encoded (MessagePack) header.

worker (DEALER) -> ingestor (ROUTER)       one part
    Hello   worker id, protocol version. First message, and again after a silence; answered by Welcome
    Credit  n more frames may be sent to me
    Done    key of a record whose transaction has committed
    Beat    I am alive
    Bye     I leave: give what I hold to others
ingestor -> worker
    Welcome lease, heartbeat interval      one part
    Beat                                   one part
    FrameMessage                           two parts: header, raw tile pixels (N, T, T, C) uint8, C order
    GapMessage, CaptureMessage             one part

Frames, gaps and captures wait in the ingestor until their Done. Nothing is unpickled; sizes are checked before any
pixel is touched, and whatever does not fit is a `WireError`.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from inspection.errors import ImageError, SettingsError, WireError
from inspection.tiling import tile_origins
from inspection.types import Capture, FrameHeader, Gap, TiledFrame

PROTOCOL = 1
MAX_HEADER_BYTES = 64 * 1024
MAX_PIXEL_BYTES = 512 * 1024 * 1024
MAX_SIDE_PX = 65_536
MAX_TILE_PX = 4_096


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    worker: str
    protocol: int


class Credit(msgspec.Struct, frozen=True, tag="credit"):
    frames: int


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Of a frame or gap (kind "record") or of a capture count (kind "capture", sequence = its `frames`)."""

    kind: str
    camera: str
    session: str
    sequence: int


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    pass


class Bye(msgspec.Struct, frozen=True, tag="bye"):
    pass


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    protocol: int
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


FromWorker = Hello | Credit | Done | Beat | Bye
ToWorker = Welcome | Beat | FrameMessage | GapMessage | CaptureMessage
Received = Welcome | Beat | TiledFrame | Gap | Capture

_encoder = msgspec.msgpack.Encoder()
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)


def encode(message: FromWorker | Welcome) -> list[bytes]:
    """A message without pixels, as ZeroMQ parts."""
    return [_encoder.encode(message)]


def encode_record(record: TiledFrame | Gap | Capture) -> list[bytes | memoryview]:
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


def _header_part(parts: Sequence[bytes | memoryview]) -> bytes | memoryview:
    if not 1 <= len(parts) <= 2:
        raise WireError(f"a message has 1 or 2 parts, got {len(parts)}")
    if len(parts[0]) > MAX_HEADER_BYTES:
        raise WireError(f"a header has at most {MAX_HEADER_BYTES} bytes, got {len(parts[0])}")
    return parts[0]


def decode_from_worker(parts: Sequence[bytes | memoryview]) -> FromWorker:
    """What a worker sent. Raises `WireError` for anything else."""
    header = _header_part(parts)
    try:
        message = _from_worker.decode(header)
    except msgspec.MsgspecError as error:
        raise WireError(f"not a worker's message: {error}") from error
    if len(parts) != 1:
        raise WireError("a worker's message has 1 part, got 2")
    if isinstance(message, Credit) and not 0 < message.frames <= 1024:
        raise WireError(f"credit must be in [1, 1024], got {message.frames}")
    return message


def decode_to_worker(parts: Sequence[bytes | memoryview]) -> Received:
    """What an ingestor sent; a frame's tiles are a read-only view on the received bytes. Raises `WireError`."""
    header = _header_part(parts)
    try:
        message = _to_worker.decode(header)
    except msgspec.MsgspecError as error:
        raise WireError(f"not an ingestor's message: {error}") from error
    if isinstance(message, FrameMessage):
        if len(parts) != 2:
            raise WireError("a frame has 2 parts, got 1")
        return _tiled(message, parts[1])
    if len(parts) != 1:
        raise WireError("only a frame has 2 parts")
    match message:
        case GapMessage():
            return message.gap
        case CaptureMessage():
            return message.capture
        case _:
            return message


def _tiled(message: FrameMessage, pixels: bytes | memoryview) -> TiledFrame:
    header, tile = message.header, message.tile_px
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
    try:
        origins = tile_origins(
            header.height_px,
            header.fabric_right_px - header.fabric_left_px,
            tile_px=tile,
            overlap_px=message.overlap_px,
        )
    except (ImageError, SettingsError) as error:
        raise WireError(f"impossible tiling: {error}") from error
    if len(origins) != message.tiles:
        raise WireError(f"the frame takes {len(origins)} tiles, got {message.tiles}")
    tiles = np.frombuffer(pixels, np.uint8).reshape(message.tiles, tile, tile, message.channels)
    return TiledFrame(header=header, tile_px=tile, overlap_px=message.overlap_px, tiles=tiles)
