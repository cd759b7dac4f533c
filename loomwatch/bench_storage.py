"""What the store does under a year of one line: every read that a screen makes, writing while others read, and size.

The year is made here: rolls one behind the other, two cameras, frames of 50 tiles, a defect in every second frame. Rows
are inserted in bulk; the writing that is timed goes through `storage.frames`, as a worker's does.
"""

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert, text

from inspection.settings import ReportSettings
from inspection.types import Defect, FrameHeader, FrameReport
from loomwatch.bench_roll import time_roll
from storage import coverage
from storage.database import Database, open_database, upgrade
from storage.defects.whole import columns_of, whole_of_fragment
from storage.frames import fragment_values, frame_values, store_reports
from storage.grading.stored import grade_roll
from storage.masks import encode_mask
from storage.pictures import PictureStore
from storage.reads import cameras, defects, roll_map, roll_runs, roll_summary
from storage.reads.defects import DefectFilter
from storage.reports.period_report import read_period_report
from storage.reports.shifts import Period
from storage.rolls import list_rolls, roll_figures
from storage.tables import (
    CameraRow,
    CaptureRow,
    DefectRow,
    FragmentRow,
    FrameRow,
    GapRow,
    LineRow,
    RollRow,
    RollWidthRow,
    StyleRow,
)

LINE, STYLES, CAMERAS = "line-1", ("denim", "twill", "poplin"), ("left", "right")
FRAMES, DEFECTS, ROLLS = 2_000_000, 1_000_000, 3_000
START = datetime(2025, 1, 1, tzinfo=UTC)
MM_PER_PX, HEIGHT_PX, WIDTH_PX = 0.2, 1280, 2560  # 50 tiles of 256 px
READ_MS, TREND_MS, ROLL_S = 200.0, 500.0, 2.0
SQLITE_PER_S, POSTGRESQL_PER_S, GIB_PER_MILLION = 300.0, 600.0, 2.0
BATCH = 16
STARTED_S = 120.0  # for the writers to be ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured figure and what it should be."""

    name: str
    value: float
    unit: str
    target: float
    most: bool  # the target is the most, not the least

    @property
    def met(self) -> bool:
        return self.value <= self.target if self.most else self.value >= self.target


def bench_storage(
    *, scale: float, postgresql_url: str, seconds: float, repeats: int, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Figures of SQLite, and of PostgreSQL when an empty database is given, each beside its target."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="loomwatch-bench-") as folder:
        urls = {"sqlite": f"sqlite:///{Path(folder) / 'loomwatch.db'}"}
        if postgresql_url:
            urls["postgresql"] = postgresql_url
        for kind, url in urls.items():
            for figure in _bench_one(kind, url, Path(folder), scale, seconds, repeats, tell):
                values = {"database": kind, "name": figure.name, "value": round(figure.value, 3), "unit": figure.unit}
                found.append(values | {"target": figure.target, "most": figure.most, "met": figure.met})
    return found


def _bench_one(
    kind: str, url: str, folder: Path, scale: float, seconds: float, repeats: int, tell: Callable[[str], None]
) -> Iterator[Figure]:
    started = time.perf_counter()
    upgrade(url)
    with open_database(url) as database:
        frames = fill_year(database, scale=scale, tell=lambda words: tell(f"{kind}: {words}"))
        _analyze(database)
        gib = _size(database) / 2**30 / (frames / 1e6)
        tell(f"{kind}: {frames:,} frames filled in {time.perf_counter() - started:.0f} s")
        yield Figure(name="size a million frames", value=gib, unit="GiB", target=GIB_PER_MILLION, most=True)
        for name, read in _reads(database).items():
            times = [_ms(read) for _ in range(repeats)]
            p95 = float(np.percentile(times[1:] or times, 95))
            yield Figure(name=f"{name}, p95", value=p95, unit="ms", target=READ_MS, most=True)
            tell(f"{kind}: {name} {p95:.1f} ms")
    writers, target = (1, SQLITE_PER_S) if kind == "sqlite" else (2, POSTGRESQL_PER_S)
    for with_pictures in (False, True):
        rate = write_rate(url, folder / f"{kind}-pictures", writers=writers, seconds=seconds, crops=with_pictures)
        name = f"frames stored by {writers} while one reads" + (", with four pictures each" if with_pictures else "")
        yield Figure(name=name, value=rate, unit="a second", target=target, most=False)
    if kind == "sqlite":
        took = time_roll(defects=max(200, round(10_000 * min(1.0, scale * 10))))
        yield Figure(name="a four-hour roll", value=took["total_s"], unit="s", target=ROLL_S, most=True)


def _ms(read: Callable[[], object]) -> float:
    started = time.perf_counter()
    read()
    return (time.perf_counter() - started) * 1e3


def _analyze(database: Database) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if database.url.get_backend_name() == "sqlite" else "VACUUM (ANALYZE)"))


def _size(database: Database) -> float:
    with database.reading() as session:
        connection = session.connection()
        if database.url.get_backend_name() == "sqlite":
            pages, size = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("page_count", "page_size")
            )
            return float(pages or 0) * float(size or 0)
        return float(connection.execute(text("SELECT pg_database_size(current_database())")).scalar() or 0)


