"""Trainings as jobs: asked for, listed, followed, cancelled, tried again."""

import json
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from inspection.errors import ServiceError, SettingsError
from inspection.settings import StoreSettings, load
from loomwatch.terminal import console, example, progress_bar
from storage.database import Database, open_database
from storage.jobs import TIME_LIMIT_S, Job

DATA_DIR = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine.")
BY = typer.Option("operator", "--by", help="Who does it, for the record.")
JOB = typer.Argument(metavar="JOB", help="The training's number, or enough of its beginning.")
JSON = typer.Option(False, "--json", help="Print it as JSON.")
LOOK_S = 0.5
SIGNS = {
    "queued": "waiting",
    "running": "[blue]running[/]",
    "done": "[green]done[/]",
    "failed": "[red]failed[/]",
    "cancelled": "[yellow]cancelled[/]",
}


def register(app: typer.Typer) -> None:
    jobs = typer.Typer(help="Trainings: list, show, cancel, try again.", no_args_is_help=True)
    jobs.command("list", epilog=example("loomwatch jobs list", "loomwatch jobs list --json"))(list_jobs)
    jobs.command("show", epilog=example("loomwatch jobs show 3fa1"))(show_job)
    jobs.command("cancel", epilog=example("loomwatch jobs cancel 3fa1 --by eva"))(cancel)
    jobs.command("retry", epilog=example("loomwatch jobs retry 3fa1 --wait"))(retry)
    app.add_typer(jobs, name="jobs")
    app.command(
        epilog=example(
            "loomwatch retrain --style denim --wait",
            "loomwatch retrain --set epochs=30 --device cuda --time-limit-h 4",
            "loomwatch retrain --from-set 4",
        )
    )(retrain)


def list_jobs(
    count: int = typer.Option(20, min=1, help="So many, the latest first."),
    as_json: bool = JSON,
    data_dir: Path = DATA_DIR,
) -> None:
    """List trainings, the latest first."""
    from storage import jobs

    _, database = _open(data_dir)
    found = jobs.list_jobs(database, limit=count)
    if as_json:
        console.print_json(json.dumps([as_data(job) for job in found]))
        return
    table = Table("training", "", "for", "how far", "asked for", "by", "what", box=None)
    for job in found:
        table.add_row(
            job.id[:8],
            SIGNS[job.state],
            job.style or "all styles",
            f"{job.progress:.0%}",
            f"{job.created_at.astimezone():%Y-%m-%d %H:%M}",
            job.by,
            job.message,
        )
    console.print(table)


def show_job(job_id: str = JOB, as_json: bool = JSON, data_dir: Path = DATA_DIR) -> None:
    """Show one training: how far it is, its loss, its log."""
    from storage import jobs

    _, database = _open(data_dir)
    job = jobs.get_job(database, job_id)
    if as_json:
        console.print_json(json.dumps(as_data(job)))
        return
    table = Table(box=None, show_header=False)
    for name, value in (
        ("training", job.id),
        ("state", f"{SIGNS[job.state]}, {job.progress:.0%}: {job.message}"),
        ("for", job.style or "all styles"),
        ("device", job.device or "any"),
        ("asked for", f"{_when(job.created_at)} by {job.by}" + (f" ({job.reason})" if job.reason else "")),
        ("began", f"{_when(job.started_at)}, try {job.tries}" + (f", on {job.holder}" if job.holder else "")),
        ("ends", _when(job.ended_at) if job.ended_at else f"{_when(job.ends_at)}, as it looks" if job.ends_at else ""),
        ("next try", _when(job.not_before) if job.state == "queued" else ""),
        ("time limit", f"{job.time_limit_s / 3600:g} h"),
        ("settings", ", ".join(f"{name}={value}" for name, value in job.parameters.items())),
        ("loss", f"{job.losses[-1][2]:.4f} after epoch {job.losses[-1][1]}" if job.losses else ""),
    ):
        if value:
            table.add_row(name, value)
    console.print(table)
    for at, line in job.log:
        console.print(f"  {at.astimezone():%H:%M:%S}  {line}", markup=False, soft_wrap=True)


def cancel(job_id: str = JOB, by: str = BY, data_dir: Path = DATA_DIR) -> None:
    """End a training that waits or runs. What was promoted stays."""
    from storage import jobs

    _, database = _open(data_dir)
    job = jobs.get_job(database, job_id)
    console.print(f"training {job.id[:8]} is {jobs.cancel_job(database, job.id, by=by).message}")


def retry(
    job_id: str = JOB,
    wait: bool = typer.Option(False, "--wait", help="Follow it to its end."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Queue a failed or cancelled training once more; it goes on from its last checkpoint."""
    from storage import jobs

    store, database = _open(data_dir)
    job = jobs.retry_job(database, store.redis, jobs.get_job(database, job_id).id, by=by)
    console.print(f"training {job.id[:8]} waits for the trainer")
    if wait:
        follow(database, job.id)


def retrain(
    style: str = typer.Option("", help="What the new model is meant for; without: all styles."),
    wait: bool = typer.Option(False, "--wait", help="Follow it to its end; exit code 2 when it fails."),
    device: str = typer.Option("", help="Only a trainer with this device takes it: cpu or cuda."),
    setting: list[str] = typer.Option([], "--set", metavar="NAME=VALUE", help="A setting of the method, repeatable."),
    from_set: int = typer.Option(0, "--from-set", metavar="N", help="Learn this frozen set again, with its settings."),
    time_limit_h: float = typer.Option(TIME_LIMIT_S / 3600, help="Longer, and it is ended."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Ask the trainers for a new model on all samples there are. It is judged by the gate, and promoted by staff."""
    from storage.jobs import request_retraining
    from storage.sample_sets import read_set

    parameters = dict(_setting(text) for text in setting)
    if from_set and parameters:
        raise SettingsError("--from-set learns with the settings that the set was frozen with: leave out --set")
    store, database = _open(data_dir)
    if from_set:
        parameters = {"set": read_set(database, from_set).id}
    asked = request_retraining(
        database,
        store.redis,
        by=by,
        parameters=parameters,
        style=style,
        device=device,
        time_limit_s=time_limit_h * 3600,
        reason="asked for at the command line",
    )
    again = f"training {asked.job_id} learns set {from_set} again"
    console.print(again if from_set else asked.words, soft_wrap=True)
    if wait:
        follow(database, asked.job_id)


def follow(database: Database, job_id: str) -> None:
    """Until it is over. Raises `ServiceError` when that is not well."""
    from storage import jobs

    job = jobs.get_job(database, job_id)
    with progress_bar(f"training {job.id[:8]}") as bar:
        while job.state in jobs.OPEN:
            bar.tell(job.progress, job.message)
            time.sleep(LOOK_S)
            job = jobs.get_job(database, job_id)
        bar.tell(job.progress, job.state)
    if job.state != "done":
        raise ServiceError(f"training {job.id[:8]} {job.state}: {job.message}")
    console.print(job.message, soft_wrap=True)


def as_data(job: Job) -> dict[str, Any]:
    """Plain JSON values; times in UTC."""

    def plain(value: Any) -> Any:
        return value.isoformat() if isinstance(value, datetime) else value

    data = {name: plain(value) for name, value in asdict(job).items()}
    data["losses"] = [list(each) for each in job.losses]
    data["log"] = [[at.isoformat(), line] for at, line in job.log]
    return data


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingsError(f"--set takes NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _when(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at else ""


def _open(data_dir: Path | None) -> tuple[StoreSettings, Database]:
    store = load(StoreSettings, data_dir=data_dir)
    return store, open_database(store.database)
