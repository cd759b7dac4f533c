"""Grades of rolls that ended, kept before anybody asks (`storage.grading.kept`): all workers ask, one of them does."""

import logging
import threading
from datetime import UTC, datetime

from inspection.errors import LoomwatchError
from storage.database import Database
from storage.grading.kept import keep_grades
from storage.retention import claim_chore

log = logging.getLogger(__name__)

ASK_S = 60.0
MOST = 20  # rolls at once: a fraction of a second of one core


def start_keeping_grades(database: Database, *, name: str, stop: threading.Event) -> None:
    """Starts a thread that ends with `stop`."""

    def run() -> None:
        while not stop.wait(ASK_S):
            try:
                keep_in_turn(database, name=name)
            except LoomwatchError as error:
                log.error("cannot keep grades: %s", error)

    threading.Thread(target=run, name="grades", daemon=True).start()


def keep_in_turn(database: Database, *, name: str, at: datetime | None = None) -> int:
    """Grades, if no other process has in this minute; how many rolls."""
    if not claim_chore(database, "grades", period=f"{at or datetime.now(UTC):%Y-%m-%dT%H:%M}", by=name):
        return 0
    return keep_grades(database, most=MOST)
