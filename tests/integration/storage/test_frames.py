"""Frames, gaps and counts: stored once, whole, and whatever goes wrong around them."""

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import func, select

from inspection.errors import RecordRefused, StorageError
from inspection.types import Mask
from storage.database import open_database
from storage.frames import store_capture, store_gap, store_report, store_reports
from storage.grading.stored import grade_roll
from storage.masks import decode_mask
from storage.packed_scores import unpack_scores
from storage.pictures import PictureStore
from storage.reads.roll_map import roll_map
from storage.roll_details import find_roll
from storage.rolls import close_roll, open_roll
from storage.tables import CameraRow, CaptureRow, DefectRow, FragmentRow, FrameRow, GapRow, LineRow, StyleRow
from tests.records import LENGTH_MM, LINE, at, make_capture, make_defect, make_gap, make_header, make_png, make_report

pytestmark = pytest.mark.integration


def count(database, table):
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def only(database, table):
    with database.reading() as session:
        return session.scalars(select(table)).one()


def test_a_report_comes_back_as_it_was(database, pictures):
    mask: Mask = np.eye(8, dtype=np.bool_)
    defect = make_defect(mask=mask, score=0.75, style="plain")
    assert store_report(database, pictures, make_report(7, captured_at=at(1), defects=(defect,)))
    frame, row, fragment = only(database, FrameRow), only(database, DefectRow), only(database, FragmentRow)
    assert (frame.camera, frame.session, frame.sequence) == ("camera-1", "session-1", 7)
    assert frame.captured_at == at(1)
    assert (frame.position_mm, frame.length_mm, frame.fabric_width_mm) == (7 * LENGTH_MM, LENGTH_MM, 128.0)
    assert np.allclose(unpack_scores(frame.scores, frame.tiles), np.linspace(0, 0.9, 16), rtol=1e-3)
    grid = unpack_scores(frame.grid, frame.grid_rows * frame.grid_columns).reshape(frame.grid_rows, frame.grid_columns)
    assert np.array_equal(grid, np.arange(12).reshape(3, 4))
    assert (frame.tiles, frame.inference_ms) == (16, 20.0)
    assert frame.score_max == pytest.approx(0.9)
    assert frame.score_p50 == pytest.approx(0.45)
    assert (row.frame_id, row.captured_at, row.score, row.style, row.state) == (
        frame.id,
        at(1),
        0.75,
        "plain",
        "unreviewed",
    )
    assert np.array_equal(decode_mask(fragment.mask), mask)
    assert pictures.get(fragment.crop) == pictures.get(fragment.heat) == make_png(0)


def test_names_appear_with_the_first_record_that_uses_them(database, pictures):
    store_report(database, pictures, make_report(style="twill", defects=(make_defect(style="plain"),)))
    store_report(database, pictures, make_report(1, style="twill"))
    assert [count(database, table) for table in (LineRow, CameraRow, StyleRow)] == [1, 1, 2]


def test_a_record_sent_twice_is_stored_once(database, pictures):
    report = make_report(defects=(make_defect(),))
    assert [store_report(database, pictures, report) for _ in range(3)] == [True, False, False]
    assert [store_gap(database, make_gap(1)) for _ in range(3)] == [True, False, False]
    assert [count(database, table) for table in (FrameRow, DefectRow, GapRow)] == [1, 1, 1]


def test_a_frame_that_is_there_as_a_gap_is_there_and_the_reverse(database, pictures):
    assert store_gap(database, make_gap(0))
    assert not store_report(database, pictures, make_report(0))
    assert store_report(database, pictures, make_report(1))
    assert not store_gap(database, make_gap(1))
    assert [count(database, table) for table in (FrameRow, GapRow)] == [1, 1]


def test_the_same_sequence_of_another_camera_or_session_is_another_frame(database, pictures):
    for changes in ({}, {"camera": "camera-2"}, {"session": "session-2"}):
        assert store_report(database, pictures, make_report(header=make_header(0, **changes)))
    assert count(database, FrameRow) == 3


