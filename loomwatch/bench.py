"""A line of real processes for benchmarks, in a temporary folder, and what it does: speed, memory, CPU, latencies, and
whether captured = inspected + gaps. See `bench_pipeline` for what is measured with it, `bench_scorer` for the model
alone."""

import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
import psutil
from sqlalchemy import func, select

from dashboard.service import answer_problem, check_port
from dashboard.signed_in import cookie_name
from inspection.endpoints import default_endpoint
from inspection.errors import ServiceError
from inspection.settings import CameraSettings, DashboardSettings, StoreSettings, load
from loomwatch.supervisor import Service, Supervisor, loomwatch
from storage.accounts import sessions, users
from storage.accounts.roles import Role
from storage.accounts.users import row_of
from storage.database import Database, open_database, upgrade
from storage.live import Live
from storage.redis_server import start_private_redis
from storage.tables import CaptureRow, FrameRow, GapRow

LINE = "bench"
START_S = 300.0  # for a worker to load its model
SAMPLE_S = 0.5
SPOOL_FRAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Of all that the cameras of a line captured. `missing`: neither inspected nor a gap; `twice`: stored again."""

    captured: int
    inspected: int
    gaps: dict[str, int]  # by the code of their reason
    missing: int
    twice: int


@dataclass(slots=True)
class Watched:
    """One service while it is measured; a service that was started again is watched as one."""

    rss_mb: list[tuple[float, float]] = field(default_factory=list)  # (seconds, MB)
    cpu_s: float = 0.0
    _pid: int = 0
    _last_cpu_s: float = 0.0

    def sample(self, pid: int | None, at_s: float, *, counted: bool = True) -> None:
        """counted: whether the processor time since the last sample is this one's to add."""
        with contextlib.suppress(psutil.Error):
            if pid is None:
                return
            process = psutil.Process(pid)
            times, rss = process.cpu_times(), process.memory_info().rss
            cpu_s = times.user + times.system
            if pid == self._pid and counted:
                self.cpu_s += cpu_s - self._last_cpu_s
            self._pid, self._last_cpu_s = pid, cpu_s
            self.rss_mb.append((at_s, rss / 1e6))

    @property
    def growth_mb(self) -> float:
        """Median of the last third less that of the middle third; the first is the start."""
        thirds = np.array_split(np.array([mb for _, mb in self.rss_mb] or [0.0]), 3)
        middle, last = (float(np.median(third)) if third.size else 0.0 for third in thirds[1:])
        return last - middle

    @property
    def highest_mb(self) -> float:
        return max((mb for _, mb in self.rss_mb), default=0.0)


def start_dashboard(supervisor: Supervisor, settings: DashboardSettings, environment: Mapping[str, str]) -> None:
    """Returns when it answers. environment: the store's. Raises `ServiceError` for a port that is taken."""
    check_port(settings.host, settings.port)  # else another dashboard there would answer
    given = {
        **environment,
        "LOOMWATCH_DASHBOARD_HOST": settings.host,
        "LOOMWATCH_DASHBOARD_PORT": str(settings.port),
        "LOOMWATCH_DASHBOARD_REFRESH_S": str(settings.refresh_s),
        "LOOMWATCH_DASHBOARD_MONITOR_PORT": "0",
    }
    supervisor.start(Service(name="dashboard", command=loomwatch("dashboard"), environment=given))
    deadline = time.monotonic() + START_S
    while (problem := answer_problem(settings)) is not None:
        supervisor.check()
        if time.monotonic() > deadline:
            raise ServiceError(f"the dashboard does not answer: {problem}")
        time.sleep(0.2)


def signed_in(database: Database, settings: DashboardSettings, role: Role) -> tuple[str, str]:
    """Signs in a person of this role, whose account is added where it is not there: name and value of their cookie."""
    name = f"bench {role}"
    with database.reading() as session:
        known = row_of(session, name) is not None
    if not known:
        users.add_user(database, name=name, role=role, password=None, by="bench")
    with database.session() as session:
        row = row_of(session, name)
        assert row is not None
        return cookie_name(settings), sessions.start_session(session, row, how="password")


