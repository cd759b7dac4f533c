"""The whole loop, in a browser before real processes: cloth raises false alarms, they are rejected, a training learns
from them, the gate judges it, it is promoted, the same frame passes, and it is rolled back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import func, select

from inference_worker.worker import Worker
from ingest.edges import find_edges
from ingest.service import run_ingest
from ingest.simulator import normal_frames
from inspection.settings import CameraSettings, IngestSettings, StoreSettings, WorkerSettings, load
from inspection.types import Pixels
from loomwatch.supervisor import Service, Supervisor, loomwatch
from storage import registry
from storage.database import Database
from storage.live import Live
from storage.model_policy import FalseAlarmsRule, ModelPolicy, RecallRule, set_policy
from storage.pictures import PictureStore
from storage.redis_server import start_private_redis
from storage.rolls import open_roll
from storage.samples import SampleFilter, add_sample, list_samples
from storage.tables import DefectRow, FrameRow
from tests.e2e.browser import new_page, people, serve, settle, sign_in
from tests.records import encode_png
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e
LINES, TILES = 256, 3


def cloth() -> list[Pixels]:
    frames = normal_frames("plain", seed=7, length_m=0.0512 * 13, frame_lines=LINES, mm_per_px=0.2)
    return [frame[:, find_edges(frame)[0] :][:, : TILES * 256] for frame in frames]


def with_slubs(frame: Pixels) -> Pixels:
    """Three soft dark places: new yarn, which the mill takes for normal."""
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    shade = sum(np.exp(-((y - 128) ** 2 + (x - at) ** 2) / (2 * 30**2)) for at in (128, 384, 640))
    return (frame * (1 - 0.35 * shade[..., None])).clip(0, 255).astype(np.uint8)


@contextmanager
def working(store: StoreSettings, endpoint: str) -> Iterator[None]:
    stop = threading.Event()
    settings = load(WorkerSettings, ingestors=endpoint, name="w", device="cpu", model_poll_s=0.1, threads=1)
    thread = threading.Thread(target=Worker(store, settings, stop).run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def look_again(database: Database, folder: Path, endpoint: str, spool: Path) -> int:
    """The frame runs past once more; how many defects were found on it."""

    def count(table: type) -> int:
        with database.reading() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    frames, defects = count(FrameRow), count(DefectRow)
    camera = CameraSettings(name="c", source=str(folder), mm_per_px=0.2)
    run_ingest(
        load(IngestSettings, cameras=[camera], endpoint=endpoint, spool_dir=spool, tile_px=256), threading.Event()
    )
    assert count(FrameRow) == frames + 1
    return count(DefectRow) - defects


def accept_samples(page: Page, address: str, database: Database) -> None:
    """The guard would hold what scores high: somebody looks at it a second time."""
    page.goto(f"{address}/samples?state=waits&source=review")
    page.get_by_role("button", name="Accept all 3 shown").click()
    expect(page.get_by_text("3 samples changed")).to_be_visible()
    assert len(list_samples(database, wanted=SampleFilter(source="review", state="accepted"))) == 3


def reject_all(page: Page, address: str, database: Database) -> None:
    def rejected() -> int:
        with database.reading() as session:
            return session.scalar(select(func.count()).where(DefectRow.state == "rejected")) or 0

    page.goto(f"{address}/review")
    for number in (1, 2, 3):
        settle(page)
        page.get_by_role("button", name="False alarm: learn as normal").and_(page.locator(":enabled")).click()
        wait_for(lambda number=number: rejected() == number)  # type: ignore[misc]


def open_models(page: Page, address: str) -> None:
    page.goto(f"{address}/models")
    expect(page.get_by_role("heading", level=1, name="Models")).to_be_visible()
    settle(page)


@pytest.mark.timeout(900)
def test_false_alarms_are_rejected_learned_judged_promoted_pass_and_are_rolled_back(
    chromium: Browser, line_store: StoreSettings, line_database: Database, tmp_path: Path
) -> None:
    pictures, frames = PictureStore(line_store.pictures), cloth()
    for number, pixels in enumerate(frames[:12]):
        add_sample(
            line_database, pictures, style="plain", png=encode_png(pixels[:, :512]), source="golden",
            roll_group=f"roll {number // 2}", mm_per_px=0.2, by="test",
        )  # fmt: skip
    set_policy(line_database, ModelPolicy(rules=(FalseAlarmsRule(), RecallRule())), by="test")
    people(line_database)
    open_roll(line_database, line="line-1", name="R-1", style="plain", by="test")
    folder, endpoint = tmp_path / "frames", f"ipc://{tmp_path / 'i.ipc'}"
    folder.mkdir()
    cv2.imwrite(str(folder / "frame.png"), with_slubs(frames[12])[..., ::-1])
    redis = start_private_redis(line_store.data_dir, tmp_path / "redis.log")
    environment = {
        "LOOMWATCH_DATA_DIR": str(line_store.data_dir),
        "LOOMWATCH_REDIS_URL": redis.url,
        "LOOMWATCH_TRAINER_DEVICE": "cpu",
        "LOOMWATCH_TRAINER_MONITOR_PORT": "0",
    }
    store = line_store.model_copy(update={"redis_url": redis.url})
    with (
        redis,
        Supervisor(tmp_path / "logs") as supervisor,
        working(store, endpoint),
        serve(line_store.data_dir, LOOMWATCH_REDIS_URL=redis.url) as address,
        new_page(chromium) as page,
    ):
        assert look_again(line_database, folder, endpoint, tmp_path / "spool") == 3
        sign_in(page, address, role="quality")
        reject_all(page, address, line_database)
        accept_samples(page, address, line_database)
        supervisor.start(Service(name="trainer", command=loomwatch("trainer"), environment=environment))

        open_models(page, address)
        page.get_by_role("button", name="Start training").click()
        expect(page.get_by_text("ends about")).to_be_visible()
        expect(page.get_by_role("progressbar").first).to_be_visible()
        expect(page.get_by_text("is ready to be promoted").first).to_be_visible()
        expect(page.get_by_text("Failed the gate")).to_have_count(0)
        made = registry.list_models(line_database)[0]
        assert made.job_id is not None
        page.get_by_text(f"Gate of {made.name}").scroll_into_view_if_needed()
        judged = page.locator("p").filter(has=page.locator("strong", has_text="False alarms, all styles"))
        expect(judged.filter(has_text="✓ passed").first).to_be_attached()

        page.get_by_role("button", name="Promote").and_(page.locator(":enabled")).first.click()
        page.get_by_label("Why").last.fill("slubs of the new yarn are normal")
        page.get_by_role("button", name="Yes, promote").click()
        settle(page)
        wait_for(lambda: registry.running_model(line_database).name == made.name)  # type: ignore[union-attr]
        wait_for(lambda: runs_everywhere(store, line_database))
        assert look_again(line_database, folder, endpoint, tmp_path / "spool") == 0, "the same frame passes"

        open_models(page, address)
        page.get_by_role("button", name="Roll back").click()
        page.get_by_label("Why").first.fill("to see that it can be taken back")
        page.get_by_role("button", name="Yes, roll back").click()
        settle(page)
        wait_for(lambda: registry.running_model(line_database).name == "plain")  # type: ignore[union-attr]
        wait_for(lambda: runs_everywhere(store, line_database))
        assert look_again(line_database, folder, endpoint, tmp_path / "spool") == 3


def runs_everywhere(store: StoreSettings, database: Database) -> bool:
    """Every worker has taken over what is in force."""
    force, live = registry.in_force(database), Live(store.redis)
    try:
        workers = live.workers()
    finally:
        live.close()
    return bool(workers) and force is not None and all(worker.act >= force.act for worker in workers)
