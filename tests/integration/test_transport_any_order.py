"""The transport as a whole, both ends and the spool's real files, under any order of events: captures, sends, lost and
repeated messages, cut connections, workers and ingestors killed and started again, a full disk, time passing.

What must hold, whatever happens:
- each captured frame ends stored once, as a frame or as a gap, and the cameras' own count agrees;
- memory, disk and what a worker has in hand stay within their bounds.
"""

import shutil
import tempfile
import threading
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inference_worker.link import Link
from ingest import spool as spool_module
from ingest.dispatch import Dispatch
from ingest.spool import Session, Spool
from inspection import wire
from inspection.errors import WireError
from inspection.types import Capture, Gap, TiledFrame
from inspection.wakeup import Bell
from inspection.wire import Record, key_of
from tests.transport import CAMERA, FRAME_BYTES, LENGTH_MM, LINE, frame, gap

pytestmark = pytest.mark.integration

NEVER = threading.Event()
LEASE_S, HEARTBEAT_S, CREDIT = 10.0, 1.0, 2
MEMORY_FRAMES, DISK_FRAMES = 2, 3


@dataclass
class Connection:
    """Messages on their way, oldest first; a cut loses them all."""

    peer: bytes
    link: Link
    up: deque[list[bytes]] = field(default_factory=deque)
    down: deque[list[bytes]] = field(default_factory=deque)


@dataclass
class Worker:
    name: str
    connection: Connection
    inbox: deque[Record] = field(default_factory=deque)


