"""The demo: learns from normal fabric, then runs a line with everything around it until Ctrl+C or its time is over."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.live import Live as LiveLine
from rich.text import Text

from dashboard.service import refuse_open_house
from inspection.settings import DashboardSettings, StoreSettings, load
from loomwatch.commands_users import show_way_in, way_in
from loomwatch.figures import as_json, figures_since
from loomwatch.machine import Machine
from loomwatch.normals import add_frame
from loomwatch.plan import DemoRoll, Plan
from loomwatch.stopping import stop_on_signal
from loomwatch.terminal import console, progress_bar, write_json
from storage import registry, rolls
from storage.database import Database, open_database, upgrade
from storage.pictures import PictureStore
from storage.samples import list_samples

LINE = "line-1"
BY = "demo"
TILE_PX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """`seconds`: of line after training, 0 until Ctrl+C; real frames always end with the last one."""

    data_dir: Path
    headless: bool
    seconds: float
    json_file: Path | None


def run_demo(plan: Plan, options: DemoOptions) -> None:
    """Runs the whole demo in the foreground."""
    store = load(StoreSettings, data_dir=options.data_dir, database_url="", redis_url="", pictures_url="")
    store.data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(store.database)
    if not options.headless:
        refuse_open_house(load(DashboardSettings), store)
    database = open_database(store.database)
    pictures = PictureStore(store.pictures)
    with stop_on_signal() as stop:
        learn(plan, store, database, pictures, stop)
        if not stop.is_set():
            _watch(plan, options, store, database, stop)


def learn(plan: Plan, store: StoreSettings, database: Database, pictures: PictureStore, stop: threading.Event) -> None:
    """Normal fabric to a promoted model; a data folder that already has one for these styles keeps it."""
    from retraining.training import train_candidate  # PyTorch: not needed when the model is there

    running = registry.running_model(database)
    if running is not None and set(plan.styles) <= set(running.manifest["styles"]):
        console.print(f"model [bold]{running.name}[/] of an earlier run knows these styles and is used again")
        return
    known = {sample.roll_group for sample in list_samples(database)}
    with progress_bar("normal fabric") as bar:
        for number, frame in enumerate(plan.normals()):
            if stop.is_set():
                return
            if frame.roll_group not in known:
                add_frame(
                    database,
                    pictures,
                    frame.pixels,
                    name=frame.name,
                    style=frame.style,
                    roll_group=frame.roll_group,
                    mm_per_px=plan.mm_per_px,
                    tile_px=TILE_PX,
                    by=BY,
                )
            bar.tell(0.0, f"{number + 1} frames, {frame.style}")
        bar.tell(1.0, f"{number + 1} frames, {len(plan.styles)} styles")
    started = time.monotonic()
    with progress_bar("training CRAS ") as bar:
        model = train_candidate(
            store,
            database,
            pictures,
            source="trained",
            by=BY,
            device="auto",
            tell=bar.tell,
            stop=stop,
            parameters=plan.training,
        )
    if model is None:
        return
    registry.promote(database, model.name, by=BY)
    console.print(f"model [bold]{model.name}[/] trained in {time.monotonic() - started:.0f} s and promoted")


def _watch(plan: Plan, options: DemoOptions, store: StoreSettings, database: Database, stop: threading.Event) -> None:
    start = datetime.now(UTC)
    settings = None if options.headless else load(DashboardSettings)
    with Machine(store, dashboard=settings, cameras=False, try_runtimes=False) as machine:
        address = machine.address
        if address:
            console.print(f"dashboard: [bold link={address}]{address}[/]   (Ctrl+C stops everything)")
            show_way_in(way_in(database, address, demo=True), store)
        with (
            ThreadPoolExecutor(1, thread_name_prefix="rolls") as pool,
            LiveLine(console=console, refresh_per_second=2, transient=True) as line,
        ):
            rolls_run = pool.submit(_run_rolls, plan, options, database, machine, stop)
            try:
                while not (rolls_run.done() or stop.is_set()):
                    machine.check()
                    line.update(status_line(database, start, machine, address))
                    stop.wait(1.0)
                if not stop.is_set() and not options.headless and rolls_run.exception() is None:
                    console.print("all frames are inspected; the dashboard stays until Ctrl+C")
                    while not stop.wait(1.0):
                        line.update(status_line(database, start, machine, address))
                line.update(Text("stopping: cameras, then what they sent, then the rest"))
            finally:
                stop.set()  # also when a service has refused: the rolls end before anything else is stopped
            rolls_run.result()
    write_json(options.json_file, as_json(database, start))
    figures = figures_since(database, start)
    console.print(
        f"captured {figures.captured_mm / 1000:.2f} m, inspected {figures.inspected_mm / 1000:.2f} m, "
        f"gaps {figures.gap_mm / 1000:.2f} m, {figures.defects} defects in {figures.frames} frames"
    )


def _run_rolls(plan: Plan, options: DemoOptions, database: Database, machine: Machine, stop: threading.Event) -> None:
    """One roll after the other: open it, run its cameras to their end, close it."""
    machine.wait_for_worker(stop)
    for roll in plan.rolls(options.seconds):
        if stop.is_set():
            return
        _run_roll(roll, database, machine, stop)


def _run_roll(roll: DemoRoll, database: Database, machine: Machine, stop: threading.Event) -> None:
    name = f"{roll.name} {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}"
    if any(each.closed_at is None and not each.automatic for each in rolls.list_rolls(database, line=LINE)):
        rolls.close_roll(database, line=LINE, by=BY)  # of a demo that was killed
    rolls.open_roll(database, line=LINE, name=name, style=roll.style, by=BY)
    try:
        machine.run_cameras(roll.cameras, line=LINE, tile_px=TILE_PX, stop=stop)
    finally:
        rolls.close_roll(database, line=LINE, by=BY)


def status_line(database: Database, start: datetime, machine: Machine, address: str) -> Text:
    """One line of how the run goes."""
    figures = figures_since(database, start, latest=100)
    states = machine.supervisor.states()
    troubles = [f"{name} {state}" for name, state in states.items() if state in ("waiting", "refused")]
    captured_mm = max(figures.captured_mm, figures.inspected_mm + figures.gap_mm)  # the cameras' count comes behind
    parts = [
        f"{captured_mm / 1000:6.2f} m captured",
        f"{figures.inspected_mm / 1000:.2f} m inspected",
        f"{figures.gap_mm / 1000:.2f} m gaps",
        f"{figures.defects} defects",
        f"{figures.tiles_per_s:.1f} tiles/s",
        f"latency {figures.latency_p95_ms / 1000:.1f} s",
        *troubles,
        *([address] if address else []),
    ]
    return Text("  |  ".join(parts), no_wrap=True, overflow="ellipsis")
