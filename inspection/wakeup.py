"""A bell between threads: one rings, the other wakes from `zmq.Poller.poll`, which can wait for sockets only."""

import contextlib
import socket


class Bell:
    """Any thread may `ring`. The one that waits has registered the bell with its poller, and calls `answer`."""

    def __init__(self) -> None:
        self._waiting, self._ringing = socket.socketpair()
        self._waiting.setblocking(False)
        self._ringing.setblocking(False)

    def fileno(self) -> int:
        return self._waiting.fileno()

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it rings already; closed: nobody waits any more
            self._ringing.send(b"\0")

    def answer(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._waiting.recv(4096):
                pass

    def close(self) -> None:
        self._waiting.close()
        self._ringing.close()
