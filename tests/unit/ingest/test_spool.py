import errno
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest import spool as module
from ingest.spool import Session, Spool
from inspection.errors import ServiceError
from inspection.types import Capture, Gap, TiledFrame
from inspection.wakeup import Bell
from inspection.wire import Record, RecordKey, decode_to_worker
from tests.transport import CAMERA, FRAME_BYTES, LENGTH_MM, LINE, SESSION, frame, gap, same
from tests.waiting import wait_for

NEVER = threading.Event()
MANY = 1000 * FRAME_BYTES


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell()
    yield bell
    bell.close()


def a_spool(folder: Path, bell: Bell, *, memory: int = MANY, disk: int = MANY) -> Spool:
    return Spool(folder, memory_bytes=memory, disk_bytes=disk, bell=bell)


def begin(spool: Spool, session: str = SESSION) -> Session:
    return spool.begin(line=LINE, camera=CAMERA, session=session, started_at_ns=1)


def killed(spool: Spool) -> None:
    """As if the process had died: nothing is written any more, the kernel frees the lock."""
    spool._closed = True
    spool._unlock()


def read(spool: Spool, key: RecordKey) -> Record:
    parts = spool.load(key)
    assert parts is not None
    record = decode_to_worker([bytes(part) for part in parts])
    assert isinstance(record, TiledFrame | Gap | Capture)
    return record


def drain(spool: Spool) -> list[Record]:
    """Everything that waits, as a worker would take it."""
    records = []
    while keys := spool.fresh():
        for key in keys:
            if spool.load(key) is not None:
                records.append(read(spool, key))
                spool.done(key)
    return records


def sequences(records: list[Record]) -> list[int]:
    return [record.header.sequence if isinstance(record, TiledFrame) else record.sequence for record in records
            if not isinstance(record, Capture)]  # fmt: skip


def test_a_record_waits_until_it_is_done(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell) as spool:
        session = begin(spool)
        assert session.put(frame(0), wait=False, stop=NEVER)
        assert session.put(gap(1), wait=False, stop=NEVER)
        first, second = spool.fresh()
        assert same(read(spool, first), frame(0))
        assert same(read(spool, first), frame(0))
        assert read(spool, second) == gap(1)
        spool.done(first)
        spool.done(first)
        assert spool.load(first) is None
        spool.done(second)
        assert spool.empty
        assert session.next_sequence == 2


def test_memory_fills_first_then_disk_then_a_live_camera_drops_its_newest(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell, memory=2 * FRAME_BYTES, disk=FRAME_BYTES) as spool:
        session = begin(spool)
        for sequence in range(4):
            assert session.put(frame(sequence), wait=False, stop=NEVER)
        assert [path.name for path in session.folder.glob("*.frame")] == ["00000002.frame"]
        figures = spool.figures
        assert (figures.memory_bytes, figures.disk_bytes, figures.gaps) == (2 * FRAME_BYTES, FRAME_BYTES, 1)
        records = drain(spool)
        assert sequences(records) == [0, 1, 2, 3]
        assert all(same(records[sequence], frame(sequence)) for sequence in range(3))
        assert records[3] == gap(3, reason="spool_full")
        assert not list(session.folder.glob("*.frame"))
        assert spool.figures == module.SpoolFigures(
            records=0,
            gaps=0,
            memory_bytes=0,
            memory_limit_bytes=2 * FRAME_BYTES,
            disk_bytes=0,
            disk_limit_bytes=FRAME_BYTES,
            waiting={},
            all_gaps={(CAMERA, "spool_full"): 1},
        )
        assert spool.figures.gaps_of(CAMERA) == {"spool_full": 1}
        assert spool.figures.gaps_of("another") == {}


