"""Whole processes for the tests of faults: a database, an ingestor, workers under the supervisor, and the one check
that every fault must end in. Scoring is replaced by a constant."""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from sqlalchemy import func, select

from inspection.settings import CameraSettings
from loomwatch.supervisor import Service, Supervisor, loomwatch
from storage.database import Database, open_database
from storage.tables import CaptureRow, FrameRow, GapRow
from tests.waiting import wait_for

MM_PER_PX = 0.5
LINES = 64
FRAME_MM = LINES * MM_PER_PX


def camera(
    name: str = "camera-1", *, frames: int, live: bool = False, frames_per_s: float = 10.0, width_mm: float = 96
) -> CameraSettings:
    """64 lines of 64 px tiles: a live camera cannot wait, another comes as fast as it is asked for."""
    speed = frames_per_s * FRAME_MM / 1000 * 60 if live else 0
    cloth = f"seed=7&width_mm={width_mm:g}&margin_mm=8&length_m={frames * FRAME_MM / 1000:g}"
    source = f"sim://plain?{cloth}&speed_m_min={speed:g}"
    return CameraSettings(name=name, source=source, mm_per_px=MM_PER_PX, frame_lines=LINES)


class Plant:
    """Use with `with`. Workers and ingestors are supervised: whatever dies is started again, and never by the test."""

    def __init__(self, folder: Path, database_url: str, *, redis_url: str = "unix:///nowhere/redis.sock") -> None:
        self.folder = folder
        self.endpoint = (
            f"ipc://{folder / 'i'}" if len(str(folder)) < 90 else f"ipc:///tmp/loomwatch-{time.monotonic_ns()}"
        )
        self.spool = folder / "spool"
        self.store = {
            "LOOMWATCH_DATA_DIR": str(folder / "data"),
            "LOOMWATCH_DATABASE_URL": database_url,
            "LOOMWATCH_REDIS_URL": redis_url,
            "LOOMWATCH_PICTURES_URL": str(folder / "pictures"),
        }
        self.supervisor = Supervisor(folder / "logs")
        self._stack = ExitStack()
        self.database: Database = self._stack.enter_context(open_database(database_url))

    def __enter__(self) -> Self:
        self._stack.enter_context(self.supervisor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if kind is not None:
            for log in sorted((self.folder / "logs").glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}", file=sys.stderr)

    def worker(
        self, name: str, *, ms: float = 5.0, command: Sequence[str] = (), before: Sequence[str] = (), **environment: str
    ) -> None:
        """Starts a worker that takes `ms` to score a frame; `command` instead of loomwatch's own."""
        self.supervisor.start(
            Service(
                name=name,
                command=(*before, *(command or loomwatch("worker"))),
                environment={
                    **self.store,
                    "LOOMWATCH_WORKER_NAME": name,
                    "LOOMWATCH_WORKER_INGESTORS": self.endpoint,
                    "LOOMWATCH_WORKER_CONSTANT_MS": str(ms),
                    **environment,
                },
            )
        )

    def ingest(
        self, *cameras: CameraSettings, command: Sequence[str] = (), before: Sequence[str] = (), **environment: str
    ) -> None:
        """Starts an ingestor that ends when its sources do and all is inspected."""
        self.supervisor.start(
            Service(
                name="ingest",
                command=(*before, *(command or loomwatch("ingest"))),
                environment={
                    "LOOMWATCH_INGEST_ENDPOINT": self.endpoint,
                    "LOOMWATCH_INGEST_SPOOL_DIR": str(self.spool),
                    "LOOMWATCH_INGEST_CAMERAS": json.dumps([each.model_dump() for each in cameras]),
                    "LOOMWATCH_INGEST_TILE_PX": "64",
                    "LOOMWATCH_INGEST_HEARTBEAT_S": "0.2",
                    **environment,
                },
                stop_s=60.0,
            )
        )

    def kill(self, name: str, signal_number: signal.Signals = signal.SIGKILL) -> None:
        pid = self.supervisor.pid(name)
        assert pid is not None, f"{name} does not run"
        os.kill(pid, signal_number)

    def log(self, name: str) -> str:
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stored(self) -> int:
        """Frames and gaps."""
        with self.database.reading() as session:
            return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in (FrameRow, GapRow))

    def wait_until_stored(self, records: int) -> None:
        wait_for(lambda: self.stored() >= records)

    def wait_until_done(self) -> None:
        wait_for(lambda: self.supervisor.states()["ingest"] == "finished", seconds=180)

    def gap_reasons(self) -> set[str]:
        with self.database.reading() as session:
            return {reason.partition(":")[0] for reason in session.scalars(select(GapRow.reason))}

    def check(self) -> None:
        """Captured = inspected + gaps, to the frame and to the millimetre, in each session; no frame twice."""
        with self.database.reading() as session:
            captures = session.scalars(select(CaptureRow)).all()
            frames = session.execute(
                select(FrameRow.camera, FrameRow.session, FrameRow.sequence, FrameRow.length_mm)
            ).all()
            gaps = session.execute(select(GapRow.camera, GapRow.session, GapRow.sequence, GapRow.length_mm)).all()
        assert captures
        assert frames
        keys = [tuple(row[:3]) for row in (*frames, *gaps)]
        assert len(keys) == len(set(keys)), "a frame was stored twice"
        assert {key[:2] for key in keys} <= {(row.camera, row.session) for row in captures}
        for capture in captures:
            assert capture.ended, f"session {capture.session} was never closed"
            mine = [row for row in (*frames, *gaps) if row[:2] == (capture.camera, capture.session)]
            assert sorted(row.sequence for row in mine) == list(range(capture.frames)), capture.session
            assert sum(row.length_mm for row in mine) == pytest.approx(capture.captured_mm, abs=1e-3)
        assert not list(self.spool.glob("*/*.frame")), "frames were left in the spool"
