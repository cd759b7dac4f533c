"""What the ingestor does about each message of a worker: the leases and the spool put together. Pure but for the spool:
no sockets, no clock, no threads, so that a test can put any order of events to it. `ingest.sender` moves the messages.
"""

import logging
from collections.abc import Sequence

from ingest.leases import Leases
from ingest.spool import Spool
from inspection.errors import WireError
from inspection.wire import PROTOCOL, Beat, Bye, Credit, Done, FromWorker, Hello, Welcome

log = logging.getLogger(__name__)

MAX_WORKERS = 1024


class Dispatch:
    """Times are seconds of any clock that never goes back. Peers are ZeroMQ's routing ids."""

    def __init__(self, spool: Spool, *, lease_s: float, heartbeat_s: float, tries: int) -> None:
        self._spool = spool
        self._lease_s, self._heartbeat_s, self._tries = lease_s, heartbeat_s, tries
        self._leases = Leases(lease_s=lease_s, heartbeat_s=heartbeat_s, tries=tries)
        self.sent = 0  # records, resends included
        self.taken_back = 0  # records whose worker did not finish them
        self.given_up = 0  # frames that became gaps because every worker that tried them died

    @property
    def peers(self) -> list[bytes]:
        return self._leases.peers

    @property
    def credit(self) -> int:
        return self._leases.open_credit

    @property
    def leased(self) -> int:
        return self._leases.leased

    def take(self, peer: bytes, message: FromWorker, *, now: float) -> Welcome | None:
        """A worker's message, and the answer to it. Raises `WireError` for a Hello that cannot be."""
        if isinstance(message, Hello):
            return self._greet(peer, message, now)
        if not self._leases.heard(peer, now=now):
            return None  # a former run's worker, or a silent one: it will say hello when it hears nothing
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
        return None

    def next(self, *, now: float) -> tuple[bytes, Sequence[bytes | memoryview]] | None:
        """The message to send now, and to whom."""
        self._collect()
        while (turn := self._leases.next(now=now)) is not None:
            peer, key = turn
            parts = self._spool.load(key)
            if parts is None:  # a count that a newer one has replaced
                self._leases.done(key)
                self._leases.credit(peer, 1)
                continue
            self.sent += 1
            log.debug("%s to %s", key, self._leases.name(peer))
            return peer, parts
        return None

    def expire(self, *, now: float) -> None:
        """Takes back what silent workers had, and what is over its lease."""
        for lost in self._leases.expire(now=now):
            self.taken_back += lost.records
            if lost.gone:
                log.warning("worker %s is silent: its %d record(s) go to others", lost.worker, lost.records)
            else:
                log.warning("worker %s did not finish a record in %g s: it goes to another", lost.worker, self._lease_s)
        self._give_up()

    def unreachable(self, peer: bytes) -> None:
        """Its connection broke. A worker that lives says hello on a new one."""
        if peer in self._leases.peers:
            log.warning("worker %s is gone: its records go to others", self._leases.name(peer))
        self.taken_back += self._leases.died(peer)
        self._give_up()

    def _greet(self, peer: bytes, hello: Hello, now: float) -> Welcome:
        if hello.protocol != PROTOCOL:
            raise WireError(f"worker {hello.worker} speaks protocol {hello.protocol}, not {PROTOCOL}")
        if len(self._leases.peers) >= MAX_WORKERS and peer not in self._leases.peers:
            raise WireError(f"worker {hello.worker} is one too many: {MAX_WORKERS} are connected")
        self._collect()  # a record may wait here that the worker holds from before a restart
        for key in hello.done:
            self._spool.done(key)
            self._leases.done(key)
        self._leases.hello(peer, hello.worker, hello.holds, now=now)
        log.info("worker %s is here", hello.worker)
        return Welcome(protocol=PROTOCOL, attempt=hello.attempt, lease_s=self._lease_s, heartbeat_s=self._heartbeat_s)

    def _collect(self) -> None:
        for key in self._spool.fresh():
            self._leases.add(key)

    def _give_up(self) -> None:
        for key in self._leases.spent():
            reason = f"inspection_failed: {self._tries} workers died of it"
            if self._spool.give_up(key, reason):
                self.given_up += 1
                log.error("frame %d of camera %s becomes a gap: %s", key.sequence, key.camera, reason)
