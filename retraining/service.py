"""The trainer: waits for requested trainings and runs each in a process of its own.

RQ's spawning worker (never a fork: CUDA does not survive one) with the JSON serializer. Redis only wakes it; the rows
in the database are the truth, and a thread keeps the two in step: a queued row that Redis has lost is queued again, a
running row whose process is gone is failed. One trainer a data folder, held by a file lock that ends with its process.

Stopping: the training process is ended, its row says so, then the trainer ends.
"""

import fcntl
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from prometheus_client.core import GaugeMetricFamily, Metric
from rq.exceptions import StopRequested
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from rq.worker import SpawnWorker

from inspection.errors import LoomwatchError, ServiceError, StorageError
from inspection.monitor import Monitor
from inspection.settings import StoreSettings, TrainerSettings
from storage.database import Database, open_database
from storage.jobs import QUEUE, Job, fail_job, jobs_in, queue_again
from storage.live import Live, ServiceState
from storage.redis_client import connect, errors_explained

logger = logging.getLogger(__name__)

LOOK_S = 1.0
AGAIN_S = 2.0  # before the next try when Redis is away
POLL_S = 1  # the longest wait for a job before the trainer looks whether it shall stop
STOPPED = "the trainer was stopped: start the training again"


class TrainingWorker(SpawnWorker):
    """RQ's worker, which also ends when `stop` is set and leaves the signals to its process. Public by necessity: the
    training process makes one by this name."""

    stop: threading.Event | None = None  # none in the training process
    max_connection_wait_time = AGAIN_S

    @property
    def dequeue_timeout(self) -> int:
        return POLL_S

    def _install_signal_handlers(self) -> None:
        """The process has its own, which set `stop`."""

    def subscribe(self) -> None:
        """Takes no commands over Redis."""

    def heartbeat(self, *arguments: Any, **options: Any) -> None:
        """Called before each wait for a job, and between jobs."""
        if self.stop is not None and self.stop.is_set() and not self.horse_pid:
            raise StopRequested
        super().heartbeat(*arguments, **options)

    def maintain_heartbeats(self, *arguments: Any, **options: Any) -> None:
        """A training outlives an absence of Redis, which only woke it."""
        try:
            super().maintain_heartbeats(*arguments, **options)
        except redis.RedisError as error:
            logger.warning("Redis is away during a training: %s", error)


def run_trainer(store: StoreSettings, trainer: TrainerSettings, stop: threading.Event) -> None:
    """Runs until `stop` is set. Call it from the main thread.

    Raises `StorageError` when the database or Redis is not there at the start, and `ServiceError` when another trainer
    runs for the same data folder.
    """
    with _only_one(store.data_dir), open_database(store.database) as database:
        connection = connect(store.redis)
        with errors_explained(store.redis):
            connection.ping()
        connection.close()
        os.environ.update(_environment(store, trainer))  # what the training process reads its settings from
        logging.getLogger("rq.worker").setLevel(logging.WARNING)
        with (
            _Watch(store, database, stop) as watch,
            Monitor(
                "trainer",
                host=trainer.monitor_host,
                port=trainer.monitor_port,
                problems=watch.problems,
                collect=watch.collect,
            ),
        ):
            logger.info("trainer waits for trainings")
            while not stop.is_set():
                _work(store, database, stop, watch)
                stop.wait(0.0 if stop.is_set() else AGAIN_S)  # RQ's loop ended by itself: Redis was away
    logger.info("trainer stopped")


def _work(store: StoreSettings, database: Database, stop: threading.Event, watch: "_Watch") -> None:
    """RQ's loop, until it is stopped or Redis goes away."""

    def killed(job: RqJob, _pid: int, status: int, _usage: object) -> None:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        reason = f"the training process was ended by {signal.Signals(number).name}" if number else "it ended by itself"
        if number == signal.SIGKILL:
            reason += ", perhaps for want of memory"
        fail_job(database, job.id, reason=STOPPED if stop.is_set() else reason)

    connection = redis.Redis.from_url(store.redis)
    worker: TrainingWorker | None = None
    try:
        worker = TrainingWorker(
            [QUEUE],
            connection=connection,
            serializer=JSONSerializer,
            job_monitoring_interval=5,
            worker_ttl=60,
            work_horse_killed_handler=killed,
        )
        worker.stop = stop
        watch.worker = worker
        worker.work(logging_level="WARNING")
    except redis.RedisError as error:
        logger.warning("Redis is away, next try in %.0f s: %s", AGAIN_S, error)
    finally:
        if worker is not None and worker.horse_pid:  # RQ's loop broke off in the middle of a training
            worker.kill_horse()
            worker.wait_for_horse()
        connection.close()


