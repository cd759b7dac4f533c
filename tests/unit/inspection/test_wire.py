import contextlib
import dataclasses
import tracemalloc
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspection import wire
from inspection.errors import WireError
from inspection.types import TiledFrame
from inspection.wire import RecordKey, decode_from_worker, decode_to_worker, encode, encode_record, key_of
from tests.states import camera_state, ingest_state
from tests.transport import capture, frame, gap, same

KEY = RecordKey("record", "camera", "session", 7)
FROM_WORKER = [
    wire.Hello("worker-1", wire.PROTOCOL, 3, (KEY,), (KEY, RecordKey("end", "c", "s", 0))),
    wire.Credit(2),
    wire.Done(KEY),
    wire.Beat(),
    wire.Bye(),
]
RECORDS = [frame(3), frame(4, channels=3), gap(5), capture(6), capture(7, ended=True)]


def packed(**changes: object) -> list[bytes]:
    """A frame's message with fields of the message or its header changed, and pixels that fit the original."""
    header, pixels = encode_record(frame(0))
    fields = msgspec.msgpack.decode(header)
    for name, value in changes.items():
        (fields if name in fields else fields["header"])[name] = value
    return [msgspec.msgpack.encode(fields), bytes(pixels)]


@pytest.mark.parametrize("message", FROM_WORKER)
def test_what_a_worker_says_arrives_as_it_was(message: wire.FromWorker) -> None:
    assert decode_from_worker(encode(message)) == message


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_arrives_as_it_was(record: wire.Record) -> None:
    back = decode_to_worker([bytes(part) for part in encode_record(record)])
    assert same(back, record)
    assert key_of(back) == key_of(record)


def test_a_welcome_arrives_as_it_was() -> None:
    welcome = wire.Welcome(protocol=1, attempt=2, lease_s=30.0, heartbeat_s=1.0)
    assert decode_to_worker(encode(welcome)) == welcome


def test_pixels_are_not_copied_on_the_way_out_or_in() -> None:
    sent = frame(0)
    parts = encode_record(sent)
    assert np.shares_memory(np.frombuffer(parts[1], np.uint8), sent.tiles)
    received = decode_to_worker(parts)
    assert isinstance(received, TiledFrame)
    assert np.shares_memory(received.tiles, sent.tiles)


def test_received_tiles_are_read_only() -> None:
    received = decode_to_worker([bytes(part) for part in encode_record(frame(0))])
    with pytest.raises(ValueError, match="read-only"):
        received.tiles[0] = 0


def test_tiles_that_do_not_lie_together_are_sent_right() -> None:
    scattered = replace(frame(0), tiles=np.repeat(frame(0).tiles, 2, axis=3)[:, :, :, ::2])
    assert same(decode_to_worker([bytes(part) for part in encode_record(scattered)]), frame(0))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tiles": 5}, "5 tiles of 32 px need 5120 bytes of pixels, got 6144"),
        ({"tiles": -6}, "bytes of pixels"),
        ({"tiles": 2**60}, "bytes of pixels"),
        ({"tile_px": 0}, "tile size must be"),
        ({"tile_px": 1, "tiles": 6144, "height_px": 65536, "width_px": 65536, "fabric_right_px": 65536}, "tiles, got"),
        ({"tile_px": 64, "tiles": 1, "overlap_px": 70}, "need|impossible tiling"),
        ({"overlap_px": 32}, "impossible tiling: overlap must be"),
        ({"overlap_px": -1}, "impossible tiling"),
        ({"overlap_px": 31}, "takes 33 x 65 tiles"),
        ({"channels": 2}, "1 or 3 channels, got 2"),
        ({"height_px": 0}, "sides must be"),
        ({"width_px": 70_000, "fabric_right_px": 70_000}, "sides must be"),
        ({"height_px": 31}, "impossible tiling"),
        ({"fabric_left_px": 96}, "fabric edges"),
        ({"fabric_right_px": 97}, "fabric edges"),
        ({"fabric_left_px": -1}, "fabric edges"),
        ({"mm_per_px": 0.0}, "mm per pixel"),
        ({"mm_per_px": float("nan")}, "mm per pixel"),
        ({"position_mm": float("inf")}, "position_mm"),
        ({"x_offset_mm": float("nan")}, "x_offset_mm"),
        ({"gain": float("nan")}, "gain"),
        ({"sequence": -1}, "sequence number"),
        ({"sequence": 2**31}, "sequence number"),
        ({"captured_at_ns": -1}, "captured_at_ns"),
        ({"captured_at_ns": 2**63}, "captured_at_ns"),
        ({"camera": ""}, "a camera is"),
        ({"camera": "a\0b"}, "a camera is"),
        ({"line": "x" * 129}, "a line is"),
        ({"session": "two\nlines"}, "a session is"),
        ({"origin": "a\0b"}, "a origin has|zero byte"),
        ({"quality_flags": ["x"] * 17}, "quality flags"),
        ({"sequence": "7"}, "not an ingestor's message"),
    ],
)
def test_a_frame_that_does_not_add_up_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(WireError, match=says):
        decode_to_worker(packed(**changes))


@pytest.mark.parametrize(
    "record",
    [
        replace(gap(0), position_to_mm=-1.0),
        replace(gap(0), position_from_mm=float("nan")),
        replace(gap(0), reason="x" * 5000),
        replace(capture(1), captured_mm=-1.0),
        replace(capture(1), frames=-1),
        replace(capture(1), line=""),
    ],
)
def test_a_gap_or_count_that_cannot_be_is_refused(record: wire.Record) -> None:
    with pytest.raises(WireError):
        decode_to_worker(encode_record(record))


