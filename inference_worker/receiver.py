"""The worker's end of the transport: one thread that owns a DEALER to every ingestor, so that heartbeats go on and
frames arrive while the worker's main thread scores and stores.

What one connection to an ingestor goes through, and comes back to whenever the ingestor falls silent:

    (start) --- Hello, what I hold, what I finished last ---> Welcome ---> Credit for what I still may take
                 ^                                                            |
                 +----- nothing heard for 2.5 heartbeats ------- records, Beat both ways, Done + Credit(1)

A record is in hand from its arrival until `done`. The same record again, sent because a lease was over or a connection
was cut, is not queued twice, and one that was done is answered Done at once.
"""

import logging
import math
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import zmq

from inspection.errors import ServiceError, SettingsError, WireError
from inspection.wakeup import Bell
from inspection.wire import (
    MAX_NAME,
    MAX_PIXEL_BYTES,
    PROTOCOL,
    Beat,
    Bye,
    Credit,
    Done,
    FromWorker,
    Hello,
    Record,
    RecordKey,
    Welcome,
    decode_to_worker,
    encode,
    key_of,
)

log = logging.getLogger(__name__)

FIRST_HELLO_S = 0.5  # between Hellos as long as no Welcome has told the heartbeat
SILENT_HEARTBEATS = 2.5
SAY_SILENT_S = 10.0  # without a Welcome: worth a line in the log
ABSENT_S = 0.1  # between looks whether an ingestor can be connected to
MAX_CREDIT = 64
REMEMBERED = 128  # records done last, on each connection; a Hello names them all
MESSAGES_A_TURN = 64
LOUD_DROPS = 10
LINGER_MS = 1000  # for the last Done and Bye


