"""Real sockets over tcp: who gets in, what a hostile peer can do, and which ingestors a worker finds."""

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_worker import receiver as receiver_module
from inference_worker.receiver import Keys, Receiver
from ingest.admission import Admission
from ingest.sender import Sender
from ingest.spool import Session, Spool
from inspection import wire
from inspection.errors import SettingsError
from inspection.keys import new_key, public_key, revoke_key
from inspection.wakeup import Bell
from inspection.wire import encode, encode_record
from tests.ports import free_port
from tests.transport import CAMERA, LINE, SESSION, Puppet, capture, frame, gap, same
from tests.waiting import wait_for

pytestmark = pytest.mark.integration

NEVER = threading.Event()
HEARTBEAT_S = 0.1


class Ingestor:
    """A spool and a sender as the service has them, without cameras, at a tcp address of this machine."""

    def __init__(
        self, stack: ExitStack, folder: Path, *, keys: Path | None = None, host: str = "127.0.0.1", port: int = 0,
        key: str = "ingest",
    ) -> None:  # fmt: skip
        self.endpoint = f"tcp://{host}:{port or free_port(host)}"
        bell = Bell()
        stack.callback(bell.close)
        self.spool = stack.enter_context(Spool(folder / f"spool-{host}", memory_bytes=10**7, disk_bytes=0, bell=bell))
        self.context = stack.enter_context(zmq.Context())
        self.admission = None if keys is None else stack.enter_context(Admission(self.context, keys, key))
        self.sender = stack.enter_context(
            Sender(
                self.context, self.endpoint, self.spool, bell, lease_s=30.0, heartbeat_s=HEARTBEAT_S,
                admission=self.admission,
            )
        )  # fmt: skip
        self.session: Session = self.spool.begin(line=LINE, camera=CAMERA, session=SESSION + host, started_at_ns=1)

    def put(self, *sequences: int) -> None:
        for sequence in sequences:
            name = self.session.journal.capture.session
            assert self.session.put(frame(sequence, session=name), wait=False, stop=NEVER)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(receiver_module, "RENEW_S", 0.3)
    folder = tmp_path / "keys"
    new_key(folder, "ingest", "ingest")
    new_key(folder, "gpu-1", "worker")
    return folder


def take(receiver: Receiver) -> wire.Record:
    record = receiver.receive(30.0)
    assert record is not None
    receiver.done(record)
    return record


def test_a_listed_key_gets_frames_encrypted(stack: ExitStack, tmp_path: Path, keys: Path) -> None:
    ingestor = Ingestor(stack, tmp_path, keys=keys)
    ingestor.put(0)
    receiver = stack.enter_context(Receiver([ingestor.endpoint], worker="w", credit=1, keys=Keys(keys, "gpu-1")))
    assert same(take(receiver), frame(0, session=SESSION + "127.0.0.1"))
    wait_for(lambda: ingestor.spool.empty)
    assert ingestor.admission is not None
    assert ingestor.admission.refused == 0


def test_an_unlisted_key_gets_nothing_is_counted_and_is_let_in_once_it_is_listed(
    stack: ExitStack, tmp_path: Path, keys: Path
) -> None:
    away = tmp_path / "away"
    new_key(away, "gpu-2", "worker")
    (away / "ingest.ingest.public").write_bytes((keys / "ingest.ingest.public").read_bytes())
    (away / "ingest.ingest.public").chmod(0o600)
    ingestor = Ingestor(stack, tmp_path, keys=keys)
    assert ingestor.admission is not None
    ingestor.put(0)
    receiver = stack.enter_context(Receiver([ingestor.endpoint], worker="w", credit=1, keys=Keys(away, "gpu-2")))
    wait_for(lambda: ingestor.admission.refused >= 2)  # it tries again
    assert receiver.receive(0.2) is None
    assert ingestor.sender.workers == ingestor.sender.sent == 0
    listed = keys / "gpu-2.worker.public"
    listed.touch(mode=0o600)
    listed.write_bytes((away / "gpu-2.worker.public").read_bytes())
    assert same(take(receiver), frame(0, session=SESSION + "127.0.0.1"))


