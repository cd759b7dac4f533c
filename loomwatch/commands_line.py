"""A whole line on one machine: demo, up, doctor."""

from pathlib import Path

import typer
from rich.table import Table

from inspection.settings import DashboardSettings, IngestSettings, StoreSettings, load
from loomwatch.terminal import JSON, console, example


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example(
            "loomwatch demo",
            "loomwatch demo --source data/frames",
            "loomwatch demo --headless --seconds 20 --json demo.json",
        )
    )(demo)
    app.command(epilog=example("loomwatch up --data-dir /var/lib/loomwatch"))(up)
    app.command(epilog=example("loomwatch doctor"))(doctor)


def demo(
    source: str = typer.Option("sim", help="sim, or a folder with STYLE/good/* and STYLE/defect/*."),
    data_dir: Path = typer.Option(None, help="Folder for everything kept; by default runs/demo or runs/demo-FOLDER."),
    headless: bool = typer.Option(False, "--headless", help="Without the dashboard; ends by itself."),
    seconds: float = typer.Option(0.0, min=0.0, help="Seconds of line after training; 0: until Ctrl+C."),
    json_file: Path = JSON,
    mm_per_px: float = typer.Option(0.2, min=0.001, max=99.0, help="Size of a pixel on the cloth in mm."),
) -> None:
    """Learn from normal fabric, then run a line and its dashboard until Ctrl+C."""
    from inspection.logs import start_logging
    from loomwatch import plan
    from loomwatch.demo import DemoOptions, run_demo

    if source == "sim":
        chosen, folder = plan.simulated(mm_per_px=mm_per_px), "demo"
    else:
        chosen, folder = plan.from_folder(Path(source), mm_per_px=mm_per_px), f"demo-{Path(source).resolve().name}"
    place = (data_dir or Path("runs") / folder).absolute()
    (place / "logs").mkdir(parents=True, exist_ok=True)
    start_logging("demo", level="info", file=place / "logs" / "demo.log")
    run_demo(chosen, DemoOptions(data_dir=place, headless=headless, seconds=seconds, json_file=json_file))


def up(
    data_dir: Path = typer.Option(None, help="Folder of everything kept on this machine."),
    port: int = typer.Option(None, help="Port of the dashboard."),
) -> None:
    """Run worker, trainer, dashboard and cameras, of loomwatch.toml or of the page Set up, under one supervisor."""
    from dashboard.service import refuse_open_house
    from inspection.logs import start_logging
    from loomwatch.commands_users import show_way_in, way_in
    from loomwatch.followed_line import FollowedLine
    from loomwatch.machine import Machine
    from loomwatch.stopping import stop_on_signal
    from storage.database import open_database, schema_status, upgrade

    store = load(StoreSettings, data_dir=data_dir)
    ingest = load(IngestSettings)
    cameras, each = ingest.cameras, ingest.cameras if ingest.processes == "each" else ()
    settings = load(DashboardSettings, port=port)
    store.logs_dir.mkdir(parents=True, exist_ok=True)
    if schema_status(store.database).state == "empty":
        upgrade(store.database)
    refuse_open_house(settings, store)
    start_logging("up", level=store.log_level, file=store.logs_dir / "up.log")
    with (
        stop_on_signal() as stop,
        open_database(store.database) as database,  # one of another version is refused before anything starts
        Machine(
            store, dashboard=settings, cameras=bool(cameras), each=each, monitor_port=ingest.monitor_port
        ) as machine,
    ):
        machine.wait_for_dashboard(stop)
        console.print(f"dashboard: {machine.address}   data: {store.data_dir}   (Ctrl+C stops everything)")
        show_way_in(way_in(database, machine.address, demo=False), store)
        following = FollowedLine(machine, store, database) if not cameras else None
        if following is not None and not following.setup().runs:
            console.print("nothing runs yet: the dashboard's page Set up leads from here to a watched line")
        while not stop.wait(1.0):
            machine.check()
            if following is not None:
                following.look()


def doctor(data_dir: Path = typer.Option(None, help="Folder of everything kept on this machine.")) -> None:
    """Check what a line needs, and say what to do about each thing that is wrong."""
    from loomwatch.doctor import examine

    findings = examine(load(StoreSettings, data_dir=data_dir), load(DashboardSettings))
    table = Table("", "check", "found", "what to do", box=None, pad_edge=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.good else "[bold red]wrong[/]"
        table.add_row(mark, finding.name, finding.found, "" if finding.good else finding.remedy)
    console.print(table)
    if not all(finding.good for finding in findings):
        raise typer.Exit(2)
