"""Retrainings: one at a time, never lost between database and Redis, every change of state from the right one."""

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from inspection.errors import StorageError
from storage.jobs import (
    QUEUE,
    RETRAINING_JOB,
    fail_job,
    finish_job,
    get_job,
    jobs_in,
    list_jobs,
    queue_again,
    request_retraining,
    start_job,
    update_job,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def queue(redis_url):
    connection = redis.Redis.from_url(redis_url)
    yield Queue(QUEUE, connection=connection, serializer=JSONSerializer)
    connection.close()


def request(database, redis_url, **parameters):
    return request_retraining(database, redis_url, by="eva", parameters=parameters)


def test_a_request_is_a_row_and_wakes_the_trainer_by_name(database, redis_url, queue):
    job_id = request(database, redis_url, epochs=3)
    (job,) = list_jobs(database)
    assert (job.id, job.state, job.progress, job.by, job.parameters) == (job_id, "queued", 0.0, "eva", {"epochs": 3})
    (woken,) = queue.jobs
    assert (woken.id, woken.func_name, woken.args) == (job_id, RETRAINING_JOB, [job_id])


def test_a_second_request_is_refused_until_the_first_is_over(database, redis_url, queue):
    first = request(database, redis_url)
    with pytest.raises(StorageError, match="requested by eva waits for the trainer: wait for its end"):
        request(database, redis_url)
    start_job(database, first)
    update_job(database, first, progress=0.42, message="trains")
    with pytest.raises(StorageError, match=r"requested by eva is running \(42%\)"):
        request(database, redis_url)
    finish_job(database, first, message="done")
    second = request(database, redis_url)
    assert [job.id for job in list_jobs(database)] == [second, first]


def test_without_redis_nothing_is_queued(database, tmp_path):
    with pytest.raises(StorageError, match=r"Redis at unix://.*: check that it runs"):
        request(database, f"unix://{tmp_path / 'none.sock'}")
    assert list_jobs(database) == []


def test_parameters_that_are_no_json_are_refused(sqlite_database, redis_url):
    with pytest.raises(StorageError, match="must be JSON"):
        request(sqlite_database, redis_url, epochs={1})
    assert list_jobs(sqlite_database) == []


def test_a_training_goes_from_queued_over_running_to_done(database, redis_url):
    job_id = request(database, redis_url)
    assert start_job(database, job_id).started_at is not None
    assert update_job(database, job_id, progress=1.7, message="trains")
    assert (get_job(database, job_id).progress, get_job(database, job_id).message) == (1.0, "trains")
    assert finish_job(database, job_id, message="ready")
    job = get_job(database, job_id)
    assert (job.state, job.message, job.ended_at is not None) == ("done", "ready", True)


def test_a_training_that_is_woken_twice_starts_once(database, redis_url):
    job_id = request(database, redis_url)
    assert start_job(database, job_id) is not None
    assert start_job(database, job_id) is None
    assert start_job(database, "unknown") is None


def test_what_failed_stays_failed(database, redis_url):
    job_id = request(database, redis_url)
    start_job(database, job_id)
    assert fail_job(database, job_id, reason="\n the disk is full \nTraceback ...")
    assert not update_job(database, job_id, progress=0.5, message="trains")
    assert not finish_job(database, job_id, message="ready")
    assert not fail_job(database, job_id, reason="again")
    job = get_job(database, job_id)
    assert (job.state, job.message) == ("failed", "the disk is full")
    assert start_job(database, job_id) is None


def test_what_redis_lost_is_queued_again_once(database, redis_url, queue):
    job_id = request(database, redis_url)
    queue.connection.flushall()
    assert queue_again(redis_url, jobs_in(database, "queued")) == [job_id]
    assert queue_again(redis_url, jobs_in(database, "queued")) == []
    assert queue.get_job_ids() == [job_id]


def test_an_unknown_training_is_named(sqlite_database):
    with pytest.raises(StorageError, match="there is no training x"):
        get_job(sqlite_database, "x")
