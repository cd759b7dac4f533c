"""From an empty folder to a watched line, as a new user goes: one command, the link that it prints, the page Set up."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import func, select

from ingest.simulator import normal_frames
from storage import registry
from storage.database import Database, open_database
from storage.tables import AuditRow, FrameRow, GapRow
from tests.e2e.browser import PASSWORD, new_page, settle
from tests.ports import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e
FRAMES, LINES = 21, 256
PATIENCE_S = 600.0  # a deadline, not a pause
LINK = re.compile(r"http://\S+/welcome#[\w-]+")


@contextmanager
def up(data_dir: Path) -> Iterator[str]:
    """`loomwatch up` at a terminal of its own, which is where it shows its link; the link."""
    terminal, its = os.openpty()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOOMWATCH_")}
    services = ("INGEST", "WORKER", "TRAINER", "DASHBOARD", "ALARMS")
    process = subprocess.Popen(
        [sys.executable, "-m", "loomwatch", "up", "--data-dir", str(data_dir), "--port", str(free_port())],
        env={
            **clean,
            **{f"LOOMWATCH_{service}_MONITOR_PORT": "0" for service in services},
            "LOOMWATCH_WORKER_RUNTIME": "torch-float32",
            "LOOMWATCH_WORKER_THREADS": "1",
            "LOOMWATCH_TRAINER_DEVICE": "cpu",
        },
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
        cwd=data_dir.parent,
    )
    os.close(its)
    said = bytearray()

    def listen() -> None:
        while True:
            try:
                said.extend(os.read(terminal, 4096))
            except OSError:  # it has ended
                return

    threading.Thread(target=listen, daemon=True).start()
    try:
        wait_for(lambda: process.poll() is not None or LINK.search(said.decode()), seconds=PATIENCE_S)
        found = LINK.search(said.decode())
        assert found, said.decode()
        yield found[0]
    finally:
        process.terminate()
        process.wait(90)
        for log in sorted((data_dir / "logs").glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}")


def frames_in(database: Database) -> int:
    with database.reading() as session:
        assert not session.scalar(select(func.count()).select_from(GapRow)), "nothing was lost"
        return session.scalar(select(func.count()).select_from(FrameRow)) or 0


@pytest.mark.timeout(1800)
def test_a_new_user_gets_from_nothing_to_a_watched_line(chromium: Browser, tmp_path: Path) -> None:
    data_dir, folder = tmp_path / "line", tmp_path / "frames"
    folder.mkdir()
    length_m = FRAMES * LINES * 0.2 / 1000
    for number, pixels in enumerate(
        normal_frames("plain", seed=7, length_m=length_m, frame_lines=LINES, width_mm=76, mm_per_px=0.2)[:FRAMES]
    ):
        cv2.imwrite(str(folder / f"{number}.png"), pixels[..., ::-1])
    with up(data_dir) as link, new_page(chromium) as page:
        page.goto(link)
        page.get_by_label("Your name").fill("anna")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label("Once more").fill(PASSWORD)
        page.get_by_role("button", name="Start", exact=True).click()

        expect(page.get_by_role("heading", level=1, name="Set up")).to_be_visible()
        page.get_by_role("button", name="Save line").click()

        expect(page.get_by_role("heading", name="2 · Camera")).to_be_visible()
        place = page.get_by_label("Folder on this server")
        place.fill(str(tmp_path / "elsewhere"))
        place.press("Enter")
        settle(page)
        page.get_by_role("button", name="Take a test picture").click()
        expect(page.get_by_text("there is no")).to_be_visible()
        place.fill(str(folder))
        place.press("Enter")
        settle(page)
        page.get_by_role("button", name="Take a test picture").click()
        expect(page.get_by_text("The camera works.")).to_be_visible()
        expect(page.get_by_role("img", name="Test picture of camera camera-1")).to_be_visible()
        page.get_by_role("button", name="Save camera").click()

        expect(page.get_by_role("heading", name="3 · Style")).to_be_visible()
        page.get_by_label("Name of the style").fill("ecru")
        page.get_by_role("button", name="Save style").click()

        expect(page.get_by_role("heading", name="4 · Golden roll")).to_be_visible()
        page.get_by_role("button", name="Record the golden roll").and_(page.locator(":enabled")).click()

        expect(page.get_by_role("heading", name="5 · Model")).to_be_visible()
        page.get_by_text("Quickly").click()
        settle(page)
        page.get_by_role("button", name="Train the model").click()
        expect(page.get_by_role("progressbar").first).to_be_visible()
        page.reload()  # nothing of it is in the browser
        expect(page.get_by_role("heading", name="6 · Start")).to_be_visible(timeout=1000 * PATIENCE_S)

        page.get_by_role("button", name="Start the line").click()
        expect(page.get_by_text("The line is watched.")).to_be_visible()
        with open_database(f"sqlite:///{data_dir / 'loomwatch.db'}") as database:
            wait_for(lambda: frames_in(database) == FRAMES, seconds=PATIENCE_S)
            running = registry.running_model(database)
            assert running is not None
            assert list(running.manifest["styles"]) == ["ecru"]
            with database.reading() as session:
                acts = set(session.scalars(select(AuditRow.action).where(AuditRow.by == "anna")))
            assert acts >= {
                *("line.name", "line.camera", "line.style", "sample.capture", "training.request", "model.promote"),
                "line.start",
            }
        page.get_by_role("button", name="See the line").click()
        expect(page.get_by_role("heading", level=1, name="line-1")).to_be_visible()
        expect(page.get_by_role("img", name="Cloth of camera camera-1")).to_be_visible()
