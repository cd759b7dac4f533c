"""Schedules: when trainings are asked for by themselves."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from inspection.errors import SettingsError
from inspection.settings import ReportSettings, StoreSettings, load
from loomwatch.commands_jobs import BY, DATA_DIR, JSON, follow
from loomwatch.stopping import stop_on_signal
from loomwatch.supervisor import watch_parent
from loomwatch.terminal import console, example, log_to_terminal
from storage.database import open_database

NAME = typer.Argument(metavar="NAME", help="Name of the schedule.")


def register(app: typer.Typer) -> None:
    schedule = typer.Typer(help="Schedules of trainings: list, add, remove, run.", no_args_is_help=True)
    schedule.command("list", epilog=example("loomwatch schedule list", "loomwatch schedule list --json"))(
        list_schedules
    )
    schedule.command(
        "add",
        epilog=example(
            "loomwatch schedule add every-night --nightly 02:00 --quiet 06:00-22:00",
            "loomwatch schedule add sundays --weekly sunday@03:30",
            "loomwatch schedule add denim --samples 50 --style denim",
            "loomwatch schedule add seasons --drift",
            "loomwatch schedule add new-styles --new-style",
        ),
    )(add)
    schedule.command("remove", epilog=example("loomwatch schedule remove sundays"))(remove)
    schedule.command("run", epilog=example("loomwatch schedule run sundays --wait", "loomwatch schedule run"))(run)
    app.add_typer(schedule, name="schedule")


def list_schedules(as_json: bool = JSON, data_dir: Path = DATA_DIR) -> None:
    """List schedules with their last and next run, by the plant's clock."""
    from storage import schedules
    from storage.schedule_runs import waits_for

    zone = _zone()
    with open_database(load(StoreSettings, data_dir=data_dir).database) as database:
        found = schedules.list_schedules(database)
        with database.reading() as session:
            waiting = {each.id: waits_for(session, each.id) for each in found}
    if as_json:
        console.print_json(json.dumps([as_data(each, waiting[each.id]) for each in found]))
        return
    table = Table("schedule", "when", "for", "quiet hours", "last run", "next run", box=None)
    for each in found:
        rule = each.rule
        when = {
            "nightly": f"every night at {rule.at}",
            "weekly": f"every {rule.day} at {rule.at}",
            "samples": f"after {rule.count} new samples",
            "drift": "on drift",
            "style": f"on a new style with {rule.count} samples",
        }[rule.kind]
        following = f"{each.next_run_at.astimezone(zone):%Y-%m-%d %H:%M}" if each.next_run_at else waiting[each.id]
        last = f"{each.last_run_at.astimezone(zone):%Y-%m-%d %H:%M}" if each.last_run_at else "never"
        table.add_row(
            each.name,
            when,
            rule.style or "all styles",
            f"{rule.quiet_from}-{rule.quiet_to}" if rule.quiet_from else "",
            f"{last}: {each.problem}" if each.problem else last,
            following if rule.enabled else "off",
        )
    console.print(table)


def add(
    name: str = NAME,
    nightly: str = typer.Option(None, metavar="HH:MM", help="Every night, by the plant's clock."),
    weekly: str = typer.Option(None, metavar="DAY@HH:MM", help="Every week, such as sunday@03:30."),
    samples: int = typer.Option(None, help="After so many new samples."),
    drift: bool = typer.Option(False, "--drift", help="When normal fabric does not score any more as it did."),
    new_style: bool = typer.Option(False, "--new-style", help="When a style that the running model has not learned."),
    style_samples: int = typer.Option(20, help="A new style counts from so many samples on."),
    style: str = typer.Option("", help="What its trainings are meant for; without: all styles."),
    quiet: str = typer.Option("", metavar="HH:MM-HH:MM", help="Hours in which it begins no training."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Add a schedule: one of --nightly, --weekly, --samples, --drift and --new-style."""
    from storage import schedules

    asked: list[dict[str, Any]] = []
    if nightly is not None:
        asked.append({"kind": "nightly", "at": nightly})
    if weekly is not None:
        day, _, at = weekly.partition("@")
        asked.append({"kind": "weekly", "day": day.lower(), "at": at})
    if samples is not None:
        asked.append({"kind": "samples", "count": samples})
    if drift:
        asked.append({"kind": "drift"})
    if new_style:
        asked.append({"kind": "style", "count": style_samples})
    if len(asked) != 1:
        raise SettingsError(
            f"a schedule is one of --nightly, --weekly, --samples, --drift, --new-style, got {len(asked)}"
        )
    begin, _, end = quiet.partition("-")
    rule = schedules.parse_rule(**asked[0], style=style, quiet_from=begin, quiet_to=end)
    with open_database(load(StoreSettings, data_dir=data_dir).database) as database:
        schedule = schedules.add_schedule(database, name, rule, by=by, zone=_zone())
    when = f": next {schedule.next_run_at.astimezone(_zone()):%Y-%m-%d %H:%M}" if schedule.next_run_at else ""
    console.print(f"schedule {schedule.name} is kept{when}; a trainer that runs acts on it")


def remove(name: str = NAME, by: str = BY, data_dir: Path = DATA_DIR) -> None:
    """Remove a schedule. A training that it asked for goes on."""
    from storage import schedules

    with open_database(load(StoreSettings, data_dir=data_dir).database) as database:
        schedules.remove_schedule(database, name, by=by)
    console.print(f"schedule {name} is removed")


def run(
    name: str = typer.Argument("", metavar="[NAME]", help="Its training is asked for now; its next run stays."),
    wait: bool = typer.Option(False, "--wait", help="Follow the training to its end."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Run a schedule now; or, without a name, act on all of them until stopped, as every trainer does by itself. Of
    several such schedulers one acts, the others stand by."""
    from retraining.scheduler import run_scheduler
    from storage import schedules

    store = load(StoreSettings, data_dir=data_dir)
    with open_database(store.database) as database:
        if name:
            asked = schedules.run_schedule(database, store.redis, name, by=by)
            console.print(asked.words, soft_wrap=True)
            if wait:
                follow(database, asked.job_id)
            return
        log_to_terminal("scheduler", store.log_level)
        with stop_on_signal() as stop:
            watch_parent(stop)
            run_scheduler(store.redis, database, zone=_zone(), stop=stop)


def as_data(schedule: Any, waits: str) -> dict[str, Any]:
    """Plain JSON values; times in UTC."""
    return {
        "name": schedule.name,
        **schedule.rule.model_dump(mode="json"),
        "last_run_at": schedule.last_run_at.isoformat() if schedule.last_run_at else None,
        "last_job_id": schedule.last_job_id,
        "next_run_at": schedule.next_run_at.isoformat() if schedule.next_run_at else None,
        "waits_for": waits,
        "problem": schedule.problem,
    }


def _zone() -> ZoneInfo:
    return ZoneInfo(load(ReportSettings).time_zone)
