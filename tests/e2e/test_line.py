"""A roll through all real processes, and what may happen to them."""

import os
import signal
import threading
import urllib.request
from collections import Counter
from datetime import UTC, datetime

import psutil
import pytest
from sqlalchemy import func, select

from ingest.simulator import Cloth
from inspection.settings import CameraSettings, DashboardSettings, StoreSettings, load
from loomwatch.figures import as_json, figures_since
from loomwatch.machine import Machine
from storage import rolls
from storage.database import Database
from storage.tables import CaptureRow, FragmentRow, FrameRow
from tests.plain_line import MM_PER_PX
from tests.ports import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e

LINE = "line-1"
START_M, LENGTH_M = 40.0, 2.048  # 20 frames


def camera(name: str = "camera-1", *, speed_m_min: float = 0, length_m: float = LENGTH_M) -> CameraSettings:
    source = f"sim://plain?seed=7&speed_m_min={speed_m_min:g}&start_m={START_M:g}&length_m={length_m:g}&defects_per_m=3"
    return CameraSettings(name=name, source=source, mm_per_px=MM_PER_PX, frame_lines=512)


def family() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def check_every_frame_is_there_once(database: Database) -> None:
    with database.session() as session:
        keys = session.execute(select(FrameRow.camera, FrameRow.session, FrameRow.sequence)).all()
        captures = {(row.camera, row.session): row for row in session.scalars(select(CaptureRow))}
    assert keys
    assert set(Counter(keys).values()) == {1}
    assert all(capture.ended for capture in captures.values())
    for (name, session_id), capture in captures.items():
        sequences = {key.sequence for key in keys if (key.camera, key.session) == (name, session_id)}
        assert sequences == set(range(capture.frames))


def test_a_roll_runs_through_all_processes_and_its_defects_are_found(
    line_store: StoreSettings, line_database: Database
) -> None:
    before = {process.pid for process in family()}
    dashboard = load(DashboardSettings, port=free_port())
    start = datetime.now(UTC)
    with Machine(line_store, dashboard=dashboard, cameras=False) as machine:
        stop = threading.Event()
        machine.wait_for_worker(stop)
        rolls.open_roll(line_database, line=LINE, name="R-1", style="plain", by="test")
        machine.run_cameras([camera("left"), camera("right")], line=LINE, tile_px=256, stop=stop)
        rolls.close_roll(line_database, line=LINE, by="test")
        machine.check()

        def healthy() -> bool:
            try:
                with urllib.request.urlopen(f"{machine.address}/_stcore/health", timeout=2) as answer:
                    return answer.read() == b"ok"
            except OSError:
                return False

        wait_for(healthy)
        assert machine.supervisor.restarts() == dict.fromkeys(("trainer", "alarms", "dashboard", "worker", "ingest"), 0)
    assert {process.pid for process in family()} <= before, "a process was left behind"

    check_every_frame_is_there_once(line_database)
    figures = as_json(line_database, start)
    assert figures["captured_m"] == pytest.approx(2 * LENGTH_M)
    assert figures["inspected_m"] + figures["gap_m"] == pytest.approx(figures["captured_m"])
    assert figures["coverage_pct"] == 100.0
    (roll,) = figures["rolls"]
    assert roll["name"] == "R-1"
    assert roll["frames"] == figures["frames"] > 0

    cloth = Cloth("plain", seed=7, mm_per_px=MM_PER_PX, defects_per_m=3)
    woven = cloth.defects(START_M * 1000, (START_M + LENGTH_M) * 1000)
    known = [defect for defect in woven if defect.kind in ("hole", "oil_stain", "mispick", "broken_end")]
    assert known
    with line_database.session() as session:
        stored = session.scalars(select(FragmentRow).where(FragmentRow.camera == "left")).all()
        assert all(fragment.mask and fragment.crop and fragment.heat for fragment in stored)
        places = [(fragment.x0_mm, fragment.x1_mm, fragment.y0_mm, fragment.y1_mm) for fragment in stored]
    origin_mm = START_M * 1000
    found = [
        any(
            x0 <= each.x1_mm + 5
            and each.x0_mm - 5 <= x1
            and y0 <= each.y1_mm - origin_mm + 5
            and each.y0_mm - origin_mm - 5 <= y1
            for x0, x1, y0, y1 in places
        )
        for each in known
    ]
    assert sum(found) >= 0.6 * len(known), f"{sum(found)} of {len(known)} known defects were found"


def test_a_killed_worker_is_started_again_and_every_frame_is_stored_once(
    line_store: StoreSettings, line_database: Database
) -> None:
    start = datetime.now(UTC)
    with Machine(line_store, dashboard=None, cameras=False) as machine:
        stop = threading.Event()
        machine.wait_for_worker(stop)
        runner = threading.Thread(
            target=machine.run_cameras,
            args=([camera(length_m=3.072)],),
            kwargs={"line": LINE, "tile_px": 256, "stop": stop},
        )
        runner.start()

        def stored() -> int:
            with line_database.session() as session:
                return session.scalar(select(func.count()).select_from(FrameRow)) or 0

        wait_for(lambda: stored() >= 2)
        pid = machine.supervisor.pid("worker")
        assert pid
        os.kill(pid, signal.SIGKILL)
        runner.join(timeout=180)
        assert not runner.is_alive()
        assert machine.supervisor.restarts()["worker"] == 1
    check_every_frame_is_there_once(line_database)
    figures = figures_since(line_database, start)
    assert figures.inspected_mm == pytest.approx(3072.0)


def test_cameras_may_run_in_a_process_each(line_store: StoreSettings, line_database: Database) -> None:
    each = (camera("camera-1"), camera("camera-2"))
    with Machine(line_store, dashboard=None, cameras=True, each=each, try_runtimes=False) as machine:
        names = {"ingest-camera-1", "ingest-camera-2"}
        wait_for(lambda: {machine.supervisor.states().get(name) for name in names} == {"finished"}, seconds=120)
        assert "ingest" not in machine.supervisor.states()
    check_every_frame_is_there_once(line_database)
    with line_database.session() as session:
        assert set(session.scalars(select(CaptureRow.camera))) == {"camera-1", "camera-2"}