def test_a_revoked_key_loses_its_connection_and_its_frames_go_to_others(
    stack: ExitStack, tmp_path: Path, keys: Path
) -> None:
    new_key(keys, "gpu-2", "worker")
    ingestor = Ingestor(stack, tmp_path, keys=keys)
    ingestor.put(0)
    first = stack.enter_context(Receiver([ingestor.endpoint], worker="a", credit=1, keys=Keys(keys, "gpu-1")))
    assert first.receive(30.0) is not None
    revoke_key(keys, "gpu-1")
    wait_for(lambda: ingestor.sender.workers == 0)
    wait_for(lambda: first.connected == 0)
    second = stack.enter_context(Receiver([ingestor.endpoint], worker="b", credit=1, keys=Keys(keys, "gpu-2")))
    assert same(take(second), frame(0, session=SESSION + "127.0.0.1"))
    assert first.receive(0.3) is None
    assert ingestor.admission is not None
    assert ingestor.admission.refused > 0


def test_without_a_key_or_with_a_wrong_server_key_nothing_is_said(stack: ExitStack, tmp_path: Path, keys: Path) -> None:
    ingestor = Ingestor(stack, tmp_path, keys=keys)
    ingestor.put(0)
    plain = stack.enter_context(Receiver([ingestor.endpoint], worker="plain", credit=1))
    new_key(keys, "other", "ingest")
    deceived = stack.enter_context(
        Receiver([ingestor.endpoint + "#other"], worker="d", credit=1, keys=Keys(keys, "gpu-1"))
    )
    assert plain.receive(1.5) is None
    assert deceived.receive(0.1) is None
    assert ingestor.sender.workers == ingestor.sender.sent == 0


def test_keys_that_are_not_there_are_refused_before_anything_is_connected(tmp_path: Path, keys: Path) -> None:
    with pytest.raises(SettingsError, match=r"left\.ingest\.public"):
        Receiver(["tcp://127.0.0.1:1#left"], worker="w", credit=1, keys=Keys(keys, "gpu-1"))
    with pytest.raises(SettingsError, match=r"gpu-9\.worker\.secret"):
        Receiver(["tcp://127.0.0.1:1"], worker="w", credit=1, keys=Keys(keys, "gpu-9"))
    with zmq.Context() as context, pytest.raises(SettingsError, match=r"left\.ingest\.secret"):
        Admission(context, keys, "left")


def grown_mb(since: int) -> float:
    return (psutil.Process().memory_info().rss - since) / 1e6


def greet(port: int, *, as_server: bool = False) -> socket.socket:
    """A ZMTP 3.0 connection by hand (RFC 23), NULL mechanism, after its handshake."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=30)
    finish_greeting(peer, b"ROUTER" if as_server else b"DEALER")
    return peer


def finish_greeting(peer: socket.socket, kind: bytes) -> None:
    peer.sendall(b"\xff" + b"\0" * 8 + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" * 32)
    ready = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    peer.sendall(b"\x04" + bytes([len(ready)]) + ready)
    received = b""
    while len(received) < 64 + 2:
        received += peer.recv(4096)


EMPTY_PART_AND_MORE = b"\x01\x00"


def send_for_ever(peer: socket.socket, bytes_: bytes, *, most: int) -> bool:
    """Sends until the other side hangs up: True. False when it took `most` bytes."""
    sent = 0
    try:
        while sent < most:
            peer.sendall(bytes_)
            sent += len(bytes_)
    except OSError:
        return True
    return False


@pytest.mark.parametrize("part", [EMPTY_PART_AND_MORE * 4096, b"\x01\xff" + b"x" * 255], ids=["empty", "filled"])
def test_a_message_that_never_ends_is_cut_and_the_memory_stays(stack: ExitStack, tmp_path: Path, part: bytes) -> None:
    ingestor = Ingestor(stack, tmp_path)
    before = psutil.Process().memory_info().rss
    port = int(ingestor.endpoint.rpartition(":")[2])
    with greet(port) as hostile:
        assert send_for_ever(hostile, part, most=400_000_000), "nobody stopped it"
    wait_for(lambda: ingestor.sender.cut == 1)
    assert grown_mb(before) < 200
    ingestor.put(0)
    worker = stack.enter_context(Puppet(ingestor.context, ingestor.endpoint, "worker"))
    worker.hello(credit=1)
    assert same(worker.wait(1)[0], frame(0, session=SESSION + "127.0.0.1"))


def test_an_ingestor_whose_message_never_ends_is_cut_by_the_worker(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_module, "MAX_PIXEL_BYTES", 1_000_000)  # so that the test need not send 256 MiB
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    receiver = stack.enter_context(Receiver([f"tcp://127.0.0.1:{server.getsockname()[1]}"], worker="w", credit=1))
    for times in (1, 2):  # it connects again, and is as safe as before
        while receiver.cut < times:
            hostile, _ = server.accept()
            with hostile, contextlib.suppress(OSError):  # it may be one that has been given up since
                finish_greeting(hostile, b"ROUTER")
                assert send_for_ever(hostile, EMPTY_PART_AND_MORE * 4096, most=100_000_000), "nobody stopped it"
                wait_for(lambda times=times: receiver.cut >= times)


def test_more_connections_than_may_be_are_closed(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.sender.MAX_WORKERS", 4)
    ingestor = Ingestor(stack, tmp_path)
    port = int(ingestor.endpoint.rpartition(":")[2])
    peers = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(20)]
    wait_for(lambda: ingestor.sender.cut == 12)
    for peer in peers:
        peer.close()
    wait_for(lambda: len(ingestor.sender._connections._open) == 0)
    stack.enter_context(Puppet(ingestor.context, ingestor.endpoint, "worker")).hello()


def test_a_worker_whose_connection_libzmq_gave_up_connects_anew(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are no ZMTP after the greeting: libzmq never tries that address again by itself."""
    monkeypatch.setattr(receiver_module, "RENEW_S", 0.5)
    port = free_port()
    with ExitStack() as hostile, socket.create_server(("127.0.0.1", port)) as server:
        receiver = stack.enter_context(Receiver([f"tcp://127.0.0.1:{port}"], worker="w", credit=1))
        peer = hostile.enter_context(server.accept()[0])
        finish_greeting(peer, b"ROUTER")
        peer.sendall(b"\xff" * 64)
    ingestor = Ingestor(stack, tmp_path, port=port)
    ingestor.put(0)
    assert same(take(receiver), frame(0, session=SESSION + "127.0.0.1"))