def test_a_source_that_can_wait_waits_for_room(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell, memory=FRAME_BYTES, disk=FRAME_BYTES) as spool:
        session = begin(spool)

        def put() -> None:
            for sequence in range(8):
                session.put(frame(sequence), wait=True, stop=NEVER)

        putting = threading.Thread(target=put)
        putting.start()
        wait_for(lambda: spool.figures.records == 2)
        records: list[Record] = []
        while len(records) < 8:
            records += drain(spool)
        putting.join()
        assert sequences(records) == list(range(8))
        assert all(isinstance(record, TiledFrame) for record in records)


def test_who_waits_for_room_is_let_go_at_a_stop_and_has_captured_nothing(tmp_path: Path, bell: Bell) -> None:
    stop = threading.Event()
    with a_spool(tmp_path, bell, memory=FRAME_BYTES, disk=0) as spool:
        session = begin(spool)
        session.put(frame(0), wait=True, stop=stop)
        stop.set()
        assert not session.put(frame(1), wait=True, stop=stop)
        assert session.next_sequence == 1


def test_a_frame_larger_than_the_memory_bound_still_passes_alone(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell, memory=1, disk=0) as spool:
        session = begin(spool)
        assert session.put(frame(0), wait=True, stop=NEVER)
        assert session.put(frame(1), wait=False, stop=NEVER)
        assert [type(record) for record in drain(spool)] == [TiledFrame, Gap]


@pytest.mark.parametrize("live", [True, False])
def test_a_disk_that_refuses_is_a_gap_for_a_camera_and_a_pause_for_a_file(
    tmp_path: Path, bell: Bell, monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    def refuse(path: Path, frame: TiledFrame) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(module, "write_frame", refuse)
    with a_spool(tmp_path, bell, memory=FRAME_BYTES) as spool:
        session = begin(spool)
        session.put(frame(0), wait=not live, stop=NEVER)
        putting = threading.Thread(target=session.put, args=(frame(1),), kwargs={"wait": not live, "stop": NEVER})
        putting.start()
        records: list[Record] = []
        while len(records) < 2:
            records += drain(spool)
        putting.join()
        assert spool.figures.disk_bytes == 0
        if live:
            assert records[1] == gap(1, reason="spool_full: No space left on device")
        else:
            assert same(records[1], frame(1))


def test_an_orderly_stop_loses_nothing(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell) as spool:
        session = begin(spool)
        for sequence in range(3):
            session.put(frame(sequence), wait=False, stop=NEVER)
        session.put(gap(3), wait=False, stop=NEVER)
    with a_spool(tmp_path, bell) as spool:
        records = drain(spool)
        assert sequences(records) == [0, 1, 2, 3]
        assert all(same(records[sequence], frame(sequence)) for sequence in range(3))
        assert records[3] == gap(3)
        (count,) = [record for record in records if isinstance(record, Capture)]
        assert count.ended
        assert (count.frames, count.captured_mm, count.started_at_ns) == (4, 4 * LENGTH_MM, 1)
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_at_a_stop_what_the_disk_may_not_hold_becomes_gaps(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell, disk=FRAME_BYTES) as spool:
        session = begin(spool)
        session.put(frame(0), wait=False, stop=NEVER)
        session.put(frame(1), wait=False, stop=NEVER)
    with a_spool(tmp_path, bell) as spool:
        records = drain(spool)
        assert same(records[0], frame(0))
        assert records[1] == gap(1, reason="spool_full: at the stop")


def test_after_a_kill_each_captured_frame_is_there_or_is_a_gap(tmp_path: Path, bell: Bell) -> None:
    spool = a_spool(tmp_path, bell, memory=2 * FRAME_BYTES).__enter__()
    session = begin(spool)
    for sequence in range(5):
        session.put(frame(sequence), wait=False, stop=NEVER)
    session.put(gap(5), wait=False, stop=NEVER)
    spool.done(RecordKey("record", CAMERA, SESSION, 1))
    spool.done(RecordKey("record", CAMERA, SESSION, 3))
    killed(spool)
    with a_spool(tmp_path, bell) as spool:
        records = drain(spool)
        assert sequences(records) == [0, 2, 4, 5]
        assert records[0] == gap(0, reason="ingest_restarted")
        assert same(records[1], frame(2))
        assert same(records[2], frame(4))
        assert records[3] == gap(5)
        assert isinstance(records[4], Capture)
        assert records[4].ended
        assert records[4].captured_mm == pytest.approx(6 * LENGTH_MM)


def test_killed_twice_before_a_worker_came_it_is_the_same(tmp_path: Path, bell: Bell) -> None:
    spool = a_spool(tmp_path, bell).__enter__()
    begin(spool).put(frame(0), wait=False, stop=NEVER)
    killed(spool)
    killed(a_spool(tmp_path, bell).__enter__())
    with a_spool(tmp_path, bell) as spool:
        records = drain(spool)
        assert records[0] == gap(0, reason="ingest_restarted")
        assert isinstance(records[1], Capture)
        assert len(records) == 2


def test_killed_between_a_file_and_its_line_the_frame_counts(tmp_path: Path, bell: Bell) -> None:
    spool = a_spool(tmp_path, bell, memory=1).__enter__()
    session = begin(spool)
    session.put(frame(0), wait=False, stop=NEVER)
    module.write_frame(session.path(1), frame(1))
    (session.folder / "00000002.tmp").write_bytes(b"half a fra")
    killed(spool)
    with a_spool(tmp_path, bell) as spool:
        records = drain(spool)
        assert records[0] == gap(0, reason="ingest_restarted")
        assert same(records[1], frame(1))
        assert isinstance(records[2], Capture)
        assert records[2].frames == 2
        assert len(records) == 3


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "another"])
def test_a_frame_damaged_on_disk_becomes_a_gap_in_its_place(tmp_path: Path, bell: Bell, damage: str) -> None:
    with a_spool(tmp_path, bell, memory=1) as spool:
        session = begin(spool)
        for sequence in range(3):
            session.put(frame(sequence), wait=False, stop=NEVER)
        path = session.path(1)
        if damage == "flip":
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(data)
        elif damage == "cut":
            path.write_bytes(path.read_bytes()[:100])
        elif damage == "gone":
            path.unlink()
        else:
            path.write_bytes(session.path(2).read_bytes())
        key = RecordKey("record", CAMERA, SESSION, 1)
        record = read(spool, key)
        assert isinstance(record, Gap)
        assert record.reason.startswith("spool_damaged: ")
        assert replace(record, reason="") == gap(1, reason="")
        assert not path.exists()
        killed(spool)
    with a_spool(tmp_path, bell) as spool:
        assert read(spool, key) == record