class AnyOrder(RuleBasedStateMachine):
    tries = 2

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(
            tempfile.mkdtemp(prefix="loomwatch-any-order-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        )
        self.bell = Bell()
        self.now = 0.0
        self.sessions = self.peers = self.starts = 0
        self.workers: dict[str, Worker] = {}
        self.stored: dict[tuple[str, int], TiledFrame | Gap] = {}  # the database: the first of a key stays
        self.counts: dict[str, Capture] = {}
        self.captured: dict[str, int] = {}  # session -> records put, as the test counts them
        self.disk_full = False
        self.write_frame = spool_module.write_frame
        spool_module.write_frame = self._write_frame
        self._start_ingestor()

    def _write_frame(self, path: Path, tiled: TiledFrame, **options: bool) -> None:
        if self.disk_full:
            raise OSError(28, "No space left on device", str(path))
        self.write_frame(path, tiled, **options)

    def _start_ingestor(self) -> None:
        self.spool = Spool(
            self.folder, memory_bytes=MEMORY_FRAMES * FRAME_BYTES, disk_bytes=DISK_FRAMES * FRAME_BYTES, bell=self.bell
        ).__enter__()
        self.dispatch = Dispatch(self.spool, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S, tries=self.tries)
        self._begin()

    def _begin(self) -> None:
        self.sessions += 1
        name = f"s{self.sessions:04d}"
        self.session: Session = self.spool.begin(line=LINE, camera=CAMERA, session=name, started_at_ns=1)
        self.captured[name] = 0

    def _connect(self, name: str) -> Connection:
        self.peers += 1
        peer = f"{name}#{self.peers}".encode()
        return Connection(peer, Link("ingestor", worker=name, credit=CREDIT, now=self.now))

    # What the network does.

    def _say(self, connection: Connection, *messages: wire.FromWorker) -> None:
        connection.up.extend(wire.encode(message) for message in messages)

    def _to_ingestor(self, connection: Connection) -> None:
        parts = connection.up.popleft()
        answer = self.dispatch.take(connection.peer, wire.decode_from_worker(parts), now=self.now)
        if answer is not None:
            connection.down.append(wire.encode(answer))

    def _to_worker(self, worker: Worker) -> None:
        link = worker.connection.link
        try:
            message = wire.decode_to_worker(worker.connection.down.popleft())
            answers, record = link.hear(message, now=self.now)
        except WireError:
            link.malformed()  # a repeated message may have brought a record without credit
            return
        self._say(worker.connection, *answers)
        if record is not None:
            worker.inbox.append(record)

    def _store(self, record: Record) -> None:
        match record:
            case Capture():
                before = self.counts.get(record.session)
                if before is None or (record.frames, record.ended) >= (before.frames, before.ended):
                    self.counts[record.session] = record
            case Gap():
                self.stored.setdefault((record.session, record.sequence), record)
            case TiledFrame():
                self.stored.setdefault((record.header.session, record.header.sequence), record)

    # Events. Few rules with many kinds each: hypothesis leaves some rules out of each run.

    @initialize(workers=st.integers(1, 3), frames=st.integers(0, 3))
    def begin(self, workers: int, frames: int) -> None:
        for number in range(workers):
            self.start_worker(f"w{number}")
        self.capture(["frame"] * frames)

    @rule(kinds=st.lists(st.sampled_from(["frame", "frame", "frame", "gap"]), min_size=1, max_size=4))
    def capture(self, kinds: list[str]) -> None:
        for kind in kinds:
            sequence, name = self.session.next_sequence, self.session.journal.capture.session
            start_mm = self.captured[name] * LENGTH_MM  # waiting gaps may grow together: the sequence does not tell
            if kind == "gap":
                record = replace(
                    gap(sequence, session=name), position_from_mm=start_mm, position_to_mm=start_mm + LENGTH_MM
                )
            else:
                tiled = frame(sequence, session=name)
                record = replace(tiled, header=replace(tiled.header, position_mm=start_mm))
            assert self.session.put(record, wait=False, stop=NEVER)
            self.captured[name] += 1

    @rule(rounds=st.integers(1, 4))
    def ordinary_work(self, rounds: int) -> None:
        """What happens nearly always; the other rules are what comes in between."""
        for _ in range(rounds):
            self._round(HEARTBEAT_S / 2, most_records=1)

    @rule(
        kind=st.sampled_from(["up", "down", "lose up", "lose down", "repeat up", "repeat down", "cut"]), data=st.data()
    )
    def network(self, kind: str, data: st.DataObject) -> None:
        worker = self._any_worker(data)
        connection = worker.connection
        queue = connection.up if kind.endswith("up") else connection.down
        if kind == "cut":  # libzmq connects again by itself: the ingestor sees a new peer
            self._renew(connection)
        elif not queue:
            return
        elif kind == "up":
            self._to_ingestor(connection)
        elif kind == "down":
            self._to_worker(worker)
        else:
            place = data.draw(st.integers(0, len(queue) - 1))
            if kind.startswith("lose"):
                del queue[place]
            else:
                queue.insert(place, queue[place])

    @rule(kind=st.sampled_from(["inspect", "inspect", "die before done", "die", "bye", "speak"]), data=st.data())
    def worker(self, kind: str, data: st.DataObject) -> None:
        worker = self._any_worker(data)
        link = worker.connection.link
        match kind:
            case "inspect" | "die before done" if worker.inbox:
                record = worker.inbox.popleft()
                self._store(record)
                if kind == "inspect":
                    self._say(worker.connection, *link.finished(key_of(record)))
                else:
                    self.start_worker(worker.name)
            case "die":
                self.start_worker(worker.name)
            case "bye":
                self._say(worker.connection, wire.Bye())
                while worker.connection.up:
                    self._to_ingestor(worker.connection)
                self.start_worker(worker.name)
            case "speak" if (message := link.tick(now=self.now)) is not None:
                self._say(worker.connection, message)

    @rule(kind=st.sampled_from(["send", "count", "camera reconnects", "kill", "stop"]))
    def ingestor(self, kind: str) -> None:
        match kind:
            case "send":
                self._send(1)
            case "count":
                self.session.count()
            case "camera reconnects":
                self.session.end()
                self._begin()
            case "kill":  # nothing is written any more, the kernel frees the lock
                self.spool._closed = True
                self.spool._unlock()
                self._start_ingestor_again()
            case "stop":
                self.spool.close()
                self._start_ingestor_again()

    @rule(seconds=st.sampled_from([0.4, 1.0, 3.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.dispatch.expire(now=self.now)

    @rule(full=st.booleans())
    def the_disk_fills(self, full: bool) -> None:
        self.disk_full = full
        self.spool._disk_retry_at = 0.0

    def start_worker(self, name: str) -> None:
        """Also in place of one that was killed: its connection, and what it had in hand, are gone."""
        self.starts += 1
        self.workers[name] = Worker(name, self._connect(f"{name}-{self.starts}"))

    def _start_ingestor_again(self) -> None:
        for worker in self.workers.values():
            self._renew(worker.connection)
        self._start_ingestor()

    def _renew(self, connection: Connection) -> None:
        self.peers += 1
        connection.peer = f"again#{self.peers}".encode()
        connection.up.clear()
        connection.down.clear()

    def _any_worker(self, data: st.DataObject) -> Worker:
        return self.workers[data.draw(st.sampled_from(sorted(self.workers)))]

    def _send(self, turns: int) -> None:
        for _ in range(turns):
            turn = self.dispatch.next(now=self.now)
            if turn is None:
                return
            peer, parts = turn
            worker = next((each for each in self.workers.values() if each.connection.peer == peer), None)
            if worker is None:
                self.dispatch.unreachable(peer)
            else:
                worker.connection.down.append([bytes(part) for part in parts])

    # What must hold.

    @invariant()
    def memory_and_disk_stay_within_their_bounds(self) -> None:
        figures = self.spool.figures
        in_flight = CREDIT * len(self.dispatch.peers)  # read from disk for workers that asked for them
        assert figures.memory_bytes <= (MEMORY_FRAMES + in_flight + DISK_FRAMES) * FRAME_BYTES
        assert figures.disk_bytes <= (DISK_FRAMES + 1) * (FRAME_BYTES + 1024)
        held = [entry for entry in self.spool._entries.values() if isinstance(entry.record, TiledFrame)]
        assert sum(entry.record.tiles.nbytes for entry in held) <= MEMORY_FRAMES * FRAME_BYTES
        on_disk = sum(path.stat().st_size for path in self.folder.glob("*/*.frame"))
        assert on_disk <= (DISK_FRAMES + MEMORY_FRAMES) * (FRAME_BYTES + 1024)

    @invariant()
    def a_worker_has_no_more_in_hand_than_it_asked_for(self) -> None:
        for worker in self.workers.values():
            assert len(worker.connection.link.in_hand) <= CREDIT
            assert len(worker.inbox) <= CREDIT

    def teardown(self) -> None:
        try:
            if self.workers:
                self._heal()
        finally:
            spool_module.write_frame = self.write_frame
            self.spool.close()
            self.bell.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _heal(self) -> None:
        """The network is well again, each worker connects anew: everything must come to its end, by itself."""
        self.disk_full = False
        self.session.end()
        for worker in self.workers.values():
            self._renew(worker.connection)
        for _ in range(600):
            if self.spool.empty:
                break
            self._round(HEARTBEAT_S, most_records=CREDIT)
        assert self.spool.empty, f"{self.spool.figures} waits for ever"
        self._check()

    def _round(self, seconds: float, *, most_records: int) -> None:
        """Time passes, everything on its way arrives, each worker inspects some of what it has."""
        self.now += seconds
        self.dispatch.expire(now=self.now)
        for worker in self.workers.values():
            message = worker.connection.link.tick(now=self.now)
            if message is not None:
                self._say(worker.connection, message)
            while worker.connection.up:
                self._to_ingestor(worker.connection)
        self._send(50)
        for worker in self.workers.values():
            if worker.connection.peer in self.dispatch.peers:
                worker.connection.down.append(wire.encode(wire.Beat()))
            while worker.connection.down:
                self._to_worker(worker)
            for _ in range(min(most_records, len(worker.inbox))):
                record = worker.inbox.popleft()
                self._store(record)
                self._say(worker.connection, *worker.connection.link.finished(key_of(record)))

    def _check(self) -> None:
        for record in self.stored.values():
            event(record.reason if isinstance(record, Gap) else "a frame is stored")
        seen = {name for name, captured in self.captured.items() if captured}
        assert seen <= set(self.counts)
        for name, captured in self.captured.items():
            kept = {sequence: record for (session, sequence), record in self.stored.items() if session == name}
            count = self.counts.get(name)
            if count is None:
                assert not kept
                continue
            assert count.ended
            assert sorted(kept) == list(range(count.frames))
            length_mm = sum(
                each.length_mm if isinstance(each, Gap) else each.header.length_mm for each in kept.values()
            )
            assert length_mm == pytest.approx(captured * LENGTH_MM)
            assert length_mm == pytest.approx(count.captured_mm)


class AnyOrderWithManyGaps(AnyOrder):
    """As above; waiting gaps grow together early, as they do without a worker for days, and one death is enough to give
    a frame up."""

    tries = 1

    def __init__(self) -> None:
        self.many = spool_module.MANY_GAPS
        spool_module.MANY_GAPS = 2
        super().__init__()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            spool_module.MANY_GAPS = self.many


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=40, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyOrderWithManyGaps = AnyOrderWithManyGaps.TestCase
TestAnyOrderWithManyGaps.settings = settings(
    max_examples=20, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
