"""Retention: the oldest rolls go, rows and pictures together; those on hold, running or young stay."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from inference_worker.pruning import prune_in_turn
from inspection.errors import StorageError
from inspection.settings import StoreSettings, load
from storage.backup import picture_keys
from storage.database import open_database
from storage.frames import store_capture, store_gap, store_report
from storage.pictures import PictureStore
from storage.reads.roll_summary import roll_summary
from storage.retention import GB, claim_chore, hold_roll, is_held, prune, release_roll
from storage.roll_details import find_roll
from storage.rolls import close_roll, list_rolls, open_roll
from storage.tables import CaptureRow, DefectRow, FragmentRow, FrameRow, GapRow, PruningRow
from tests.records import LINE, at, make_capture, make_defect, make_gap, make_header, make_report

pytestmark = pytest.mark.integration
DAY = 24 * 60


@pytest.fixture
def three(database, pictures):
    """Rolls of three days, one frame with a defect and a gap each, each of a camera session of its own; a fourth
    runs."""
    for day in range(4):
        open_roll(database, line=LINE, name=f"R{day}", style="twill", by="eva", at=at(day * DAY))
        header = make_header(0, session=f"s{day}", captured_at=at(day * DAY + 1))
        store_report(database, pictures, make_report(header=header, defects=(make_defect(),)))
        store_gap(database, make_gap(1, session=f"s{day}", captured_at=at(day * DAY + 2)))
        if day < 3:
            close_roll(database, line=LINE, by="eva", at=at(day * DAY + 10))
    store_capture(database, replace(make_capture(2), session="s3"))
    return database


def names(database):
    return sorted(roll.name for roll in list_rolls(database))


def counts(database):
    with database.reading() as session:
        tables = (FrameRow, GapRow, DefectRow, FragmentRow)
        return [session.scalar(select(func.count()).select_from(table)) for table in tables]


def test_rolls_that_are_too_old_go_with_their_pictures_and_are_recorded(three, database_url, pictures):
    before = set(picture_keys(database_url))
    gone = prune(three, pictures, by="eva", days=1.5, at=at(3 * DAY))
    assert [(each.roll, each.frames, each.gaps, each.defects, each.pictures) for each in gone] == [
        ("R0", 1, 1, 1, 2),
        ("R1", 1, 1, 1, 2),
    ]
    assert names(three) == ["R2", "R3"]
    assert counts(three) == [2, 2, 2, 2]
    left = set(picture_keys(database_url))
    assert len(before - left) == 4
    assert all(pictures.exists(key) for key in left)
    assert not any(pictures.exists(key) for key in before - left)
    with three.reading() as session:
        rows = session.scalars(select(PruningRow).order_by(PruningRow.id)).all()
        assert [(row.roll, row.by, row.reason, row.pictures_left) for row in rows] == [
            ("R0", "eva", "older than 1.5 days", []),
            ("R1", "eva", "older than 1.5 days", []),
        ]
    left_over = roll_summary(three, find_roll(three, name="R2"))
    assert (left_over.inspected_mm, left_over.gap_mm, left_over.waiting_mm) == pytest.approx((32.0, 32.0, 0.0))


def test_a_roll_on_hold_stays_whatever_its_age_until_it_is_released(three, pictures):
    oldest = find_roll(three, name="R0")
    with pytest.raises(StorageError, match="a hold needs a reason"):
        hold_roll(three, oldest, reason=" ", by="eva")
    hold_roll(three, oldest, reason="claim", by="eva")
    assert is_held(three, oldest) == "claim"
    assert [each.roll for each in prune(three, pictures, by="eva", days=0.001, at=at(9 * DAY))] == ["R1", "R2"]
    assert names(three) == ["R0", "R3"]  # R3 runs
    release_roll(three, oldest, by="eva")
    with pytest.raises(StorageError, match="not on hold"):
        release_roll(three, oldest, by="eva")
    assert [each.roll for each in prune(three, pictures, by="eva", days=0.001, at=at(9 * DAY))] == ["R0"]


def test_for_space_the_oldest_go_until_enough_is_free(three, pictures):
    free = iter([1 * GB, 2 * GB, 5 * GB])
    gone = prune(three, pictures, by="eva", free_gb=4, free_bytes=lambda: next(free), at=at(9 * DAY))
    assert [(each.roll, each.reason) for each in gone] == [
        ("R0", "less than 4 GB were free"),
        ("R1", "less than 4 GB were free"),
    ]
    assert prune(three, pictures, by="eva", at=at(9 * DAY)) == []  # nothing asked for, nothing goes


def test_looking_alone_takes_nothing_away(three, pictures):
    assert [each.roll for each in prune(three, pictures, by="eva", days=1.5, at=at(3 * DAY), dry_run=True)] == [
        "R0",
        "R1",
    ]
    assert names(three) == ["R0", "R1", "R2", "R3"]


def test_pictures_that_could_not_be_removed_are_removed_the_next_time(three, database_url, pictures, tmp_path):
    (tmp_path / "file").write_text("in the way")
    keys = set(picture_keys(database_url))
    prune(three, PictureStore(str(tmp_path / "file")), by="eva", days=2.5, at=at(3 * DAY))
    gone = keys - set(picture_keys(database_url))
    assert gone
    assert all(pictures.exists(key) for key in gone)
    prune(three, pictures, by="eva", days=2.5, at=at(3 * DAY))
    assert not any(pictures.exists(key) for key in gone)


def test_the_count_of_a_camera_session_goes_with_its_last_frame(three, pictures):
    with three.session() as session:
        row = session.scalars(select(CaptureRow)).one()
        row.session = "s0"
    prune(three, pictures, by="eva", days=2.5, at=at(3 * DAY))
    with three.reading() as session:
        assert session.scalar(select(func.count()).select_from(CaptureRow)) == 0


def test_of_many_processes_exactly_one_prunes_in_an_hour(three, database_url, pictures, tmp_path):
    store, turns = load(StoreSettings, data_dir=tmp_path, keep_days=1.5), []
    barrier = threading.Barrier(4)

    def ask(number):
        with open_database(database_url) as database:
            barrier.wait()
            turns.append(prune_in_turn(store, database, pictures, name=f"worker-{number}", at=at(3 * DAY)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turns) == [0, 0, 0, 2]
    period = f"{at(3 * DAY) + timedelta(hours=1):%Y-%m-%dT%H}"
    assert claim_chore(three, "prune", period=period, by="worker-1")
    assert not claim_chore(three, "prune", period=period, by="worker-2")


def test_of_an_automatic_roll_only_its_own_cloth_goes(database, pictures):
    """Cloth of the same day that a roll of staff's covers stays with it."""
    open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(10))
    close_roll(database, line=LINE, by="eva", at=at(20))
    for sequence, minutes in enumerate((1, 15, 30)):
        store_report(database, pictures, make_report(sequence, captured_at=at(minutes), defects=(make_defect(),)))
    hold_roll(database, find_roll(database, name="R1"), reason="claim", by="eva")
    gone = prune(database, pictures, by="eva", days=1, at=at(9 * DAY))
    assert [(each.roll, each.frames, each.defects) for each in gone] == [("auto 2026-03-14", 2, 2)]
    assert names(database) == ["R1"]
    assert counts(database) == [1, 0, 1, 1]
