"""A network camera for tests: RTSP 1.0 (RFC 2326) over TCP, JPEG pictures as RTP (RFC 2435) in the same connection."""

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from inspection.types import Pixels

CHUNK = 1200
TICKS_PER_S = 90_000


class RtspServer:
    """Use with `with`. Sends `picture(n)` as frame n, `frames_per_s` in stream time; `leave_out` names frames that are
    lost on the way; `cut` ends the connections and, until `plug`, refuses new ones."""

    def __init__(
        self, picture: Callable[[int], Pixels], *, frames_per_s: float = 50.0, leave_out: set[int] = frozenset()
    ):  # type: ignore[assignment]
        self._picture = picture
        self._frames_per_s = frames_per_s
        self._leave_out = leave_out
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._plugged = threading.Event()
        self._plugged.set()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cloth"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def cut(self) -> None:
        self._plugged.clear()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def plug(self) -> None:
        self._plugged.set()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if not self._plugged.is_set():
                connection.close()
                continue
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        pending = b""
        while not self._closing.is_set():
            while b"\r\n\r\n" not in pending:
                data = connection.recv(4096)
                if not data:
                    return
                pending += data
            request, _, pending = pending.partition(b"\r\n\r\n")
            text = request.decode()
            method = text.split()[0]
            self.requests.append(method)
            sequence = re.search(r"CSeq: *(\d+)", text, re.IGNORECASE)
            head = f"RTSP/1.0 200 OK\r\nCSeq: {sequence.group(1) if sequence else 0}\r\n"
            body = ""
            if method == "OPTIONS":
                head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cloth\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track\r\n"
                )
                head += f"Content-Base: {self.url}/\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                head += "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            elif method == "PLAY":
                head += "Session: 1\r\n"
            connection.sendall((head + "\r\n" + body).encode())
            if method == "PLAY":
                self._play(connection)
            if method == "TEARDOWN":
                return

    def _play(self, connection: socket.socket) -> None:
        number, sequence = 0, 0
        started = time.monotonic()
        while not self._closing.is_set():
            if number not in self._leave_out:
                sequence = self._send(connection, number, sequence)
            number += 1
            self._closing.wait(max(0.0, started + number / self._frames_per_s - time.monotonic()))

    def _send(self, connection: socket.socket, number: int, sequence: int) -> int:
        pixels = self._picture(number)
        tables, scan = _jpeg(pixels)
        timestamp = round(number * TICKS_PER_S / self._frames_per_s) & 0xFFFFFFFF
        for start in range(0, len(scan), CHUNK):
            part = scan[start : start + CHUNK]
            last = start + CHUNK >= len(scan)
            height, width = pixels.shape[:2]
            header = struct.pack(">BBHII", 0x80, 26 | (0x80 if last else 0), sequence & 0xFFFF, timestamp, 1)
            header += struct.pack(">I", start) + bytes((1, 255, width // 8, height // 8))  # type 1: 4:2:0
            if start == 0:
                header += struct.pack(">BBH", 0, 0, len(tables)) + tables
            packet = header + part
            connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
            sequence += 1
        return sequence


def _jpeg(pixels: Pixels) -> tuple[bytes, bytes]:
    """Quantization tables and entropy coded scan of a baseline 4:2:0 JPEG with standard Huffman tables."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[:, :, ::-1]), options)[1].tobytes()
    tables, place = b"", 2
    while True:
        marker, length = struct.unpack(">HH", data[place : place + 4])
        if marker == 0xFFDB:
            segment = data[place + 4 : place + 2 + length]
            tables += b"".join(segment[start + 1 : start + 65] for start in range(0, len(segment), 65))
        if marker == 0xFFDA:
            return tables, data[place + 2 + length : -2]
        place += 2 + length
