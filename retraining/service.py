"""The trainer: waits for requested trainings and runs each in a process of its own.

RQ's spawning worker (never a fork: CUDA does not survive one) with the JSON serializer, on the queue of its device and
the one for any. Redis only wakes it; the rows in the database are the truth, and a thread keeps the two in step: a
queued row that Redis has lost is queued again, a running row whose process is gone is begun again, a training that was
cancelled is ended. Trainers on several machines take from the same queues; each has a name of its own, held by a file
lock that ends with its process, and the rows say who runs what.

Stopping: the training process is ended, its row waits again, then the trainer ends.
"""

import fcntl
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import redis
from prometheus_client.core import GaugeMetricFamily, Metric
from rq.exceptions import StopRequested
from rq.job import Job as RqJob
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.worker import SpawnWorker

from inspection.errors import LoomwatchError, ServiceError, StorageError
from inspection.monitor import Monitor
from inspection.settings import ReportSettings, StoreSettings, TrainerSettings, load
from retraining.guarding import run_guarding
from retraining.job import name_of, over_limit, trainings_dir
from retraining.scheduler import run_scheduler
from storage.database import Database, open_database
from storage.job_queue import queue_name
from storage.job_runs import fail_job, hold_job, jobs_kept, lost_jobs, queue_again, ready_jobs, try_again
from storage.jobs import Job, get_job
from storage.live import Live, ServiceState
from storage.redis_client import connect, errors_explained

logger = logging.getLogger(__name__)

LOOK_S = 1.0
WATCH_S = 0.25  # between looks whether the training that runs shall go on
BEAT_S = 5.0
AGAIN_S = 2.0  # before the next try when Redis is away
POLL_S = 1  # the longest wait for a job before the trainer looks whether it shall stop
SWEEP_S = 3600.0
KEPT = timedelta(days=7)  # what a failed training left, to go on with
STOPPED = "the trainer was stopped"
VANISHED = "its process or its trainer ended without a word"


class TrainingWorker(SpawnWorker):
    """RQ's worker, which also ends when `stop` is set and leaves the signals to its process. Public by necessity: the
    training process makes one by this name."""

    stop: threading.Event | None = None  # none in the training process
    training = ""  # the job whose process runs
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

    def fork_work_horse(self, job: RqJob, queue: Queue) -> None:
        """Starts `retraining.training_process`, with nothing on its command line."""
        assert self.execution is not None  # RQ has just prepared it
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LOOMWATCH_RQ_WORKER": self.key,
            "LOOMWATCH_RQ_JOB": job.id,
            "LOOMWATCH_RQ_EXECUTION": self.execution.id,
        }
        command = [sys.executable, "-m", "retraining.training_process"]
        self.training = job.id
        self._horse_pid = os.posix_spawn(sys.executable, command, environment, setpgroup=0)


def run_trainer(store: StoreSettings, trainer: TrainerSettings, stop: threading.Event) -> None:
    """Runs until `stop` is set. Call it from the main thread.

    Raises `StorageError` when the database or Redis is not there at the start, and `ServiceError` when another trainer
    of this name runs for the same data folder.
    """
    name = name_of(trainer)
    with _only_one(store.data_dir, name), open_database(store.database) as database:
        connection = connect(store.redis)
        with errors_explained(store.redis):
            connection.ping()
        connection.close()
        os.environ.update(_environment(store, trainer))  # what the training process reads its settings from
        logging.getLogger("rq.worker").setLevel(logging.WARNING)
        queues = [queue_name(device_kind(trainer.device)), queue_name("")]
        with (
            _Watch(store, database, stop, name) as watch,
            Monitor(
                "trainer",
                host=trainer.monitor_host,
                port=trainer.monitor_port,
                problems=watch.problems,
                collect=watch.collect,
            ),
        ):
            logger.info("trainer %s waits for trainings", name)
            beside = [_start_scheduler(store, database, stop)] if trainer.schedules else []
            if trainer.guard_s:
                beside.append(_start_guarding(database, stop, name, every_s=trainer.guard_s, tell=watch.hear_guard))
            while not stop.is_set():
                _work(store, database, stop, watch, queues)
                stop.wait(0.0 if stop.is_set() else AGAIN_S)  # RQ's loop ended by itself: Redis was away
            for thread in beside:
                thread.join()
    logger.info("trainer stopped")


