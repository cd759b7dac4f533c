"""Alarms: the service, the alarms themselves, their rules and sinks."""

from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from inspection.errors import ServiceError, SettingsError
from inspection.settings import AlarmSettings, ReportSettings, StoreSettings, load
from loomwatch.stopping import stop_on_signal
from loomwatch.supervisor import watch_parent
from loomwatch.terminal import console, example, log_to_terminal
from storage.database import Database, open_database

DATA_DIR = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine.")
BY = typer.Option("operator", "--by", help="Who does it, for the record.")
LINE = typer.Option(None, "--line", help="Only of this textile line.")
OF_LINE = typer.Option(
    "", "--line", help="The rule of this line only; without: of all lines that have none of its name."
)
FIELDS = typer.Argument(None, metavar="[FIELD=VALUE]...", help="Fields to set; lists are separated by commas.")
NO_SAFETY = "A stop lamp by Modbus is no safety function: vision is never a safety stop."


def register(app: typer.Typer) -> None:
    alarms = typer.Typer(
        help=f"Alarms: run, list, acknowledge; their rules and sinks. {NO_SAFETY}", no_args_is_help=True
    )
    alarms.command("run", epilog=example("loomwatch alarms run"))(run)
    alarms.command("list", epilog=example("loomwatch alarms list", "loomwatch alarms list --line line-1 --past 20"))(
        list_alarms
    )
    alarms.command("acknowledge", epilog=example('loomwatch alarms acknowledge 12 --by eva --note "reed cleaned"'))(
        acknowledge
    )
    rules = typer.Typer(help="When alarms are raised: list, set, remove. Fields: docs/alarms.md.", no_args_is_help=True)
    rules.command("list", epilog=example("loomwatch alarms rules list"))(list_rules)
    rules.command(
        "set",
        epilog=example(
            "loomwatch alarms rules set points-rate raise_at=15 clear_at=8",
            "loomwatch alarms rules set points-rate --line line-1 --kind rate raise_at=15 over_m=50",
            "loomwatch alarms rules set big-holes --kind severe_defect min_size_mm=25 geometries=point,area",
        ),
    )(set_rule)
    rules.command("remove", epilog=example("loomwatch alarms rules remove points-rate --line line-1"))(remove_rule)
    alarms.add_typer(rules, name="rules")
    sinks = typer.Typer(
        help=f"Where notices of alarms go: list, set, remove, test. Fields: docs/alarms.md. {NO_SAFETY}",
        no_args_is_help=True,
    )
    sinks.command("list", epilog=example("loomwatch alarms sinks list"))(list_sinks)
    sinks.command(
        "set",
        epilog=example(
            "loomwatch alarms sinks set plant --kind mqtt host=broker.plant tls=true username=loomwatch "
            "password_file=mqtt_password",
            "loomwatch alarms sinks set mes --kind webhook url=https://mes.plant/alarms secret_file=mes_secret",
            "loomwatch alarms sinks set lamp --kind modbus host=10.0.0.7 coil=3 min_priority=high lines=line-1",
            "loomwatch alarms sinks set scada --kind opcua endpoint=opc.tcp://127.0.0.1:4840/loomwatch",
        ),
    )(set_sink)
    sinks.command("remove", epilog=example("loomwatch alarms sinks remove lamp"))(remove_sink)
    sinks.command("test", epilog=example("loomwatch alarms sinks test plant"))(try_sink)
    alarms.add_typer(sinks, name="sinks")
    app.add_typer(alarms, name="alarms")


def run(data_dir: Path = DATA_DIR) -> None:
    """Raise and clear alarms and tell the sinks. Of several such services one acts, the others stand by."""
    from alarms.service import run_alarms

    store, settings = load(StoreSettings, data_dir=data_dir), load(AlarmSettings)
    log_to_terminal("alarms", store.log_level)
    with stop_on_signal() as stop:
        watch_parent(stop)
        run_alarms(store, settings, stop, reports=load(ReportSettings))


def list_alarms(
    line: str = LINE,
    past: int = typer.Option(0, min=0, max=10_000, help="Also so many that are over."),
    data_dir: Path = DATA_DIR,
) -> None:
    """List open alarms, those that nobody acknowledged first."""
    from storage.alarms import alarm_store

    with _open(data_dir) as database:
        found = alarm_store.list_alarms(database, line=line, past=past)
    table = Table("alarm", "priority", "state", "line", "rule", "raised (UTC)", "times", "what", "who")
    for alarm in found:
        who = [f"acknowledged by {alarm.acknowledged_by}"] if alarm.acknowledged_by else []
        who += [f"seen by {alarm.seen_by}"] if alarm.seen_by else []
        who += ["escalated"] if alarm.escalated_at else []
        who += [alarm.note] if alarm.note else []
        raised = f"{alarm.raised_at:%Y-%m-%d %H:%M:%S}"
        cells = (alarm.priority, alarm.state, alarm.line or "plant", alarm.rule, raised, str(alarm.occurrences))
        table.add_row(str(alarm.id), *cells, _plain(alarm.text), _plain(", ".join(who)))
    console.print(table)
    waiting = sum(alarm.state in ("raised", "cleared") for alarm in found)
    console.print(f"{waiting} to acknowledge" if waiting else "nothing to acknowledge")


