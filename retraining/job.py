"""The training job, run in a process of its own by the trainer. Named by its dotted path in `storage.jobs`."""

import logging
import os
import sys
import threading
import time

from inspection.errors import LoomwatchError, StorageError
from inspection.logs import start_logging
from inspection.settings import StoreSettings, TrainerSettings, load
from storage.database import Database, open_database
from storage.jobs import fail_job, finish_job, start_job, update_job
from storage.pictures import PictureStore

logger = logging.getLogger(__name__)

SHOW_S = 0.5  # between two changes of the progress bar
TRAINING = 0.9  # of the progress; the rest is the gate
NICENESS = 10  # on one machine the line's own work goes first


def run(job_id: str) -> None:
    """Runs a queued training to its end; the row tells how it went. One that is not queued any more is left alone."""
    _end_with_the_trainer()
    os.nice(NICENESS)
    store, trainer = load(StoreSettings), load(TrainerSettings)
    start_logging("training", level=store.log_level, file=None)
    logging.getLogger("rq.worker").setLevel(logging.WARNING)  # the row tells how it went
    with open_database(store.database) as database:
        run_training(store, trainer, database, job_id)


def run_training(store: StoreSettings, trainer: TrainerSettings, database: Database, job_id: str) -> None:
    """queued -> running -> done, or failed with its reason in one line; a failure is never shown as trained."""
    job = start_job(database, job_id)
    if job is None:
        logger.info("training %s is not queued any more", job_id)
        return
    from cras_core.errors import CrasError  # PyTorch, which takes seconds: the screens show by now that it starts
    from retraining.after import after_training
    from retraining.training import train_candidate

    shown = _Shown(database, job_id)
    pictures = PictureStore(store.pictures)
    try:
        model = train_candidate(
            store,
            database,
            pictures,
            source="retrained",
            by=job.by,
            device=trainer.device,
            tell=lambda fraction, message: shown.tell(TRAINING * fraction, message),
            stop=shown.stop,
            parameters=job.parameters,
            threads=trainer.threads,
            job_id=job_id,
        )
    except (LoomwatchError, CrasError) as error:
        logger.error("training %s failed: %s", job_id, error)
        fail_job(database, job_id, reason=str(error))
    except Exception as error:
        fail_job(database, job_id, reason=f"{type(error).__name__}: {error} (the trainer's log tells more)")
        raise
    else:
        if model is None:
            logger.info("training %s was called off", job_id)
        else:
            message = after_training(
                store,
                database,
                pictures,
                model.name,
                by=job.by,
                device=trainer.device,
                tell=lambda fraction, message: shown.tell(TRAINING + (1 - TRAINING) * fraction, message),
                stop=shown.stop.is_set,
            )
            finish_job(database, job_id, message=message)


class _Shown:
    """The progress in the row, changed at most every `SHOW_S`. `stop` is set when the row says that it is over."""

    def __init__(self, database: Database, job_id: str) -> None:
        self.stop = threading.Event()
        self._database = database
        self._job_id = job_id
        self._told = 0.0

    def tell(self, fraction: float, message: str) -> None:
        now = time.monotonic()
        if now - self._told < SHOW_S and fraction < 0.98:
            return
        self._told = now
        try:
            if not update_job(self._database, self._job_id, progress=fraction, message=message):
                self.stop.set()
        except StorageError as error:  # a database that is away for a moment must not cost the training
            logger.warning("cannot show the progress: %s", error)


def _end_with_the_trainer() -> None:
    """Asks Linux to kill this process with its parent, so that a killed trainer leaves no training behind. Elsewhere
    such a training stops when it next shows its progress: its row says failed by then."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig, sigkill = 1, 9
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, sigkill)
