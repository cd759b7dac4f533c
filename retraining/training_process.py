"""The process of one training, RQ's *work horse*: `retraining.service.TrainingWorker` starts it.

RQ's own spawning worker puts the connection to Redis, its password in it, on the new process's command line, where
everybody on the machine can read it. Here all of it comes by the environment, which only this user can.
"""

import os
import sys

import redis
from rq.executions import Execution
from rq.job import Job as RqJob
from rq.queue import Queue
from rq.serializers import JSONSerializer

from inspection.settings import StoreSettings, load
from retraining.parent import end_with_parent
from retraining.service import TrainingWorker


def main() -> int:
    end_with_parent()
    connection = redis.Redis.from_url(load(StoreSettings).redis)
    key, job_id = os.environ["LOOMWATCH_RQ_WORKER"], os.environ["LOOMWATCH_RQ_JOB"]
    worker = TrainingWorker.find_by_key(key, connection=connection, serializer=JSONSerializer)
    if worker is None:
        return 1
    job = RqJob.fetch(job_id, connection=connection, serializer=JSONSerializer)
    execution = Execution.fetch(os.environ["LOOMWATCH_RQ_EXECUTION"], job_id, connection=connection)
    execution._job = job
    worker.execution = execution
    worker.main_work_horse(job, Queue(job.origin, connection=connection, serializer=JSONSerializer))
    return 0  # not reached: it leaves by os._exit


if __name__ == "__main__":
    sys.exit(main())