def test_a_session_without_a_readable_journal_still_sends_its_frames(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell) as spool:
        session = begin(spool)
        session.put(frame(0), wait=False, stop=NEVER)
        session.put(frame(1), wait=False, stop=NEVER)
    session.journal.path.write_bytes(b"\0" * 500)
    with a_spool(tmp_path, bell) as spool:
        records = drain(spool)
        assert same(records[0], frame(0))
        assert same(records[1], frame(1))


def test_former_sessions_go_first_the_oldest_before_all(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell) as spool:
        for day in ("20250103", "20250101", "20250102"):
            begin(spool, day).put(frame(0, session=day), wait=False, stop=NEVER)
    with a_spool(tmp_path, bell) as spool:
        begin(spool, "20250104").put(frame(0, session="20250104"), wait=False, stop=NEVER)
        days = [record.header.session for record in drain(spool) if isinstance(record, TiledFrame)]
        assert days == ["20250101", "20250102", "20250103", "20250104"]


def test_a_newer_count_takes_the_place_of_one_that_waits(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell) as spool:
        session = begin(spool)
        for sequence in range(5):
            session.put(gap(sequence), wait=False, stop=NEVER)
            session.count()
        session.count()
        session.end()
        counts = [record for record in drain(spool) if isinstance(record, Capture)]
        assert [(count.frames, count.ended) for count in counts] == [(5, True)]


def test_an_ended_session_that_is_done_leaves_nothing_on_disk(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell) as spool:
        session = begin(spool)
        session.put(frame(0), wait=False, stop=NEVER)
        session.end()
        assert session.folder.exists()
        drain(spool)
        assert not session.folder.exists()


