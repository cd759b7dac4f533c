"""How far a training is, told while it runs: in its row, which is the truth, and in the RQ job's meta."""

import json
import logging
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from rq.job import Job as RqJob

from cras_core.training import Progress
from inspection.errors import StorageError
from storage.database import Database
from storage.job_runs import update_job
from storage.jobs import Job
from storage.redis_client import connect

logger = logging.getLogger(__name__)

SHOW_S = 0.5  # between two changes of the row
META_S, META_AGAIN_S = 2.0, 30.0  # the same of the RQ job's meta; and when Redis is away
KEPT_LINES, META_LINES = 200, 20
SURE = 0.03  # of the whole must be done before its end is estimated
OWN_LOGGERS = ("cras_core", "retraining", "storage")


class Shown:
    """Use with `with`, in the process that trains: its log lines are kept meanwhile.

    `stop` is set when the row says that it is over, or held elsewhere.
    """

    def __init__(self, database: Database, redis_url: str, job: Job, *, holder: str) -> None:
        self.stop = threading.Event()
        self._database, self._job, self._holder = database, job, holder
        self._losses = [list(each) for each in job.losses]
        self._lines: deque[tuple[str, str]] = deque(((at.isoformat(), line) for at, line in job.log), maxlen=KEPT_LINES)
        self._changed: set[str] = set()
        self._began: tuple[float, float] | None = None  # time, fraction
        self._told, self._stage = 0.0, ""
        self._meta = _Meta(redis_url, job.id)
        self._handler = _Lines(self)

    def __enter__(self) -> "Shown":
        for name in OWN_LOGGERS:
            logging.getLogger(name).addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        for name in OWN_LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)
        self._meta.close()

    def note(self, line: str) -> None:
        self._lines.append((datetime.now(UTC).isoformat(timespec="seconds"), line))
        self._changed.add("log")

    def follow(self, progress: Progress) -> None:
        """Keeps each epoch's loss once, also when a run is gone on with; the first epoch's is its mean so far."""
        epochs = [each for each in self._losses if each[0] == progress.run]
        if not progress.loss or (epochs and epochs[-1][2] == progress.loss):
            return
        if epochs and progress.epoch == 1:
            epochs[-1][2] = progress.loss
        else:
            self._losses.append([progress.run, len(epochs) + 1, progress.loss])
        self._changed.add("losses")

    def tell(self, fraction: float, message: str) -> None:
        """Changes the row at most every `SHOW_S`, but at once when another stage begins, or the end is near."""
        at, stage = time.monotonic(), message.partition(",")[0]
        if self._began is None:
            self._began = at, fraction
        if at - self._told < SHOW_S and fraction < 0.98 and stage == self._stage:
            return
        self._told, self._stage = at, stage
        values: dict[str, Any] = {"ends_at": self._estimate(at, fraction)}
        changed, self._changed = self._changed, set()
        if "losses" in changed:
            values["losses"] = [list(each) for each in self._losses]
        if "log" in changed:
            values["log"] = [list(each) for each in self._lines]
        try:
            held = update_job(
                self._database, self._job.id, holder=self._holder, progress=fraction, message=message, **values
            )
        except StorageError as error:  # a database that is away for a moment must not cost the training
            self._changed |= changed
            logger.warning("cannot show the progress: %s", error)
            return
        if not held:
            self.stop.set()
        self._meta.tell(
            {
                "progress": round(fraction, 4),
                "message": message,
                "loss": self._losses[-1][2] if self._losses else None,
                "ends_at": values["ends_at"].isoformat() if values["ends_at"] else None,
                "log": [f"{when} {line}" for when, line in list(self._lines)[-META_LINES:]],
            }
        )

    def _estimate(self, at: float, fraction: float) -> datetime | None:
        """As if it went on as fast as since this process began."""
        began, first = self._began or (at, fraction)
        if fraction - first < SURE:
            return None
        left_s = (1 - fraction) * (at - began) / (fraction - first)
        return datetime.now(UTC) + timedelta(seconds=left_s)


class _Meta:
    """The RQ job's meta, for whoever looks at the queue with RQ's own tools. Redis may be away."""

    def __init__(self, redis_url: str, job_id: str) -> None:
        self._connection = connect(redis_url, timeout_s=1.0)
        self._job_id = job_id
        self._next = 0.0

    def tell(self, meta: dict[str, Any]) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + META_S
        try:
            key = RqJob.key_for(self._job_id)
            if self._connection.exists(key):  # a job that nobody queued has none
                self._connection.hset(key, "meta", json.dumps(meta).encode())  # as RQ's JSON serializer
        except redis.RedisError:
            self._next = now + META_AGAIN_S

    def close(self) -> None:
        self._connection.close()


class _Lines(logging.Handler):
    def __init__(self, shown: Shown) -> None:
        super().__init__(logging.INFO)
        self._shown = shown

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != __name__:
            self._shown.note(record.getMessage())
