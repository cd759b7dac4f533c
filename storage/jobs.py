"""Retrainings: requested here, run by the trainer (`retraining.service`), followed on the screens.

The row is the truth; the RQ job in Redis only wakes a trainer and carries nothing but the row's id, as JSON. Every
change of state names the state it starts from, so a job that was declared failed cannot finish afterwards, and one
that is woken twice runs once. The function is named by its dotted path: whoever requests a training needs no PyTorch.
"""

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, cast

import redis
import rq
from rq.serializers import JSONSerializer
from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.redis_client import connect, errors_explained
from storage.tables import JobRow

logger = logging.getLogger(__name__)

RETRAINING_JOB = "retraining.job.run"
QUEUE = "loomwatch-training"
JOB_TIMEOUT_S = 24 * 3600
_KEPT_S = 3600  # by Redis, after the end; the row stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`state`: queued, running, done or failed; `message`: what it does, or in one line why it failed."""

    id: str
    state: str
    progress: float
    message: str
    parameters: dict[str, Any]
    by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


def request_retraining(database: Database, redis_url: str, *, by: str, parameters: dict[str, Any]) -> str:
    """Queues a retraining on all active samples; its id. `parameters` are settings of the method (`epochs`, ...).

    Raises `StorageError` when one is queued or running already, and when Redis does not answer; nothing is queued then.
    """
    try:
        json.dumps(parameters, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StorageError(f"the parameters of a training must be JSON: {error}") from error
    job_id = uuid.uuid4().hex
    with _Queue(redis_url) as queue, errors_explained(redis_url):
        queue.connection.ping()
        with database.session() as session:
            database.lock(session, "jobs")
            _refuse_second(session)
            session.add(
                JobRow(
                    id=job_id,
                    state="queued",
                    progress=0.0,
                    message="waits for the trainer",
                    parameters=parameters,
                    by=by,
                    created_at=datetime.now(UTC),
                    started_at=None,
                    ended_at=None,
                )
            )
            audit.record(session, by=by, action="training.request", subject=job_id, detail={"parameters": parameters})
        try:
            queue.put(job_id)
        except redis.RedisError:
            with database.session() as session:
                session.delete(session.get_one(JobRow, job_id))
            raise
    return job_id


def list_jobs(database: Database, *, limit: int = 50) -> list[Job]:
    """The latest first."""
    with database.reading() as session:
        rows = session.scalars(select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id).limit(limit))
        return [_job(row) for row in rows]


def get_job(database: Database, job_id: str) -> Job:
    """Raises `StorageError` for an unknown one."""
    with database.reading() as session:
        row = session.get(JobRow, job_id)
        if row is None:
            raise StorageError(f"there is no training {job_id}")
        return _job(row)


def start_job(database: Database, job_id: str) -> Job | None:
    """queued -> running; None when it is no longer queued: another process has it, or it is over."""
    now = datetime.now(UTC)
    if not _change(database, job_id, "queued", state="running", message="starts", started_at=now):
        return None
    return get_job(database, job_id)


def update_job(database: Database, job_id: str, *, progress: float, message: str) -> bool:
    """Shows how far it is (0 to 1). False when it is no longer running, and the training must stop."""
    return _change(database, job_id, "running", progress=min(1.0, max(0.0, progress)), message=message)


def finish_job(database: Database, job_id: str, *, message: str) -> bool:
    """running -> done. False when it was no longer running."""
    return _change(database, job_id, "running", state="done", progress=1.0, message=message, ended_at=datetime.now(UTC))


def fail_job(database: Database, job_id: str, *, reason: str) -> bool:
    """queued or running -> failed, with its reason in one line. False when it was over already."""
    line = next((line.strip() for line in reason.splitlines() if line.strip()), "no reason was given")
    now = datetime.now(UTC)
    return any(
        _change(database, job_id, state, state="failed", message=line, ended_at=now) for state in ("running", "queued")
    )


def jobs_in(database: Database, state: str) -> list[Job]:
    """All jobs of one state, the oldest first."""
    with database.reading() as session:
        rows = session.scalars(select(JobRow).where(JobRow.state == state).order_by(JobRow.created_at))
        return [_job(row) for row in rows]


def queue_again(redis_url: str, jobs: Sequence[Job]) -> list[str]:
    """Wakes the trainer for queued jobs that Redis has lost, as the private one does with each restart; their ids.

    Raises `StorageError` when Redis does not answer.
    """
    with _Queue(redis_url) as queue, errors_explained(redis_url):
        waiting = queue.job_ids()
        lost = [job.id for job in jobs if job.id not in waiting]
        for job_id in lost:
            queue.put(job_id)
    return lost


class _Queue:
    """The RQ queue of trainings, for a moment."""

    def __init__(self, redis_url: str) -> None:
        self.connection = connect(redis_url)
        self._queue = rq.Queue(QUEUE, connection=self.connection, serializer=JSONSerializer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def put(self, job_id: str) -> None:
        self._queue.enqueue_call(
            RETRAINING_JOB,
            args=[job_id],
            job_id=job_id,
            timeout=JOB_TIMEOUT_S,
            result_ttl=_KEPT_S,
            failure_ttl=_KEPT_S,
            description=f"training {job_id}",
        )

    def job_ids(self) -> list[str]:
        return self._queue.get_job_ids()


def _refuse_second(session: Session) -> None:
    row = session.scalar(select(JobRow).where(JobRow.state.in_(("queued", "running"))).order_by(JobRow.created_at))
    if row is not None:
        what = "waits for the trainer" if row.state == "queued" else f"is running ({row.progress:.0%})"
        raise StorageError(f"a training requested by {row.by} {what}: wait for its end")


def _change(database: Database, job_id: str, expected: str, **values: Any) -> bool:
    with database.session() as session:
        statement = update(JobRow).where(JobRow.id == job_id, JobRow.state == expected).values(**values)
        return cast(CursorResult[Any], session.execute(statement)).rowcount == 1


def _job(row: JobRow) -> Job:
    return Job(
        id=row.id,
        state=row.state,
        progress=row.progress,
        message=row.message,
        parameters=row.parameters,
        by=row.by,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
