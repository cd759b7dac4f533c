"""Who gets which record, and who has it: the state machine of the transport. Pure: no sockets, no clock, no threads.

A record, from `add` to `done`:

                     next(): the oldest, to a worker with credit
        add ---> WAITING ------------------------------------> LEASED ---- done() ----> gone
                    ^                                             |
                    +---------------------------------------------+
                      lease over, or the worker left, fell silent,
                      or said hello again without holding it

A worker, known by its connection (`peer`):

        hello ---> KNOWN, no credit --- credit(n) ---> n records may go to it, one less with each
                     |
                     +--- bye, five heartbeats without a sign of life, or a new connection of the same worker ---> gone

A record whose lease is over goes to another worker, never again down the connection that has it: there it is still in
hand, and its `done` counts, however late.

A frame that kills whoever inspects it must not be tried for ever, and must not take its neighbours with it. A worker
has several records in work at a time, so when one dies (falls silent, or its connection breaks) all it had are
*suspects*: each is then given to a worker that has no other, which gets no other before it is done. A death over one
record alone is a try of it; after `tries` of them it is *spent* and not given out again as it is. A Bye, a lease that
is over and a new Hello are no deaths.
"""

import heapq
from dataclasses import dataclass, field

from inspection.wire import MAX_CREDIT, RecordKey

MISSED_HEARTBEATS = 5


@dataclass(slots=True)
class _Worker:
    name: str
    heard_at: float
    credit: int = 0
    served: int = 0  # when it last got a record, as a count of all records given out
    has: dict[RecordKey, None] = field(default_factory=dict)  # sent down this connection and not done, oldest first

    @property
    def in_work(self) -> list[RecordKey]:
        """Frames and gaps; a count is no work."""
        return [key for key in self.has if key.kind == "record"]


@dataclass(frozen=True, slots=True)
class Lost:
    """What `expire` took from a worker: all it had (it is gone), or one record whose lease is over."""

    worker: str
    gone: bool
    records: int