def test_a_camera_without_a_worker_for_days_does_not_fill_the_memory_with_gaps(
    tmp_path: Path, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY_GAPS", 3)
    spool = a_spool(tmp_path, bell).__enter__()
    session = begin(spool)
    for place in range(50):
        sequence = session.next_sequence
        passing = replace(gap(place, reason="spool_full" if place < 30 else "too_dark"), sequence=sequence)
        session.put(passing, wait=False, stop=NEVER)
    assert spool.figures.records == 3
    assert session.next_sequence == 3
    killed(spool)
    with a_spool(tmp_path, bell) as spool:
        records = drain(spool)
        gaps = [record for record in records if isinstance(record, Gap)]
        assert [record.position_from_mm for record in gaps] == [0.0, LENGTH_MM, 2 * LENGTH_MM]
        assert gaps[-1].position_to_mm == 50 * LENGTH_MM
        assert gaps[-1].reason == "spool_full: and other reasons"
        (count,) = [record for record in records if isinstance(record, Capture)]
        assert count.captured_mm == pytest.approx(50 * LENGTH_MM)


def test_a_gap_a_worker_has_seen_grows_no_more(tmp_path: Path, bell: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY_GAPS", 1)
    with a_spool(tmp_path, bell) as spool:
        session = begin(spool)
        session.put(gap(0), wait=False, stop=NEVER)
        spool.load(spool.fresh()[0])
        session.put(gap(1), wait=False, stop=NEVER)
        assert spool.figures.records == 2


@pytest.mark.parametrize("memory", [MANY, 1], ids=["in memory", "on disk"])
def test_a_frame_that_is_given_up_becomes_a_gap_in_its_place_and_stays_one(
    tmp_path: Path, bell: Bell, memory: int
) -> None:
    spool = a_spool(tmp_path, bell, memory=memory).__enter__()
    session = begin(spool)
    for sequence in range(2):
        session.put(frame(sequence), wait=False, stop=NEVER)
    key = RecordKey("record", CAMERA, SESSION, 1)
    assert spool.give_up(key, "inspection_failed: 3 workers died of it")
    assert not spool.give_up(key, "again")
    assert not spool.give_up(RecordKey("record", CAMERA, SESSION, 9), "unknown")
    assert read(spool, key) == gap(1, reason="inspection_failed: 3 workers died of it")
    assert not session.path(1).exists()
    figures = spool.figures
    assert (figures.records, figures.gaps, figures.memory_bytes) == (2, 1, FRAME_BYTES)
    killed(spool)
    with a_spool(tmp_path, bell) as spool:
        assert read(spool, key) == gap(1, reason="inspection_failed: 3 workers died of it")


def test_two_processes_cannot_share_a_spool(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell), pytest.raises(ServiceError, match="another running ingest: give each its own"):
        a_spool(tmp_path, bell).__enter__()
    with a_spool(tmp_path, bell):
        pass


def test_a_spool_that_cannot_be_is_one_clear_error(tmp_path: Path, bell: Bell) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ServiceError, match=r"the spool .*file/spool cannot be used"):
        a_spool(tmp_path / "file" / "spool", bell).__enter__()


def test_a_closed_spool_takes_nothing_more(tmp_path: Path, bell: Bell) -> None:
    with a_spool(tmp_path, bell) as spool:
        session = begin(spool)
    assert not session.put(frame(0), wait=True, stop=NEVER)
    assert not session.put(gap(0), wait=False, stop=NEVER)
    session.count()
    session.end()
    assert session.next_sequence == 0


def test_a_foreign_folder_in_the_spool_is_left_alone(tmp_path: Path, bell: Bell) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "x@y").mkdir()
    (tmp_path / "x@y" / "readme").write_text("mine")
    with a_spool(tmp_path, bell) as spool:
        assert spool.empty
    assert (tmp_path / "x@y" / "readme").exists()
