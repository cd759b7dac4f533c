"""What commands share at the terminal: the console, examples in the help, progress bars, JSON files."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from inspection.errors import SettingsError
from inspection.logs import start_logging

console = Console(highlight=False)


def example(*lines: str) -> str:
    """The examples at the end of a command's help."""
    return "[bold]Example[/]\n\n" + "\n\n".join(f"[cyan]$ {line}[/]" for line in lines)


@contextmanager
def progress_bar(title: str, *, shown: bool = True) -> Iterator["Bar"]:
    """A bar that is told fractions and words. Not shown: told all the same, for one of several processes."""
    columns = (TextColumn("{task.description}"), BarColumn(40), TextColumn("{task.percentage:>3.0f} %"))
    detail = TextColumn("{task.fields[detail]}")
    with Progress(*columns, TimeElapsedColumn(), detail, console=console, disable=not shown) as progress:
        yield Bar(progress, progress.add_task(title, total=1.0, detail=""))


class Bar:
    """One progress bar; `tell` moves it."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress, self._task = progress, task

    def tell(self, fraction: float, detail: str) -> None:
        self._progress.update(self._task, completed=fraction, detail=detail)


def write_json(path: Path | None, value: object) -> None:
    """Writes `value` when a file was asked for."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def refuse_unwritable(path: Path, *, option: str) -> None:
    """Tries a file that is to be written once the work is done; what is there stays. Raises `SettingsError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.exists()
        path.open("a").close()
        if not there:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"{option}: cannot write {path} ({error.strerror}): name another place") from error


def _json_target(path: Path | None) -> Path | None:
    if path is not None:
        refuse_unwritable(path, option="--json")
    return path


JSON = typer.Option(None, "--json", callback=_json_target, help="Write the figures to this file.")


def folder(path: Path, *, what: str) -> Path:
    """The folder, or a clear error."""
    if not path.is_dir():
        raise SettingsError(f"{what} {path} is not a folder: check the path")
    return path


def log_to_terminal(service: str, level: str) -> None:
    start_logging(service, level=level, file=None)
