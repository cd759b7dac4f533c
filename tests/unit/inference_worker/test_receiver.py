import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
import pytest
import zmq

from inference_worker import link as module
from inference_worker.receiver import Receiver
from ingest.sender import Sender
from ingest.spool import Spool
from inspection import wire
from inspection.errors import ServiceError, SettingsError
from inspection.types import Capture, Gap, TiledFrame
from inspection.wakeup import Bell
from inspection.wire import Record, RecordKey, encode, encode_record, key_of
from tests.transport import CAMERA, LINE, SESSION, capture, frame, gap, ipc, same
from tests.waiting import wait_for

NEVER = threading.Event()
HEARTBEAT_S = 0.1


class Puppet:
    """An ingestor of which the test pulls each string."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self._router = context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 0)
        self._router.bind(endpoint)
        self.heard: list[wire.FromWorker] = []
        self.hellos: list[wire.Hello] = []
        self.done: list[RecordKey] = []
        self.credit = 0
        self.peer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._router.close()

    def listen(self, *, beat: bool = True) -> None:
        """Reads what has come, or comes in a moment."""
        if self.peer and beat:
            self.say_parts(*encode(wire.Beat()))
        while self._router.poll(20):
            peer, *parts = self._router.recv_multipart()
            message = wire.decode_from_worker(parts)
            self.heard.append(message)
            match message:
                case wire.Hello():
                    self.hellos.append(message)
                    self.peer, self.credit = peer, 0
                case wire.Done():
                    self.done.append(message.key)
                case wire.Credit():
                    self.credit += message.records

    def wait(self, condition: object, *, beat: bool = True) -> None:
        deadline = time.monotonic() + 20
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline
            self.listen(beat=beat)

    def welcome(self, *, heartbeat_s: float = 5.0) -> None:
        """Answers each Hello, from the first on, until its credit is here."""
        answered = 0
        deadline = time.monotonic() + 20
        while not self.credit:
            assert time.monotonic() < deadline
            if len(self.hellos) > answered:
                answered = len(self.hellos)
                self.say(wire.Welcome(wire.PROTOCOL, self.hellos[-1].attempt, 30.0, heartbeat_s))
            self.listen()

    def say(self, message: wire.Welcome | wire.Beat) -> None:
        self.say_parts(*encode(message))

    def send(self, *records: Record) -> None:
        for record in records:
            self.credit -= 1
            self.say_parts(*encode_record(record))

    def say_parts(self, *parts: bytes | memoryview) -> None:
        self._router.send_multipart([self.peer, *parts])


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as context:
        yield context


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return ipc(tmp_path)


@pytest.fixture
def ingestor(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> Iterator[Puppet]:
    with Puppet(context, endpoint) as ingestor:
        yield ingestor


@pytest.fixture
def receiver(endpoint: str, ingestor: Puppet) -> Iterator[Receiver]:
    with Receiver([endpoint], worker="worker", credit=2) as receiver:
        yield receiver


def take(receiver: Receiver) -> Record:
    record = receiver.receive(20.0)
    assert record is not None
    return record


def test_it_says_hello_and_gives_its_credit_after_the_welcome(ingestor: Puppet, receiver: Receiver) -> None:
    ingestor.wait(lambda: ingestor.hellos)
    assert ingestor.hellos[0].worker.startswith("worker-")
    assert ingestor.hellos[0].protocol == wire.PROTOCOL
    assert ingestor.credit == 0
    assert receiver.connected == 0
    ingestor.welcome()
    assert ingestor.credit == 2
    assert receiver.connected == 1


@pytest.mark.parametrize("record", [frame(1, channels=3), gap(2), capture(3), capture(3, ended=True)])
def test_a_record_is_received_and_its_done_gives_new_credit(
    ingestor: Puppet, receiver: Receiver, record: Record
) -> None:
    ingestor.welcome()
    ingestor.send(record)
    received = take(receiver)
    assert same(received, record)
    ingestor.listen()
    assert ingestor.done == []
    assert ingestor.credit == 1
    receiver.done(received)
    ingestor.wait(lambda: ingestor.done == [key_of(record)] and ingestor.credit == 2)


def test_nothing_to_receive_is_none(receiver: Receiver) -> None:
    assert receiver.receive(0.01) is None
    assert receiver.receive(0.0) is None


def test_heartbeats_go_on_while_the_worker_is_busy(ingestor: Puppet, receiver: Receiver) -> None:
    ingestor.welcome(heartbeat_s=0.2)
    ingestor.send(frame(0))
    take(receiver)
    ingestor.wait(lambda: sum(isinstance(message, wire.Beat) for message in ingestor.heard) >= 3)


def test_a_record_that_comes_again_is_not_queued_twice(ingestor: Puppet, receiver: Receiver) -> None:
    ingestor.welcome()
    ingestor.send(frame(0), frame(0))
    record = take(receiver)
    ingestor.wait(lambda: ingestor.credit == 1)  # of the second, given back
    assert receiver.receive(0.05) is None
    receiver.done(record)
    ingestor.wait(lambda: ingestor.credit == 2)
    assert ingestor.done == [key_of(frame(0))]


def test_a_record_that_comes_again_after_its_done_is_answered_at_once(ingestor: Puppet, receiver: Receiver) -> None:
    ingestor.welcome()
    ingestor.send(frame(0))
    receiver.done(take(receiver))
    ingestor.wait(lambda: ingestor.credit == 2)
    ingestor.send(gap(0, reason="ingest_restarted"))  # the same key
    ingestor.wait(lambda: len(ingestor.done) == 2 and ingestor.credit == 2)
    assert receiver.receive(0.05) is None


def test_a_silent_ingestor_is_greeted_again_with_what_is_in_hand_and_was_done(
    ingestor: Puppet, receiver: Receiver
) -> None:
    ingestor.welcome(heartbeat_s=0.2)
    ingestor.send(frame(0), frame(1))
    receiver.done(take(receiver))
    held = take(receiver)
    first, told = ingestor.hellos[0], ((key_of(frame(1)),), (key_of(frame(0)),))
    ingestor.wait(lambda: (ingestor.hellos[-1].holds, ingestor.hellos[-1].done) == told, beat=False)
    assert ingestor.hellos[-1].worker == first.worker
    assert ingestor.hellos[-1].attempt > first.attempt
    assert receiver.connected == 0
    ingestor.welcome()
    assert ingestor.credit == 1
    receiver.done(held)
    ingestor.wait(lambda: ingestor.credit == 2)


def test_a_late_welcome_to_an_older_hello_gives_no_credit(ingestor: Puppet, receiver: Receiver) -> None:
    ingestor.wait(lambda: len(ingestor.hellos) >= 2)
    late = wire.Welcome(protocol=wire.PROTOCOL, attempt=ingestor.hellos[0].attempt, lease_s=30.0, heartbeat_s=5.0)
    ingestor.say(late)
    ingestor.say(late)
    ingestor.welcome()
    ingestor.listen()
    assert ingestor.credit == 2


def test_a_done_between_hello_and_welcome_gives_credit_only_once(ingestor: Puppet, receiver: Receiver) -> None:
    ingestor.welcome(heartbeat_s=0.2)
    ingestor.send(frame(0))
    record = take(receiver)
    ingestor.wait(lambda: receiver.connected == 0, beat=False)
    receiver.done(record)
    ingestor.wait(lambda: ingestor.done, beat=False)
    ingestor.welcome()
    ingestor.listen()
    assert ingestor.credit == 2


GARBAGE = [
    (b"",),
    (b"\xff" * 100,),
    (b"a", b"b"),
    (b"a", b"b", b"c"),
    tuple(encode(wire.Hello("x", 1))),
    tuple(encode(wire.Welcome(protocol=1, attempt=1, lease_s=1.0, heartbeat_s=0.0))),
    tuple(encode(wire.Welcome(protocol=99, attempt=1, lease_s=1.0, heartbeat_s=1.0))),
    (bytes(encode_record(frame(0))[0]), b"too few"),
    (msgspec.msgpack.encode({"type": "gap", "gap": {}}),),
]


def test_malformed_messages_are_counted_and_nothing_stops(ingestor: Puppet, receiver: Receiver) -> None:
    ingestor.welcome(heartbeat_s=0.2)
    for parts in GARBAGE:
        ingestor.say_parts(*parts)
    ingestor.wait(lambda: receiver.malformed == len(GARBAGE))
    greeted = len(ingestor.hellos)
    ingestor.wait(lambda: len(ingestor.hellos) > greeted)  # it may have cost credit: starts over
    ingestor.welcome()
    assert ingestor.credit == 2
    ingestor.send(frame(5))
    assert same(take(receiver), frame(5))


def test_an_ingestor_that_sends_without_credit_cannot_fill_the_memory(ingestor: Puppet, receiver: Receiver) -> None:
    ingestor.welcome()
    ingestor.send(*(frame(sequence) for sequence in range(10)))
    ingestor.wait(lambda: receiver.malformed == 8)
    assert [take(receiver).header.sequence for _ in range(2)] == [0, 1]
    assert receiver.receive(0.05) is None


def test_pixels_are_received_without_a_copy_and_outlive_the_message(ingestor: Puppet, receiver: Receiver) -> None:
    large = replace(frame(0), tiles=np.repeat(np.repeat(frame(0).tiles, 8, axis=1), 8, axis=2), tile_px=256)
    header = replace(large.header, height_px=512, width_px=768, fabric_right_px=768)
    large = replace(large, header=header)
    ingestor.welcome()
    ingestor.send(large)
    record = take(receiver)
    assert isinstance(record, TiledFrame)
    assert not record.tiles.flags.owndata
    assert not record.tiles.flags.writeable
    receiver.done(record)
    ingestor.wait(lambda: ingestor.done)
    assert same(record, large)


def test_it_says_bye_when_it_leaves(endpoint: str, ingestor: Puppet) -> None:
    with Receiver([endpoint], worker="worker", credit=1) as receiver:
        ingestor.welcome()
        ingestor.send(frame(0))
        receiver.done(take(receiver))
    ingestor.wait(lambda: ingestor.heard[-1] == wire.Bye(), beat=False)
    assert ingestor.done == [key_of(frame(0))]


def test_a_worker_that_fails_says_no_bye(endpoint: str, ingestor: Puppet) -> None:
    """The ingestor is to know that the frame in hand was its end."""

    def fail() -> None:
        with Receiver([endpoint], worker="worker", credit=1) as receiver:
            ingestor.welcome()
            ingestor.send(frame(0))
            take(receiver)
            raise RuntimeError("a frame nobody was prepared for")

    with pytest.raises(RuntimeError):
        fail()
    ingestor.listen(beat=False)
    assert wire.Bye() not in ingestor.heard


def test_it_waits_for_an_ingestor_that_is_not_there_yet(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "SAY_SILENT_S", 0.1)
    with Receiver([endpoint], worker="worker", credit=2) as receiver:
        wait_for(lambda: "no answer from ingestor" in caplog.text)
        with Puppet(context, endpoint) as ingestor:
            ingestor.welcome()
            ingestor.send(frame(0))
            assert same(take(receiver), frame(0))
    assert caplog.text.count("no answer from ingestor") == 1


def test_each_ingestor_has_its_own_credit_and_gets_its_own_done(
    context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    endpoints = [ipc(tmp_path / "a"), ipc(tmp_path / "b")]
    with (
        Puppet(context, endpoints[0]) as a,
        Puppet(context, endpoints[1]) as b,
        Receiver([*endpoints, endpoints[0]], worker="worker", credit=1) as receiver,
    ):
        for ingestor, camera in ((a, "left"), (b, "right")):
            ingestor.welcome()
            ingestor.send(frame(0, camera=camera))
        assert sorted(take(receiver).header.camera for _ in range(2)) == ["left", "right"]
        receiver.done(frame(0, camera="right"))
        b.wait(lambda: b.done and b.credit == 1)
        a.listen()
        assert a.done == []


@pytest.mark.parametrize(
    ("endpoints", "credit", "says"),
    [
        ([], 1, "LOOMWATCH_WORKER_INGESTORS"),
        (["carrier://pigeon"], 1, "cannot connect to carrier://pigeon"),
        (["tcp://127.0.0.1"], 1, "tcp://127.0.0.1 is no address: write tcp://HOST:PORT"),
        (["tcp://127.0.0.1:5555"], 0, r"credit must be in \[1, 64\], got 0"),
    ],
)
def test_an_address_that_cannot_be_is_one_clear_error(endpoints: list[str], credit: int, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Receiver(endpoints, worker="worker", credit=credit).__enter__()


def test_a_thread_that_fails_is_told_to_the_worker(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Receiver, link: object) -> None:
        raise RuntimeError("out of sockets")

    monkeypatch.setattr(Receiver, "_keep_alive", fail)
    with Receiver([endpoint], worker="worker", credit=1) as receiver:
        for _ in range(2):
            with pytest.raises(ServiceError, match="out of sockets"):
                receiver.receive(5.0)


def test_with_a_real_ingestor_that_restarts_everything_arrives_once(tmp_path: Path, endpoint: str) -> None:
    """Frames 0 to 9 before a restart in the middle of work, 10 to 19 after it."""
    seen: list[tuple[str, int]] = []

    def run(receiver: Receiver, first: int, until: int, *, session: str) -> None:
        with ExitStack() as stack:
            bell = Bell()
            stack.callback(bell.close)
            spool = stack.enter_context(Spool(tmp_path / "spool", memory_bytes=10**7, disk_bytes=10**7, bell=bell))
            context = stack.enter_context(zmq.Context())
            stack.enter_context(Sender(context, endpoint, spool, bell, lease_s=30.0, heartbeat_s=HEARTBEAT_S))
            camera = spool.begin(line=LINE, camera=CAMERA, session=session, started_at_ns=1)
            for sequence in range(first, first + 10):
                camera.put(frame(sequence, session=session), wait=False, stop=NEVER)
            while len([record for record in seen if record[0] != "count"]) < until:
                record = take(receiver)
                match record:
                    case TiledFrame():
                        seen.append((record.header.session, record.header.sequence))
                    case Gap():
                        raise AssertionError(record.reason)
                    case Capture():
                        seen.append(("count", record.frames))
                receiver.done(record)

    with Receiver([endpoint], worker="worker", credit=3) as receiver:
        run(receiver, 0, 4, session=SESSION)
        run(receiver, 0, 20, session="later")
    frames = [record for record in seen if record[0] != "count"]
    assert sorted(frames) == [(session, sequence) for session in (SESSION, "later") for sequence in range(10)]
    assert ("count", 10) in seen
