"""Faults of what surrounds the processes: servers, disks, cameras, clocks, the network. The same check at the end."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from inspection.keys import new_key
from storage.live import Live
from storage.redis_server import start_private_redis
from tests.e2e.plant import Plant, camera
from tests.e2e.surroundings import Proxy, fill, small_disk, two_hosts
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture
def plant(tmp_path: Path, sqlite_url: str) -> Iterator[Plant]:
    with Plant(tmp_path, sqlite_url) as plant:
        yield plant


def test_the_database_gone_for_a_while(tmp_path: Path, postgresql_url: str) -> None:
    """And a worker killed meanwhile: it starts again without its database, and waits."""
    url = make_url(postgresql_url)
    socket_file = Path(str(url.query["host"])) / ".s.PGSQL.5432"
    with Proxy(socket_file) as proxy, Plant(tmp_path, postgresql_url) as plant:
        seen = url.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(hide_password=False)
        for name in ("one", "other"):
            plant.worker(name, ms=20, LOOMWATCH_DATABASE_URL=seen)
        plant.ingest(camera(frames=60))
        plant.wait_until_stored(10)
        proxy.cut()
        wait_for(lambda: "cannot store" in plant.log("one"))
        plant.kill("one")
        wait_for(lambda: plant.supervisor.restarts()["one"] >= 2)
        assert plant.supervisor.states()["one"] != "refused"
        held = plant.stored()
        assert held < 60
        proxy.heal()
        plant.wait_until_done()
        plant.check()
        assert plant.gap_reasons() == set()


def test_redis_gone_for_a_while_the_line_goes_on(tmp_path: Path, sqlite_url: str) -> None:
    redis = start_private_redis(tmp_path / "redis", tmp_path / "redis.log")
    with Plant(tmp_path, sqlite_url, redis_url=redis.url) as plant:
        plant.worker("worker", ms=60)
        plant.ingest(camera(frames=80))
        plant.wait_until_stored(5)
        redis.stop()
        before = plant.stored()
        plant.wait_until_stored(before + 20)
        with start_private_redis(tmp_path / "redis", tmp_path / "redis.log") as again:
            assert again.url == redis.url
            plant.wait_until_done()
            wait_for(lambda: [service.state for service in Live(again.url).services()] == ["running"])
        plant.check()
        assert plant.gap_reasons() == set()
        assert plant.supervisor.restarts() == {"worker": 0, "ingest": 0}


def test_the_ingestors_disk_full_for_a_while(plant: Plant) -> None:
    with small_disk(plant.spool, size="3m") as disk:
        plant.ingest(
            camera(frames=60, live=True, width_mm=800),
            before=disk.before,
            LOOMWATCH_INGEST_SPOOL_MEMORY_MB="1",
        )
        filler = fill(disk.seen)
        wait_for(lambda: "No space left" in plant.log("ingest"))
        filler.unlink()
        plant.worker("worker")
        plant.wait_until_done()
        plant.check()
        assert "spool_full" in plant.gap_reasons()
        assert plant.supervisor.restarts() == {"worker": 0, "ingest": 0}


def test_the_workers_disk_full_for_a_while(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size="4m") as disk:
        inside = [*disk.before, sys.executable, "-m", "tests.e2e.full_disk", str(tmp_path)]
        done = subprocess.run(inside, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr


def test_a_camera_unplugged_and_back(plant: Plant, tmp_path: Path) -> None:
    unplugged = tmp_path / "unplugged"
    plant.worker("worker")
    plant.ingest(
        camera(frames=30, live=True),
        command=(sys.executable, "-m", "tests.e2e.unplugged_ingest", "12", str(unplugged)),
    )
    wait_for(lambda: "does not answer" in plant.log("ingest"))
    unplugged.with_suffix(".over").touch()
    unplugged.unlink()
    plant.wait_until_done()
    plant.check()
    assert plant.stored() > 30
    assert plant.supervisor.restarts() == {"worker": 0, "ingest": 0}


def test_the_network_between_two_hosts_cut_and_healed(plant: Plant, tmp_path: Path) -> None:
    """With CURVE, as between hosts. The cable is pulled: nobody is told, packets vanish."""
    keys = tmp_path / "keys"
    new_key(keys, "ingest", "ingest")
    new_key(keys, "worker", "worker")
    with two_hosts() as hosts:
        endpoint = f"tcp://{hosts.addresses[0]}:5701"
        plant.worker(
            "worker",
            ms=20,
            before=hosts.before[1],
            LOOMWATCH_WORKER_INGESTORS=endpoint,
            LOOMWATCH_WORKER_KEYS_DIR=str(keys),
        )
        plant.ingest(
            camera(frames=80, live=True),
            before=hosts.before[0],
            LOOMWATCH_INGEST_ENDPOINT=endpoint,
            LOOMWATCH_INGEST_KEYS_DIR=str(keys),
        )
        plant.wait_until_stored(10)
        hosts.plug("down")
        wait_for(lambda: "is silent: its" in plant.log("ingest"))
        wait_for(lambda: "is silent; waiting for it" in plant.log("worker"))
        hosts.plug("up")
        plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() <= {"camera_lost"}  # a busy machine may be late for a camera
    assert plant.supervisor.restarts() == {"worker": 0, "ingest": 0}


def test_the_clock_set_back(plant: Plant, tmp_path: Path) -> None:
    """An hour, in the middle of the run, on all hosts; then the ingestor is killed and its new session is the older."""
    turned = tmp_path / "turned"
    run = (sys.executable, "-m", "tests.e2e.turned_clock", str(turned))
    plant.worker("worker", ms=20, command=(*run, "worker"))
    plant.ingest(camera(frames=40, live=True), command=(*run, "ingest"))
    plant.wait_until_stored(10)
    turned.touch()
    plant.wait_until_stored(20)
    plant.kill("ingest")
    plant.wait_until_done()
    plant.check()
    assert plant.gap_reasons() <= {"ingest_restarted", "camera_lost"}
    assert plant.supervisor.restarts() == {"worker": 0, "ingest": 1}