def _start_scheduler(store: StoreSettings, database: Database, stop: threading.Event) -> threading.Thread:
    """Every trainer has one; the lease says which of them acts."""
    zone = ZoneInfo(load(ReportSettings).time_zone)

    def run() -> None:
        run_scheduler(store.redis, database, zone=zone, stop=stop)

    thread = threading.Thread(target=run, name="scheduler", daemon=True)
    thread.start()
    return thread


def _start_guarding(
    database: Database, stop: threading.Event, name: str, *, every_s: float, tell: Callable[[str], object]
) -> threading.Thread:
    """Every trainer has one too."""

    def run() -> None:
        run_guarding(database, every_s=every_s, holder=name, stop=stop, tell=tell)

    thread = threading.Thread(target=run, name="guard", daemon=True)
    thread.start()
    return thread


def device_kind(device: str) -> str:
    """cpu or cuda, without asking PyTorch, which the trainer itself does not load."""
    if device == "auto":
        return "cuda" if any(Path("/dev").glob("nvidia[0-9]*")) else "cpu"
    return device.partition(":")[0]


def _work(store: StoreSettings, database: Database, stop: threading.Event, watch: "_Watch", queues: list[str]) -> None:
    """RQ's loop, until it is stopped or Redis goes away."""

    def killed(job: RqJob, _pid: int | None, status: int | None, _usage: object) -> None:
        try:
            reason, again = how_it_ended(get_job(database, job.id), status)
            watch.see_to(job.id, reason, again=again)
        except StorageError as error:  # the database is away: its row is found with no process when it is back
            logger.warning("training %s has no process any more: %s", job.id, error)

    connection = redis.Redis.from_url(store.redis)
    worker: TrainingWorker | None = None
    try:
        worker = TrainingWorker(
            queues,
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
            worker._horse_pid = 0
        connection.close()


def how_it_ended(job: Job, status: int | None) -> tuple[str, bool]:
    """Why the process of a training is gone, and whether another try may end otherwise. status: as `os.wait` gives it,
    None for one that RQ itself ended, a minute after its limit, which it had not heeded."""
    if status is None and job.started_at and datetime.now(UTC) - job.started_at > timedelta(seconds=job.time_limit_s):
        return over_limit(job), False
    if status is None or not os.WIFSIGNALED(status):
        return VANISHED, True
    number = signal.Signals(os.WTERMSIG(status))
    why = ", perhaps for want of memory" if number == signal.SIGKILL else ""
    return f"the training process was ended by {number.name}{why}", True


class _Watch:
    """The thread beside RQ's loop: keeps rows and queue in step, shows the trainer's state, ends a training."""

    def __init__(self, store: StoreSettings, database: Database, stop: threading.Event, name: str) -> None:
        self.worker: TrainingWorker | None = None
        self._store = store
        self._database = database
        self._stop = stop
        self._live = Live(store.redis)
        self._name = name
        self._queued = 0
        self._guard_problem = ""
        self._looked = self._beaten = self._swept = -SWEEP_S
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainer-watch", daemon=True)

    def __enter__(self) -> "_Watch":
        self._keep_in_step()  # what a killed trainer left is seen to before anything new begins
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()
        try:
            self._see_to_lost(STOPPED)
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
        return found + [self._guard_problem] * bool(self._guard_problem)

    def hear_guard(self, problem: str) -> None:
        """Why the guard's last pass failed, "" when it did not."""
        self._guard_problem = f"samples wait for the guard: {problem}" if problem else ""

    def collect(self) -> Iterator[Metric]:
        yield from watch_metrics(training=self._training(), waiting=self._queued)

    def see_to(self, job_id: str, reason: str, *, again: bool = True) -> None:
        """A training whose process is gone waits for its next try, or fails; one that was stopped in order goes on at
        once."""
        stopped = self._stop.is_set()
        if not again and not stopped:
            fail_job(self._database, job_id, holder=self._name, reason=reason)
            logger.error("training %s: %s", job_id, reason)
            return
        state = try_again(
            self._database, job_id, holder=self._name, reason=STOPPED if stopped else reason, counted=not stopped
        )
        if state:
            logger.warning("training %s: %s; it is %s", job_id, STOPPED if stopped else reason, state)

    def _run(self) -> None:
        while not self._left.is_set():
            now = time.monotonic()
            try:
                if self._training():
                    self._watch_training(now)
                if now - self._looked >= LOOK_S and not self._stop.is_set():
                    self._looked = now
                    self._keep_in_step()
                    self._sweep(now)
            except LoomwatchError as error:  # database or Redis away: the next look tries again
                logger.warning("%s", error)
                self._left.wait(LOOK_S)
            self._tell()
            self._left.wait(0.1 if self._stop.is_set() else WATCH_S)

    def _training(self) -> bool:
        return self.worker is not None and bool(self.worker.horse_pid)

    def _watch_training(self, now: float) -> None:
        """Ends the process of a training that was cancelled, or is held by another, or whose trainer stops."""
        worker = self.worker
        if worker is None:
            return
        job_id, pid = worker.training, worker.horse_pid
        if self._stop.is_set():
            _kill(pid)
            return
        job = get_job(self._database, job_id)
        if job.state == "cancelled" or (job.state == "running" and job.holder != self._name):
            logger.info("training %s is %s: its process is ended", job_id, job.state)
            _kill(pid)
        elif job.state == "running" and now - self._beaten >= BEAT_S:
            self._beaten = now
            hold_job(self._database, job_id, holder=self._name)

    def _keep_in_step(self) -> None:
        ready, self._queued = ready_jobs(self._database)
        lost = lost_jobs(self._database, holder=self._name)
        if self._training():  # asked after the rows were read: no process of ours can have begun one of them since
            return
        for job in lost:
            if try_again(self._database, job.id, holder=job.holder, reason=VANISHED):
                logger.warning("training %s has no process any more", job.id)
        if ready and (again := queue_again(self._store.redis, ready)):
            logger.info("queued again: %s", ", ".join(again))

    def _see_to_lost(self, reason: str) -> None:
        for job in lost_jobs(self._database, holder=self._name):
            if job.holder == self._name:
                self.see_to(job.id, reason)

    def _sweep(self, now: float) -> None:
        """Removes what trainings left that nobody can go on with."""
        if now - self._swept < SWEEP_S:
            return
        self._swept = now
        kept = jobs_kept(self._database, before=datetime.now(UTC) - KEPT)
        for folder in trainings_dir(self._store).glob("*"):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _tell(self) -> None:
        state = "training" if self._training() else "waiting"
        self._live.publish_service(
            ServiceState(name=self._name, kind="trainer", state=state, detail=self._guard_problem, at_ns=time.time_ns())
        )


def _kill(pid: int) -> None:
    """At once: whatever it is doing, nothing of it is left half done."""
    if pid:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def watch_metrics(*, training: bool, waiting: int) -> Iterator[Metric]:
    """The metrics of docs/metrics.md."""
    yield GaugeMetricFamily("loomwatch_trainer_training", "1 while a training runs.", value=float(training))
    yield GaugeMetricFamily("loomwatch_trainer_waiting_trainings", "Trainings that wait to be run.", value=waiting)


@contextmanager
def _only_one(data_dir: Path, name: str) -> Iterator[None]:
    """Holds a lock file of the trainer's name. The kernel lets go of it when the process ends, however it ends."""
    path = data_dir / f"trainer-{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.lock"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}: choose another data folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ServiceError(
                f"another trainer called {name} runs for {data_dir}: stop it, or give this one a name of its own "
                "(LOOMWATCH_TRAINER_NAME)"
            ) from error
        yield


def _environment(store: StoreSettings, trainer: TrainerSettings) -> dict[str, str]:
    """The settings as environment variables, which win over any file."""
    return {
        "LOOMWATCH_DATA_DIR": str(store.data_dir),
        "LOOMWATCH_DATABASE_URL": store.database,
        "LOOMWATCH_REDIS_URL": store.redis,
        "LOOMWATCH_PICTURES_URL": store.pictures,
        "LOOMWATCH_LOG_LEVEL": store.log_level,
        "LOOMWATCH_TRAINER_NAME": name_of(trainer),
        "LOOMWATCH_TRAINER_DEVICE": trainer.device,
        "LOOMWATCH_TRAINER_PROCESSES": str(trainer.processes),
        "LOOMWATCH_TRAINER_THREADS": str(trainer.threads),
        "LOOMWATCH_TRAINER_CHECKPOINT_S": str(trainer.checkpoint_s),
        "LOOMWATCH_TRAINER_GUARD_SHARE": str(trainer.guard_share),
    }
