"""Retrainings: one of a style at a time, joined or waiting, never lost between database and Redis, every change of
state from the right one."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from inspection.errors import StorageError
from storage.job_queue import QUEUE, RETRAINING_JOB, queue_name
from storage.job_runs import (
    LOST_S,
    fail_job,
    finish_job,
    hold_job,
    lost_jobs,
    queue_again,
    ready_jobs,
    start_job,
    try_again,
    update_job,
)
from storage.jobs import cancel_job, get_job, list_jobs, request_retraining, retry_job
from storage.tables import AuditRow, JobRow, SampleRow, StyleRow

pytestmark = pytest.mark.integration
HOLDER = "trainer-1"


@pytest.fixture
def queue(redis_url):
    connection = redis.Redis.from_url(redis_url)
    yield Queue(QUEUE, connection=connection, serializer=JSONSerializer)
    connection.close()


def ask(database, redis_url, *, style="", device="", by="eva", **parameters):
    return request_retraining(database, redis_url, by=by, parameters=parameters, style=style, device=device)


def request(database, redis_url, **options):
    return ask(database, redis_url, **options).job_id


def begin(database, job_id, holder=HOLDER):
    return start_job(database, job_id, holder=holder)


def change(database, job_id, **values):
    with database.session() as session:
        row = session.get_one(JobRow, job_id)
        for name, value in values.items():
            setattr(row, name, value)


def add_samples(database, style, count=1):
    with database.session() as session:
        database.insert_new(session, StyleRow, name=style, created_at=datetime.now(UTC))
        for number in range(count):
            session.add(
                SampleRow(
                    style=style, picture=f"{style}/{number}", source="golden", roll_group="g", mm_per_px=0.2,
                    active=True, by="eva", created_at=datetime.now(UTC),
                )
            )  # fmt: skip


def test_a_request_is_a_row_and_wakes_the_trainer_by_name(database, redis_url, queue):
    asked = ask(database, redis_url, epochs=3)
    (job,) = list_jobs(database)
    assert (job.id, job.state, job.progress, job.by, job.parameters) == (
        asked.job_id, "queued", 0.0, "eva", {"epochs": 3}
    )  # fmt: skip
    (woken,) = queue.jobs
    assert (woken.id, woken.func_name, woken.args) == (asked.job_id, RETRAINING_JOB, [asked.job_id])
    assert woken.timeout == 24 * 3600


def test_the_next_request_joins_the_one_that_waits_and_waits_for_the_one_that_runs(database, redis_url, queue):
    add_samples(database, "twill", 3)
    first = ask(database, redis_url)
    joined = ask(database, redis_url, by="mira")
    assert (joined.job_id, joined.joined) == (first.job_id, True)
    assert "learns from all samples there are when it begins, 3 by now" in joined.words
    assert queue.get_job_ids() == [first.job_id]
    assert begin(database, first.job_id) is not None
    second = ask(database, redis_url)
    assert (second.joined, second.behind) == (False, True)
    assert begin(database, second.job_id) is None, "one training at a time"
    style = request(database, redis_url, style="twill")
    assert begin(database, style, "trainer-2") is not None, "that of a style is another one"
    other = request(database, redis_url, epochs=2)
    assert other != second.job_id, "other settings are another training"
    assert finish_job(database, first.job_id, holder=HOLDER, message="done")
    assert [job.id for job in ready_jobs(database)[0]] == [second.job_id, other]
    assert begin(database, second.job_id) is not None
    with database.reading() as session:
        acts = [row.action for row in session.query(AuditRow).order_by(AuditRow.id)]
    assert acts == ["training.request", "training.join", *["training.request"] * 3]


def test_a_style_without_samples_is_refused(sqlite_database, redis_url):
    with pytest.raises(StorageError, match="style denim has no samples to learn from"):
        ask(sqlite_database, redis_url, style="denim")
    assert list_jobs(sqlite_database) == []


def test_each_device_has_a_queue_of_its_own(sqlite_database, redis_url, queue):
    job_id = request(sqlite_database, redis_url, device="cuda")
    assert queue.get_job_ids() == []
    assert Queue(queue_name("cuda"), connection=queue.connection).get_job_ids() == [job_id]
    with pytest.raises(StorageError, match="got 'tpu'"):
        ask(sqlite_database, redis_url, device="tpu")


def test_without_redis_nothing_is_queued(database, tmp_path):
    with pytest.raises(StorageError, match=r"Redis at unix://.*: check that it runs"):
        ask(database, f"unix://{tmp_path / 'none.sock'}")
    assert list_jobs(database) == []


def test_parameters_that_are_no_json_are_refused(sqlite_database, redis_url):
    with pytest.raises(StorageError, match="must be JSON"):
        ask(sqlite_database, redis_url, epochs={1})
    assert list_jobs(sqlite_database) == []


def test_a_training_goes_from_queued_over_running_to_done(database, redis_url):
    job_id = request(database, redis_url)
    assert begin(database, job_id).started_at is not None
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    log = [[datetime.now(UTC).isoformat(), "reads"]]
    assert update_job(
        database, job_id, holder=HOLDER, progress=1.7, message="trains", ends_at=ends_at, losses=[[1, 1, 0.5]], log=log
    )
    job = get_job(database, job_id[:8])
    assert (job.progress, job.message, job.ends_at, job.losses) == (1.0, "trains", ends_at, ((1, 1, 0.5),))
    assert job.log[0][1] == "reads"
    assert finish_job(database, job_id, holder=HOLDER, message="ready")
    job = get_job(database, job_id)
    assert (job.state, job.message, job.ended_at is not None) == ("done", "ready", True)


def test_a_training_that_is_woken_twice_starts_once(database, redis_url):
    job_id = request(database, redis_url)
    assert begin(database, job_id) is not None
    assert begin(database, job_id, "trainer-2") is None
    assert begin(database, "unknown") is None


def test_only_its_holder_changes_a_training(sqlite_database, redis_url):
    job_id = request(sqlite_database, redis_url)
    begin(sqlite_database, job_id)
    assert not update_job(sqlite_database, job_id, holder="trainer-2", progress=0.5, message="trains")
    assert not finish_job(sqlite_database, job_id, holder="trainer-2", message="ready")
    assert not hold_job(sqlite_database, job_id, holder="trainer-2")
    assert try_again(sqlite_database, job_id, holder="trainer-2", reason="gone") == ""
    assert hold_job(sqlite_database, job_id, holder=HOLDER)


def test_what_failed_stays_failed_until_somebody_tries_it_again(database, redis_url, queue):
    job_id = request(database, redis_url)
    begin(database, job_id)
    assert fail_job(database, job_id, holder=HOLDER, reason="\n the disk is full \nTraceback ...")
    assert not update_job(database, job_id, holder=HOLDER, progress=0.5, message="trains")
    assert not finish_job(database, job_id, holder=HOLDER, message="ready")
    job = get_job(database, job_id)
    assert (job.state, job.message) == ("failed", "the disk is full")
    assert begin(database, job_id) is None
    queue.empty()
    assert retry_job(database, redis_url, job_id, by="eva").state == "queued"
    assert queue.get_job_ids() == [job_id]
    assert begin(database, job_id).tries == 1
    with pytest.raises(StorageError, match="is running: only one that failed or was cancelled can"):
        retry_job(database, redis_url, job_id, by="eva")


def test_what_is_cancelled_is_over_at_once(database, redis_url):
    waiting = request(database, redis_url)
    assert cancel_job(database, waiting, by="eva").message == "cancelled by eva"
    assert begin(database, waiting) is None
    running = request(database, redis_url)
    begin(database, running)
    update_job(database, running, holder=HOLDER, progress=0.4, message="trains")
    assert cancel_job(database, running, by="eva").message == "cancelled by eva at 40%"
    assert not hold_job(database, running, holder=HOLDER)
    assert not finish_job(database, running, holder=HOLDER, message="ready")
    with pytest.raises(StorageError, match=r"is over \(cancelled\): there is nothing to cancel"):
        cancel_job(database, running, by="eva")


def test_a_training_whose_trainer_dies_is_tried_again_later_each_time_and_then_fails(database, redis_url):
    job_id = request(database, redis_url)
    waits = []
    for _ in range(2):
        begin(database, job_id)
        assert try_again(database, job_id, holder=HOLDER, reason="killed") == "queued"
        job = get_job(database, job_id)
        waits.append(job.not_before - datetime.now(UTC))
        assert job.message == "killed; goes on from its last checkpoint"
        assert begin(database, job_id) is None, "not before its time"
        assert ready_jobs(database) == ([], 1)
        change(database, job_id, not_before=None)
    assert waits[1] > waits[0] > timedelta(0)
    begin(database, job_id)
    assert try_again(database, job_id, holder=HOLDER, reason="killed") == "failed"
    assert get_job(database, job_id).message == "given up after 3 tries: killed"


def test_a_stop_in_order_is_no_try(sqlite_database, redis_url):
    job_id = request(sqlite_database, redis_url)
    for _ in range(5):
        assert begin(sqlite_database, job_id).tries == 1
        assert try_again(sqlite_database, job_id, holder=HOLDER, reason="stopped", counted=False) == "queued"


def test_a_trainer_finds_its_own_lost_trainings_and_those_of_one_not_heard_of(sqlite_database, redis_url):
    add_samples(sqlite_database, "twill")
    mine, theirs = request(sqlite_database, redis_url), request(sqlite_database, redis_url, style="twill")
    begin(sqlite_database, mine)
    begin(sqlite_database, theirs, "trainer-2")
    assert [job.id for job in lost_jobs(sqlite_database, holder=HOLDER)] == [mine]
    change(sqlite_database, theirs, heartbeat_at=datetime.now(UTC) - timedelta(seconds=LOST_S + 1))
    assert [job.id for job in lost_jobs(sqlite_database, holder=HOLDER)] == [mine, theirs]
    hold_job(sqlite_database, theirs, holder="trainer-2")
    assert [job.id for job in lost_jobs(sqlite_database, holder=HOLDER)] == [mine]


def test_what_redis_lost_is_queued_again_once(database, redis_url, queue):
    job_id = request(database, redis_url)
    queue.connection.flushall()
    assert queue_again(redis_url, ready_jobs(database)[0]) == [job_id]
    assert queue_again(redis_url, ready_jobs(database)[0]) == []
    assert queue.get_job_ids() == [job_id]


def test_an_unknown_training_is_named(sqlite_database, redis_url):
    for unknown in ("x", ""):
        with pytest.raises(StorageError, match=f"there is no training {unknown}"):
            get_job(sqlite_database, unknown)
    for number in range(17):  # two of them begin alike
        request(sqlite_database, redis_url, seed=number)
    first = [job.id[0] for job in list_jobs(sqlite_database)]
    twice = next(letter for letter in first if first.count(letter) > 1)
    with pytest.raises(StorageError, match=f"several trainings begin with {twice}"):
        get_job(sqlite_database, twice)
