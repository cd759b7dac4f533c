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
from storage.model_policy import FalseAlarmsRule, ModelPolicy, RecallRule, set_policy
from storage.pictures import PictureStore
from storage.redis_server import start_private_redis
from storage.rolls import open_roll
from storage.samples import add_sample
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
