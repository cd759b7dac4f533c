"""Schedulers as processes have them: two at once, one acts, once; shown by RQ's own tools."""

import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import redis
from rq.cron import CronScheduler

from retraining.scheduler import run_scheduler
from storage.jobs import list_jobs
from storage.leases import holder_of
from storage.schedule_runs import LEASE
from storage.schedules import Rule, add_schedule, get_schedule
from storage.tables import ScheduleRow
from tests.waiting import wait_for

pytestmark = pytest.mark.integration
ZONE = ZoneInfo("Europe/Berlin")


def start(database, redis_url):
    stop = threading.Event()
    thread = threading.Thread(target=run_scheduler, args=[redis_url, database], kwargs={"zone": ZONE, "stop": stop})
    thread.start()
    return stop, thread


def make_due(database, name):
    with database.session() as session:
        row = session.query(ScheduleRow).filter_by(name=name).one()
        row.next_run_at = datetime.now(UTC) - timedelta(hours=1)


def test_of_two_schedulers_one_acts_and_rq_sees_both(database, redis_url, monkeypatch):
    monkeypatch.setattr("retraining.scheduler.LOOK_S", 1)
    for number in range(3):
        add_schedule(database, f"night {number}", Rule(kind="nightly"), by="eva", zone=ZONE)
        make_due(database, f"night {number}")
    started = [start(database, redis_url) for _ in range(2)]
    connection = redis.Redis.from_url(redis_url)
    try:
        wait_for(lambda: all(get_schedule(database, f"night {number}").last_run_at for number in range(3)))
        wait_for(lambda: len(CronScheduler.all(connection)) == 2)
        jobs = CronScheduler.all(connection)[0].get_jobs()
        assert {job.name for job in jobs} == {"night 0", "night 1", "night 2"}
        assert {job.cron for job in jobs} == {"0 2 * * *"}
        first = holder_of(database, LEASE, at=datetime.now(UTC))
        assert first in {scheduler.name for scheduler in CronScheduler.all(connection)}
    finally:
        for stop, _ in started:
            stop.set()
        for _, thread in started:
            thread.join(30)
    (job,) = list_jobs(database)
    assert job.reason == "nightly run, caught up"
    assert holder_of(database, LEASE, at=datetime.now(UTC)) == "", "given back"
    assert CronScheduler.all(connection) == []
    connection.close()


def test_without_redis_a_schedule_asks_all_the_same_and_its_training_waits(sqlite_database, tmp_path, monkeypatch):
    monkeypatch.setattr("retraining.scheduler.LOOK_S", 1)
    add_schedule(sqlite_database, "nights", Rule(kind="nightly"), by="eva", zone=ZONE)
    make_due(sqlite_database, "nights")
    stop, thread = start(sqlite_database, f"unix://{tmp_path / 'none.sock'}")
    try:
        wait_for(lambda: list_jobs(sqlite_database))
    finally:
        stop.set()
        thread.join(30)
    assert list_jobs(sqlite_database)[0].state == "queued"