@dataclass(slots=True)
class _Link:
    """One connection."""

    endpoint: str
    socket: zmq.Socket[bytes]
    heard_at: float
    heartbeat_s: float = FIRST_HELLO_S
    attempt: int = 0
    welcome: bool = False
    told_silent: bool = False
    speak_at: float = 0.0
    in_hand: int = 0
    done: deque[RecordKey] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class Receiver:
    """Use with `with`. At most `credit` records of each ingestor are in hand at once.

    `worker` names it in logs. `malformed` counts messages that were dropped. Raises `SettingsError` for an address
    that cannot be one. An ingestor that is not there yet, or any more, is waited for as long as it takes.
    """

    def __init__(self, endpoints: Sequence[str], *, worker: str, credit: int) -> None:
        if not 1 <= credit <= MAX_CREDIT:
            raise SettingsError(f"credit must be in [1, {MAX_CREDIT}], got {credit}")
        if not endpoints:
            raise SettingsError("no ingestor to connect to: set LOOMWATCH_WORKER_INGESTORS")
        # Two processes of one name are two workers; a process that connects again is the same.
        self._name = f"{worker[: MAX_NAME - 9]}-{secrets.token_hex(4)}"
        self._endpoints = tuple(dict.fromkeys(endpoints))
        self._credit = credit
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._bell = Bell()
        self._links: list[_Link] = []
        self._in_hand: dict[RecordKey, _Link] = {}
        self._inbox: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._finished: deque[RecordKey] = deque()
        self._stopping = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self.malformed = 0

    def __enter__(self) -> Self:
        try:
            for endpoint in self._endpoints:
                self._links.append(_Link(endpoint, self._connect(endpoint), time.monotonic()))
        except BaseException:
            self._close()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Says Bye: what is in hand and not done goes to other workers."""
        self._stopping = True
        self._bell.ring()
        self._thread.join()
        self._close()

    def receive(self, timeout_s: float) -> Record | None:
        """The next record, or None when none came in time. Its tiles are read-only. Raises `ServiceError` when the
        connections failed for good."""
        if self._error is not None:
            timeout_s = 0.0
        try:
            record = self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait()
        except queue.Empty:
            record = None
        if record is None and self._error is not None:
            raise ServiceError(f"the connection to the ingestors failed: {self._error}") from self._error
        return record

    def done(self, record: Record) -> None:
        """To be called after the record's transaction has committed, and not before."""
        self._finished.append(key_of(record))
        self._bell.ring()

    @property
    def connected(self) -> int:
        """How many ingestors have said welcome and not fallen silent."""
        return sum(link.welcome for link in self._links)

    def _connect(self, endpoint: str) -> zmq.Socket[bytes]:
        dealer = self._context.socket(zmq.DEALER)
        try:
            dealer.setsockopt(zmq.LINGER, LINGER_MS)
            dealer.setsockopt(zmq.IMMEDIATE, 1)  # nothing piles up for an ingestor that is not there
            dealer.setsockopt(zmq.RCVHWM, 2 * self._credit + 16)
            dealer.setsockopt(zmq.MAXMSGSIZE, MAX_PIXEL_BYTES)
            dealer.setsockopt(zmq.RECONNECT_IVL, 100)
            dealer.setsockopt(zmq.RECONNECT_IVL_MAX, 2_000)
            dealer.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
            dealer.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
            dealer.connect(endpoint)
        except zmq.ZMQError as error:
            dealer.close()
            raise SettingsError(
                f"cannot connect to {endpoint}: {error}; LOOMWATCH_WORKER_INGESTORS takes addresses such as"
                " tcp://HOST:PORT or ipc:///PATH"
            ) from error
        return dealer

    def _close(self) -> None:
        for link in self._links:
            link.socket.close()
        self._context.term()
        self._bell.close()

    # The thread. Everything below is its own.

    def _run(self) -> None:
        try:
            poller = zmq.Poller()
            poller.register(self._bell.fileno(), zmq.POLLIN)
            for link in self._links:
                poller.register(link.socket, zmq.POLLIN)
            while not self._stopping:
                for link in self._links:
                    self._keep_alive(link)
                wait_s = min(link.speak_at for link in self._links) - time.monotonic()
                poller.poll(max(math.ceil(wait_s * 1000), 0))
                self._bell.answer()
                for link in self._links:
                    self._receive(link)
                self._tell_done()
            self._tell_done()
            for link in self._links:
                self._say(link, Bye())
        except Exception as error:
            log.exception("the receiver stopped")
            self._error = error
            self._inbox.put(None)

    def _keep_alive(self, link: _Link) -> None:
        now = time.monotonic()
        silent_s = now - link.heard_at
        if link.welcome and silent_s > SILENT_HEARTBEATS * link.heartbeat_s:
            log.warning("ingestor %s is silent; waiting for it", link.endpoint)
            link.welcome, link.told_silent, link.speak_at = False, True, now
        if now < link.speak_at:
            return
        link.speak_at = now + link.heartbeat_s
        if link.welcome:
            self._say(link, Beat())
            return
        if silent_s > SAY_SILENT_S and not link.told_silent:
            log.warning("no answer from ingestor %s yet; waiting for it", link.endpoint)
            link.told_silent = True
        link.attempt += 1
        holds = tuple(key for key, holder in self._in_hand.items() if holder is link)
        hello = Hello(worker=self._name, protocol=PROTOCOL, attempt=link.attempt, holds=holds, done=tuple(link.done))
        if not self._say(link, hello):
            link.speak_at = now + ABSENT_S

    def _receive(self, link: _Link) -> None:
        for _ in range(MESSAGES_A_TURN):
            try:
                frames = link.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            try:
                message = decode_to_worker([frame.buffer for frame in frames])
                link.heard_at = time.monotonic()
                match message:
                    case Welcome():
                        self._welcomed(link, message)
                    case Beat():
                        pass
                    case _:
                        self._take(link, message)
            except WireError as error:
                self.malformed += 1
                level = logging.WARNING if self.malformed <= LOUD_DROPS else logging.DEBUG
                log.log(level, "a message from %s was dropped: %s", link.endpoint, error)
                link.welcome = False  # it may have cost credit: start over

    def _welcomed(self, link: _Link, welcome: Welcome) -> None:
        if welcome.protocol != PROTOCOL:
            raise WireError(f"the ingestor speaks protocol {welcome.protocol}, not {PROTOCOL}")
        if welcome.attempt != link.attempt:
            return  # to an older Hello: that credit is forgotten already
        log.info("connected to ingestor %s", link.endpoint)
        link.welcome, link.told_silent, link.heartbeat_s = True, False, welcome.heartbeat_s
        link.speak_at = min(link.speak_at, time.monotonic() + welcome.heartbeat_s)
        if (free := self._credit - link.in_hand) > 0:
            self._say(link, Credit(free))

    def _take(self, link: _Link, record: Record) -> None:
        key = key_of(record)
        if key in self._in_hand:
            self._free(link)
        elif key in link.done:
            self._answer(link, key)
        elif link.in_hand >= self._credit:
            raise WireError("a record without credit")
        else:
            self._in_hand[key] = link
            link.in_hand += 1
            self._inbox.put(record)

    def _tell_done(self) -> None:
        while self._finished:
            key = self._finished.popleft()
            if (link := self._in_hand.pop(key, None)) is not None:
                link.in_hand -= 1
                link.done.append(key)
                self._answer(link, key)

    def _answer(self, link: _Link, key: RecordKey) -> None:
        self._say(link, Done(key))  # should it not arrive, the next Hello says it again
        self._free(link)

    def _free(self, link: _Link) -> None:
        """One record more may come. Between a Hello and its Welcome nothing is said: the Welcome is answered by all
        that is free."""
        if link.welcome:
            self._say(link, Credit(1))

    def _say(self, link: _Link, message: FromWorker) -> bool:
        try:
            link.socket.send_multipart(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False  # the ingestor is not there
        return True
