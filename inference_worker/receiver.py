"""The worker's end of the transport: one thread that owns a DEALER to every ingestor, so that heartbeats go on and
frames arrive while the worker's main thread scores and stores. What is said when, `link.Link` knows; which ingestors
there are, `discovery.Discovery`.

A connection that libzmq has given up (it does not try again after a refused key or bytes that are no ZMTP) is made
anew, so that no restart is needed once the cause is gone.
"""

import logging
import math
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import zmq

from inference_worker.discovery import Discovery, Resolve, addresses_of
from inference_worker.link import Link
from inspection.connections import CHECK_S, Connections, descriptor_of, receive
from inspection.endpoints import Endpoint, parse_endpoint
from inspection.errors import ServiceError, SettingsError, WireError
from inspection.keys import own_key, public_key
from inspection.states import IngestState
from inspection.wakeup import Bell
from inspection.wire import (
    MAX_HEADER_BYTES,
    MAX_NAME,
    MAX_PIXEL_BYTES,
    Bye,
    FromWorker,
    Record,
    RecordKey,
    StateMessage,
    decode_to_worker,
    encode,
    key_of,
)

log = logging.getLogger(__name__)

MAX_CREDIT = 64
MESSAGES_A_TURN = 64
LOUD_DROPS = 10
LINGER_MS = 1000  # for the last Done and Bye
RENEW_S = 10.0  # without a Welcome; then the connection is made anew
MAX_PARTS = 64  # of an ingestor's state
FORGET_S = 10.0  # of silence; then an ingestor whose address is listed no more is forgotten


class Keys(NamedTuple):
    """Where a worker's keys are, and which is its own."""

    folder: Path
    own: str


def read_keys(keys: Keys | None, listed: Sequence[Endpoint]) -> tuple[tuple[bytes, bytes] | None, dict[str, bytes]]:
    """The worker's own key, public and secret, and those of the ingestors by name. Raises `SettingsError`."""
    if keys is None:
        return None, {}
    theirs = {each.key: public_key(keys.folder, each.key, "ingest") for each in listed if each.key}
    return own_key(keys.folder, keys.own, "worker"), theirs


class _Wire:
    """One ingestor: what is said to it, and the socket for it."""

    def __init__(self, link: Link, endpoint: Endpoint, now: float) -> None:
        self.link = link
        self.endpoint = endpoint
        self.renewed_at = now
        self.socket: zmq.Socket[bytes]
        self.connections: Connections


