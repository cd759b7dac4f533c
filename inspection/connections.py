"""What libzmq does not bound by itself: how much a peer may send before its message is complete, and how many connect.

`ZMQ_MAXMSGSIZE` bounds each part of a message and `ZMQ_RCVHWM` counts complete messages, so that a peer that never ends
its message fills the memory (libzmq keeps 64 bytes for each part, even an empty one). The kernel knows how many bytes a
TCP connection has brought (`tcpi_bytes_received`, Linux 4.1 and newer), and libzmq's monitor tells which connections
there are: one that brings more than `most_bytes` without completing a message is shut down, by which libzmq drops what
it kept. Sockets of one machine (`ipc://`) have no such count; the permissions of their folder keep others out.
"""

import contextlib
import ctypes
import logging
import os
import secrets
import socket
import struct
import sys
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import recv_monitor_message

log = logging.getLogger(__name__)

CHECK_S = 0.05  # how often `check` wants to be called
LOUD_CUTS = 10
_BYTES_RECEIVED_AT = 128  # of struct tcp_info, linux/tcp.h
_EVENTS = (
    zmq.Event.ACCEPTED
    | zmq.Event.CONNECTED
    | zmq.Event.DISCONNECTED
    | zmq.Event.CLOSED
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
)


@dataclass(slots=True)
class _Connection:
    peer: object  # its address: a descriptor's number is used again
    complete_at: int  # bytes received when its last message was complete


class Connections:
    """The TCP connections of one socket. To be made before it binds or connects, used by the thread that owns it, and
    closed before it is. `cut` counts connections that were shut down, `refused` handshakes that failed."""

    def __init__(self, watched: zmq.Socket[bytes], *, most_bytes: int, most: int) -> None:
        place = f"inproc://monitor-{secrets.token_hex(8)}"
        watched.monitor(place, _EVENTS)
        self.monitor: zmq.Socket[bytes] = watched.context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.RCVHWM, 0)  # full, it would stop libzmq's own thread
        self.monitor.connect(place)
        self.cut = 0
        self.refused = 0
        self._watched = watched
        self._most_bytes, self._most = most_bytes, most
        self._open: dict[int, _Connection] = {}

    def heard(self, descriptor: int) -> None:
        """A message of this connection (`descriptor_of`) is complete."""
        if (connection := self._open.get(descriptor)) is not None:
            connection.complete_at = _received(descriptor, connection.peer) or 0

    def check(self) -> None:
        """To be called every `CHECK_S`, after all complete messages have been received."""
        while self.monitor.poll(0):
            event = recv_monitor_message(self.monitor)
            self._note(event["event"], event["value"])
        for descriptor, connection in list(self._open.items()):
            received = _received(descriptor, connection.peer)
            if received is None:
                del self._open[descriptor]
            elif received - connection.complete_at > self._most_bytes:
                self.close_one(descriptor, f"it sent {self._most_bytes} bytes without ending its message")

    def close_one(self, descriptor: int, why: str) -> None:
        """Shuts a connection down."""
        connection = self._open.pop(descriptor, None)
        if connection is None:
            return
        self.cut += 1
        log.log(
            logging.WARNING if self.cut <= LOUD_CUTS else logging.DEBUG,
            "the connection of %s is cut: %s",
            _words(connection.peer),
            why,
        )
        with contextlib.suppress(OSError), _socket(descriptor) as found:
            if found.getpeername() == connection.peer:
                _reset(found)

    def close(self) -> None:
        self._watched.monitor(None, 0)
        self.monitor.close()

    def _note(self, kind: int, descriptor: int) -> None:
        match kind:
            case zmq.Event.ACCEPTED | zmq.Event.CONNECTED:
                with contextlib.suppress(OSError), _socket(descriptor) as found:
                    if found.family == socket.AF_UNIX or not sys.platform.startswith("linux"):
                        return
                    self._open[descriptor] = _Connection(found.getpeername(), 0)
                if len(self._open) > self._most:
                    self.close_one(descriptor, f"{self._most} are connected already")
            case zmq.Event.DISCONNECTED | zmq.Event.CLOSED:
                self._open.pop(descriptor, None)
            case _:
                self.refused += 1


def receive(source: zmq.Socket[bytes], *, most: int) -> list[zmq.Frame]:
    """The parts of one message, of those beyond `most` only one more, to tell; raises `zmq.Again` when none waits."""
    parts = [source.recv(zmq.NOBLOCK, copy=False)]
    more = parts[0].more
    while more:
        part = source.recv(zmq.NOBLOCK, copy=False)
        more = part.more
        if len(parts) <= most:
            parts.append(part)
    return parts


def descriptor_of(part: zmq.Frame) -> int:
    """Of the connection it came through, -1 when unknown."""
    try:
        return int(part.get(zmq.SRCFD))
    except zmq.ZMQError:
        return -1


def _socket(descriptor: int) -> socket.socket:
    return socket.socket(fileno=os.dup(descriptor))


def _reset(found: socket.socket) -> None:
    """Connecting to AF_UNSPEC dissolves a connection (connect(2)): the peer gets a reset, and what the kernel still
    holds of its bytes is thrown away, which after a mere shutdown libzmq would go on reading."""
    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    if ctypes.CDLL(None, use_errno=True).connect(found.fileno(), nowhere, len(nowhere)) != 0:
        found.shutdown(socket.SHUT_RDWR)


def _received(descriptor: int, peer: object) -> int | None:
    """Bytes the connection has brought, 0 when the kernel does not count them, None when it is gone."""
    try:
        with _socket(descriptor) as found:
            if found.getpeername() != peer:
                return None
            info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED_AT + 8)
    except OSError:
        return None
    if len(info) < _BYTES_RECEIVED_AT + 8:
        return 0
    (received,) = struct.unpack_from("<Q" if sys.byteorder == "little" else ">Q", info, _BYTES_RECEIVED_AT)
    return int(received)


def _words(peer: object) -> str:
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)
