"""The services by themselves: ingest, worker, trainer, dashboard, which the supervisor starts by these same commands;
and how they are."""

import base64
import json
import sys
import time
from pathlib import Path

import typer
from pydantic import ValidationError
from rich.text import Text

from inspection.endpoints import default_endpoint
from inspection.errors import SettingsError, StorageError
from inspection.settings import (
    CameraSettings,
    DashboardSettings,
    IngestSettings,
    StoreSettings,
    TrainerSettings,
    WorkerSettings,
    load,
)
from loomwatch.stopping import stop_on_signal
from loomwatch.supervisor import watch_parent
from loomwatch.terminal import console, example, log_to_terminal

REFRESH_S = 1.0


def register(app: typer.Typer) -> None:
    app.command(epilog=example("loomwatch ingest --camera left=/data/frames --mm-per-px 0.2"))(ingest)
    app.command(epilog=example("loomwatch look /frames/left --out picture.jpg", "loomwatch look basler://"))(look)
    app.command(epilog=example("loomwatch worker --ingestors tcp://127.0.0.1:5701 --device cuda"))(worker)
    app.command(epilog=example("loomwatch trainer --data-dir /var/lib/loomwatch"))(trainer)
    app.command(epilog=example("loomwatch dashboard --port 8600"))(dashboard)
    app.command(epilog=example("loomwatch status", "loomwatch status --json"))(status)


def ingest(
    camera: list[str] = typer.Option([], help="NAME=SOURCE, repeatable: a folder, a video, or sim://STYLE?..."),
    line: str = typer.Option(None, help="Name of the textile line."),
    endpoint: str = typer.Option(None, help="ZeroMQ address to bind, ipc:// or tcp://."),
    spool_dir: Path = typer.Option(None, help="Folder of frames that wait for a worker."),
    tile: int = typer.Option(None, help="Side of a tile in px; the model's."),
    overlap: int = typer.Option(None, help="Overlap of neighbouring tiles in px."),
    mm_per_px: float = typer.Option(None, help="Size of a pixel on the cloth in mm, for cameras given here."),
    keys_dir: str = typer.Option(None, help="Folder of CURVE keys, with which tcp is encrypted.", show_default=False),
    check: bool = typer.Option(False, "--check", help="Only check the settings, then end."),
) -> None:
    """Take frames from cameras, cut them into tiles and send them to workers."""
    from ingest.service import run_ingest

    cameras = tuple(_camera(text, mm_per_px) for text in camera) or None
    settings = load(
        IngestSettings,
        cameras=cameras,
        line=line,
        endpoint=endpoint,
        spool_dir=spool_dir,
        tile_px=tile,
        overlap_px=overlap,
        keys_dir=keys_dir,
    )
    if not settings.endpoint:
        settings = settings.model_copy(update={"endpoint": default_endpoint(settings.spool_dir.parent)})
    log_to_terminal("ingest", settings.log_level)
    if check:
        return
    with stop_on_signal() as stop:
        watch_parent(stop)
        run_ingest(settings, stop)


def look(
    source: str = typer.Argument(help="As a camera's source; -: a camera's settings from standard input, as JSON."),
    out: Path = typer.Option(None, help="Write the picture to this JPEG file."),
    mm_per_px: float = typer.Option(0.2, min=0.001, max=99.0, help="Size of a pixel on the cloth in mm."),
) -> None:
    """Take one picture of a camera, and say where it sees fabric: to try it before it is set up."""
    from ingest.look import look_at

    if source == "-":  # an address on the command line would show its password to every user of this machine
        try:
            camera = CameraSettings.model_validate_json(sys.stdin.buffer.read())
        except ValidationError as error:  # whose own words would quote the address
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "standard input"
            raise SettingsError(f"{place}: {first['msg']}: give a camera's settings as JSON") from None
        seen = look_at(camera)
        facts = {
            **{"width_px": seen.width_px, "height_px": seen.height_px, "fabric": seen.fabric, "level": seen.level},
            "jpeg": base64.b64encode(seen.jpeg).decode(),
        }
        print(json.dumps(facts))
        return
    camera = CameraSettings(name="camera", source=source, mm_per_px=mm_per_px)
    seen = look_at(camera)
    found = "no fabric found"
    if seen.fabric is not None:
        left, right = seen.fabric
        wide_mm = (right - left) * mm_per_px
        found = f"fabric from {left} to {right} px, {wide_mm:.0f} mm wide, mean level {seen.level:.0f}"
    console.print(f"{seen.width_px} x {seen.height_px} px, {found}")
    if out is not None:
        out.write_bytes(seen.jpeg)


