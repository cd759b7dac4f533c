"""The ingestor's end of the transport: one thread that owns the ROUTER, moves messages, and asks `Leases` what to do.

A connection is known by the routing id that ZeroMQ gives it anew each time, so a worker that lost its connection must
say hello again, and says then what it holds. Pixels go out from the spool's own memory, uncopied.
"""

import errno
import fcntl
import logging
import math
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import zmq

from ingest.leases import Leases
from ingest.spool import Spool
from inspection.errors import ServiceError, WireError
from inspection.wakeup import Bell
from inspection.wire import (
    MAX_HEADER_BYTES,
    PROTOCOL,
    Beat,
    Bye,
    Credit,
    Done,
    FromWorker,
    Hello,
    Welcome,
    decode_from_worker,
    encode,
)

log = logging.getLogger(__name__)

MAX_WORKERS = 1024
MESSAGES_A_TURN = 1000  # read before anything else gets its turn
LOUD_DROPS = 10  # dropped messages logged as warnings; a peer that sends nothing else must not fill the log


class Sender:
    """Use with `with`: binds at once, sends until the block ends. `bell` is the one the spool rings.

    Raises `ServiceError` when the endpoint cannot be bound.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, spool: Spool, bell: Bell, *, lease_s: float,
        heartbeat_s: float,
    ) -> None:  # fmt: skip
        self._endpoint = endpoint
        self._spool = spool
        self._bell = bell
        self._lease_s, self._heartbeat_s = lease_s, heartbeat_s
        self._leases = Leases(lease_s=lease_s, heartbeat_s=heartbeat_s)
        self._context = context
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._stopping = False
        self._lock_file: IO[bytes] | None = None
        self._next_beat = 0.0
        self.error: BaseException | None = None  # what ended the thread, if anything did
        self.malformed = 0  # messages dropped
        self.sent = 0  # records, resends included
        self.taken_back = 0  # records whose worker did not finish them

    def __enter__(self) -> Self:
        self._lock_file = _claim(self._endpoint)
        self._router = self._context.socket(zmq.ROUTER)
        try:
            self._router.setsockopt(zmq.LINGER, 0)  # what is not out yet is in the spool
            self._router.setsockopt(zmq.ROUTER_MANDATORY, 1)
            self._router.setsockopt(zmq.SNDHWM, 0)  # credit is the bound
            self._router.setsockopt(zmq.MAXMSGSIZE, MAX_HEADER_BYTES)
            self._router.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
            self._router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
            _bind(self._router, self._endpoint)
        except BaseException:
            self._router.close()
            self._unlock()
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
        self._router.close()
        self._unlock()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def workers(self) -> int:
        return len(self._leases.peers)

    def _run(self) -> None:
        try:
            poller = zmq.Poller()
            poller.register(self._router, zmq.POLLIN)
            poller.register(self._bell.fileno(), zmq.POLLIN)
            while not self._stopping:
                poller.poll(math.ceil(self._heartbeat_s * 1000 / 4))
                self._bell.answer()
                self._receive()
                self._keep_alive()
                for key in self._spool.fresh():
                    self._leases.add(key)
                self._send()
            self._receive()  # the last Dones
        except Exception as error:  # the thread's outermost: the service ends with it
            log.exception("the sender stopped")
            self.error = error

    def _receive(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            try:
                peer, *parts = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._take(peer, decode_from_worker(parts))
            except WireError as error:
                self.malformed += 1
                level = logging.WARNING if self.malformed <= LOUD_DROPS else logging.DEBUG
                log.log(level, "a message was dropped: %s", error)

    def _take(self, peer: bytes, message: FromWorker) -> None:
        now = time.monotonic()
        if isinstance(message, Hello):
            self._greet(peer, message, now)
            return
        if not self._leases.heard(peer, now=now):
            return  # a former run's worker, or a silent one: it will say hello when it hears nothing
        match message:
            case Credit():
                self._leases.credit(peer, message.records)
            case Done():
                self._spool.done(message.key)
                self._leases.done(message.key)
            case Bye():
                log.info("worker %s leaves", self._leases.name(peer))
                self.taken_back += self._leases.leave(peer)
            case Beat():
                pass

    def _greet(self, peer: bytes, hello: Hello, now: float) -> None:
        if hello.protocol != PROTOCOL:
            raise WireError(f"worker {hello.worker} speaks protocol {hello.protocol}, not {PROTOCOL}")
        if len(self._leases.peers) >= MAX_WORKERS:
            raise WireError(f"worker {hello.worker} is one too many: {MAX_WORKERS} are connected")
        for key in self._spool.fresh():  # a record may wait here that the worker holds from before a restart
            self._leases.add(key)
        for key in hello.done:
            self._spool.done(key)
            self._leases.done(key)
        self._leases.hello(peer, hello.worker, hello.holds, now=now)
        log.info("worker %s is here", hello.worker)
        self._tell(
            peer,
            Welcome(protocol=PROTOCOL, attempt=hello.attempt, lease_s=self._lease_s, heartbeat_s=self._heartbeat_s),
        )

    def _send(self) -> None:
        while (turn := self._leases.next(now=time.monotonic())) is not None:
            peer, key = turn
            parts = self._spool.load(key)
            if parts is None:  # a count that a newer one has replaced
                self._leases.done(key)
                self._leases.credit(peer, 1)
            elif self._push(peer, parts):
                self.sent += 1
                log.debug("%s to %s", key, self._leases.name(peer))

    def _keep_alive(self) -> None:
        now = time.monotonic()
        for lost in self._leases.expire(now=now):
            self.taken_back += lost.records
            if lost.gone:
                log.warning("worker %s is silent: its %d record(s) go to others", lost.worker, lost.records)
            else:
                log.warning("worker %s did not finish a record in %g s: it goes to another", lost.worker, self._lease_s)
        if now >= self._next_beat:
            self._next_beat = now + self._heartbeat_s
            for peer in self._leases.peers:
                self._tell(peer, Beat())

    def _tell(self, peer: bytes, message: Welcome | Beat) -> None:
        self._push(peer, list(encode(message)))

    def _push(self, peer: bytes, parts: list[bytes] | list[bytes | memoryview]) -> bool:
        try:
            self._router.send_multipart([peer, *parts], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.EAGAIN):
                raise
            self.taken_back += self._leases.leave(peer)  # its connection is gone; it will say hello on a new one
            return False
        return True

    def _unlock(self) -> None:
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