class Leases:
    """Times are seconds of any clock that never goes back. Peers are ZeroMQ's routing ids."""

    def __init__(self, *, lease_s: float, heartbeat_s: float, tries: int) -> None:
        self._lease_s = lease_s
        self._limit = tries
        self._silence_s = MISSED_HEARTBEATS * heartbeat_s
        self._workers: dict[bytes, _Worker] = {}
        self._order: dict[RecordKey, tuple[int, int]] = {}  # of all records, waiting and leased
        self._waiting: list[tuple[tuple[int, int], RecordKey]] = []  # a heap; what left it otherwise is skipped
        self._queued: set[RecordKey] = set()
        self._leased: dict[RecordKey, tuple[bytes, float]] = {}  # to whom, until when
        self._tries: dict[RecordKey, int] = {}  # of the suspects
        self._spent: list[RecordKey] = []
        self._added = self._served = 0

    def add(self, key: RecordKey) -> None:
        """A record waits. Counts go before frames and gaps, those go oldest first."""
        self._added += 1
        self._order[key] = (int(key.kind == "record"), self._added)
        self._queue(key)

    def done(self, key: RecordKey) -> None:
        """Committed by whomever, or superseded. Harmless when unknown."""
        if self._order.pop(key, None) is None:
            return
        self._queued.discard(key)
        self._leased.pop(key, None)
        self._tries.pop(key, None)
        for worker in self._workers.values():
            worker.has.pop(key, None)

    def hello(self, peer: bytes, name: str, holds: tuple[RecordKey, ...], *, now: float) -> None:
        """A worker starts, or starts over: without credit, and with nothing but what it holds."""
        for other in [other for other, worker in self._workers.items() if worker.name == name or other == peer]:
            self.leave(other)
        worker = self._workers[peer] = _Worker(name, now)
        for key in holds:
            if key not in self._order:
                continue
            worker.has[key] = None
            if key in self._queued:
                self._lease(key, peer, now)

    def heard(self, peer: bytes, *, now: float) -> bool:
        """A sign of life. False when this peer has not said hello."""
        if (worker := self._workers.get(peer)) is None:
            return False
        worker.heard_at = now
        return True

    def credit(self, peer: bytes, records: int) -> None:
        worker = self._workers[peer]
        worker.credit = min(worker.credit + records, MAX_CREDIT)

    def leave(self, peer: bytes) -> int:
        """The worker leaves; others get what it had. Returns how many records that is."""
        if self._workers.pop(peer, None) is None:
            return 0
        keys = [key for key, (holder, _) in self._leased.items() if holder == peer]
        for key in keys:
            self._queue(key)
        return len(keys)

    def died(self, peer: bytes) -> int:
        """As `leave`, of a worker that did not say so: what it had is suspect, and what it had alone was tried."""
        in_work = self._workers[peer].in_work if peer in self._workers else []
        for key in in_work:
            self._tries[key] = self._tries.get(key, 0) + (len(in_work) == 1)
            if len(in_work) == 1 and self._tries[key] == self._limit:
                self._spent.append(key)
        return self.leave(peer)

    def spent(self) -> list[RecordKey]:
        """The records that have used up their tries since the last call."""
        spent = [key for key in self._spent if key in self._order]
        self._spent.clear()
        return spent

    def next(self, *, now: float) -> tuple[bytes, RecordKey] | None:
        """The record to send now and to whom: the worker with fewest in hand, then the one that waited longest."""
        ready = {peer: worker for peer, worker in self._workers.items() if worker.credit > 0}
        if not ready:
            return None
        aside = []
        found = None
        while self._waiting and found is None:
            item = heapq.heappop(self._waiting)
            key = item[1]
            if key not in self._queued:
                continue
            able = [peer for peer, worker in ready.items() if key not in worker.has and self._may_have(worker, key)]
            if able:
                peer = min(able, key=lambda peer: (len(ready[peer].has), ready[peer].served))
                found = peer, key
                continue
            aside.append(item)
            if key in self._tries and any(key not in worker.has for worker in self._workers.values()):
                break  # what is newer waits, so that one of them will have nothing else
        for item in aside:
            heapq.heappush(self._waiting, item)
        if found is not None:
            peer, key = found
            worker = ready[peer]
            self._served += 1
            worker.credit -= 1
            worker.served = self._served
            worker.has[key] = None
            self._lease(key, peer, now)
        return found

    def expire(self, *, now: float) -> list[Lost]:
        """Takes back what silent workers had, and every record whose lease is over."""
        lost = []
        for peer, worker in list(self._workers.items()):
            if now - worker.heard_at > self._silence_s:
                lost.append(Lost(worker.name, True, self.died(peer)))
        for key, (peer, until) in list(self._leased.items()):
            if now >= until:
                self._queue(key)
                lost.append(Lost(self._workers[peer].name, False, 1))
        return lost

    @property
    def peers(self) -> list[bytes]:
        return list(self._workers)

    @property
    def leased(self) -> int:
        return len(self._leased)

    @property
    def open_credit(self) -> int:
        """Records that workers ask for and that are not there yet."""
        return sum(worker.credit for worker in self._workers.values())

    def name(self, peer: bytes) -> str:
        return self._workers[peer].name

    def _may_have(self, worker: _Worker, key: RecordKey) -> bool:
        """A suspect goes to a worker without other work, which then gets no other."""
        if key.kind != "record":
            return True
        return not worker.in_work if key in self._tries else self._tries.keys().isdisjoint(worker.in_work)

    def _queue(self, key: RecordKey) -> None:
        self._leased.pop(key, None)
        self._queued.add(key)
        heapq.heappush(self._waiting, (self._order[key], key))

    def _lease(self, key: RecordKey, peer: bytes, now: float) -> None:
        self._queued.discard(key)
        self._leased[key] = (peer, now + self._lease_s)
