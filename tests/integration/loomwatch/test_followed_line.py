"""A running machine follows what the page Set up writes, from look to look."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspection.line_setup import change_setup
from inspection.settings import CameraSettings, StoreSettings, load
from loomwatch import followed_line
from loomwatch.followed_line import FollowedLine
from loomwatch.machine import INGEST, RECORDING, Machine
from storage.database import Database, open_database, upgrade
from storage.live import Live, ServiceState, supervisor_name
from storage.sample_captures import list_captures, start_capture
from tests.waiting import wait_for

pytestmark = pytest.mark.integration
SIM = "sim://plain?width_mm=80&speed_m_min=6&defects_per_m=0"


def camera(source: str, *, name: str = "left") -> dict[str, object]:
    return CameraSettings(name=name, source=source, frame_lines=256, follow=True).model_dump()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreSettings:
    monkeypatch.setattr(followed_line, "AGAIN_S", 0.0)
    store = load(StoreSettings, data_dir=tmp_path / "line", database_url="", redis_url="", pictures_url="")
    store.data_dir.mkdir()
    upgrade(store.database)
    return store


@pytest.fixture
def database(store: StoreSettings) -> Iterator[Database]:
    with open_database(store.database) as opened:
        yield opened


@pytest.mark.timeout(600)
def test_a_camera_is_recorded_started_changed_and_stopped(store: StoreSettings, database: Database) -> None:
    with Machine(store, dashboard=None, cameras=False, try_runtimes=False) as machine:
        line, live = FollowedLine(machine, store, database), Live(machine.redis_url)
        supervisor = machine.supervisor

        def until(condition: Callable[[], object]) -> None:
            wait_for(lambda: (line.look(), condition())[1], seconds=300)

        def told() -> ServiceState:
            return next(each for each in live.services() if each.name == supervisor_name())

        line.look()
        assert told().state == "running"
        assert INGEST not in supervisor.states(), "nothing is set up yet"

        change_setup(store.data_dir, line="line-1", style="denim", camera=camera(SIM.replace("=6&", "=600&")))
        start_capture(database, camera="left", style="denim", metres=20, by="eva", line="line-1")
        until(lambda: supervisor.states().get(RECORDING) == "finished")
        assert (list_captures(database)[0].state, list_captures(database)[0].taken) == ("done", 20)

        change_setup(store.data_dir, camera=camera("/nowhere"), runs=True)
        until(lambda: told().state == "problem")
        assert told().detail.startswith("camera left: there is no '/nowhere'")
        machine.check()  # the others go on

        change_setup(store.data_dir, camera=camera(SIM))
        until(lambda: told().state == "running" and supervisor.states()[INGEST] == "running")
        first = supervisor.pid(INGEST)
        change_setup(store.data_dir, style="twill")
        line.look()
        assert supervisor.pid(INGEST) == first, "which ingest knows nothing of"
        change_setup(store.data_dir, line="line-2")
        until(lambda: supervisor.pid(INGEST) not in (None, first))
        change_setup(store.data_dir, runs=False)
        line.look()
        assert supervisor.states()[INGEST] == "stopped"
        live.close()
