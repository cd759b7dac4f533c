"""The RQ queues that wake trainers, one a device and one for any, with the JSON serializer. Nothing in them is the
truth: what Redis loses is put in again from the rows (`storage.job_runs`)."""

from collections.abc import Sequence
from typing import Any, Self

import rq
from rq.serializers import JSONSerializer

from storage.redis_client import connect

RETRAINING_JOB = "retraining.job.run"
QUEUE = "loomwatch-training"
_KEPT_S = 3600  # by Redis, after the end; the row stays


def queue_name(device: str) -> str:
    """device: cpu or cuda, "" for any."""
    return f"{QUEUE}-{device}" if device else QUEUE


class JobQueue:
    """The queues, for a moment. Methods raise Redis' own errors."""

    def __init__(self, redis_url: str) -> None:
        self.connection = connect(redis_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def put(self, job_id: str, *, device: str, time_limit_s: float) -> None:
        self._queue(device).enqueue_call(
            RETRAINING_JOB,
            args=[job_id],
            job_id=job_id,
            timeout=round(time_limit_s),
            result_ttl=_KEPT_S,
            failure_ttl=_KEPT_S,
            description=f"training {job_id}",
        )

    def job_ids(self, devices: Sequence[str]) -> set[str]:
        return {job_id for device in set(devices) for job_id in self._queue(device).get_job_ids()}

    def _queue(self, device: str) -> Any:
        return rq.Queue(queue_name(device), connection=self.connection, serializer=JSONSerializer)
