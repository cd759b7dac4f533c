"""What is kept: rolls and lines."""

from datetime import datetime
from pathlib import Path

import typer
from rich.table import Table

from inspection.errors import SettingsError
from inspection.settings import StoreSettings, load
from loomwatch import commands_grading
from loomwatch.terminal import console, example
from storage.database import Database, open_database

DATA_DIR = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine.")
BY = typer.Option("operator", "--by", help="Who does it, for the record.")
LINE = typer.Option("line-1", "--line", help="Name of the textile line.")


def register(app: typer.Typer) -> None:
    rolls = typer.Typer(help="Open, close, list and grade rolls.", no_args_is_help=True)
    rolls.command("open", epilog=example("loomwatch rolls open R-1042 --style denim-12oz --line line-1"))(open_roll)
    rolls.command("close", epilog=example("loomwatch rolls close --line line-1"))(close_roll)
    rolls.command("list", epilog=example("loomwatch rolls list"))(list_rolls)
    rolls.command("correct", epilog=example("loomwatch rolls correct R-1042 --closed '2026-03-14 10:05'"))(correct_roll)
    rolls.command("hold", epilog=example("loomwatch rolls hold R-1042 --reason 'claim of ACME'"))(hold_roll)
    rolls.command("release", epilog=example("loomwatch rolls release R-1042"))(release_roll)
    rolls.command("pruned", epilog=example("loomwatch rolls pruned --line line-1"))(list_pruned)
    commands_grading.register_on_rolls(rolls)
    app.add_typer(rolls, name="rolls")

    lines = typer.Typer(
        help="What is known of a line: its machine's elements, its coverage limit.", no_args_is_help=True
    )
    lines.command("show", epilog=example("loomwatch lines show --line line-1"))(show_line)
    lines.command("element", epilog=example("loomwatch lines element 'guide roller' --diameter-mm 200"))(set_element)
    lines.command("remove", epilog=example("loomwatch lines remove 'guide roller'"))(remove_element)
    lines.command("coverage", epilog=example("loomwatch lines coverage 0.98 --line line-1"))(set_coverage)
    app.add_typer(lines, name="lines")


def _open(data_dir: Path | None) -> tuple[StoreSettings, Database]:
    store = load(StoreSettings, data_dir=data_dir)
    return store, open_database(store.database)


