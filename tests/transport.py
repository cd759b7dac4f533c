"""Records, and the two ends of the wire played by hand, for tests of the transport."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import zmq

from inspection import wire
from inspection.tiling import cut
from inspection.types import Capture, Frame, FrameHeader, Gap, TiledFrame
from inspection.wire import Record, RecordKey, key_of

LINE, CAMERA, SESSION = "line-1", "camera-1", "20250101T000000.000000Z-abc123"
MM_PER_PX = 0.25
HEIGHT_PX, WIDTH_PX, TILE_PX = 64, 96, 32
LENGTH_MM = HEIGHT_PX * MM_PER_PX
FRAME_BYTES = HEIGHT_PX * WIDTH_PX


def frame(sequence: int = 0, *, session: str = SESSION, channels: int = 1, camera: str = CAMERA) -> TiledFrame:
    """64 x 96 px of noise that depends on the sequence, six tiles."""
    shape = (HEIGHT_PX, WIDTH_PX) if channels == 1 else (HEIGHT_PX, WIDTH_PX, channels)
    pixels = np.random.default_rng(sequence).integers(0, 256, shape, dtype=np.uint8)
    header = FrameHeader(
        line=LINE,
        camera=camera,
        session=session,
        sequence=sequence,
        origin=f"{sequence}.png",
        captured_at_ns=1_700_000_000_000_000_000 + sequence,
        position_mm=sequence * LENGTH_MM,
        mm_per_px=MM_PER_PX,
        height_px=HEIGHT_PX,
        width_px=WIDTH_PX,
        fabric_left_px=0,
        fabric_right_px=WIDTH_PX,
        x_offset_mm=0.0,
        exposure_us=0.0,
        gain=0.0,
        quality_flags=(),
    )
    return cut(Frame(header=header, pixels=pixels), tile_px=TILE_PX, overlap_px=0)


def gap(sequence: int = 0, *, session: str = SESSION, reason: str = "too_dark", camera: str = CAMERA) -> Gap:
    return Gap(
        line=LINE,
        camera=camera,
        session=session,
        sequence=sequence,
        captured_at_ns=1_700_000_000_000_000_000 + sequence,
        position_from_mm=sequence * LENGTH_MM,
        position_to_mm=(sequence + 1) * LENGTH_MM,
        reason=reason,
    )


def capture(frames: int = 0, *, session: str = SESSION, ended: bool = False) -> Capture:
    return Capture(
        line=LINE,
        camera=CAMERA,
        session=session,
        frames=frames,
        captured_mm=frames * LENGTH_MM,
        started_at_ns=1_700_000_000_000_000_000,
        ended=ended,
    )


def same(one: Record, other: Record) -> bool:
    if isinstance(one, TiledFrame) and isinstance(other, TiledFrame):
        return one.header == other.header and np.array_equal(one.tiles, other.tiles)
    return one == other


class Puppet:
    """A worker of which the test pulls each string: says what it is told to, and beats only when told."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, name: str) -> None:
        self.name = name
        self.attempt = 0
        self.got: list[Record] = []
        self.welcomes: list[wire.Welcome] = []
        self._dealer = context.socket(zmq.DEALER)
        self._dealer.setsockopt(zmq.LINGER, 0)
        self._dealer.connect(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dealer.close()

    def hello(self, *, credit: int = 0, holds: tuple[RecordKey, ...] = (), done: tuple[RecordKey, ...] = ()) -> None:
        """Says hello, waits for the welcome, gives credit."""
        self.attempt += 1
        welcomed = len(self.welcomes)
        self.say(wire.Hello(self.name, wire.PROTOCOL, self.attempt, holds, done))
        deadline = time.monotonic() + 20
        while len(self.welcomes) == welcomed:
            assert time.monotonic() < deadline, "no welcome"
            self.listen(0.05)
        if credit:
            self.say(wire.Credit(credit))

    def say(self, message: wire.FromWorker) -> None:
        self._dealer.send_multipart(wire.encode(message))

    def say_bytes(self, *parts: bytes) -> None:
        self._dealer.send_multipart(parts)

    def done(self, record: Record) -> None:
        self.say(wire.Done(key_of(record)))

    def listen(self, seconds: float) -> list[Record]:
        """What came in that time, at least one look; kept in `got` as well."""
        fresh: list[Record] = []
        deadline = time.monotonic() + seconds
        while self._dealer.poll(max(int((deadline - time.monotonic()) * 1000), 0)):
            message = wire.decode_to_worker(self._dealer.recv_multipart())
            if isinstance(message, wire.Welcome):
                self.welcomes.append(message)
                break
            if not isinstance(message, wire.Beat):
                fresh.append(message)
        self.got += fresh
        return fresh

    def wait(self, records: int, *, beat: bool = True, seconds: float = 20.0) -> list[Record]:
        """Waits, beating, until that many records in all have come."""
        deadline = time.monotonic() + seconds
        while len(self.got) < records:
            assert time.monotonic() < deadline, f"{len(self.got)} of {records} records came"
            if beat:
                self.say(wire.Beat())
            self.listen(0.02)
        return self.got


def ipc(folder: Path) -> str:
    """An address in a folder of pytest's, whose names can be longer than a socket's may be."""
    name = folder / "s"
    return f"ipc://{name}" if len(str(name)) < 100 else f"ipc:///tmp/loomwatch-{time.monotonic_ns()}"
