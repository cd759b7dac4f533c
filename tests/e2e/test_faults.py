"""Faults, each really caused to whole processes. All end in the same check: captured = inspected + gaps, no frame
twice, and no worker restarted by hand (the supervisor may)."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from storage.tables import GapRow
from tests.e2e.plant import Plant, camera

pytestmark = pytest.mark.e2e


@pytest.fixture
def plant(tmp_path: Path, sqlite_url: str) -> Iterator[Plant]:
    with Plant(tmp_path, sqlite_url) as plant:
        yield plant


def faulty(kind: str, sequence: int, once: Path | str = "") -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.e2e.faulty_worker", kind, str(sequence), str(once))


def test_a_worker_killed_in_the_middle_of_a_frame(plant: Plant) -> None:
    plant.worker("worker", ms=40)
    plant.ingest(camera(frames=60))
    for enough in (5, 20):
        plant.wait_until_stored(enough)
        plant.kill("worker")
    plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() == set()
    assert plant.supervisor.restarts()["worker"] == 2


def test_an_ingestor_killed(plant: Plant) -> None:
    plant.worker("worker", ms=40)
    plant.ingest(camera(frames=50, live=True))
    plant.wait_until_stored(10)
    plant.kill("ingest")
    plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() <= {"ingest_restarted", "camera_lost"}  # a busy machine may be late for a camera
    assert plant.supervisor.restarts() == {"worker": 0, "ingest": 1}


def test_worker_and_ingestor_killed_together(plant: Plant) -> None:
    plant.worker("worker", ms=40)
    plant.ingest(camera(frames=50, live=True))
    plant.wait_until_stored(10)
    plant.kill("worker")
    plant.kill("ingest")
    plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() <= {"ingest_restarted", "camera_lost"}  # a busy machine may be late for a camera
    assert plant.supervisor.restarts() == {"worker": 1, "ingest": 1}


def test_a_worker_ten_times_slower_than_the_other(plant: Plant) -> None:
    plant.worker("quick", ms=20)
    plant.worker("slow", ms=200)
    plant.ingest(camera(frames=100))
    plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() == set()


def test_a_worker_that_hangs_and_comes_back_later(plant: Plant) -> None:
    """Stopped, so that not even its heart beats: the other takes over; what it says later does no harm."""
    plant.worker("one", ms=40)
    plant.worker("other", ms=40)
    plant.ingest(camera(frames=80))
    plant.wait_until_stored(10)
    plant.kill("one", signal.SIGSTOP)
    plant.wait_until_stored(40)
    plant.kill("one", signal.SIGCONT)
    plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() == set()


def test_a_worker_that_hangs_with_its_heart_beating_ends_itself(plant: Plant, tmp_path: Path) -> None:
    plant.worker("worker", command=faulty("hang", 5, tmp_path / "once"), LOOMWATCH_WORKER_HANG_S="1")
    plant.ingest(camera(frames=30), LOOMWATCH_INGEST_LEASE_S="60")
    plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() == set()
    assert plant.supervisor.restarts()["worker"] == 1


@pytest.mark.parametrize("kind", ["die", "raise"])
def test_a_frame_that_ends_every_worker_becomes_a_gap(plant: Plant, kind: str) -> None:
    for name in ("one", "other"):
        plant.worker(name, command=faulty(kind, 5), ms=20)
    plant.ingest(camera(frames=30), LOOMWATCH_INGEST_TRIES="2")
    plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() == {"inspection_failed"}
    with plant.database.reading() as session:
        assert [row.sequence for row in session.scalars(select(GapRow))] == [5]


def test_two_workers_given_the_same_frames(plant: Plant) -> None:
    """A lease far shorter than scoring: what one has in hand goes to the other as well."""
    plant.worker("one", ms=300)
    plant.worker("other", ms=300)
    plant.ingest(camera(frames=12, live=False), LOOMWATCH_INGEST_LEASE_S="0.1")
    plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() == set()
    assert "did not finish a record in 0.1 s" in plant.log("ingest")
