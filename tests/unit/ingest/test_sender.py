import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import zmq

from inference_worker.receiver import Receiver
from ingest.sender import Sender
from ingest.spool import Session, Spool
from inspection import wire
from inspection.errors import ServiceError
from inspection.types import Capture
from inspection.wakeup import Bell
from inspection.wire import key_of
from tests.transport import CAMERA, LINE, SESSION, Puppet, frame, gap, ipc, same
from tests.waiting import wait_for

NEVER = threading.Event()


@dataclass
class Ingestor:
    """A spool and a sender as the service has them, without cameras."""

    context: zmq.Context[zmq.Socket[bytes]]
    endpoint: str
    spool: Spool
    sender: Sender
    session: Session
    stack: ExitStack

    def put(self, *sequences: int) -> None:
        for sequence in sequences:
            assert self.session.put(frame(sequence), wait=False, stop=NEVER)

    def worker(self, name: str) -> Puppet:
        return self.stack.enter_context(Puppet(self.context, self.endpoint, name))


def start(stack: ExitStack, folder: Path, *, lease_s: float = 30.0, heartbeat_s: float = 5.0) -> Ingestor:
    endpoint = ipc(folder)
    bell = Bell()
    stack.callback(bell.close)
    spool = stack.enter_context(Spool(folder / "spool", memory_bytes=10**7, disk_bytes=10**7, bell=bell))
    context = stack.enter_context(zmq.Context())
    sender = stack.enter_context(Sender(context, endpoint, spool, bell, lease_s=lease_s, heartbeat_s=heartbeat_s))
    session = spool.begin(line=LINE, camera=CAMERA, session=SESSION, started_at_ns=1)
    return Ingestor(context, endpoint, spool, sender, session, stack)


@pytest.fixture
def ingestor(tmp_path: Path) -> Iterator[Ingestor]:
    with ExitStack() as stack:
        yield start(stack, tmp_path)


def test_a_frame_goes_only_to_a_worker_with_credit(ingestor: Ingestor) -> None:
    without, worker = ingestor.worker("without"), ingestor.worker("with")
    ingestor.put(0, 1, 2)
    without.hello()
    worker.hello(credit=2)
    assert same(worker.wait(2)[0], frame(0))
    assert same(worker.got[1], frame(1))
    assert worker.listen(0.2) == []
    assert without.listen(0.1) == []
    worker.say(wire.Credit(1))
    assert same(worker.wait(3)[2], frame(2))


def test_work_is_shared_among_workers_with_credit(ingestor: Ingestor) -> None:
    first, second = ingestor.worker("first"), ingestor.worker("second")
    first.hello(credit=4)
    second.hello(credit=4)
    wait_for(lambda: ingestor.sender.workers == 2)
    first.listen(0.2)  # both credits are there
    ingestor.put(*range(8))
    assert len(first.wait(4)) == len(second.wait(4)) == 4


def test_nothing_is_sent_before_a_hello_in_the_right_protocol(ingestor: Ingestor) -> None:
    ingestor.put(0)
    stranger, later = ingestor.worker("stranger"), ingestor.worker("later")
    stranger.say(wire.Credit(5))
    stranger.say(wire.Beat())
    later.say(wire.Hello("later", wire.PROTOCOL + 1))
    later.say(wire.Credit(5))
    wait_for(lambda: ingestor.sender.malformed == 1)
    assert stranger.listen(0.2) == later.listen(0.1) == []
    assert later.welcomes == []
    assert ingestor.sender.workers == 0


def test_a_record_stays_until_its_done(ingestor: Ingestor) -> None:
    worker = ingestor.worker("worker")
    ingestor.put(0)
    worker.hello(credit=1)
    (record,) = worker.wait(1)
    assert not ingestor.spool.empty
    worker.done(record)
    wait_for(lambda: ingestor.spool.empty)
    worker.done(record)
    worker.say(wire.Done(key_of(gap(99))))
    worker.hello()
    assert ingestor.sender.malformed == 0


def test_a_worker_that_says_bye_leaves_its_frames_to_the_other(ingestor: Ingestor) -> None:
    first, second = ingestor.worker("first"), ingestor.worker("second")
    ingestor.put(0, 1)
    first.hello(credit=2)
    first.wait(2)
    second.hello(credit=2)
    first.say(wire.Bye())
    assert [record.header.sequence for record in second.wait(2)] == [0, 1]
    assert ingestor.sender.taken_back == 2