class Receiver:
    """Use with `with`. At most `credit` records of each ingestor are in hand at once.

    `worker` names it in logs. `malformed` counts messages that were dropped. Raises `SettingsError` for an address
    that cannot be one and for keys that cannot be used. An ingestor that is not there yet, or any more, is waited for
    as long as it takes.
    """

    def __init__(
        self, endpoints: Sequence[str], *, worker: str, credit: int, keys: Keys | None = None, discover_s: float = 5.0,
        resolve: Resolve = addresses_of,
    ) -> None:  # fmt: skip
        if not 1 <= credit <= MAX_CREDIT:
            raise SettingsError(f"credit must be in [1, {MAX_CREDIT}], got {credit}")
        if not endpoints:
            raise SettingsError("no ingestor to connect to: set LOOMWATCH_WORKER_INGESTORS")
        # Two processes of one name are two workers; a process that connects again is the same.
        self._name = f"{worker[: MAX_NAME - 9]}-{secrets.token_hex(4)}"
        listed = [parse_endpoint(endpoint) for endpoint in dict.fromkeys(endpoints)]
        self._own_key, self._their_keys = read_keys(keys, listed)
        self._credit = credit
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._bell = Bell()
        self._poller = zmq.Poller()
        self._discovery = Discovery(listed, self._bell, every_s=discover_s, resolve=resolve)
        self._wires: dict[str, _Wire] = {}
        self._inbox: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._finished: deque[RecordKey] = deque()
        self._stopping = False
        self._goodbye = True
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._states: dict[tuple[str, int], IngestState] = {}
        self._cut_before = 0  # on connections that were made anew since
        self.malformed = 0

    def __enter__(self) -> Self:
        try:
            self._poller.register(self._bell.fileno(), zmq.POLLIN)
            self._meet()
        except BaseException:
            self._close()
            raise
        self._discovery.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Says Bye: what is in hand and not done goes to other workers. Not after an error: a frame that makes every
        worker fail must count as that, and a Bye is no failure."""
        self._goodbye = kind is None
        self._discovery.stop()
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

    def states(self) -> list[IngestState]:
        """What ingestors have told of themselves since the last call."""
        told = []
        while self._states:
            told.append(self._states.popitem()[1])
        return told

    @property
    def connected(self) -> int:
        """How many ingestors have said welcome and not fallen silent."""
        return sum(wire.link.welcome for wire in list(self._wires.values()))

    @property
    def cut(self) -> int:
        """Connections shut down for what they sent."""
        return self._cut_before + sum(wire.connections.cut for wire in list(self._wires.values()))

    def _connect(self, wire: _Wire) -> None:
        dealer = self._context.socket(zmq.DEALER)
        connections = Connections(dealer, most_bytes=MAX_PIXEL_BYTES + 4 * MAX_HEADER_BYTES, most=16)
        try:
            dealer.setsockopt(zmq.LINGER, LINGER_MS)
            dealer.setsockopt(zmq.IMMEDIATE, 1)  # nothing piles up for an ingestor that is not there
            dealer.setsockopt(zmq.RCVHWM, 2 * self._credit + 16)
            dealer.setsockopt(zmq.MAXMSGSIZE, MAX_PIXEL_BYTES)
            dealer.setsockopt(zmq.RECONNECT_IVL, 100)
            dealer.setsockopt(zmq.RECONNECT_IVL_MAX, 2_000)
            dealer.setsockopt(zmq.HANDSHAKE_IVL, 10_000)
            dealer.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
            dealer.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
            if self._own_key is not None and wire.endpoint.host:
                public, secret = self._own_key
                dealer.setsockopt(zmq.CURVE_PUBLICKEY, public)
                dealer.setsockopt(zmq.CURVE_SECRETKEY, secret)
                dealer.setsockopt(zmq.CURVE_SERVERKEY, self._their_keys[wire.endpoint.key])
            if wire.link.place.startswith("tcp://["):
                dealer.setsockopt(zmq.IPV6, 1)
            dealer.connect(wire.link.place)
        except zmq.ZMQError as error:
            connections.close()
            dealer.close()
            raise SettingsError(
                f"cannot connect to {wire.link.place}: {error}; LOOMWATCH_WORKER_INGESTORS takes addresses such as"
                " tcp://HOST:PORT or ipc:///PATH"
            ) from error
        wire.socket, wire.connections = dealer, connections
        self._poller.register(dealer, zmq.POLLIN)

    def _disconnect(self, wire: _Wire, *, linger_ms: int) -> None:
        self._poller.unregister(wire.socket)
        self._cut_before += wire.connections.cut
        wire.connections.close()
        wire.socket.close(linger_ms)

    def _close(self) -> None:
        for wire in self._wires.values():
            self._disconnect(wire, linger_ms=LINGER_MS)
        self._wires.clear()
        self._context.term()
        self._bell.close()

    # The thread. Everything below is its own.

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._meet()
                for wire in self._wires.values():
                    self._keep_alive(wire)
                speak_at = min((wire.link.speak_at for wire in self._wires.values()), default=math.inf)
                wait_s = min(speak_at - time.monotonic(), CHECK_S)
                self._poller.poll(max(math.ceil(wait_s * 1000), 0))
                self._bell.answer()
                for wire in self._wires.values():
                    self._receive(wire)
                    wire.connections.check()
                self._tell_done()
            self._tell_done()
            if self._goodbye:
                for wire in self._wires.values():
                    self._say(wire, Bye())
        except Exception as error:
            log.exception("the receiver stopped")
            self._error = error
            self._inbox.put(None)

    def _meet(self) -> None:
        """Connects to ingestors that are new; forgets those whose address is gone, once they are silent."""
        now, found = time.monotonic(), self._discovery.found
        for place in found.keys() - self._wires.keys():
            link = Link(place, worker=self._name, credit=self._credit, now=now)
            wire = _Wire(link, found[place], now)
            self._connect(wire)
            self._wires[place] = wire
        for place in self._wires.keys() - found.keys():
            wire = self._wires[place]
            if not wire.link.welcome and now - wire.link.heard_at > FORGET_S:
                log.info("ingestor %s is listed no more", place)
                self._disconnect(wire, linger_ms=0)
                del self._wires[place]

    def _keep_alive(self, wire: _Wire) -> None:
        now = time.monotonic()
        if wire.link.welcome:
            wire.renewed_at = now
        elif now - wire.renewed_at > RENEW_S:
            if wire.connections.refused:
                log.error(
                    "ingestor %s refuses this worker: is its key listed there, and is theirs the right one here?",
                    wire.link.place,
                )
            wire.renewed_at = now
            self._disconnect(wire, linger_ms=0)
            self._connect(wire)
        message = wire.link.tick(now=now)
        if message is not None and not self._say(wire, message):
            wire.link.absent(now=now)

    def _receive(self, wire: _Wire) -> None:
        for _ in range(MESSAGES_A_TURN):
            try:
                frames = receive(wire.socket, most=2)
            except zmq.Again:
                return
            wire.connections.heard(descriptor_of(frames[0]))
            try:
                message = decode_to_worker([frame.buffer for frame in frames])
                if isinstance(message, StateMessage):
                    self._states[wire.link.place, min(message.part, MAX_PARTS)] = message.state
                answers, record = wire.link.hear(message, now=time.monotonic())
            except WireError as error:
                self.malformed += 1
                level = logging.WARNING if self.malformed <= LOUD_DROPS else logging.DEBUG
                log.log(level, "a message from %s was dropped: %s", wire.link.place, error)
                wire.link.malformed()
                continue
            for answer in answers:
                self._say(wire, answer)
            if record is not None and not self._held_elsewhere(key_of(record), wire):
                self._inbox.put(record)

    def _held_elsewhere(self, key: RecordKey, here: _Wire) -> bool:
        """An ingestor that is reached by two addresses may send a record by both; both are told when it is done."""
        return any(key in wire.link.in_hand for wire in self._wires.values() if wire is not here)

    def _tell_done(self) -> None:
        while self._finished:
            key = self._finished.popleft()
            for wire in self._wires.values():
                for answer in wire.link.finished(key):
                    self._say(wire, answer)

    def _say(self, wire: _Wire, message: FromWorker) -> bool:
        try:
            wire.socket.send_multipart(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False  # the ingestor is not there
        return True
