"""Who may use the dashboard. Passwords are asked for, or read from standard input; never an argument, which everybody
on the machine could read."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.table import Table

from inspection.errors import SettingsError
from inspection.settings import DashboardSettings, StoreSettings, load
from loomwatch.terminal import console, example
from storage.database import Database, open_database, schema_status, upgrade

DATA_DIR = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine.")
ROLE = "viewer, operator, quality or admin."


def register(app: typer.Typer) -> None:
    users = typer.Typer(help="Who may use the dashboard, and as what.", no_args_is_help=True)
    users.command("add", epilog=example("loomwatch users add anna --role admin"))(add)
    users.command("list", epilog=example("loomwatch users list"))(list_)
    users.command("role", epilog=example("loomwatch users role ben quality"))(role)
    users.command("password", epilog=example("loomwatch users password ben", "pwgen | loomwatch users password ben"))(
        password
    )
    users.command("link", epilog=example("loomwatch users link ben"))(link)
    users.command("disable", epilog=example("loomwatch users disable ben"))(disable)
    users.command("enable", epilog=example("loomwatch users enable ben"))(enable)
    app.add_typer(users, name="users")


def add(
    name: str = typer.Argument(help="Name, as it will stand beside what they do."),
    role: str = typer.Option("viewer", help=ROLE),
    company: bool = typer.Option(
        False, "--company", help="They sign in with the company's account, by this name there."
    ),
    data_dir: Path = DATA_DIR,
) -> None:
    """Add somebody; asks for a password, or reads it from standard input."""
    from storage.accounts import users

    store = load(StoreSettings, data_dir=data_dir)
    if schema_status(store.database).state == "empty":
        upgrade(store.database)  # the first account may come before the first service
    with open_database(store.database) as database:
        password = None if company else _ask_password()
        origin = "company" if company else "local"
        user = users.add_user(database, name=name, role=role, password=password, by=who(), origin=origin)
    console.print(f"{user.name} may sign in as {user.role}", markup=False)


def list_(data_dir: Path = DATA_DIR) -> None:
    """Show all accounts."""
    from storage.accounts import users

    with _database(data_dir) as database:
        found = users.list_users(database)
    if not found:
        console.print("no accounts yet: loomwatch users add NAME --role admin")
        return
    table = Table("name", "role", "signs in with", "", "last signed in", box=None, pad_edge=False)
    for user in found:
        way = "password" if user.has_password else {"local": "a link first"}.get(user.origin, user.origin)
        last = f"{user.signed_in_at.astimezone():%Y-%m-%d %H:%M}" if user.signed_in_at else "never"
        table.add_row(user.name, user.role, way, "disabled" if user.disabled else "", last)
    console.print(table, markup=False)


def role(
    name: str = typer.Argument(help="Whose."),
    role: str = typer.Argument(help=ROLE),
    data_dir: Path = DATA_DIR,
) -> None:
    """Give somebody another role. It holds at once."""
    from storage.accounts import users

    with _database(data_dir) as database:
        users.set_role(database, name=name, role=role, by=who())
    console.print(f"{name} is {role} now", markup=False)


def password(name: str = typer.Argument(help="Whose."), data_dir: Path = DATA_DIR) -> None:
    """Give somebody another password; their sessions end."""
    from storage.accounts import users

    with _database(data_dir) as database:
        users.set_password(database, name=name, password=_ask_password(), by=who())
    console.print(f"{name} has a new password", markup=False)


def link(name: str = typer.Argument(help="Whose."), data_dir: Path = DATA_DIR) -> None:
    """Print a link by which somebody chooses their password: it works once, for an hour."""
    from storage.accounts import links

    with _database(data_dir) as database:
        secret = links.make_link(database, purpose="password", name=name, by=who())
    settings = load(DashboardSettings)
    console.print(f"http://{settings.host}:{settings.port}/welcome#{secret}", soft_wrap=True, markup=False)
    console.print("it works once, for an hour; put the dashboard's own address in front if it has another")


def disable(name: str = typer.Argument(help="Whose."), data_dir: Path = DATA_DIR) -> None:
    """Shut somebody out; what they did stays in their name."""
    _set_disabled(name, True, data_dir)


def enable(name: str = typer.Argument(help="Whose."), data_dir: Path = DATA_DIR) -> None:
    """Let somebody in again."""
    _set_disabled(name, False, data_dir)


def way_in(database: Database, address: str, *, demo: bool) -> str:
    """The one-time link that a start prints: into a demo, or for the first admin; "" where there is an account, and
    where nobody reads along: what is no terminal may be a log, which would keep it (a demo's opens nothing else)."""
    from storage.accounts import links
    from storage.accounts.users import count_users

    if not demo and (not console.is_terminal or count_users(database)):
        return ""
    secret = links.make_link(database, purpose="demo" if demo else "first-admin", by=who())
    return f"{address}/welcome#{secret}"


def show_way_in(link: str, store: StoreSettings) -> None:
    if link:
        console.print("this link opens it; it works once, for an hour:")
        console.print(f"  {link}", style="bold", soft_wrap=True, markup=False)
    elif not console.is_terminal:
        console.print(f"accounts: loomwatch users add NAME --role admin --data-dir {store.data_dir}", markup=False)


def who() -> str:
    """The operating system's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "operator"


def _set_disabled(name: str, disabled: bool, data_dir: Path) -> None:
    from storage.accounts import users

    with _database(data_dir) as database:
        users.set_disabled(database, name=name, disabled=disabled, by=who())
    console.print(f"{name} is {'shut out' if disabled else 'let in again'}", markup=False)


def _ask_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("password", hide_input=True, confirmation_prompt="once more"))
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise SettingsError("no password: type it at the prompt, or send it to standard input")
    return given


@contextmanager
def _database(data_dir: Path) -> Iterator[Database]:
    with open_database(load(StoreSettings, data_dir=data_dir).database) as database:
        yield database