def test_a_worker_whose_heartbeats_stop_loses_its_frames_to_the_other(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ingestor = start(stack, tmp_path, heartbeat_s=0.1)
        dead = ingestor.worker("dead")
        ingestor.put(0, 1)
        dead.hello(credit=2)
        dead.wait(2)
        alive = stack.enter_context(Receiver([ingestor.endpoint], worker="alive", credit=2))
        for sequence in (0, 1):
            record = alive.receive(20.0)
            assert record is not None
            assert same(record, frame(sequence))
            alive.done(record)
        wait_for(lambda: ingestor.spool.empty)


def test_a_worker_that_hangs_with_its_heart_beating_loses_the_frame_by_its_lease(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ingestor = start(stack, tmp_path, lease_s=0.3)
        hung, other = ingestor.worker("hung"), ingestor.worker("other")
        ingestor.put(0)
        hung.hello(credit=9)
        hung.wait(1)
        other.hello(credit=1)
        while not other.got:
            hung.say(wire.Beat())
            hung.listen(0.01)
            other.say(wire.Beat())
            other.listen(0.02)
        assert same(other.got[0], frame(0))
        assert len(hung.got) == 1
        hung.done(hung.got[0])
        wait_for(lambda: ingestor.spool.empty)
        other.done(other.got[0])
        other.hello()
        assert ingestor.sender.malformed == 0


def test_a_worker_that_comes_back_keeps_what_it_still_holds(ingestor: Ingestor) -> None:
    before = ingestor.worker("worker")
    ingestor.put(0, 1, 2)
    before.hello(credit=2)
    held, lost = before.wait(2)
    again = ingestor.worker("worker")
    again.hello(holds=(key_of(held),), credit=3)
    assert [record.header.sequence for record in again.wait(2)] == [1, 2]
    assert same(again.got[0], lost)
    assert ingestor.sender.workers == 1


def test_a_done_that_was_lost_with_the_connection_is_told_in_the_next_hello(ingestor: Ingestor) -> None:
    before = ingestor.worker("worker")
    ingestor.put(0)
    before.hello(credit=1)
    (record,) = before.wait(1)
    again = ingestor.worker("worker")
    again.hello(done=(key_of(record),), credit=1)
    assert ingestor.spool.empty
    assert again.listen(0.1) == []


def test_counts_and_gaps_travel_like_frames(ingestor: Ingestor) -> None:
    worker = ingestor.worker("worker")
    ingestor.session.put(gap(0), wait=False, stop=NEVER)
    ingestor.session.end()
    worker.hello(credit=2)
    worker.wait(2)
    count, record = worker.got
    assert isinstance(count, Capture)
    assert (count.frames, count.ended) == (1, True)
    assert record == gap(0)
    worker.done(count)
    worker.done(record)
    wait_for(lambda: ingestor.spool.empty)


def test_credit_spent_on_a_count_that_was_replaced_is_not_lost(ingestor: Ingestor) -> None:
    worker = ingestor.worker("worker")
    for sequence in range(5):
        ingestor.session.put(gap(sequence), wait=False, stop=NEVER)
        ingestor.session.count()
    worker.hello(credit=6)
    assert len(worker.wait(6)) == 6


GARBAGE = [
    (b"",),
    (b"\xff" * 100,),
    (b"hello", b"world"),
    (b"a", b"b", b"c"),
    tuple(wire.encode(wire.Credit(5000))),
    tuple(wire.encode(wire.Welcome(protocol=1, attempt=1, lease_s=1.0, heartbeat_s=1.0))),
    (msgspec.msgpack.encode({"type": "hello", "worker": "", "protocol": 1}),),
    (msgspec.msgpack.encode({"type": "done", "key": ["record", "c", "s", -1]}),),
]


def test_malformed_messages_are_counted_and_nothing_stops(ingestor: Ingestor) -> None:
    worker = ingestor.worker("worker")
    for parts in GARBAGE * 3:
        worker.say_bytes(*parts)
    ingestor.put(0)
    worker.hello(credit=1)
    worker.wait(1)
    assert ingestor.sender.malformed == 3 * len(GARBAGE)
    assert ingestor.sender.alive


def test_a_message_beyond_the_bound_ends_only_its_connection(ingestor: Ingestor) -> None:
    flood, worker = ingestor.worker("flood"), ingestor.worker("worker")
    flood.say_bytes(b"\0" * 10_000_000)
    ingestor.put(0)
    worker.hello(credit=1)
    assert same(worker.wait(1)[0], frame(0))


def test_a_port_in_use_is_one_clear_error(tmp_path: Path) -> None:
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        bell = Bell()
        stack.callback(bell.close)
        spool = stack.enter_context(Spool(tmp_path, memory_bytes=1, disk_bytes=1, bell=bell))
        context = stack.enter_context(zmq.Context())
        for wrong, says in (
            (endpoint, f"{endpoint} is in use: stop the other process there, or set LOOMWATCH_INGEST_ENDPOINT"),
            ("tcp://127.0.0.1:notaport", "cannot listen at"),
            ("carrier://pigeon", "cannot listen at"),
            (f"ipc://{tmp_path / ('x' * 120)}", "cannot listen at"),
        ):
            with pytest.raises(ServiceError, match=says):
                Sender(context, wrong, spool, bell, lease_s=1, heartbeat_s=1).__enter__()


def test_a_living_ingestor_keeps_its_ipc_address(ingestor: Ingestor) -> None:
    second = Sender(ingestor.context, ingestor.endpoint, ingestor.spool, Bell(), lease_s=1, heartbeat_s=1)
    with pytest.raises(ServiceError, match="is in use"):
        second.__enter__()
    second._bell.close()
    worker = ingestor.worker("worker")
    worker.hello()


def test_the_socket_file_of_a_killed_process_does_not_block_a_start(tmp_path: Path) -> None:
    endpoint = ipc(tmp_path)
    code = f"import os, zmq; s = zmq.Context().socket(zmq.ROUTER); s.bind({endpoint!r}); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    assert Path(endpoint.removeprefix("ipc://")).exists()
    with ExitStack() as stack:
        start(stack, tmp_path).worker("worker").hello()
