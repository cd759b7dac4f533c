"""CURVE keys: made, listed, revoked. What the files mean: `inspection.keys`."""

from pathlib import Path

import typer
from rich.table import Table

from inspection.errors import SettingsError
from loomwatch.terminal import console, example

KEYS_DIR = typer.Option(..., "--keys-dir", envvar="LOOMWATCH_KEYS_DIR", help="Folder of the keys.")


def register(app: typer.Typer) -> None:
    keys = typer.Typer(help="Who may talk to whom between hosts: CURVE keys.", no_args_is_help=True)
    keys.command("new", epilog=example("loomwatch keys new gpu-1 --role worker --keys-dir /etc/loomwatch/keys"))(new)
    keys.command("list", epilog=example("loomwatch keys list --keys-dir /etc/loomwatch/keys"))(list_)
    keys.command("revoke", epilog=example("loomwatch keys revoke gpu-1 --keys-dir /etc/loomwatch/keys"))(revoke)
    app.add_typer(keys, name="keys")


def new(
    name: str = typer.Argument(help="Name of the host, as it will be listed."),
    role: str = typer.Option("worker", help="worker or ingest: what the host does."),
    keys_dir: Path = KEYS_DIR,
) -> None:
    """Make a key: NAME.ROLE.secret for the host itself, NAME.ROLE.public for those it talks to."""
    from inspection.keys import ROLES, new_key

    chosen = next((each for each in ROLES if each == role), None)
    if chosen is None:
        raise SettingsError(f"a role is {' or '.join(ROLES)}, got {role!r}")
    secret, public = new_key(keys_dir, name, chosen)
    there = "the ingestors' hosts" if chosen == "worker" else "the workers' hosts"
    console.print(f"{secret}: only for the host {name}, delete it everywhere else", soft_wrap=True)
    console.print(f"{public}: copy it into the keys' folder of {there}, mode 0600", soft_wrap=True)


def list_(keys_dir: Path = KEYS_DIR) -> None:
    """Show the keys of a folder, listed and revoked."""
    from inspection.keys import list_keys

    table = Table("name", "role", "state", "public key", "secret here", "since", box=None, pad_edge=False)
    for key in list_keys(keys_dir):
        secret = "yes" if key.secret else "no"
        table.add_row(key.name, key.role, key.state, key.public.decode(), secret, f"{key.made:%Y-%m-%d}")
    console.print(table, markup=False)


def revoke(name: str = typer.Argument(help="Name of the key."), keys_dir: Path = KEYS_DIR) -> None:
    """Let a key in no more. Running ingestors notice, and cut its connection."""
    from inspection.keys import revoke_key

    for path in revoke_key(keys_dir, name):
        console.print(f"revoked: {path}", soft_wrap=True)
