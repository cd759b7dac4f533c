"""What the benchmarks conclude from what they see; what they measure is real processes, and no matter for a test."""

import numpy as np
import pytest

from inspection.settings import CameraSettings
from loomwatch.bench import BenchLine, Watched
from loomwatch.cli import run
from loomwatch.replay import FRAMES, open_replay
from storage.database import Database
from storage.frames import store_capture, store_gap, store_report
from storage.pictures import PictureStore
from tests.records import make_capture, make_gap, make_report


def watched(memory_mb: list[float]) -> Watched:
    service = Watched()
    service.rss_mb = list(enumerate(memory_mb))
    return service


def test_memory_that_grows_after_the_start_is_told_from_a_start() -> None:
    assert watched([50, 200, 300, 300, 300, 300, 300, 300, 300]).growth_mb == 0
    assert watched([100 + 2.0 * n for n in range(90)]).growth_mb == pytest.approx(60)
    assert watched([]).growth_mb == 0


def test_a_frame_that_is_neither_inspected_nor_a_gap_is_missing(
    sqlite_database: Database, pictures: PictureStore
) -> None:
    line = BenchLine()
    line.database = sqlite_database
    for sequence in (0, 1, 4):
        store_report(sqlite_database, pictures, make_report(sequence))
    store_gap(sqlite_database, make_gap(2))
    store_capture(sqlite_database, make_capture(6, ended=True))
    account = line.account()
    assert (account.captured, account.inspected, account.missing, account.twice) == (6, 3, 2, 0)
    assert sum(account.gaps.values()) == 1


def test_replayed_cloth_is_the_simulators_over_and_over() -> None:
    source = "sim://plain?seed=3&width_mm=60&margin_mm=5&speed_m_min=0&length_m=0.2"
    camera = CameraSettings(name="c", source=source, mm_per_px=0.5, frame_lines=64)
    shots = list(open_replay(camera).shots())
    assert [shot.position_mm for shot in shots] == pytest.approx([32.0 * n for n in range(7)])
    assert all(shots[n].pixels is shots[n + FRAMES].pixels for n in range(len(shots) - FRAMES))
    assert not np.array_equal(shots[0].pixels, shots[1].pixels)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pipeline", "--only", "speed"], "--only"),
        (["pipeline", "--only", "real"], "--only"),
        (["dashboard", "--only", "speed"], "--only"),
        (["dashboard", "--only", "load"], "--bundle"),
        (["dashboard", "--only", "pages"], "--store"),
    ],
)
def test_a_run_that_cannot_be_is_refused(arguments: list[str], told: str, capsys) -> None:
    assert run(["bench", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_pages_of_a_store_without_cloth_are_not_timed(sqlite_url: str, capsys) -> None:
    assert run(["bench", "dashboard", "--only", "pages", "--store", sqlite_url]) == 2
    assert "no rolls to look at" in capsys.readouterr().err