REAL = [
    *(encode(each) for each in (wire.Hello("w", wire.PROTOCOL, 1), wire.Credit(3), wire.Beat(), wire.Bye())),
    encode(wire.Welcome(protocol=wire.PROTOCOL, attempt=1, lease_s=1.0, heartbeat_s=1.0)),
    *([bytes(part) for part in encode_record(each)] for each in (frame(0), gap(1), capture(2))),
]
PARTS = st.one_of(
    st.sampled_from(REAL),
    st.lists(st.binary(max_size=300), min_size=1, max_size=5),
    st.tuples(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8)).map(
        lambda pair: [mutated(part, pair[1]) for part in pair[0]]
    ),
)


def mutated(part: bytes, changes: list[tuple[int, int]]) -> bytes:
    data = bytearray(part)
    for place, value in changes:
        if data:
            data[place % len(data)] = value
    return bytes(data)


@pytest.fixture(scope="module")
def under_fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ingestor, zmq.Socket[bytes]]]:
    with ExitStack() as stack:
        ingestor = Ingestor(stack, tmp_path_factory.mktemp("fuzz"))
        dealer = stack.enter_context(ingestor.context.socket(zmq.DEALER))
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(ingestor.endpoint)
        yield ingestor, dealer


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(messages=st.lists(PARTS, min_size=1, max_size=6))
def test_no_message_stops_an_ingestor(
    under_fire: tuple[Ingestor, zmq.Socket[bytes]], messages: list[list[bytes]]
) -> None:
    ingestor, dealer = under_fire
    for parts in messages:
        dealer.send_multipart(parts)
    while dealer.poll(0):
        dealer.recv_multipart()
    assert ingestor.sender.alive


def test_after_all_of_them_it_serves_as_before(under_fire: tuple[Ingestor, zmq.Socket[bytes]]) -> None:
    ingestor, _ = under_fire
    ingestor.put(*range(ingestor.session.next_sequence, ingestor.session.next_sequence + 1))
    with Puppet(ingestor.context, ingestor.endpoint, "worker") as worker:
        worker.hello(credit=9)
        worker.wait(1)
    assert ingestor.sender.error is None


