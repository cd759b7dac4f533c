"""The store's bench: what it fills is what it says, every read of a screen runs on it, and writers go on from there."""

import sys
from types import ModuleType

import pytest

from loomwatch.bench_storage import _reads, write_rate
from loomwatch.bench_year import fill_year

pytestmark = pytest.mark.integration
SCALE = 0.001


def test_every_screen_reads_a_small_year(database):
    fill_year(database, scale=SCALE, tell=str)
    empty = [name for name, read in _reads(database, scale=SCALE).items() if read() is None]
    assert empty == ["Trends: two halves"]  # so small a year ends on its first day


def test_writers_store_beside_a_reader(database, database_url, tmp_path, monkeypatch):
    # tests of pages leave a page as the main module, and writers would begin with running it
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    fill_year(database, scale=SCALE, tell=str)
    assert write_rate(database_url, tmp_path, writers=2, seconds=1.0, crops=False) > 0