def acknowledge(
    number: int = typer.Argument(help="Number of the alarm."),
    note: str = typer.Option("", help="What was found or done."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Take notice of an alarm, so that it neither escalates nor stays latched."""
    from storage.alarms import alarm_store

    with _open(data_dir) as database:
        alarm = alarm_store.acknowledge_alarm(database, number, by=by, note=note)
    rest = "it is over" if alarm.state == "closed" else "its condition still holds"
    console.print(f"alarm {number} is acknowledged by {by}; {rest}", markup=False, soft_wrap=True)


def list_rules(data_dir: Path = DATA_DIR) -> None:
    """List rules with every field, as rules set takes them."""
    from storage.alarms.rule_store import list_rules as stored_rules
    from storage.alarms.rules import dump_rule

    table = Table("rule", "line", "kind", "fields", "by")
    with _open(data_dir) as database:
        for each in stored_rules(database):
            fields = _fields(dump_rule(each.rule))
            table.add_row(each.rule.name, each.rule.line or "all", each.rule.kind, _plain(fields), _plain(each.by))
    console.print(table)


def set_rule(
    name: str = typer.Argument(help="Name of the rule."),
    fields: list[str] = FIELDS,
    kind: str = typer.Option(
        None, help="severe_defect, rate, periodic, running, coverage, drift, camera_down, worker_down."
    ),
    line: str = OF_LINE,
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Make a rule, or change fields of one."""
    from storage.alarms import rule_store
    from storage.alarms.rules import KINDS, parse_fields

    with _open(data_dir) as database:
        present = {(each.rule.name, each.rule.line): each.rule for each in rule_store.list_rules(database)}
        known = present.get((name, line))
        model = type(known) if known else _model(KINDS, kind, f"rule {name}")
        changes = parse_fields(model, fields or [])
        rule = rule_store.set_rule(database, name=name, line=line, kind=kind, changes=changes, by=by)
    where = f"line {line}" if line else "all lines"
    console.print(f"rule {rule.name} ({rule.kind}) of {where} is set", markup=False, soft_wrap=True)


def remove_rule(
    name: str = typer.Argument(help="Name of the rule."),
    line: str = OF_LINE,
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Remove a rule; its alarms clear and wait to be acknowledged."""
    from storage.alarms import rule_store

    with _open(data_dir) as database:
        rule_store.remove_rule(database, name=name, line=line, by=by)
    console.print(f"rule {name} of {f'line {line}' if line else 'all lines'} is removed", markup=False, soft_wrap=True)


def list_sinks(data_dir: Path = DATA_DIR) -> None:
    """List sinks with every field, and how each does."""
    from storage.alarms import sink_store
    from storage.alarms.outbox import backlog_of
    from storage.alarms.sinks import dump_sink

    table = Table("sink", "kind", "waiting", "missed", "last told (UTC)", "problem", "fields")
    with _open(data_dir) as database:
        for sink in sink_store.list_sinks(database):
            backlog = backlog_of(database, sink.name)
            last = f"{backlog.delivered_at:%Y-%m-%d %H:%M:%S}" if backlog.delivered_at else "never"
            counts = (str(backlog.waiting), str(backlog.missed), last)
            table.add_row(sink.name, sink.kind, *counts, _plain(backlog.problem), _plain(_fields(dump_sink(sink))))
    console.print(table)


def set_sink(
    name: str = typer.Argument(help="Name of the sink."),
    fields: list[str] = FIELDS,
    kind: str = typer.Option(None, help="mqtt, webhook, modbus or opcua."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Make a sink, or change fields of one. Secrets are files: *_file names one in the folder of secrets.

    A stop lamp by Modbus is no safety function: vision is never a safety stop.
    """
    from storage.alarms import sink_store
    from storage.alarms.rules import parse_fields
    from storage.alarms.sinks import SINK_KINDS

    with _open(data_dir) as database:
        known = {sink.name: sink for sink in sink_store.list_sinks(database)}.get(name)
        model = type(known) if known else _model(SINK_KINDS, kind, f"sink {name}")
        changes = parse_fields(model, fields or [])
        sink = sink_store.set_sink(database, name=name, kind=kind, changes=changes, by=by)
    console.print(f"sink {sink.name} ({sink.kind}) is set", markup=False, soft_wrap=True)
    if sink.kind == "modbus":
        console.print(NO_SAFETY, markup=False, soft_wrap=True)


def remove_sink(
    name: str = typer.Argument(help="Name of the sink."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Remove a sink; what it was still to be told is recorded as missed."""
    from storage.alarms import sink_store

    with _open(data_dir) as database:
        sink_store.remove_sink(database, name=name, by=by)
    console.print(f"sink {name} is removed", markup=False, soft_wrap=True)


def try_sink(name: str = typer.Argument(help="Name of the sink."), data_dir: Path = DATA_DIR) -> None:
    """Tell a sink a test notice now, past its outbox, and say what came of it. An OPC UA sink is tested while no
    alarm service runs on this machine, which would hold its port."""
    from alarms.trial import try_out
    from storage.alarms.alarm_store import alarms_for
    from storage.alarms.sink_store import read_sink

    store = load(StoreSettings, data_dir=data_dir)
    with open_database(store.database) as database:
        sink = read_sink(database, name)
        open_alarms = alarms_for(database, sink)
    problem = try_out(sink, load(AlarmSettings).secrets(store), open_alarms)
    if problem:
        raise ServiceError(f"sink {name} was not told: {problem}")
    console.print(f"sink {name} took a test notice", markup=False, soft_wrap=True)


def _model(kinds: dict[str, Any], kind: str | None, what: str) -> Any:
    if kind not in kinds:
        got = "it is missing" if kind is None else f"got {kind!r}"
        raise SettingsError(f"{what}: --kind is one of {', '.join(kinds)}, {got}")
    return kinds[kind]


def _fields(content: dict[str, Any]) -> str:
    from storage.alarms.rules import as_text

    left_out = ("name", "line", "kind")
    return " ".join(f"{field}={as_text(value)}" for field, value in content.items() if field not in left_out)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _open(data_dir: Path | None) -> Database:
    return open_database(load(StoreSettings, data_dir=data_dir).database)
