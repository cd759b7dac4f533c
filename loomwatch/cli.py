"""The command line: every command, and the one place where errors become a line and an exit code.

0 done, 1 a fault of loomwatch itself, 2 something the user can put right (one line on standard error), 130 Ctrl+C.
"""

import errno
import sys
import tempfile
import traceback
from typing import Any, NoReturn

import typer
from rich.console import Console

from cras_core.errors import CrasError
from inspection.errors import LoomwatchError
from loomwatch import (
    commands_alarms,
    commands_dataset,
    commands_db,
    commands_grading,
    commands_jobs,
    commands_keys,
    commands_line,
    commands_method,
    commands_models,
    commands_records,
    commands_report,
    commands_samples,
    commands_schedule,
    commands_services,
    commands_styles,
    commands_trends,
    commands_users,
)

app = typer.Typer(
    name="loomwatch",
    help="Inspects continuous textile lines: every millimetre inspected, or recorded as not.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)
commands_line.register(app)
commands_method.register(app)
commands_dataset.register(app)
commands_styles.register(app)
commands_services.register(app)
commands_keys.register(app)
commands_records.register(app)
commands_samples.register(app)
commands_models.register(app)
commands_jobs.register(app)
commands_schedule.register(app)
commands_db.register(app)
commands_grading.register(app)
commands_report.register(app)
commands_trends.register(app)
commands_alarms.register(app)
commands_users.register(app)


# What typer raises for arguments it cannot take: its own class where it holds click within itself, click's before.
ArgumentError: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("loomwatch"))
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> NoReturn:
    """Runs the command line and exits with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command."""
    try:
        code = app(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (LoomwatchError, CrasError) as error:
        return _complain(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" writing {error.filename}" if error.filename else ""
            return _complain(f"the disk is full{where}: free some space and run the command again, nothing is lost")
        unusable = (
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOENT,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.EEXIST,
        )
        if error.errno in unusable:
            return _complain(f"{error.filename or 'a file'}: {error.strerror}: check the path and its permissions")
        return _bug(error)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except ArgumentError as error:
        return _misused(error)
    except Exception as error:  # noqa: BLE001 - the outermost boundary: a bug becomes a line and a file, not a traceback
        return _bug(error)


def _complain(message: str) -> int:
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"loomwatch: {' '.join(message.split())}", style="bold red", markup=False
    )
    return 2


def _misused(error: Any) -> int:
    """One line that ends with the command's own help; a group of commands named without one shows that help itself."""
    command = error.ctx.command_path if getattr(error, "ctx", None) else "loomwatch"
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return 2
    return _complain(f"{error.format_message().rstrip('.')}: see {command} --help")


def _bug(error: BaseException) -> int:
    with tempfile.NamedTemporaryFile("w", prefix="loomwatch-", suffix=".txt", delete=False) as report:
        traceback.print_exception(error, file=report)
    _complain(f"a fault of loomwatch itself, {type(error).__name__}: {error} (please report it with {report.name})")
    return 1