@pytest.mark.parametrize("seed", range(8))
def test_no_bytes_stop_an_ingestor(stack: ExitStack, tmp_path: Path, seed: int) -> None:
    """Below the messages: a raw connection, with and without a proper greeting."""
    random_ = random.Random(seed)
    ingestor = Ingestor(stack, tmp_path)
    port = int(ingestor.endpoint.rpartition(":")[2])
    before = psutil.Process().memory_info().rss
    for _ in range(20):
        with greet(port) if seed % 2 else socket.create_connection(("127.0.0.1", port)) as peer:
            send_for_ever(peer, random_.randbytes(random_.randint(1, 5000)), most=20_000)
    assert grown_mb(before) < 100
    ingestor.put(0)
    worker = stack.enter_context(Puppet(ingestor.context, ingestor.endpoint, "worker"))
    worker.hello(credit=1)
    worker.wait(1)


def test_no_message_stops_a_worker(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    context = stack.enter_context(zmq.Context())
    router = stack.enter_context(context.socket(zmq.ROUTER))
    router.setsockopt(zmq.LINGER, 0)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    receiver = stack.enter_context(Receiver([f"tcp://127.0.0.1:{port}"], worker="w", credit=2))
    peer, *_ = router.recv_multipart()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(messages=st.lists(PARTS, min_size=1, max_size=6))
    def fire(messages: list[list[bytes]]) -> None:
        for parts in messages:
            router.send_multipart([peer, *parts])
        while router.poll(0):
            router.recv_multipart()
        receiver.receive(0.0)
        assert receiver._thread.is_alive()

    fire()
    assert receiver._error is None


def test_every_address_of_a_name_is_an_ingestor_new_ones_are_noticed_and_gone_ones_forgotten(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_module, "FORGET_S", 0.3)
    port = free_port("0.0.0.0")
    first = Ingestor(stack, tmp_path, host="127.0.0.1", port=port)
    second_stack = stack.enter_context(ExitStack())
    second = Ingestor(second_stack, tmp_path, host="127.0.0.2", port=port)
    addresses = {"127.0.0.1", "127.0.0.2"}
    away = False

    def resolve(host: str) -> set[str]:
        assert host == "ingest.plant"
        if away:
            raise OSError("the name server is away")
        return set(addresses)

    receiver = stack.enter_context(
        Receiver([f"tcp://ingest.plant:{port}"], worker="w", credit=1, discover_s=0.05, resolve=resolve)
    )
    wait_for(lambda: receiver.connected == 2)
    third = Ingestor(stack, tmp_path, host="127.0.0.3", port=port)
    addresses.add("127.0.0.3")
    wait_for(lambda: receiver.connected == 3)
    third.put(0)
    assert take(receiver).header.session.endswith("127.0.0.3")
    addresses.remove("127.0.0.2")
    time.sleep(0.3)
    assert receiver.connected == 3, "one that still answers is not left because a name server forgot it"
    second.put(0)
    assert take(receiver).header.session.endswith("127.0.0.2")
    away = True
    second_stack.close()
    wait_for(lambda: len(receiver._wires) == 2)
    first.put(0)
    assert take(receiver).header.session.endswith("127.0.0.1")


def test_a_real_name_is_looked_up(stack: ExitStack, tmp_path: Path) -> None:
    host = socket.gethostname()
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)}
    except OSError:
        pytest.skip("this host's own name cannot be looked up")
    address = addresses.pop()
    ingestor = Ingestor(stack, tmp_path, host=address)
    port = ingestor.endpoint.rpartition(":")[2]
    receiver = stack.enter_context(Receiver([f"tcp://{host}:{port}"], worker="w", credit=1))
    wait_for(lambda: receiver.connected == 1)
    assert list(receiver._wires) != [f"tcp://{host}:{port}"]


def test_one_ingestor_by_two_addresses_gives_a_record_once_and_is_told_by_both(
    stack: ExitStack, tmp_path: Path
) -> None:
    ingestor = Ingestor(stack, tmp_path, host="0.0.0.0")
    port = ingestor.endpoint.rpartition(":")[2]
    receiver = stack.enter_context(
        Receiver([f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.2:{port}"], worker="w", credit=2)
    )
    ingestor.put(*range(10))
    seen = sorted(take(receiver).header.sequence for _ in range(10))
    assert seen == list(range(10))
    wait_for(lambda: ingestor.spool.empty)


def test_a_public_key_is_what_the_other_side_needs(keys: Path) -> None:
    assert len(public_key(keys, "gpu-1", "worker")) == 40