class _Watch:
    """The thread beside RQ's loop: keeps rows and queue in step, shows the trainer's state, stops a training."""

    def __init__(self, store: StoreSettings, database: Database, stop: threading.Event) -> None:
        self.worker: TrainingWorker | None = None
        self._store = store
        self._database = database
        self._stop = stop
        self._live = Live(store.redis)
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._queued = 0
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainer-watch", daemon=True)

    def __enter__(self) -> "_Watch":
        self._keep_in_step()  # what a killed trainer left is failed before anything new begins
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()
        try:
            self._fail(jobs_in(self._database, "running"))
        except StorageError as error:
            logger.warning("the next start of the trainer sees to its trainings: %s", error)
        self._live.close()

    def problems(self) -> list[str]:
        """What keeps the trainer from its work."""
        found = [problem] if (problem := self._database.problem()) else []
        try:
            self._live.services()
        except StorageError as error:
            found.append(str(error))
        return found

    def collect(self) -> Iterator[Metric]:
        yield from watch_metrics(training=self._training(), waiting=self._queued)

    def _run(self) -> None:
        while not self._left.is_set():
            try:
                if self._stop.is_set():
                    self._end_training()
                else:
                    self._keep_in_step()
            except LoomwatchError as error:  # database or Redis away: the next look tries again
                logger.warning("%s", error)
            self._tell()
            self._left.wait(0.1 if self._stop.is_set() else LOOK_S)

    def _training(self) -> bool:
        return self.worker is not None and bool(self.worker.horse_pid)

    def _keep_in_step(self) -> None:
        running, queued = jobs_in(self._database, "running"), jobs_in(self._database, "queued")
        self._queued = len(queued)
        if self._training():  # asked after the rows were read: no process of ours can have begun one of them since
            return
        self._fail(running)
        if queued and (lost := queue_again(self._store.redis, queued)):
            logger.info("queued again: %s", ", ".join(lost))

    def _fail(self, jobs: list[Job]) -> None:
        for job in jobs:
            if fail_job(self._database, job.id, reason=STOPPED):
                logger.warning("training %s has no process any more and is failed", job.id)

    def _end_training(self) -> None:
        worker = self.worker
        if worker is not None and worker.horse_pid:
            try:
                os.killpg(worker.horse_pid, signal.SIGTERM)
            except ProcessLookupError:
                return

    def _tell(self) -> None:
        state = "training" if self._training() else "waiting"
        self._live.publish_service(
            ServiceState(name=self._name, kind="trainer", state=state, detail="", at_ns=time.time_ns())
        )


def watch_metrics(*, training: bool, waiting: int) -> Iterator[Metric]:
    """The metrics of docs/metrics.md."""
    yield GaugeMetricFamily("loomwatch_trainer_training", "1 while a training runs.", value=float(training))
    yield GaugeMetricFamily("loomwatch_trainer_waiting_trainings", "Trainings that wait to be run.", value=waiting)


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Holds DATA_DIR/trainer.lock. The kernel lets go of it when the process ends, however it ends."""
    path = data_dir / "trainer.lock"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}: choose another data folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ServiceError(f"another trainer runs for {data_dir}: stop it first") from error
        yield


def _environment(store: StoreSettings, trainer: TrainerSettings) -> dict[str, str]:
    """The settings as environment variables, which win over any file."""
    return {
        "LOOMWATCH_DATA_DIR": str(store.data_dir),
        "LOOMWATCH_DATABASE_URL": store.database,
        "LOOMWATCH_REDIS_URL": store.redis,
        "LOOMWATCH_PICTURES_URL": store.pictures,
        "LOOMWATCH_LOG_LEVEL": store.log_level,
        "LOOMWATCH_TRAINER_DEVICE": trainer.device,
        "LOOMWATCH_TRAINER_THREADS": str(trainer.threads),
    }