class BenchLine:
    """Use with `with`: database, Redis, and the services that are started. Everything is gone afterwards."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.killed = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loomwatch-bench-")))
            self.store = load(StoreSettings, data_dir=folder, database_url="", redis_url="", pictures_url="")
            upgrade(self.store.database)
            self.database = stack.enter_context(open_database(self.store.database))
            redis = start_private_redis(folder, folder / "logs" / "redis.log")
            stack.callback(redis.stop)
            self.live = Live(redis.url)
            self.supervisor = stack.enter_context(Supervisor(self.store.logs_dir))
            self._environment = {
                "LOOMWATCH_DATA_DIR": str(folder),
                "LOOMWATCH_DATABASE_URL": self.store.database,
                "LOOMWATCH_REDIS_URL": redis.url,
                "LOOMWATCH_PICTURES_URL": self.store.pictures,
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_worker(self, name: str, environment: Mapping[str, str]) -> None:
        """Returns when it runs a model."""
        given = {
            **self._environment,
            "LOOMWATCH_WORKER_NAME": name,
            "LOOMWATCH_WORKER_INGESTORS": default_endpoint(self.store.data_dir),
            "LOOMWATCH_WORKER_MONITOR_PORT": "0",
            **environment,
        }
        self.supervisor.start(Service(name=name, command=loomwatch("worker"), environment=given))
        deadline = time.monotonic() + START_S
        while not any(worker.name == name and worker.state == "running" for worker in self.live.workers()):
            self.supervisor.check()
            if time.monotonic() > deadline:
                raise ServiceError(f"{name} has no model after {START_S:.0f} s: look at its log")
            time.sleep(0.1)

    def start_camera(self, camera: CameraSettings, *, tile_px: int, frame_mb: float) -> None:
        """A spool of a few frames, in memory only: a camera that can wait waits, and no disk is measured."""
        given = {
            "LOOMWATCH_INGEST_NAME": "ingest",
            "LOOMWATCH_INGEST_LINE": LINE,
            "LOOMWATCH_INGEST_ENDPOINT": default_endpoint(self.store.data_dir),
            "LOOMWATCH_INGEST_SPOOL_DIR": str(self.store.data_dir / "spool"),
            "LOOMWATCH_INGEST_SPOOL_MEMORY_MB": str(math.ceil(SPOOL_FRAMES * frame_mb)),
            "LOOMWATCH_INGEST_SPOOL_DISK_MB": "0",
            "LOOMWATCH_INGEST_CAMERAS": json.dumps([camera.model_dump()]),
            "LOOMWATCH_INGEST_TILE_PX": str(tile_px),
            "LOOMWATCH_INGEST_DRAIN_S": "120",
            "LOOMWATCH_INGEST_MONITOR_PORT": "0",
        }
        command = (sys.executable, "-m", "loomwatch.replay")
        self.supervisor.start(Service(name="ingest", command=command, environment=given, stop_s=150.0))

    def start_dashboard(self, settings: DashboardSettings) -> None:
        """Returns when it answers."""
        start_dashboard(self.supervisor, settings, self._environment)

    def wait_for_frame(self) -> None:
        """Returns when one more was inspected."""
        deadline, there = time.monotonic() + START_S, self.frames()
        while self.frames() == there:
            self.supervisor.check()
            if time.monotonic() > deadline:
                raise ServiceError("no frame was inspected: look at the logs")
            time.sleep(0.02)

    def wait_for_runtime(self, name: str, runtime: str) -> None:
        """Returns when the worker has made, checked and taken it. Raises `ServiceError` when it does not pass."""
        deadline = time.monotonic() + START_S
        while not any(worker.name == name and worker.runtime == runtime for worker in self.live.workers()):
            self.supervisor.check()
            if time.monotonic() > deadline:
                raise ServiceError(f"{name} does not run {runtime} after {START_S:.0f} s: does it pass its check?")
            time.sleep(0.2)

    @contextlib.contextmanager
    def standing(self, names: Sequence[str]) -> Iterator[None]:
        """These services do nothing meanwhile. For seconds: who hears nothing of another for longer gives it up."""
        pids = [pid for name in names if (pid := self.supervisor.pid(name)) is not None]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def frames_per_s(self, seconds: float, watched: Mapping[str, Watched]) -> float:
        """Between two frames, at least `seconds` apart, the first of them two frames from now."""
        for _ in range(2):
            self.wait_for_frame()
        started, before = time.monotonic(), self.frames()
        for name, service in watched.items():
            service.sample(self.supervisor.pid(name), 0.0, counted=False)
        time.sleep(seconds)
        for name, service in watched.items():
            service.sample(self.supervisor.pid(name), seconds)
        self.wait_for_frame()
        return (self.frames() - before) / (time.monotonic() - started)

    def stop_camera(self) -> Account:
        """In order: what was captured is inspected. -> what became of it."""
        self.supervisor.stop("ingest")
        self._wait_for_the_last_count()
        return self.account()

    def watch(
        self,
        names: tuple[str, ...],
        *,
        seconds: float,
        warm_s: float,
        kill_every_s: float = 0.0,
        acts: Sequence[tuple[float, Callable[[], None]]] = (),
    ) -> tuple[dict[str, Watched], float]:
        """Lets the line run for `seconds` after `warm_s`, then stops the camera in order. `kill_every_s`: kills a
        worker that often, in turn; 0: none. `acts`: what is done after so many seconds. Returns what was seen of each
        service, and frames inspected a second meanwhile."""
        self.wait_for_frame()
        time.sleep(warm_s)
        watched = {name: Watched() for name in names}
        workers = [name for name in names if name != "ingest"]
        started, before, began = time.monotonic(), self.frames(), datetime.now(UTC)
        kill_at = started + kill_every_s if kill_every_s else float("inf")
        waiting = list(acts)
        while (now := time.monotonic()) - started < seconds or waiting:
            if waiting and now - started >= waiting[0][0]:
                waiting.pop(0)[1]()
            for name, service in watched.items():
                service.sample(self.supervisor.pid(name), now - started)
            if now >= kill_at:
                kill_at = now + kill_every_s
                pid = self.supervisor.pid(workers[self.killed % len(workers)])
                self.killed += 1
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(SAMPLE_S)
        rate = (self.frames() - before) / (time.monotonic() - started)
        self.began = began
        self.stop_camera()
        return watched, rate

    def frames(self) -> int:
        with self.database.reading() as session:
            return session.scalar(select(func.count()).select_from(FrameRow)) or 0

    def latencies_ms(self) -> list[float]:
        """From capture to commit, of the frames captured since the watch began."""
        with self.database.reading() as session:
            return list(session.scalars(select(FrameRow.latency_ms).where(FrameRow.captured_at >= self.began)))

    def account(self) -> Account:
        with self.database.reading() as session:
            captured = {
                (row.camera, row.session): row.frames
                for row in session.execute(select(CaptureRow.camera, CaptureRow.session, CaptureRow.frames))
            }
            frames = session.execute(select(FrameRow.camera, FrameRow.session, FrameRow.sequence)).all()
            gaps = session.execute(select(GapRow.camera, GapRow.session, GapRow.sequence, GapRow.reason)).all()
        stored = [tuple(row[:3]) for row in (*frames, *gaps)]
        wanted = {(*session, number) for session, count in captured.items() for number in range(count)}
        reasons = [row.reason.partition(":")[0] for row in gaps]
        return Account(
            captured=len(wanted),
            inspected=len(frames),
            gaps={reason: reasons.count(reason) for reason in sorted(set(reasons))},
            missing=len(wanted - set(stored)),
            twice=len(stored) - len(set(stored)),
        )

    def _wait_for_the_last_count(self) -> None:
        """The ingestor's last count may be stored a moment after it has left."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with self.database.reading() as session:
                if all(session.scalars(select(CaptureRow.ended)).all()):
                    return
            time.sleep(0.1)
