"""Retrainings: requested, followed and cancelled here, run by the trainers (`storage.job_runs`, `retraining.service`).

The row is the truth; the RQ job in Redis only wakes a trainer and carries nothing but the row's id, as JSON. Every
change of state names the state it starts from, so a job that is over cannot finish afterwards, and one that is woken
twice runs once. The function is named by its dotted path: whoever requests a training needs no PyTorch.

A request joins the one that waits for the same: a training learns from the samples there are when it begins.
"""

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit, registry
from storage.database import Database
from storage.job_queue import JobQueue
from storage.redis_client import errors_explained
from storage.samples import to_be_learned
from storage.tables import JobRow, SampleRow

TIME_LIMIT_S = 24 * 3600.0
DEVICES = ("", "cpu", "cuda")
OPEN = ("queued", "running")
PROVISIONAL = {"provisional": True}  # parameters: the style is added to the running model, nothing is trained
GATE = "gate"  # parameters: {"gate": NAME}: a model is judged, nothing is trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`state`: queued, running, done, failed or cancelled; `message`: what it does, or in one line how it ended.

    style: what it is meant for, "" for all; device: "" for any. tries: begun so often; not_before: of the next try.
    holder: the trainer that runs it. losses: (run of the heads, epoch, loss), eq. 8; log: (time, line).
    """

    id: str
    state: str
    progress: float
    message: str
    parameters: dict[str, Any]
    by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    style: str
    device: str
    reason: str
    time_limit_s: float
    tries: int
    not_before: datetime | None
    holder: str
    heartbeat_at: datetime | None
    ends_at: datetime | None
    losses: tuple[tuple[int, int, float], ...]
    log: tuple[tuple[datetime, str], ...]

    @property
    def judges(self) -> str:
        """The model that the gate is asked for again, when nothing is trained; "" of a training."""
        return str(self.parameters.get(GATE, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """job_id: of the training that will answer; joined: it waited already; behind: one of the same runs before it."""

    job_id: str
    joined: bool
    behind: bool
    samples: int

    @property
    def words(self) -> str:
        """In one sentence, which samples it will see among it."""
        sees = f"it learns from all samples there are when it begins, {self.samples} by now"
        if self.joined:
            return f"training {self.job_id} waits for the same already: this request joins it; {sees}"
        if self.behind:
            return f"training {self.job_id} waits for the one that runs; {sees}"
        return f"training {self.job_id} is asked for; {sees}"


def request_retraining(
    database: Database,
    redis_url: str,
    *,
    by: str,
    parameters: dict[str, Any],
    style: str = "",
    device: str = "",
    reason: str = "",
    time_limit_s: float = TIME_LIMIT_S,
) -> Asked:
    """Queues a retraining on all active samples, or joins the one that waits for the same style with the same settings.

    `parameters` are settings of the method (`epochs`, ...). With a style, the candidate is meant for it: by rule it is
    promoted for this style alone. Raises `StorageError` for a style without samples, and when Redis does not answer;
    nothing is queued then.
    """
    with JobQueue(redis_url) as queue, errors_explained(redis_url):
        queue.connection.ping()
        with database.session() as session:
            asked = add_request(
                database, session, by=by, parameters=parameters, style=style, device=device, reason=reason,
                time_limit_s=time_limit_s,
            )  # fmt: skip
        if not asked.joined:
            try:
                queue.put(asked.job_id, device=device, time_limit_s=time_limit_s)
            except redis.RedisError:
                with database.session() as session:
                    session.delete(session.get_one(JobRow, asked.job_id))
                raise
    return asked


def request_gate(database: Database, redis_url: str, name: str, *, by: str) -> Asked:
    """Asks the trainers to compare a model with the running one; what waits for the same is joined. Raises
    `StorageError` for an unknown model, for the running one, and when Redis does not answer."""
    if registry.get_model(database, name).running:
        raise StorageError(f"model {name} is in charge: there is nothing to compare it with")
    return request_retraining(database, redis_url, by=by, parameters={GATE: name}, reason="its gate")


def add_request(
    database: Database,
    session: Session,
    *,
    by: str,
    parameters: dict[str, Any],
    style: str = "",
    device: str = "",
    reason: str = "",
    time_limit_s: float = TIME_LIMIT_S,
) -> Asked:
    """As `request_retraining`, within a transaction and without waking a trainer: the next look of one finds it."""
    try:
        json.dumps(parameters, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StorageError(f"the parameters of a training must be JSON: {error}") from error
    if device not in DEVICES:
        raise StorageError(f"a training's device is cpu or cuda, or none is named, got {device!r}")
    if not 60 <= time_limit_s <= 30 * 24 * 3600:
        raise StorageError(f"a training's time limit is between a minute and 30 days, got {time_limit_s:g} s")
    active = select(func.count()).select_from(SampleRow).where(to_be_learned())
    samples = session.scalar(active) or 0
    if style and not session.scalar(active.where(SampleRow.style == style)):
        raise StorageError(f"style {style} has no samples to learn from: add some first (loomwatch samples add FOLDER)")
    database.lock(session, "jobs")
    same = select(JobRow).where(JobRow.style == style).order_by(JobRow.created_at)
    detail = {"parameters": parameters, "style": style, "device": device, "reason": reason}
    waiting = session.scalars(same.where(JobRow.state == "queued", JobRow.device == device, JobRow.tries == 0))
    joined = next((row for row in waiting if row.parameters == parameters), None)
    if joined is not None:
        audit.record(session, by=by, action="training.join", subject=joined.id, detail=detail)
        return Asked(job_id=joined.id, joined=True, behind=False, samples=samples)
    behind = session.scalar(same.where(JobRow.state == "running")) is not None
    row = JobRow(
        id=uuid.uuid4().hex,
        state="queued",
        progress=0.0,
        message="waits for the training that runs" if behind else "waits for the trainer",
        parameters=parameters,
        by=by,
        created_at=datetime.now(UTC),
        style=style,
        device=device,
        reason=reason,
        time_limit_s=time_limit_s,
    )
    session.add(row)
    audit.record(session, by=by, action="training.request", subject=row.id, detail=detail)
    return Asked(job_id=row.id, joined=False, behind=behind, samples=samples)


def cancel_job(database: Database, job_id: str, *, by: str) -> Job:
    """Ends a training that waits or runs; its process is ended by its trainer within a second.

    Raises `StorageError` for an unknown one, and for one that is over.
    """
    with database.session() as session:
        database.lock(session, "jobs")
        row = _row(session, job_id)
        if row.state not in OPEN:
            raise StorageError(f"training {row.id} is over ({row.state}): there is nothing to cancel")
        row.message = f"cancelled by {by}" + (f" at {row.progress:.0%}" if row.state == "running" else "")
        row.state, row.ended_at, row.ends_at = "cancelled", datetime.now(UTC), None
        audit.record(session, by=by, action="training.cancel", subject=row.id, detail={})
        return job_of(row)


def retry_job(database: Database, redis_url: str, job_id: str, *, by: str) -> Job:
    """Queues a training that failed or was cancelled once more; it goes on from its last checkpoint where it left one.

    Raises `StorageError` for an unknown one, for one that waits, runs or is done, and when Redis does not answer.
    """
    with JobQueue(redis_url) as queue, errors_explained(redis_url):
        queue.connection.ping()
        with database.session() as session:
            database.lock(session, "jobs")
            row = _row(session, job_id)
            if row.state not in ("failed", "cancelled"):
                raise StorageError(f"training {row.id} is {row.state}: only one that failed or was cancelled can")
            row.state, row.message, row.tries, row.not_before = "queued", "waits for the trainer", 0, None
            row.progress, row.ended_at, row.holder = 0.0, None, ""
            audit.record(session, by=by, action="training.retry", subject=row.id, detail={})
            job = job_of(row)
        queue.put(job.id, device=job.device, time_limit_s=job.time_limit_s)
    return job


def list_jobs(database: Database, *, limit: int = 50) -> list[Job]:
    """The latest first."""
    with database.reading() as session:
        rows = session.scalars(select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id).limit(limit))
        return [job_of(row) for row in rows]


def get_job(database: Database, job_id: str) -> Job:
    """`job_id` may be shortened to a beginning that only one has. Raises `StorageError` for an unknown one."""
    with database.reading() as session:
        return job_of(_row(session, job_id))


def _row(session: Session, job_id: str) -> JobRow:
    if (row := session.get(JobRow, job_id)) is not None:
        return row
    rows = session.scalars(select(JobRow).where(JobRow.id.startswith(job_id, autoescape=True)).limit(2)).all()
    if not job_id or not rows:
        raise StorageError(f"there is no training {job_id}: loomwatch jobs list shows them")
    if len(rows) > 1:
        raise StorageError(f"several trainings begin with {job_id}: give more of it")
    return rows[0]


def job_of(row: JobRow) -> Job:
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
        style=row.style or "",
        device=row.device or "",
        reason=row.reason or "",
        time_limit_s=row.time_limit_s,
        tries=row.tries or 0,
        not_before=row.not_before,
        holder=row.holder or "",
        heartbeat_at=row.heartbeat_at,
        ends_at=row.ends_at,
        losses=tuple((int(run), int(epoch), float(loss)) for run, epoch, loss in row.losses or ()),
        log=tuple((datetime.fromisoformat(at), str(line)) for at, line in row.log or ()),
    )