def test_workers_that_store_the_same_records_at_once_store_each_once(database_url, tmp_path):
    """Threads with connections of their own, all sending the same frames and, for the same keys, gaps."""
    pictures, stored, failures = PictureStore(str(tmp_path / "pictures")), [], []
    barrier = threading.Barrier(4)

    def work(gaps):
        try:
            with open_database(database_url) as database:
                barrier.wait()
                for sequence in range(15):
                    if gaps:
                        done = store_gap(database, make_gap(sequence))
                    else:
                        done = store_report(database, pictures, make_report(sequence, defects=(make_defect(),)))
                    if done:
                        stored.append(sequence)
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(gaps,)) for gaps in (False, False, False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(stored) == list(range(15))
    with open_database(database_url) as database:
        assert count(database, FrameRow) + count(database, GapRow) == 15
        assert count(database, DefectRow) == count(database, FrameRow)


STORER = """
import sys
from storage.database import open_database
from storage.frames import store_report
from storage.pictures import PictureStore
from tests.records import make_defect, make_report
sys.stdin.readline()
with open_database(sys.argv[1]) as database:
    pictures = PictureStore(sys.argv[2])
    print(sum(store_report(database, pictures, make_report(n, defects=(make_defect(),))) for n in range(20)))
"""


def test_two_processes_that_store_the_same_frames_store_each_once(sqlite_url, tmp_path):
    """To PostgreSQL two processes are what two threads with connections of their own are; to a file they are not."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STORER, sqlite_url, str(tmp_path / "pictures")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    stored = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(stored) == 20
    with open_database(sqlite_url) as database:
        assert [count(database, table) for table in (FrameRow, DefectRow)] == [20, 20]


def test_a_frame_is_kept_without_the_picture_store(database, tmp_path):
    (tmp_path / "file").write_text("in the way")
    report = make_report(defects=(make_defect(), make_defect(200)))
    assert store_report(database, PictureStore(str(tmp_path / "file")), report)
    with database.reading() as session:
        assert [(row.crop, row.heat) for row in session.scalars(select(FragmentRow))] == [("", ""), ("", "")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": float("nan")}, "threshold must be a finite number, got nan"),
        ({"tile_scores": np.array([np.inf], np.float32)}, "tile_scores must be a finite number, got inf"),
        ({"tile_scores": np.zeros(0, np.float32)}, "has no scores"),
        ({"header": make_header(position_mm=float("nan"))}, "position_mm must be a finite number"),
        ({"defects": (make_defect(),), "crops": ()}, "1 defects and crops of 0"),
        (
            {"defects": (make_defect(mask=np.ones((2, 2), np.bool_)),)},
            r"mask of defect 0 is \(2, 2\), its box \(8, 8\)",
        ),
        ({"defects": (make_defect(score=float("nan")),)}, "defect 0 must be a finite number"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused_and_leaves_nothing(database, pictures, changes, message):
    with pytest.raises(StorageError, match=message):
        store_report(database, pictures, make_report(**changes))
    assert [count(database, table) for table in (LineRow, FrameRow, DefectRow)] == [0, 0, 0]


@pytest.mark.parametrize("length_mm", [-1.0, float("nan"), float("inf")])
def test_a_gap_of_an_impossible_length_is_refused(database, length_mm):
    with pytest.raises(StorageError, match="camera-1/session-1/0 cannot reach"):
        store_gap(database, make_gap(length_mm=length_mm))
    assert count(database, GapRow) == 0


@pytest.mark.parametrize(("field", "value"), [("captured_mm", -1.0), ("captured_mm", float("nan")), ("frames", -1)])
def test_an_impossible_count_is_refused_with_the_field_and_value(database, field, value):
    with pytest.raises(RecordRefused, match=f"{field} must be at least 0, got {value}"):
        store_capture(database, replace(make_capture(3), **{field: value}))
    assert count(database, CaptureRow) == 0


def test_a_count_only_ever_grows(database):
    for capture in (make_capture(5), make_capture(9), make_capture(7), make_capture(9, ended=True), make_capture(8)):
        store_capture(database, capture)
    row = only(database, CaptureRow)
    assert (row.frames, row.captured_mm, row.ended) == (9, 9 * LENGTH_MM, True)


def test_a_server_that_restarts_is_found_again(postgresql_url, pictures):
    """Its connections are cut, as a restart does; the next frame goes through without an error."""
    with open_database(postgresql_url) as database, open_database(postgresql_url) as other:
        assert store_report(database, pictures, make_report(0))
        with other.session() as session:
            session.connection().exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert store_report(database, pictures, make_report(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x1_px": 540, "mask": np.ones((8, 440), np.bool_)}, r"x1_px must lie on its frame, in \[0, 532\], got 540"),
        ({"y0_px": -1, "mask": np.ones((49, 8), np.bool_)}, r"y0_px must lie on its frame, in \[0, 128\], got -1"),
        ({"y1_mm": 40.0}, r"defect 0: y1_mm must be 12.000 mm where its pixels lie, got 40.000"),
        ({"mask": np.zeros((8, 8), np.bool_)}, "defect 0: its mask is empty"),
    ],
)  # fmt: skip
def test_a_mask_outside_its_frame_is_refused_with_the_field_and_value(database, pictures, changes, message):
    report = replace(make_report(defects=(make_defect(),)), defects=(replace(make_defect(), **changes),))
    with pytest.raises(RecordRefused, match=message):
        store_report(database, pictures, report)
    assert [count(database, table) for table in (LineRow, FrameRow, FragmentRow)] == [0, 0, 0]


def test_a_clock_that_goes_back_within_a_session_is_refused(database, pictures):
    assert store_report(database, pictures, make_report(5, captured_at=at(5)))
    with pytest.raises(RecordRefused, match=r"camera-1/session-1/6: captured_at 2026-03-14T08:04:00.* is before"):
        store_report(database, pictures, make_report(6, captured_at=at(4), defects=(make_defect(),)))
    with pytest.raises(RecordRefused, match=r"camera-1/session-1/4: captured_at .* is after its neighbour's"):
        store_report(database, pictures, make_report(4, captured_at=at(6)))
    assert [count(database, table) for table in (FrameRow, FragmentRow)] == [1, 0]
    assert store_report(database, pictures, make_report(6, captured_at=at(5 - 1 / 60)))  # a clock that is kept right
    assert store_report(database, pictures, make_report(header=make_header(0, session="next", captured_at=at(1))))


def test_a_gap_whose_clock_went_back_lies_on_the_roll_that_lost_the_cloth(database, pictures):
    """As a worker stores a frame that was refused: with the frame's own time."""
    for number, name in enumerate(("R1", "R2")):
        open_roll(database, line=LINE, name=name, style="", by="eva", at=at(10 * number))
        for sequence in range(40 * number, 40 * number + 40):
            if sequence != 60:
                minute = 10 * number + 1 + (sequence - 40 * number) / 60
                assert store_report(database, pictures, make_report(sequence, captured_at=at(minute)))
        close_roll(database, line=LINE, by="eva", at=at(10 * number + 10))
    rolls = [find_roll(database, name=name) for name in ("R1", "R2")]
    wrong = make_report(60, captured_at=at(5))
    with pytest.raises(RecordRefused, match="went back") as refused:
        store_report(database, pictures, wrong)
    assert store_gap(database, wrong.header.gap(f"refused: {refused.value}"))
    assert [grade_roll(database, roll).grade.grade for roll in rolls] == ["first", "incomplete"]
    (row,) = roll_map(database, rolls[1]).gaps.to_dict("records")
    assert row["captured_at"] == at(11 + 19 / 60), "with the record before it"
    assert "2026-03-14T08:05:00" in row["reason"]
    assert store_gap(database, make_gap(81, captured_at=at(12)))
    assert store_gap(database, make_gap(80, captured_at=at(25)))
    with pytest.raises(RecordRefused, match=r"/82: .* is before its neighbour's"):  # which is a gap
        store_report(database, pictures, make_report(82, captured_at=at(11.9)))


def test_in_a_batch_each_report_has_its_own_fate(database, pictures):
    """New, there already, twice in the batch, contradicting itself, out of time, and what no database takes."""
    assert store_report(database, pictures, make_report(0))
    batch = [
        make_report(0),
        make_report(1, captured_at=at(1), defects=(make_defect(),)),
        make_report(1, captured_at=at(1)),
        make_report(2, threshold=float("nan")),
        make_report(3, captured_at=at(0.5)),
        make_report(4, captured_at=at(2), defects=(make_defect(),)),
    ]
    outcomes = store_reports(database, pictures, batch)
    assert [outcome if isinstance(outcome, bool) else str(outcome) for outcome in outcomes] == [
        False,
        True,
        False,
        "frame camera-1/session-1/2: threshold must be a finite number, got nan",
        "frame camera-1/session-1/3: captured_at 2026-03-14T08:00:30+00:00 is before its neighbour's in the session, "
        "2026-03-14T08:01:00+00:00: the clock of the camera's host went back, set it right",
        True,
    ]
    assert [count(database, table) for table in (FrameRow, FragmentRow)] == [3, 2]


def test_what_postgresql_does_not_take_is_refused_alone(postgresql_url, pictures):
    with open_database(postgresql_url) as database:
        batch = [make_report(0), make_report(1, model="a\0b"), make_report(2)]
        outcomes = store_reports(database, pictures, batch)
        assert [isinstance(outcome, RecordRefused) for outcome in outcomes] == [False, True, False]
        assert count(database, FrameRow) == 2


def test_frames_of_several_cameras_rolls_and_months_go_into_one_batch(database, pictures):
    month = 31 * 24 * 60
    batch = [
        make_report(header=make_header(0, camera=f"camera-{camera}", captured_at=at(minutes)), defects=(make_defect(),))
        for camera, minutes in enumerate((0, month, 0, -month))
    ]
    assert store_reports(database, pictures, batch) == [True] * 4
    with database.reading() as session:
        assert len(set(session.scalars(select(FragmentRow.roll_id)))) == 3
