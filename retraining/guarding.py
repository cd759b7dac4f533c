"""The guard looks at samples soon after they came in, so that staff see what is held, and why, before any training.

A thread of the trainer sees to it, beside its trainings. What waits is in the rows, so one pass answers all that came
meanwhile; of several trainers one acts. The model is loaded in a process of its own, which ends with the pass.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from inspection.errors import LoomwatchError
from inspection.logs import start_logging
from inspection.settings import StoreSettings, TrainerSettings, load
from retraining.parent import end_with_parent
from storage.database import Database, open_database
from storage.leases import give_lease_back, take_lease
from storage.pictures import PictureStore
from storage.samples import guard_is_awaited

logger = logging.getLogger(__name__)

LEASE, LEASE_S = "guard", 60.0
WATCH_S = 0.2
AGAIN_S = 600.0  # after a pass that failed: every training begins with one, and says why it cannot
NICENESS = 10  # as a training


def run_guarding(
    database: Database, *, every_s: float, holder: str, stop: threading.Event, tell: Callable[[str], object]
) -> None:
    """Runs until `stop` is set; every_s: between two looks whether samples wait. tell: is given why a pass failed, ""
    after one that did not and while none waits."""
    again = 0.0
    while not stop.wait(every_s):
        try:
            if not guard_is_awaited(database):
                again = 0.0
                tell("")  # staff decided on what waited, or another trainer looked at it
            elif time.monotonic() >= again and _lease(database, holder):
                problem = _pass(database, holder, stop)
                tell(problem)
                again = time.monotonic() + AGAIN_S if problem else 0.0
        except LoomwatchError as error:
            logger.warning("the guard: %s", error)


def _pass(database: Database, holder: str, stop: threading.Event) -> str:
    """Why it failed, "" when it did not."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    leased = time.monotonic()
    command = [sys.executable, "-m", "retraining.guarding"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            while process.poll() is None:
                if stop.wait(WATCH_S):
                    return ""
                if time.monotonic() - leased > LEASE_S / 2:
                    leased = time.monotonic()
                    _lease(database, holder)
            reason = process.stdout.read().strip() if process.stdout else ""
        finally:
            process.kill()
    give_lease_back(database, LEASE, holder=holder, at=datetime.now(UTC))
    return (reason or "its process ended by itself") if process.returncode else ""


def _lease(database: Database, holder: str) -> bool:
    with database.session() as session:
        return take_lease(database, session, LEASE, holder=holder, at=datetime.now(UTC), lease_s=LEASE_S)


def main() -> int:
    end_with_parent()
    os.nice(NICENESS)
    store, trainer = load(StoreSettings), load(TrainerSettings)
    start_logging("guard", level=store.log_level, file=None)
    from cras_core.errors import CrasError  # PyTorch, which the trainer itself does not load
    from retraining.guard import guard_samples

    with open_database(store.database) as database:
        try:
            guard_samples(database, PictureStore(store.pictures), share=trainer.guard_share, device=trainer.device)
        except (LoomwatchError, CrasError) as error:
            logger.error("samples wait for the guard: %s", error)
            print(error)  # for the trainer
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
