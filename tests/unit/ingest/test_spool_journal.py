from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import journal as module
from ingest.journal import Journal, Passed, read_journal
from tests.transport import capture

TOTAL = capture(0)


def passed(sequence: int, *, reason: str = "", length_mm: float = 10.0) -> Passed:
    return Passed(sequence, 1000 + sequence, 10.0 * sequence, 10.0 * sequence + length_mm, reason)


def a_journal(folder: Path) -> Journal:
    journal = Journal(folder / "session" / "journal", TOTAL)
    journal.rewrite()
    return journal


def test_what_was_captured_and_not_done_is_read_back(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    for sequence in range(4):
        journal.passed(passed(sequence))
    journal.done(0)
    journal.done(2)
    journal.passed(passed(3, reason="spool_damaged"))
    back = read_journal(journal.path)
    assert back is not None
    assert back.waiting == {1: passed(1), 3: passed(3, reason="spool_damaged")}
    assert back.capture == journal.capture
    assert back.capture.frames == 4
    assert back.capture.captured_mm == 40.0
    assert not back.capture.ended


def test_an_ended_session_is_ended_when_read_back(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    journal.passed(passed(0))
    journal.end()
    back = read_journal(journal.path)
    assert back is not None
    assert back.capture.ended
    assert back.capture.captured_mm == 10.0


def test_a_missing_journal_is_none(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "journal") is None


@given(cut=st.integers(1, 200), count=st.integers(1, 5))
def test_a_torn_last_write_costs_only_what_had_not_been_acted_upon(
    tmp_path_factory: pytest.TempPathFactory, cut: int, count: int
) -> None:
    journal = a_journal(tmp_path_factory.mktemp("torn"))
    before = journal.path.stat().st_size
    for sequence in range(count):
        before = journal.path.stat().st_size
        journal.passed(passed(sequence))
    whole = journal.path.read_bytes()
    last = len(whole) - before
    journal.path.write_bytes(whole[: len(whole) - min(cut, last)])
    back = read_journal(journal.path)
    assert back is not None
    torn = 0 if cut == 0 else 1
    # A cut of the newline alone leaves the last line whole.
    assert back.capture.frames in ({count, count - torn} if cut == 1 else {count - torn})
    assert sorted(back.waiting) == list(range(back.capture.frames))


def test_a_damaged_line_leaves_a_gap_with_the_place_between_its_neighbours(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    for sequence in range(4):
        journal.passed(passed(sequence))
    lines = journal.path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"sequence":1', b'"sequence":9')
    lines[3] = b"\xff" * 30 + b"\n"
    journal.path.write_bytes(b"".join(lines))
    back = read_journal(journal.path)
    assert back is not None
    assert back.capture.frames == 4
    assert back.capture.captured_mm == pytest.approx(40.0)
    for sequence in (1, 2):
        hole = back.waiting[sequence]
        assert hole.reason == "spool_damaged: its line in the journal is gone"
        assert hole.position_from_mm == pytest.approx(10.0 * sequence)
        assert hole.position_to_mm == pytest.approx(10.0 * sequence + 10.0)


def test_a_long_session_keeps_a_small_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPACT_BYTES", 2000)
    journal = a_journal(tmp_path)
    journal._compact_at = 2000
    for sequence in range(500):
        journal.passed(passed(sequence))
        if sequence != 7:
            journal.done(sequence)
        assert journal.path.stat().st_size < 3000
    back = read_journal(journal.path)
    assert back is not None
    assert list(back.waiting) == [7]
    assert back.capture == journal.capture
    assert back.capture.frames == 500


def test_a_full_disk_is_survived_and_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    journal = a_journal(tmp_path)
    journal.passed(passed(0))
    away = tmp_path / "away"
    journal.path.parent.rename(away)
    journal.path.parent.write_bytes(b"a file where the folder should be refuses every write")
    journal.passed(passed(1))
    journal.done(0)
    journal.sync()
    journal.path.parent.unlink()
    away.rename(journal.path.parent)
    assert list(read_journal(journal.path).waiting) == [0]
    journal.passed(passed(2))
    back = read_journal(journal.path)
    assert back is not None
    assert list(back.waiting) == [1, 2]
    assert back.capture.frames == 3


@given(
    st.lists(
        st.one_of(st.just("frame"), st.just("gap"), st.integers(0, 30), st.just("compact"), st.just("end")), max_size=40
    )
)
def test_whatever_happened_the_account_read_back_is_the_account(
    tmp_path_factory: pytest.TempPathFactory, events: list[str | int]
) -> None:
    journal = a_journal(tmp_path_factory.mktemp("any"))
    for event in events:
        if event == "compact":
            journal.rewrite()
        elif event == "end":
            journal.end()
        elif isinstance(event, int):
            journal.done(event)
        else:
            journal.passed(passed(journal.capture.frames, reason="" if event == "frame" else "no_fabric"))
    back = read_journal(journal.path)
    assert back is not None
    assert back.capture == journal.capture
    assert back.waiting == journal.waiting
