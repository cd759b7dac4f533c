"""What trainers do with retrainings: take one, hold it, tell how far it is, end it, and find what a dead one left.

A trainer holds a training by its name and a heartbeat in the row. What nobody holds any more is begun again from its
last checkpoint, each time later, `TRIES` times in all; then it fails, and says of what.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, select, update

from storage.database import Database
from storage.job_queue import JobQueue
from storage.jobs import OPEN, Job, job_of
from storage.redis_client import errors_explained
from storage.tables import JobRow

TRIES = 3
BACKOFF_S = (5.0, 60.0)  # before the second try, and the third
LOST_S = 60.0  # without a heartbeat its trainer, on another host, is taken for dead


def start_job(database: Database, job_id: str, *, holder: str) -> Job | None:
    """queued -> running; None when it is over, or another has it, or it must wait: for another training of the same
    style, or for the time of its next try."""
    now = datetime.now(UTC)
    with database.session() as session:
        database.lock(session, "jobs")
        row = session.get(JobRow, job_id, with_for_update=True)
        if row is None or row.state != "queued" or (row.not_before is not None and row.not_before > now):
            return None
        others = select(JobRow.id).where(JobRow.state == "running", JobRow.style == row.style)
        if session.scalar(others) is not None:
            return None
        row.state, row.message, row.holder = "running", "starts", holder
        row.started_at, row.heartbeat_at, row.tries, row.ends_at = now, now, row.tries + 1, None
        return job_of(row)


def hold_job(database: Database, job_id: str, *, holder: str) -> bool:
    """A heartbeat. False when it is no longer running here, and its process must end."""
    return _change(database, job_id, holder, heartbeat_at=datetime.now(UTC))


def held_jobs(database: Database, *, holder: str) -> list[str]:
    """What is running here, as the rows say."""
    with database.reading() as session:
        return list(session.scalars(select(JobRow.id).where(JobRow.state == "running", JobRow.holder == holder)))


def update_job(database: Database, job_id: str, *, holder: str, progress: float, message: str, **more: Any) -> bool:
    """Shows how far it is (0 to 1); `more`: `ends_at`, `losses`, `log` as the row has them. False when it is no longer
    running here, and must stop."""
    return _change(database, job_id, holder, progress=min(1.0, max(0.0, progress)), message=message, **more)


def finish_job(database: Database, job_id: str, *, holder: str, message: str) -> bool:
    """running -> done. False when it was no longer running here."""
    end = {"ended_at": datetime.now(UTC), "ends_at": None}
    return _change(database, job_id, holder, state="done", progress=1.0, message=message, **end)


def fail_job(database: Database, job_id: str, *, holder: str, reason: str) -> bool:
    """running -> failed, with its reason in one line. False when it was no longer running here."""
    end = {"ended_at": datetime.now(UTC), "ends_at": None}
    return _change(database, job_id, holder, state="failed", message=_line(reason), **end)


def try_again(database: Database, job_id: str, *, holder: str, reason: str, counted: bool = True) -> str:
    """running -> queued, to go on from its last checkpoint after a while; failed after `TRIES`. -> the state it is in
    then, "" when it was no longer running here. counted: False for what was stopped in order, and goes on at once."""
    now = datetime.now(UTC)
    with database.session() as session:
        database.lock(session, "jobs")
        row = session.get(JobRow, job_id, with_for_update=True)
        if row is None or row.state != "running" or row.holder != holder:
            return ""
        row.holder, row.heartbeat_at, row.ends_at = "", None, None
        if counted and row.tries >= TRIES:
            row.state, row.ended_at = "failed", now
            row.message = f"given up after {row.tries} tries: {_line(reason)}"
        else:
            row.state = "queued"
            row.message = f"{_line(reason)}; goes on from its last checkpoint"
            if counted:
                row.not_before = now + timedelta(seconds=BACKOFF_S[min(row.tries, len(BACKOFF_S)) - 1])
            else:
                row.tries, row.not_before = row.tries - 1, None
        return row.state


def lost_jobs(database: Database, *, holder: str) -> list[Job]:
    """Running by their rows, but not in fact: the asking trainer's own, which runs none, and those of a trainer that
    was not heard of for `LOST_S`."""
    with database.reading() as session:
        old = datetime.now(UTC) - timedelta(seconds=LOST_S)
        unheard = (JobRow.holder == holder) | JobRow.heartbeat_at.is_(None) | (JobRow.heartbeat_at < old)
        rows = session.scalars(select(JobRow).where(JobRow.state == "running", unheard).order_by(JobRow.created_at))
        return [job_of(row) for row in rows]


def ready_jobs(database: Database) -> tuple[list[Job], int]:
    """Queued ones that may begin now, the oldest first; and how many are queued in all."""
    with database.reading() as session:
        rows = session.scalars(select(JobRow).where(JobRow.state.in_(OPEN)).order_by(JobRow.created_at))
        jobs = [job_of(row) for row in rows]
    taken, now = {job.style for job in jobs if job.state == "running"}, datetime.now(UTC)
    queued = [job for job in jobs if job.state == "queued"]
    ready = [job for job in queued if job.style not in taken and (job.not_before is None or job.not_before <= now)]
    return ready, len(queued)


def queue_again(redis_url: str, jobs: Sequence[Job]) -> list[str]:
    """Wakes trainers for queued jobs that Redis has not, as the private one with each restart; their ids.

    Raises `StorageError` when Redis does not answer.
    """
    with JobQueue(redis_url) as queue, errors_explained(redis_url):
        waiting = queue.job_ids([job.device for job in jobs])
        lost = [job for job in jobs if job.id not in waiting]
        for job in lost:
            queue.put(job.id, device=job.device, time_limit_s=job.time_limit_s)
    return [job.id for job in lost]


def jobs_kept(database: Database, *, before: datetime) -> set[str]:
    """All that still need what they left on disk: those not over, and those that ended after `before` otherwise than
    well, which may be tried again."""
    with database.reading() as session:
        kept = JobRow.state.in_(OPEN) | (JobRow.state.in_(("failed", "cancelled")) & (JobRow.ended_at >= before))
        return set(session.scalars(select(JobRow.id).where(kept)))


def _line(reason: str) -> str:
    return next((line.strip() for line in reason.splitlines() if line.strip()), "no reason was given")


def _change(database: Database, job_id: str, holder: str, **values: Any) -> bool:
    with database.session() as session:
        mine = (JobRow.id == job_id, JobRow.state == "running", JobRow.holder == holder)
        return cast(CursorResult[Any], session.execute(update(JobRow).where(*mine).values(**values))).rowcount == 1
