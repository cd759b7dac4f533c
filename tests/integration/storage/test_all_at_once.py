"""Everybody at one database at once: nobody is told that it is locked, and nothing gets lost."""

import threading

import pytest
from sqlalchemy import func, select

from storage.backup import back_up
from storage.database import open_database
from storage.frames import store_gap, store_reports
from storage.reads.defects import latest_defects
from storage.retention import prune
from storage.reviews import STATES, review_defect
from storage.rolls import close_roll, open_roll
from storage.tables import DefectRow, FragmentRow, FrameRow, GapRow, ReviewRow, RollRow
from tests.records import LINE, START, at, make_defect, make_gap, make_header, make_png, make_report

pytestmark = pytest.mark.integration

FRAMES, BATCH, OLD, OLD_DAYS = 160, 4, 6, 60
CROP = (make_png(0), make_png(0))
WORKERS = ("left", "right")


def weave(database, pictures, camera, numbers):
    reports = [
        make_report(
            header=make_header(number, captured_at=at(number), camera=camera),
            defects=(make_defect(60 + 20 * (number % 20)),),
            crops=(CROP,),
        )
        for number in numbers
    ]
    assert all(outcome is True for outcome in store_reports(database, pictures, reports))


@pytest.fixture
def old_rolls(database, pictures):
    """Ten minutes apart, long before all others; they are pruned."""
    first = -OLD_DAYS * 24 * 60
    for number in range(OLD):
        open_roll(database, line=LINE, name=f"old-{number}", style="twill", by="eva", at=at(first + 10 * number))
        report = make_report(
            header=make_header(number, captured_at=at(first + 10 * number + 1), session="old"), defects=(make_defect(),)
        )
        store_reports(database, pictures, [report])
        close_roll(database, line=LINE, by="eva", at=at(first + 10 * number + 5))


def test_workers_reviews_rolls_pruning_and_backups_at_once(database, database_url, pictures, old_rolls, tmp_path):
    failures, acted, done = [], [], threading.Event()

    def work(camera, own):
        for first in range(0, FRAMES, BATCH):
            weave(own, pictures, camera, range(first, first + BATCH))
            store_gap(own, make_gap(first, captured_at=at(first + 0.5), camera=camera, session="gaps"))

    def review(own):
        last = False
        while not last:
            last = done.is_set()  # the others may have ended before anything was found
            found = [item.id for item in latest_defects(own, limit=8) if item.captured_at >= START]
            for number in found[:4]:
                review_defect(own, pictures, number, state=STATES[len(acted) % 3], by="eva")
                acted.append(number)
            done.wait(0.05)

    def change_rolls(own):
        for number in range(8):
            open_roll(own, line=LINE, name=f"R-{number}", style="twill", by="tom", at=at(20 * number + 1))
            close_roll(own, line=LINE, by="tom", at=at(20 * number + 15))

    def forget(own):
        for number in range(OLD):
            [gone] = prune(own, pictures, by="worker", days=OLD_DAYS - (number + 1) / 144, at=START)
            assert gone.roll == f"old-{number}"

    def copy(own):
        for number in range(4):
            back_up(own, tmp_path / f"{number}.db", pictures=pictures)

    def run(act, *arguments):
        try:
            with open_database(database_url) as own:
                act(*arguments, own)
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    acts = [*((work, camera) for camera in WORKERS), (change_rolls,), (forget,), (copy,)]
    threads = [threading.Thread(target=run, args=each) for each in acts]
    reviewer = threading.Thread(target=run, args=(review,))
    for thread in (*threads, reviewer):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reviewer.join()
    assert failures == []
    assert acted
    with database.reading() as session:
        counted = [session.scalar(select(func.count()).select_from(table)) for table in (FrameRow, FragmentRow, GapRow)]
        assert counted == [2 * FRAMES, 2 * FRAMES, 2 * FRAMES // BATCH]
        assert session.scalar(select(func.sum(DefectRow.fragments))) == 2 * FRAMES
        assert session.scalar(select(func.count()).where(ReviewRow.by == "eva")) > 0
        rolls = {row.name: row for row in session.scalars(select(RollRow).where(~RollRow.automatic))}
        assert rolls.keys() == {f"R-{number}" for number in range(8)}
        for at_, roll_id in session.execute(select(FragmentRow.captured_at, FragmentRow.roll_id)):
            covering = {row.id for row in rolls.values() if row.opened_at <= at_ < row.closed_at}
            assert covering == {roll_id} & {row.id for row in rolls.values()}
    for number in range(4):
        with open_database(f"sqlite:///{tmp_path}/{number}.db") as backup, backup.reading() as session:
            frames, fragments = (session.scalar(select(func.count()).select_from(t)) for t in (FrameRow, FragmentRow))
            assert frames == fragments
