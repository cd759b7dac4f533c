"""The scheduler: RQ's own cron, on the schedules of the database, by the plant's clock.

RQ keeps its cron's times in memory and queues a job at each. Here the times are the rows', so that a missed run is
known after a restart, and a run is a training's row (`storage.schedule_runs`). Of several schedulers one holds the
lease.
"""

import logging
import os
import socket
import threading
import uuid
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import redis
from rq.cron import CronJob, CronScheduler

from inspection.errors import LoomwatchError
from storage.database import Database
from storage.job_queue import QUEUE, RETRAINING_JOB
from storage.leases import give_lease_back
from storage.redis_client import connect
from storage.schedule_runs import LEASE, Run, run_due
from storage.schedules import Schedule, list_schedules, next_time

logger = logging.getLogger(__name__)

LOOK_S = 5  # between looks at what has happened, and whether somebody edited a schedule


class ScheduledTraining(CronJob):
    """A schedule as RQ's cron knows it: shown by RQ's own tools."""

    def __init__(self, schedule: Schedule, zone: ZoneInfo) -> None:
        self._schedule, self._zone = schedule, zone
        cron = schedule.rule.cron
        super().__init__(
            QUEUE, func_name=RETRAINING_JOB, name=schedule.name, cron=cron or None, interval=None if cron else LOOK_S
        )
        self.latest_enqueue_time = schedule.last_run_at
        self.next_enqueue_time = schedule.next_run_at

    def get_next_enqueue_time(self) -> datetime:
        """By the plant's clock; RQ's own takes the host's."""
        rule = self._schedule.rule
        return next_time(rule, after=datetime.now(UTC), zone=self._zone) or datetime.max.replace(tzinfo=UTC)

    def should_run(self) -> bool:
        """What waits for something to happen is looked at each time."""
        rule = self._schedule.rule
        if not rule.enabled:
            return False
        return not rule.cron or (self.next_enqueue_time is not None and self.next_enqueue_time <= datetime.now(UTC))


class TrainingScheduler(CronScheduler):
    """RQ's cron whose jobs are the rows of schedules."""

    def __init__(self, connection: redis.Redis, database: Database, *, zone: ZoneInfo, name: str) -> None:
        super().__init__(connection, name=name)
        self._database, self._zone = database, zone

    def enqueue_jobs(self) -> list[CronJob]:
        """Asks for what is due, if this scheduler is the one that acts."""
        self._cron_jobs = [ScheduledTraining(each, self._zone) for each in list_schedules(self._database)]
        if not any(job.should_run() for job in self._cron_jobs):
            return []
        runs = run_due(self._database, holder=self.name, at=datetime.now(UTC), zone=self._zone)
        for run in runs or ():
            _log(run)
        asked = {run.schedule for run in runs or () if run.asked}
        return [job for job in self._cron_jobs if job.name in asked]

    def give_back(self) -> None:
        give_lease_back(self._database, LEASE, holder=self.name, at=datetime.now(UTC))


def run_scheduler(redis_url: str, database: Database, *, zone: ZoneInfo, stop: threading.Event) -> None:
    """Runs until `stop` is set. Without Redis it acts all the same, only RQ's tools do not see it."""
    connection = connect(redis_url)
    name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
    scheduler = TrainingScheduler(connection, database, zone=zone, name=name)
    known = False
    try:
        while not stop.is_set():
            try:
                scheduler.enqueue_jobs()
                if known:
                    scheduler.heartbeat()
                    scheduler.save()
                else:
                    scheduler.register_birth()
                    known = True
            except LoomwatchError as error:
                logger.warning("schedules: %s", error)
            except redis.RedisError as error:
                logger.debug("schedules: Redis is away: %s", error)
            stop.wait(min(LOOK_S, scheduler.calculate_sleep_interval()) or LOOK_S)
    finally:
        try:
            scheduler.give_back()
            scheduler.register_death()
        except (LoomwatchError, redis.RedisError) as error:
            logger.warning("schedules: %s", error)
        connection.close()


def _log(run: Run) -> None:
    if run.asked is None:
        logger.warning("schedule %s asked for no training: %s", run.schedule, run.problem)
    else:
        logger.info("schedule %s: %s", run.schedule, run.asked.words)
