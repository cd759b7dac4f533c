"""The database: its version, backups, what is kept and what is forgotten."""

from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.table import Table

from inspection.settings import StoreSettings, load
from loomwatch.terminal import console, example
from storage.database import open_database, schema_status, upgrade

DATA_DIR = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine.")
BY = typer.Option("operator", "--by", help="Who does it, for the record.")


def register(app: typer.Typer) -> None:
    db = typer.Typer(help="The database: version, backup, restore, retention.", no_args_is_help=True)
    db.command("upgrade", epilog=example("loomwatch db upgrade"))(upgrade_database)
    db.command("status", epilog=example("loomwatch db status"))(database_status)
    db.command("backup", epilog=example("loomwatch db backup backups/monday.db --pictures backups/monday"))(back_up)
    db.command("restore", epilog=example("loomwatch db restore backups/monday.db --pictures backups/monday"))(restore)
    db.command("prune", epilog=example("loomwatch db prune --days 400 --dry-run"))(prune)
    app.add_typer(db, name="db")


def upgrade_database(data_dir: Path = DATA_DIR) -> None:
    """Make the database, or bring it to this version."""
    store = load(StoreSettings, data_dir=data_dir)
    upgrade(store.database)
    console.print(f"the database is at version {schema_status(store.database).current}")


def database_status(data_dir: Path = DATA_DIR) -> None:
    """Tell the database's version and this program's."""
    store = load(StoreSettings, data_dir=data_dir)
    status = schema_status(store.database)
    console.print(f"database: {status.current or 'empty'}, program: {status.head}, state: {status.state}")


def back_up(
    file: Path = typer.Argument(None, help="File to write; by default DATA_DIR/backups/loomwatch-TIME.db."),
    pictures: Path = typer.Option(None, help="Also copy the pictures, into this folder."),
    data_dir: Path = DATA_DIR,
) -> None:
    """Write a backup of one moment, while the line runs; it restores into SQLite and PostgreSQL."""
    from storage import backup
    from storage.pictures import PictureStore

    store = load(StoreSettings, data_dir=data_dir)
    file = file or store.data_dir / "backups" / f"loomwatch-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.db"
    with open_database(store.database) as database:
        made = backup.back_up(database, file, pictures=PictureStore(store.pictures), into=pictures)
    console.print(f"{made.path}: {made.bytes / 1e6:.1f} MB")
    if pictures is None:
        console.print(f"{made.named} pictures are not in it: they lie in {store.pictures}, add --pictures FOLDER")
    else:
        console.print(f"{made.pictures} of {made.named} pictures in {pictures}")


def restore(
    file: Path = typer.Argument(help="The backup."),
    pictures: Path = typer.Option(None, help="Also put the pictures of this folder back."),
    replace: bool = typer.Option(False, "--replace", help="Give up all that is in the database now."),
    data_dir: Path = DATA_DIR,
) -> None:
    """Restore a backup into the database of the settings. Stop the services first."""
    from storage import backup
    from storage.pictures import PictureStore

    store = load(StoreSettings, data_dir=data_dir)
    backup.restore(
        store.database,
        file,
        replace=replace,
        pictures=PictureStore(store.pictures) if pictures is not None else None,
        out_of=pictures,
    )
    console.print(f"{file} is restored, the database is at version {schema_status(store.database).current}")


def prune(
    days: float = typer.Option(None, min=0, help="Forget rolls that ended longer ago; 0: none for their age."),
    free_gb: float = typer.Option(None, min=0, help="Forget the oldest until so many GB are free; 0: none."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only tell what would go."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Forget the cloth of the oldest rolls, rows and pictures; never of a roll on hold."""
    from storage import retention
    from storage.pictures import PictureStore

    store = load(StoreSettings, data_dir=data_dir, keep_days=days, keep_free_gb=free_gb)
    with open_database(store.database) as database:
        gone = retention.prune(
            database,
            PictureStore(store.pictures),
            by=by,
            days=store.keep_days,
            free_gb=store.keep_free_gb,
            dry_run=dry_run,
        )
        if gone and not dry_run:
            retention.shrink(database)
    if gone:
        table = Table("roll", "line", "ended", "frames", "gaps", "defects", "pictures", "why")
        for each in gone:
            counts = (each.frames, each.gaps, each.defects, each.pictures)
            table.add_row(each.roll, each.line, f"{each.closed_at:%Y-%m-%d %H:%M}", *map(str, counts), each.reason)
        console.print(table)
    console.print(f"{len(gone)} rolls {'would go' if dry_run else 'are pruned'}")
