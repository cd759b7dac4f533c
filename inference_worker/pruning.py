"""Retention while the line runs: every worker asks each hour, one of them all prunes (`storage.retention`)."""

import logging
import threading
from datetime import UTC, datetime

from inspection.errors import StorageError
from inspection.settings import StoreSettings
from storage.database import Database
from storage.pictures import PictureStore
from storage.retention import claim_chore, prune, shrink

log = logging.getLogger(__name__)

ASK_S = 300.0


def start_pruning(
    store: StoreSettings, database: Database, pictures: PictureStore, *, name: str, stop: threading.Event
) -> None:
    """Starts a thread when the settings ask for retention; it ends with `stop`."""
    if store.keep_days <= 0 and store.keep_free_gb <= 0:
        return

    def run() -> None:
        while not stop.wait(ASK_S):
            try:
                prune_in_turn(store, database, pictures, name=name)
            except StorageError as error:
                log.error("cannot prune: %s", error)

    threading.Thread(target=run, name="pruning", daemon=True).start()


def prune_in_turn(
    store: StoreSettings, database: Database, pictures: PictureStore, *, name: str, at: datetime | None = None
) -> int:
    """Prunes, if no other process has in this hour; how many rolls went."""
    now = at or datetime.now(UTC)
    if not claim_chore(database, "prune", period=f"{now:%Y-%m-%dT%H}", by=name):
        return 0
    gone = prune(database, pictures, by=name, days=store.keep_days, free_gb=store.keep_free_gb, at=now)
    if gone:
        shrink(database)
    return len(gone)