def open_roll(
    name: str = typer.Argument(help="Roll number or name, unique on its line."),
    line: str = LINE,
    style: str = typer.Option("", help="Fabric style; empty: every tile finds its own."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Open a roll: cloth captured from now on belongs to it."""
    from storage import rolls

    _, database = _open(data_dir)
    roll = rolls.open_roll(database, line=line, name=name, style=style, by=by)
    console.print(f"roll {roll.name} is open on {roll.line} since {roll.opened_at.astimezone():%H:%M:%S}")


def close_roll(line: str = LINE, by: str = BY, data_dir: Path = DATA_DIR) -> None:
    """Close the line's open roll."""
    from storage import rolls

    _, database = _open(data_dir)
    roll = rolls.close_roll(database, line=line, by=by)
    figures = rolls.roll_figures(database, roll)
    console.print(
        f"roll {roll.name} is closed: {figures.inspected_mm / 1000:.2f} m inspected, {figures.defects} defects"
    )


def list_rolls(
    line: str = typer.Option(None, help="Only this line's."),
    data_dir: Path = DATA_DIR,
) -> None:
    """List rolls with what was inspected of them."""
    from storage import rolls

    _, database = _open(data_dir)
    headings = ("roll", "line", "style", "opened", "closed", "inspected m", "gaps m", "defects")
    table = Table(*headings)
    for roll in rolls.list_rolls(database, line=line):
        figures = rolls.roll_figures(database, roll)
        table.add_row(
            roll.name,
            roll.line,
            roll.style,
            f"{roll.opened_at.astimezone():%Y-%m-%d %H:%M}",
            f"{roll.closed_at.astimezone():%Y-%m-%d %H:%M}" if roll.closed_at else "running",
            f"{figures.inspected_mm / 1000:.2f}",
            f"{figures.gap_mm / 1000:.2f}",
            str(figures.defects),
        )
    console.print(table)


def correct_roll(
    name: str = typer.Argument(help="Roll number or name."),
    opened: str = typer.Option(None, "--opened", help="When it began: 2026-03-14 08:00:30, of this machine's clock."),
    closed: str = typer.Option(None, "--closed", help="When it ended."),
    line: str = typer.Option(None, "--line", help="Its line, where several have a roll of that name."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Move a roll's boundaries; its frames, gaps and defects follow. Where two rolls meet, shorten one first, then
    lengthen the other."""
    from storage import rolls
    from storage.roll_details import find_roll

    if opened is None and closed is None:
        raise SettingsError(f"roll {name} keeps both boundaries: give --opened or --closed, or both")
    times = {"opened_at": _time(opened, "--opened"), "closed_at": _time(closed, "--closed")}
    _, database = _open(data_dir)
    roll = rolls.correct_roll(database, line=find_roll(database, name=name, line=line).line, name=name, by=by, **times)
    until = f"until {roll.closed_at.astimezone():%Y-%m-%d %H:%M:%S}" if roll.closed_at else "on"
    console.print(f"roll {roll.name} is from {roll.opened_at.astimezone():%Y-%m-%d %H:%M:%S} {until}")


def _time(text: str | None, option: str) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise SettingsError(f"{option} takes a time as 2026-03-14 08:00:30, got {text!r}") from error


def hold_roll(
    name: str = typer.Argument(help="Roll number or name."),
    reason: str = typer.Option(..., "--reason", help="Why it must be kept."),
    line: str = typer.Option(None, "--line", help="Its line, where several have a roll of that name."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Keep a roll from being pruned, whatever its age."""
    from storage import retention
    from storage.roll_details import find_roll

    _, database = _open(data_dir)
    retention.hold_roll(database, find_roll(database, name=name, line=line), reason=reason, by=by)
    console.print(f"roll {name} is on hold")


def release_roll(
    name: str = typer.Argument(help="Roll number or name."),
    line: str = typer.Option(None, "--line", help="Its line, where several have a roll of that name."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """End a roll's hold."""
    from storage import retention
    from storage.roll_details import find_roll

    _, database = _open(data_dir)
    retention.release_roll(database, find_roll(database, name=name, line=line), by=by)
    console.print(f"roll {name} is no longer on hold")


def list_pruned(line: str = typer.Option(None, help="Only this line's."), data_dir: Path = DATA_DIR) -> None:
    """List rolls that were pruned, the latest first: what there was of them, when and why they went."""
    from storage import retention

    _, database = _open(data_dir)
    table = Table("roll", "line", "ended", "frames", "gaps", "defects", "pictures", "pruned", "by", "why")
    for each in retention.list_pruned(database, line=line):
        counts = (each.frames, each.gaps, each.defects, each.pictures)
        times = [f"{at.astimezone():%Y-%m-%d %H:%M}" for at in (each.closed_at, each.at)]
        table.add_row(each.roll, each.line, times[0], *map(str, counts), times[1], each.by, each.reason)
    console.print(table)


def show_line(line: str = LINE, data_dir: Path = DATA_DIR) -> None:
    """Show a line's coverage limit and the elements that periodic defects are told by."""
    from storage import coverage
    from storage.defects import machine

    _, database = _open(data_dir)
    limit = coverage.coverage_limit(database, line=line)
    console.print(f"{line}: a roll is complete from {100 * limit:g} % coverage on")
    table = Table("element", "kind", "values", "comes round every mm")
    for row in machine.list_elements(database, line=line):
        values = ", ".join(f"{name} {value:g}" for name, value in row.values.items())
        table.add_row(row.name, row.kind, values, f"{row.period_mm:.1f}")
    console.print(table)


def set_element(
    name: str = typer.Argument(help="What staff call it."),
    line: str = LINE,
    diameter_mm: float = typer.Option(None, help="A roller's diameter."),
    repeat_mm: float = typer.Option(None, help="A printing screen's repeat."),
    feeders: float = typer.Option(None, help="Feeders of a circular knitting machine; with --courses-per-cm."),
    courses_per_cm: float = typer.Option(None, help="Courses in a cm of its cloth."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Add a machine element, or change it: a roller, a screen, or feeders."""
    from storage.defects import machine

    given = {
        "roller": {"diameter_mm": diameter_mm},
        "screen": {"repeat_mm": repeat_mm},
        "feeders": {"feeders": feeders, "courses_per_cm": courses_per_cm},
    }
    chosen = {
        kind: {key: value for key, value in values.items() if value is not None} for kind, values in given.items()
    }
    kinds = [kind for kind, values in chosen.items() if values]
    if len(kinds) != 1:
        raise SettingsError(
            f"element {name} needs one of --diameter-mm, --repeat-mm, or --feeders with --courses-per-cm, "
            f"got {' and '.join(kinds) or 'none'}"
        )
    _, database = _open(data_dir)
    element = machine.set_element(database, line=line, name=name, kind=kinds[0], values=chosen[kinds[0]], by=by)
    console.print(f"{element.name} of {line} comes round every {element.period_mm:.1f} mm")


def remove_element(
    name: str = typer.Argument(help="Name of the element."),
    line: str = LINE,
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Forget a machine element."""
    from storage.defects import machine

    _, database = _open(data_dir)
    machine.remove_element(database, line=line, name=name, by=by)
    console.print(f"{name} of {line} is forgotten")


def set_coverage(
    limit: float = typer.Argument(help="Inspected share of a roll, 0 to 1."),
    line: str = LINE,
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Set the coverage that a roll needs to be graded; below it is incomplete."""
    from storage import coverage

    _, database = _open(data_dir)
    coverage.set_coverage_limit(database, line=line, limit=limit, by=by)
    console.print(f"{line}: a roll is complete from {100 * limit:g} % coverage on")