# --- reading -------------------------------------------------------------------------------------------------------


def _reads(database: Database) -> dict[str, Callable[[], object]]:
    """What each screen asks, for a roll in the middle of the year and for all of it."""
    rolls = list_rolls(database)
    roll = rolls[len(rolls) // 2]
    worst, _ = defects.list_defects(database, DefectFilter(), limit=50)
    middle = roll.opened_at
    settings = ReportSettings()
    day = middle.replace(hour=0, minute=0, second=0, microsecond=0)
    period = Period(name="", day=day.date(), start=day, end=day + timedelta(days=1))
    all_ = DefectFilter(state="unreviewed")
    return {
        "Live: cameras": lambda: cameras.camera_figures(database),
        "Live: score trend": lambda: cameras.score_trend(database, line=LINE, camera=CAMERAS[0]),
        "Live: latest defects": lambda: defects.latest_defects(database, limit=12),
        "Rolls: list": lambda: roll_runs.rolls_to_choose(database, at=datetime.now(UTC)),
        "Rolls: summary": lambda: roll_summary.roll_summary(database, roll),
        "Rolls: map": lambda: roll_map.roll_map(database, roll),
        "Rolls: grade": lambda: grade_roll(database, roll),
        "Rolls: coverage": lambda: coverage.roll_coverage(database, roll),
        "Rolls: figures": lambda: roll_figures(database, roll),
        "Defects: all, worst first": lambda: defects.list_defects(database, all_, limit=50),
        "Defects: page 100": lambda: defects.list_defects(database, all_, limit=50, offset=4950),
        "Defects: of a roll": lambda: defects.list_defects(database, DefectFilter(roll=roll), limit=50),
        "Defects: of a style": lambda: defects.list_defects(database, DefectFilter(style="twill"), limit=50),
        "Defects: of a camera": lambda: defects.list_defects(database, DefectFilter(camera="left"), limit=50),
        "Defects: strong": lambda: defects.list_defects(database, DefectFilter(min_strength=1.5), limit=50),
        "Defects: counts": lambda: defects.count_by_state(database, all_),
        "Defects: one": lambda: defects.read_defect(database, worst[10].id),
        "Defects: neighbours": lambda: defects.neighbours_of(database, all_, worst[10].id),
        "Defects: rank": lambda: defects.rank_of(database, all_, worst[-1].id),
        "Report: a day": lambda: read_period_report(database, period, settings),
    }


# --- writing -------------------------------------------------------------------------------------------------------


def write_rate(url: str, folder: Path, *, writers: int, seconds: float, crops: bool) -> float:
    """Frames a second that processes store, each a camera's, while this one reads as a screen does."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    ready = context.Barrier(writers + 1)
    processes = [
        context.Process(target=_write, args=(url, str(folder), number, seconds, crops, ready, queue), daemon=True)
        for number in range(writers)
    ]
    for process in processes:
        process.start()
    with suppress(threading.BrokenBarrierError):  # a writer failed, and says why
        ready.wait(STARTED_S)
    with _reader(url):
        counts = [queue.get(timeout=seconds * 20 + 120) for _ in processes]
    for process in processes:
        process.join()
    failed = [each for each in counts if isinstance(each, str)]
    if failed:
        raise RuntimeError(failed[0])
    return float(sum(counts))


def _write(url: str, folder: str, number: int, seconds: float, crops: bool, ready: Any, queue: Any) -> None:
    try:
        rng = np.random.default_rng(number)
        start = datetime(2026, 2, 1, tzinfo=UTC)
        name = f"bench-{crops}-{time.time_ns()}"
        camera = CAMERAS[number % len(CAMERAS)]
        reports = [
            make_report(camera, name, sequence, start + timedelta(seconds=0.5 * sequence), rng, crops=crops)
            for sequence in range(512)
        ]
        with open_database(url) as database:
            pictures = PictureStore(folder)
            store_reports(database, pictures, reports[:1])
            ready.wait()
            started, stored, position = time.perf_counter(), 0, 1
            while time.perf_counter() - started < seconds:
                if position + BATCH > len(reports):
                    position, name = 0, f"{name}+"
                    reports = [_of_session(report, name) for report in reports]
                stored += sum(map(bool, store_reports(database, pictures, reports[position : position + BATCH])))
                position += BATCH
            queue.put(stored / (time.perf_counter() - started))
    except Exception as error:  # noqa: BLE001 - told by the process that waits
        queue.put(f"a writer failed: {type(error).__name__}: {error}")
        ready.abort()


@contextmanager
def _reader(url: str) -> Iterator[None]:
    stop = threading.Event()

    def read() -> None:
        with open_database(url) as database:
            while not stop.wait(0.5):
                cameras.camera_figures(database)
                defects.latest_defects(database, limit=12)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _of_session(report: FrameReport, name: str) -> FrameReport:
    return replace(report, header=replace(report.header, session=name))
