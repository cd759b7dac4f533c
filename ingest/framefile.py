"""One spooled frame as a file: checked when it is read back, because a disk may have lost or changed any of it.

8 bytes   b"LOOMSPL1"
16 bytes  little endian: u32 CRC-32 of all that follows it, u32 header bytes, u64 pixel bytes
header    the frame's wire message, first part (`inspection.wire`)
pixels    its second part
"""

import contextlib
import os
import struct
import zlib
from pathlib import Path

from inspection.errors import WireError
from inspection.types import TiledFrame
from inspection.wire import MAX_HEADER_BYTES, MAX_PIXEL_BYTES, decode_to_worker, encode_record

MAGIC = b"LOOMSPL1"
_CHECKSUM = struct.Struct("<I")
_SIZES = struct.Struct("<IQ")
_START = len(MAGIC) + _CHECKSUM.size + _SIZES.size


def write_frame(path: Path, frame: TiledFrame, *, sync: bool = False) -> None:
    """Writes beside `path` and renames, so that a process killed here leaves no half file under that name.

    Without `sync` not forced to the disk: if the power fails, the journal still knows of the frame, and it becomes a
    gap. Raises `OSError`, and then leaves nothing behind.
    """
    header, pixels = encode_record(frame)
    sizes = _SIZES.pack(len(header), len(pixels))
    checksum = zlib.crc32(pixels, zlib.crc32(header, zlib.crc32(sizes)))
    beside = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.writelines((MAGIC, _CHECKSUM.pack(checksum), sizes, header, pixels))
            if sync:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def read_parts(path: Path) -> list[bytes | memoryview]:
    """The frame's wire message. Raises `WireError` when the file is not what was written, `OSError`."""
    size = path.stat().st_size
    if not _START < size <= _START + MAX_HEADER_BYTES + MAX_PIXEL_BYTES:
        raise WireError(f"a spooled frame has {_START} bytes and more, {path.name} has {size}")
    data = memoryview(path.read_bytes())
    if data[: len(MAGIC)] != MAGIC:
        raise WireError(f"{path.name} is not a spooled frame")
    (checksum,) = _CHECKSUM.unpack_from(data, len(MAGIC))
    if zlib.crc32(data[len(MAGIC) + _CHECKSUM.size :]) != checksum:
        raise WireError(f"{path.name} fails its checksum")
    header_bytes, pixel_bytes = _SIZES.unpack_from(data, len(MAGIC) + _CHECKSUM.size)
    if _START + header_bytes + pixel_bytes != len(data):
        raise WireError(f"{path.name} has {len(data)} bytes, not {_START + header_bytes + pixel_bytes}")
    return [data[_START : _START + header_bytes], data[_START + header_bytes :]]


def read_frame(path: Path) -> TiledFrame:
    """The frame itself. Raises as `read_parts`."""
    frame = decode_to_worker(read_parts(path))
    if not isinstance(frame, TiledFrame):
        raise WireError(f"{path.name} holds no frame")
    return frame
