"""The ingestor's end of the transport: one thread that owns the ROUTER, moves messages, and asks `Dispatch` what to do.

A connection is known by the routing id that ZeroMQ gives it anew each time, so a worker that lost its connection must
say hello again, and says then what it holds. Pixels go out from the spool's own memory, uncopied.
"""

import errno
import fcntl
import logging
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import zmq

from ingest.admission import Admission
from ingest.dispatch import MAX_WORKERS, Dispatch
from ingest.spool import Spool
from ingest.watch import Watch
from inspection.connections import CHECK_S, Connections, descriptor_of, receive
from inspection.errors import ServiceError, WireError
from inspection.wakeup import Bell
from inspection.wire import MAX_HEADER_BYTES, Beat, FromWorker, Hello, decode_from_worker, encode, state_messages

log = logging.getLogger(__name__)

MESSAGES_A_TURN = 1000  # read before anything else gets its turn
LOOK_S = 1.0  # between states told to the workers
WAITING_MESSAGES = 64  # of one connection, in libzmq
LOUD_DROPS = 10  # dropped messages logged as warnings; a peer that sends nothing else must not fill the log


class Sender:
    """Use with `with`: binds at once, sends until the block ends. `bell` is the one the spool rings. With `admission`
    only listed keys get in; with `watch` the workers are told once a second how this ingestor is.

    Raises `ServiceError` when the endpoint cannot be bound.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, spool: Spool, bell: Bell, *, lease_s: float,
        heartbeat_s: float, tries: int = 3, admission: Admission | None = None, watch: Watch | None = None,
    ) -> None:  # fmt: skip
        self._endpoint = endpoint
        self._bell = bell
        self._heartbeat_s = heartbeat_s
        self._dispatch = Dispatch(spool, lease_s=lease_s, heartbeat_s=heartbeat_s, tries=tries)
        self._admission = admission
        self._keys: dict[bytes, tuple[bytes, int]] = {}  # peer -> its key, its descriptor
        self._context = context
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._stopping = False
        self._lock_file: IO[bytes] | None = None
        self._watch = watch
        self._next_beat = 0.0
        self._next_look = 0.0
        self.error: BaseException | None = None  # what ended the thread, if anything did
        self.malformed = 0  # messages dropped

    def __enter__(self) -> Self:
        self._lock_file = _claim(self._endpoint)
        self._router = self._context.socket(zmq.ROUTER)
        self._connections = Connections(self._router, most_bytes=4 * MAX_HEADER_BYTES, most=2 * MAX_WORKERS)
        try:
            self._router.setsockopt(zmq.LINGER, 0)  # what is not out yet is in the spool
            self._router.setsockopt(zmq.ROUTER_MANDATORY, 1)
            self._router.setsockopt(zmq.SNDHWM, 0)  # credit is the bound
            self._router.setsockopt(zmq.RCVHWM, WAITING_MESSAGES)
            self._router.setsockopt(zmq.MAXMSGSIZE, MAX_HEADER_BYTES)
            self._router.setsockopt(zmq.HANDSHAKE_IVL, 10_000)
            self._router.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
            self._router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
            if self._admission is not None and self._endpoint.startswith("tcp://"):
                self._admission.protect(self._router)
            if self._endpoint.startswith("tcp://["):
                self._router.setsockopt(zmq.IPV6, 1)
            _bind(self._router, self._endpoint)
        except BaseException:
            self._close()
            raise
        self._thread.start()
        log.info("workers may connect to %s", self._endpoint)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._bell.ring()
        self._thread.join()
        self._close()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def workers(self) -> int:
        return len(self._dispatch.peers)

    @property
    def credit(self) -> int:
        """Records that workers ask for and that are not there yet. For the sender's own thread."""
        return self._dispatch.credit

    @property
    def leased(self) -> int:
        """Records with workers."""
        return self._dispatch.leased

    @property
    def sent(self) -> int:
        """Records, resends included."""
        return self._dispatch.sent

    @property
    def taken_back(self) -> int:
        """Records whose worker did not finish them."""
        return self._dispatch.taken_back

    @property
    def given_up(self) -> int:
        """Frames that became gaps because all workers that tried them died."""
        return self._dispatch.given_up

    @property
    def cut(self) -> int:
        """Connections shut down for what they sent, or because their key was revoked."""
        return self._connections.cut

    def _run(self) -> None:
        try:
            poller = zmq.Poller()
            poller.register(self._router, zmq.POLLIN)
            poller.register(self._bell.fileno(), zmq.POLLIN)
            wait_ms = math.ceil(min(self._heartbeat_s / 4, CHECK_S) * 1000)
            while not self._stopping:
                poller.poll(wait_ms)
                self._bell.answer()
                self._receive()
                self._connections.check()
                self._keep_alive()
                self._send()
            self._receive()  # the last Dones
        except Exception as error:  # the thread's outermost: the service ends with it
            log.exception("the sender stopped")
            self.error = error

    def _receive(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            try:
                peer, *parts = receive(self._router, most=3)
            except zmq.Again:
                return
            descriptor = descriptor_of(peer)
            self._connections.heard(descriptor)
            try:
                message = decode_from_worker([part.buffer for part in parts])
                if isinstance(message, Hello):
                    self._check_key(peer, descriptor)
                self._take(peer.bytes, message)
            except WireError as error:
                self.malformed += 1
                level = logging.WARNING if self.malformed <= LOUD_DROPS else logging.DEBUG
                log.log(level, "a message was dropped: %s", error)

    def _check_key(self, peer: zmq.Frame, descriptor: int) -> None:
        """The handshake let the key in; it may have been revoked since. Remembered, for the case that it will be."""
        if self._admission is None or not self._endpoint.startswith("tcp://"):
            return
        key = str(peer.get("User-Id")).encode()
        if key not in self._admission.names:
            self._connections.close_one(descriptor, "its key is revoked")
            raise WireError("the worker's key is revoked")
        self._keys[peer.bytes] = key, descriptor

    def _drop_revoked(self) -> None:
        if self._admission is None:
            return
        listed, peers = self._admission.names, set(self._dispatch.peers)
        for peer, (key, descriptor) in list(self._keys.items()):
            if peer not in peers:
                del self._keys[peer]
            elif key not in listed:
                del self._keys[peer]
                self._connections.close_one(descriptor, "its key is revoked")
                self._dispatch.unreachable(peer)

    def _take(self, peer: bytes, message: FromWorker) -> None:
        answer = self._dispatch.take(peer, message, now=time.monotonic())
        if answer is not None:
            self._push(peer, encode(answer))

    def _send(self) -> None:
        while (turn := self._dispatch.next(now=time.monotonic())) is not None:
            self._push(*turn)

    def _keep_alive(self) -> None:
        now = time.monotonic()
        self._dispatch.expire(now=now)
        if now >= self._next_beat:
            self._next_beat = now + self._heartbeat_s
            self._drop_revoked()
            for peer in self._dispatch.peers:
                self._push(peer, encode(Beat()))
        if self._watch is not None and now >= self._next_look:
            self._next_look = now + LOOK_S
            told = [encode(message) for message in state_messages(self._watch.look(self))]
            for peer in self._dispatch.peers:
                for parts in told:
                    self._push(peer, parts)

    def _push(self, peer: bytes, parts: Sequence[bytes | memoryview]) -> None:
        try:
            self._router.send_multipart([peer, *parts], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.EAGAIN):
                raise
            self._dispatch.unreachable(peer)

    def _close(self) -> None:
        self._connections.close()
        self._router.close()
        if self._lock_file is not None:
            self._lock_file.close()


def _bind(router: zmq.Socket[bytes], endpoint: str) -> None:
    try:
        router.bind(endpoint)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServiceError(_in_use(endpoint)) from error
        raise ServiceError(
            f"cannot listen at {endpoint}: {error}; set LOOMWATCH_INGEST_ENDPOINT to an address of this machine"
        ) from error


def _claim(endpoint: str) -> IO[bytes] | None:
    """ZeroMQ takes an ipc file over even from a process that lives, so a lock beside it says who has it. The kernel
    frees the lock of a killed process, and its stale socket file is then simply replaced."""
    kind, _, name = endpoint.partition("://")
    if kind != "ipc" or name.startswith("@"):
        return None
    path = Path(name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise ServiceError(f"cannot listen at {endpoint}: {error}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ServiceError(_in_use(endpoint)) from error
    return file


def _in_use(endpoint: str) -> str:
    return f"{endpoint} is in use: stop the other process there, or set LOOMWATCH_INGEST_ENDPOINT to another address"
