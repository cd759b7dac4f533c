"""The store's bench: what it fills is what it says, every read of a screen runs on it, and writers go on from there."""

import sys
from types import ModuleType

import pytest
from sqlalchemy import func, select

from loomwatch.bench_storage import _reads, write_rate
from loomwatch.bench_year import fill_year
from storage.tables import DefectRow, FragmentRow, FrameRow, RollRow

pytestmark = pytest.mark.integration
SCALE = 0.001


def test_a_small_year_holds_what_it_says_and_every_screen_reads_it(database):
    said = []
    frames = fill_year(database, scale=SCALE, tell=said.append)
    with database.reading() as session:
        found = [session.scalar(select(func.count()).select_from(table)) for table in (FrameRow, DefectRow, RollRow)]
        assert session.scalar(select(func.count()).select_from(FragmentRow)) == found[1]
        assert set(session.scalars(select(FrameRow.camera).distinct())) == set(CAMERAS)
    assert found[0] == frames
    assert found == [pytest.approx(SCALE * all_, rel=0.02) for all_ in (FRAMES, DEFECTS, ROLLS)]
    for read in _reads(database).values():
        assert read() is not None


def test_writers_store_beside_a_reader(database, database_url, tmp_path, monkeypatch):
    # tests of pages leave a page as the main module, and writers would begin with running it
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    fill_year(database, scale=SCALE, tell=str)
    assert write_rate(database_url, tmp_path, writers=2, seconds=1.0, crops=False) > 0
