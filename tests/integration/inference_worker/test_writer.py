"""The writer's thread: in order, done after the commit, and what ends it ends the worker."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import select

from inference_worker import writer as module
from inference_worker.constant import ConstantScorer
from inference_worker.figures import Figures
from inference_worker.inspect import ScoredFrame, score_frame
from inference_worker.screen import Screen
from inference_worker.writer import Writer
from inspection.errors import StorageError
from inspection.types import Capture, Gap, TiledFrame
from inspection.wire import Record, key_of
from storage.database import Database
from storage.live import Live
from storage.pictures import PictureStore
from storage.tables import CaptureRow, FrameRow, GapRow
from tests.transport import CAMERA, LENGTH_MM, LINE, SESSION, frame, gap
from tests.waiting import wait_for

pytestmark = pytest.mark.integration


def scored(sequence: int) -> ScoredFrame:
    scorer = ConstantScorer(delay_s=0)
    return score_frame(scorer, frame(sequence), style="", batch_size=8, received_at_ns=time.time_ns())


class Line:
    """What a worker gives its writer."""

    def __init__(self, database: Database, pictures: PictureStore) -> None:
        self.database, self.pictures = database, pictures
        self.done: list[Record] = []
        self.stop = threading.Event()
        self.live = Live("redis://127.0.0.1:1/0")  # nobody looks

    @contextmanager
    def writer(self, *, done: Callable[[Record], None] | None = None) -> Iterator[Writer]:
        figures = Figures()
        with Writer(
            self.database, self.pictures, figures=figures, screen=Screen(self.live, figures), besides=(),
            done=done or self.done.append, merge_mm=1.0, hang_s=0.0, stop=self.stop,
        ) as writer:  # fmt: skip
            yield writer

    def stored(self) -> set[int]:
        with self.database.reading() as session:
            return {number for table in (FrameRow, GapRow) for number in session.scalars(select(table.sequence))}


@pytest.fixture
def line(sqlite_database: Database, pictures: PictureStore) -> Iterator[Line]:
    line = Line(sqlite_database, pictures)
    yield line
    line.live.close()


def test_what_was_put_is_stored_in_order_and_done_only_once_it_is_there(line: Line) -> None:
    seen: list[set[int]] = []

    def done(record: Record) -> None:
        line.done.append(record)
        seen.append(line.stored())

    count = Capture(
        line=LINE, camera=CAMERA, session=SESSION, frames=3, captured_mm=3 * LENGTH_MM, started_at_ns=1, ended=True
    )
    with line.writer(done=done) as writer:
        for work in (scored(0), gap(1), scored(2), count):
            writer.put(work)
    assert [type(record) for record in line.done] == [TiledFrame, Gap, TiledFrame, Capture]
    assert [key_of(record).sequence for record in line.done[:3]] == [0, 1, 2]
    assert seen == [{0}, {0, 1}, {0, 1, 2}, {0, 1, 2}]
    with line.database.reading() as session:
        assert session.scalars(select(CaptureRow.ended)).all() == [True]


def test_what_ends_the_writer_is_raised_where_the_next_frame_is_put(line: Line) -> None:
    def fails(_record: Record) -> None:
        raise RuntimeError("nobody was prepared for this")

    def work() -> None:
        with line.writer(done=fails) as writer:
            while True:
                writer.put(scored(0))

    with pytest.raises(RuntimeError, match="nobody was prepared"):
        work()


def test_while_the_database_is_away_nothing_is_done_and_a_stop_is_not_held_up(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def away(*_: object) -> None:
        tries.append(1)
        raise StorageError("the database is away")

    monkeypatch.setattr(module, "store_report", away)
    with line.writer() as writer:
        writer.put(scored(0))
        writer.put(scored(1))
        wait_for(lambda: tries)
        line.stop.set()
        writer.put(scored(2))  # there is no room for it
    assert line.done == []
    assert line.stored() == set()


def test_a_database_that_comes_back_gets_everything(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    store, tries = module.store_report, []

    def away_twice(*given: object) -> object:
        tries.append(1)
        if len(tries) <= 2:
            raise StorageError("the database is away")
        return store(*given)

    monkeypatch.setattr(module, "store_report", away_twice)
    monkeypatch.setattr(module, "RETRY_S", (0.01,))
    with line.writer() as writer:
        writer.put(scored(0))
        writer.put(scored(1))
        wait_for(lambda: len(line.done) == 2)
    assert line.stored() == {0, 1}
