"""The training job, run in a process of its own by the trainer. Named by its dotted path in `storage.job_queue`."""

import logging
import os
import shutil
import socket
from pathlib import Path

from rq.timeouts import JobTimeoutException

from inspection.errors import ChangedMeanwhile, LoomwatchError
from inspection.logs import start_logging
from inspection.settings import StoreSettings, TrainerSettings, WorkerSettings, load
from retraining.parent import end_with_parent
from retraining.passing import may_pass
from storage import registry
from storage.database import Database, open_database
from storage.job_runs import fail_job, finish_job, start_job, try_again
from storage.jobs import PROVISIONAL, Job
from storage.pictures import PictureStore

logger = logging.getLogger(__name__)

TRAINING = 0.9  # of the progress; the rest is the gate
NICENESS = 10  # on one machine the line's own work goes first


def run(job_id: str) -> None:
    """Runs a queued training to its end; the row tells how it went. One that is not queued any more is left alone."""
    end_with_parent()
    os.nice(NICENESS)
    store, trainer = load(StoreSettings), load(TrainerSettings)
    start_logging("training", level=store.log_level, file=None)
    logging.getLogger("rq.worker").setLevel(logging.WARNING)  # the row tells how it went
    with open_database(store.database) as database:
        run_training(store, trainer, database, job_id)


def run_training(store: StoreSettings, trainer: TrainerSettings, database: Database, job_id: str) -> None:
    """queued -> running -> done, or failed with its reason in one line; a failure is never shown as trained.

    What somebody must put right first fails at once; what may pass and what nobody expected is tried again, later, a
    few times. What a try leaves is gone on with, unless its samples or settings were wrong: those are chosen anew.
    """
    job = start_job(database, job_id, holder=name_of(trainer))
    if job is None:
        logger.info("training %s is not to begin now", job_id)
        return
    # PyTorch, which takes seconds: the screens show that it starts
    from cras_core.errors import ConfigError, CrasError, DataSetError, PictureError

    folder = folder_of(store, job_id)
    try:
        message = _train(store, trainer, database, job, folder)
    except (LoomwatchError, CrasError) as error:
        logger.error("training %s: %s", job_id, error)
        if may_pass(error):
            try_again(database, job_id, holder=job.holder, reason=str(error))
            return
        if isinstance(error, (ChangedMeanwhile, ConfigError, DataSetError, PictureError)):
            shutil.rmtree(folder, ignore_errors=True)
        fail_job(database, job_id, holder=job.holder, reason=str(error))
    except JobTimeoutException:
        fail_job(database, job_id, holder=job.holder, reason=over_limit(job))
    except Exception as error:
        try_again(database, job_id, holder=job.holder, reason=f"{type(error).__name__}: {error}")
        raise
    else:
        if message and finish_job(database, job_id, holder=job.holder, message=message):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            logger.info("training %s was called off", job_id)


def _train(store: StoreSettings, trainer: TrainerSettings, database: Database, job: Job, folder: Path) -> str:
    """In one line what came out, "" when it was called off. An earlier try's model is not trained again."""
    from retraining.after import after_training, outcome
    from retraining.gate import run_gate
    from retraining.progress import Shown
    from retraining.provisional import add_provisional, added_set
    from retraining.team_training import count_processes, train_together
    from retraining.training import train_candidate

    pictures, processes = PictureStore(store.pictures), count_processes(trainer)
    with Shown(database, store.redis, job, holder=job.holder) as shown:
        model = registry.model_of_job(database, job.id)
        again = added_set(database, job.parameters)
        if again is not None or job.parameters == PROVISIONAL:
            style = again.recipe["added"] if again is not None else job.style
            added = model or add_provisional(
                store,
                database,
                pictures,
                style,
                by=job.by,
                device=trainer.device,
                again=again,
                tell=shown.tell,
                job_id=job.id,
                folder=folder,
            )
            return f"model {added.name} knows style {style} provisionally and is ready to be promoted"
        if job.judges:
            gate = run_gate(
                store, database, pictures, job.judges, by=job.by, device=trainer.device,
                runtime=load(WorkerSettings).runtime, tell=shown.tell, stop=shown.stop.is_set,
            )  # fmt: skip
            return outcome(gate) if gate is not None else ""
        if model is None:
            model = train_candidate(
                store,
                database,
                pictures,
                source="retrained",
                by=job.by,
                device=trainer.device,
                tell=lambda fraction, message: shown.tell(TRAINING * fraction, message),
                follow=shown.follow,
                stop=shown.stop,
                parameters=job.parameters,
                threads=trainer.threads,
                style=job.style,
                job_id=job.id,
                folder=folder,
                processes=processes,
                together=lambda at, count: train_together(at, job_id=job.id, processes=count),
                checkpoint_s=trainer.checkpoint_s,
            )
        if model is None:
            return ""
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
        shown.note(message)
        shown.tell(1.0, message)
        return message


def name_of(trainer: TrainerSettings) -> str:
    return trainer.name or socket.gethostname()


def over_limit(job: Job) -> str:
    return f"it took longer than its limit of {job.time_limit_s / 3600:g} h: give it more, or a faster device"


def trainings_dir(store: StoreSettings) -> Path:
    return store.data_dir / "trainings"


def folder_of(store: StoreSettings, job_id: str) -> Path:
    """What a training leaves until it is done, to go on with."""
    return trainings_dir(store) / job_id