@pytest.mark.parametrize("heartbeat_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_welcome_that_would_stall_or_spin_the_worker_is_refused(heartbeat_s: float) -> None:
    with pytest.raises(WireError, match="heartbeat_s"):
        decode_to_worker(encode(wire.Welcome(protocol=1, attempt=1, lease_s=1.0, heartbeat_s=heartbeat_s)))


@pytest.mark.parametrize("records", [0, -1, 1025])
def test_credit_beyond_reason_is_refused(records: int) -> None:
    with pytest.raises(WireError, match=f"got {records}"):
        decode_from_worker(encode(wire.Credit(records)))


def test_a_message_of_no_or_too_many_parts_is_refused() -> None:
    for parts in ([], [b"", b"", b""]):
        with pytest.raises(WireError, match="1 or 2 parts"):
            decode_from_worker(parts)
    with pytest.raises(WireError, match="1 part, got 2"):
        decode_from_worker([*encode(wire.Beat()), b""])
    with pytest.raises(WireError, match="2 parts, got 1"):
        decode_to_worker(packed()[:1])
    with pytest.raises(WireError, match="only a frame"):
        decode_to_worker([*encode_record(gap(0)), b""])


def test_a_header_beyond_its_bound_is_refused_unread() -> None:
    with pytest.raises(WireError, match="at most 65536 bytes, got 65537"):
        decode_to_worker([b"\0" * 65_537])


def check_only_wire_errors(parts: list[bytes]) -> None:
    for decode in (decode_from_worker, decode_to_worker):
        with contextlib.suppress(WireError):
            decode(parts)


@given(st.lists(st.binary(max_size=200), max_size=3))
@example([b"\x82\xa4type\xa5hello\xa6worker\xa2\xff\xfe"])  # not UTF-8
@example([b"\x82\xa4type\xa5hello\xa1x" + b"\x91" * 60_000])  # nested beyond Python's stack
@example([b"\xdf\xff\xff\xff\xff"])  # claims a map of 2**32 - 1 entries
@example([b"\xc6\xff\xff\xff\xff"])  # claims 4 GB
def test_random_bytes_only_ever_raise_wire_errors(parts: list[bytes]) -> None:
    check_only_wire_errors(parts)


REAL = [encode(message) for message in FROM_WORKER] + [
    [bytes(part) for part in encode_record(record)] for record in RECORDS
]


@given(
    st.sampled_from(REAL),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 10_000),
    st.booleans(),
)
def test_mutated_messages_only_ever_raise_wire_errors(
    parts: list[bytes], changes: list[tuple[int, int]], cut_at: int, truncate: bool
) -> None:
    header = bytearray(parts[0])
    for place, value in changes:
        header[place % len(header)] = value
    if truncate:
        del header[cut_at % len(header) :]
    check_only_wire_errors([bytes(header), *parts[1:]])


@given(
    st.dictionaries(
        st.sampled_from(
            ["tile_px", "overlap_px", "channels", "tiles", "height_px", "width_px", "fabric_left_px", "fabric_right_px"]
        ),
        st.one_of(st.integers(-3, 70_000), st.integers(-(2**63), 2**64 - 1)),
        min_size=1,
    )
)
def test_no_geometry_makes_a_worker_allocate_beyond_the_bound(changes: dict[str, object]) -> None:
    parts = packed(**changes)
    tracemalloc.start()
    try:
        decode_to_worker(parts)
    except WireError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    fields = msgspec.msgpack.decode(encode(wire.Credit(2))[0]) | {"colour": "blue"}
    assert decode_from_worker([msgspec.msgpack.encode(fields)]) == wire.Credit(2)


def test_counts_and_their_end_have_different_keys() -> None:
    keys = {key_of(capture(5)), key_of(capture(5, ended=True)), key_of(capture(6)), key_of(gap(5))}
    assert len(keys) == 4
    assert key_of(gap(5)) == key_of(frame(5))


def test_every_field_of_a_header_is_sent() -> None:
    sent = frame(1).header
    fields = msgspec.msgpack.decode(encode_record(frame(1))[0])["header"]
    assert set(fields) == {field.name for field in dataclasses.fields(sent)}


def test_an_ingestors_state_arrives_in_parts_of_sixteen_cameras() -> None:
    cameras = tuple(camera_state(f"camera-{number}", gaps={"seam": number}) for number in range(35))
    state = ingest_state(cameras=cameras, workers=2, credit=3)
    messages = wire.state_messages(state)
    assert [message.part for message in messages] == [0, 1, 2]
    back = [wire.decode_to_worker(wire.encode(message)) for message in messages]
    assert back == messages
    assert sum((message.state.cameras for message in back), ()) == cameras
    assert wire.state_messages(ingest_state()) == [wire.StateMessage(0, ingest_state())]


@pytest.mark.parametrize(
    "state",
    [
        ingest_state(name=""),
        ingest_state(credit=-1),
        ingest_state(sent=2**60),
        ingest_state(cameras=(camera_state("x" * 200),)),
        ingest_state(cameras=(camera_state(frames_per_s=float("nan")),)),
        ingest_state(cameras=(camera_state(gaps={"a\nb": 1}),)),
        ingest_state(cameras=(camera_state(gaps={f"r{n}": 1 for n in range(99)}),)),
        ingest_state(cameras=(camera_state(warnings=("w",) * 9),)),
        ingest_state(cameras=(camera_state(),) * 17),
    ],
)
def test_an_impossible_state_is_refused(state) -> None:
    with pytest.raises(WireError):
        wire.decode_to_worker(wire.encode(wire.StateMessage(0, state)))