def _camera(text: str, mm_per_px: float | None) -> dict[str, object]:
    name, equals, source = text.partition("=")
    if not equals or not name or not source:
        raise typer.BadParameter(f"a camera is NAME=SOURCE, got {text!r}")
    return {"name": name, "source": source, **({} if mm_per_px is None else {"mm_per_px": mm_per_px})}


def worker(
    ingestors: str = typer.Option(None, help="ZeroMQ addresses of the ingestors, separated by commas."),
    device: str = typer.Option(None, help="auto, cpu, cuda or cuda:N."),
    data_dir: Path = typer.Option(None, help="Folder of everything kept on this machine."),
    keys_dir: str = typer.Option(None, help="Folder of CURVE keys, with which tcp is encrypted.", show_default=False),
) -> None:
    """Inspect frames: run the promoted model and store what it finds."""
    from inference_worker.worker import Worker

    store = load(StoreSettings, data_dir=data_dir)
    settings = load(WorkerSettings, ingestors=ingestors, device=device, keys_dir=keys_dir)
    if not settings.ingestors:
        settings = settings.model_copy(update={"ingestors": (default_endpoint(store.data_dir),)})
    log_to_terminal("worker", store.log_level)
    with stop_on_signal() as stop:
        watch_parent(stop)
        Worker(store, settings, stop).run()


def trainer(
    device: str = typer.Option(None, help="auto, cpu, cuda or cuda:N."),
    data_dir: Path = typer.Option(None, help="Folder of everything kept on this machine."),
) -> None:
    """Wait for retrainings and run them."""
    from retraining.service import run_trainer

    store, settings = load(StoreSettings, data_dir=data_dir), load(TrainerSettings, device=device)
    log_to_terminal("trainer", store.log_level)
    with stop_on_signal() as stop:
        watch_parent(stop)
        run_trainer(store, settings, stop)


def dashboard(
    host: str = typer.Option(None, help="Address to listen on."),
    port: int = typer.Option(None, help="Port to listen on."),
    data_dir: Path = typer.Option(None, help="Folder of everything kept on this machine."),
) -> None:
    """Serve the screens."""
    from dashboard.service import run_dashboard

    store, settings = load(StoreSettings, data_dir=data_dir), load(DashboardSettings, host=host, port=port)
    log_to_terminal("dashboard", store.log_level)
    with stop_on_signal() as stop:
        watch_parent(stop)
        run_dashboard(settings, store, stop)


def status(
    data_dir: Path = typer.Option(None, help="Folder of everything kept on this machine."),
    once: bool = typer.Option(False, "--once", help="Print it once, instead of redrawing until Ctrl+C."),
    as_json: bool = typer.Option(False, "--json", help="Print it once as JSON."),
) -> None:
    """Show how cameras, ingest, workers and the other services are at this moment."""
    from rich.live import Live as Redrawn

    from loomwatch import status as view
    from storage.live import Live

    live = Live(load(StoreSettings, data_dir=data_dir).redis)
    now = view.read_status(live)
    if as_json:
        console.print_json(json.dumps(view.as_json(now)))
    elif once or not console.is_terminal:
        console.print(view.show_status(now))
    else:
        with Redrawn(view.show_status(now), console=console, screen=True, auto_refresh=False) as screen:
            while True:
                time.sleep(REFRESH_S)
                try:
                    screen.update(view.show_status(view.read_status(live)), refresh=True)
                except StorageError as error:  # Redis may come back
                    screen.update(Text(str(error), "bold red"), refresh=True)
