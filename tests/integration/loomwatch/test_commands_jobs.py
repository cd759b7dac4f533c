"""The command line of trainings and schedules, on a database and a Redis of its own."""

import json

import pytest

from inspection.settings import StoreSettings, load
from loomwatch.cli import run
from loomwatch.terminal import console
from storage.database import Database, open_database, upgrade
from storage.job_runs import fail_job, finish_job, start_job
from storage.jobs import list_jobs
from storage.pictures import PictureStore
from storage.samples import add_sample
from storage.schedules import list_schedules
from tests.records import make_png

pytestmark = pytest.mark.integration


@pytest.fixture
def place(tmp_path, redis_url, monkeypatch):
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    monkeypatch.setenv("LOOMWATCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LOOMWATCH_REPORT_TIME_ZONE", "Europe/Berlin")
    monkeypatch.setattr(console, "width", 200)
    upgrade(load(StoreSettings).database)
    return tmp_path


@pytest.fixture
def database(place):
    with open_database(load(StoreSettings).database) as database:
        yield database


def refused(capsys, *arguments: str) -> str:
    assert run(list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def begin(database: Database) -> str:
    job = next(job for job in list_jobs(database) if job.state == "queued")
    assert start_job(database, job.id, holder="t") is not None
    return job.id


def test_a_training_is_asked_for_listed_shown_cancelled_and_tried_again(place, database, capsys):
    assert run(["retrain", "--set", "epochs=3", "--set", "backbone=x", "--device", "cpu", "--by", "eva"]) == 0
    assert "learns from all samples there are when it begins, 0 by now" in capsys.readouterr().out
    (job,) = list_jobs(database)
    assert (job.parameters, job.device, job.by) == ({"epochs": 3, "backbone": "x"}, "cpu", "eva")
    assert run(["retrain", "--set", "epochs=3", "--set", "backbone=x", "--device", "cpu"]) == 0
    assert "this request joins it" in " ".join(capsys.readouterr().out.split())
    assert run(["jobs", "list"]) == 0
    assert "waiting" in capsys.readouterr().out
    assert run(["jobs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == job.id
    assert run(["jobs", "cancel", job.id[:6], "--by", "eva"]) == 0
    assert "is cancelled by eva" in capsys.readouterr().out
    assert "there is nothing to cancel" in refused(capsys, "jobs", "cancel", job.id)
    assert run(["jobs", "retry", job.id[:6]]) == 0
    assert run(["jobs", "show", job.id[:6]]) == 0
    words = capsys.readouterr().out
    assert "epochs=3, backbone=x" in words
    assert run(["jobs", "show", job.id[:6], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "queued"


def test_waiting_for_one_that_fails_ends_with_2_and_says_why(place, database, capsys, monkeypatch):
    ends = {"failed": lambda job_id: fail_job(database, job_id, holder="t", reason="the disk is full")}
    ends["done"] = lambda job_id: finish_job(database, job_id, holder="t", message="model m is ready")
    for state, code in (("failed", 2), ("done", 0)):
        monkeypatch.setattr("loomwatch.commands_jobs.time.sleep", lambda _, state=state: ends[state](begin(database)))
        assert run(["retrain", "--wait"]) == code
        said = capsys.readouterr()
        assert ("failed: the disk is full" in said.err) == (state == "failed")
        assert ("model m is ready" in said.out) == (state == "done")


def test_wrong_arguments_are_one_line(place, database, capsys):
    assert "style denim has no samples" in refused(capsys, "retrain", "--style", "denim")
    assert "--set takes NAME=VALUE, got 'epochs'" in refused(capsys, "retrain", "--set", "epochs")
    assert "is cpu or cuda" in refused(capsys, "retrain", "--device", "tpu")
    assert "time limit is between a minute" in refused(capsys, "retrain", "--time-limit-h", "0")
    assert "there is no training 3fa1" in refused(capsys, "jobs", "show", "3fa1")
    assert "got 0" in refused(capsys, "schedule", "add", "a")
    assert "got 2" in refused(capsys, "schedule", "add", "a", "--drift", "--new-style")
    assert "a time is HH:MM" in refused(capsys, "schedule", "add", "a", "--nightly", "2")
    assert "quiet hours need" in refused(capsys, "schedule", "add", "a", "--drift", "--quiet", "06:00")
    assert "there is no schedule a" in refused(capsys, "schedule", "remove", "a")
    assert list_jobs(database) == []


def test_without_redis_it_says_so(place, database, capsys, monkeypatch):
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", f"unix://{place / 'none.sock'}")
    assert "Redis at unix://" in refused(capsys, "retrain")


def test_schedules_are_added_listed_run_and_removed(place, database, capsys):
    add_sample(
        database, PictureStore(load(StoreSettings).pictures), style="denim", png=make_png(), source="golden",
        roll_group="g", mm_per_px=0.2, by="eva",
    )  # fmt: skip
    for name, *how in (
        ("nights", "--nightly", "02:00", "--quiet", "06:00-22:00"),
        ("sundays", "--weekly", "sunday@03:30"),
        ("denim", "--samples", "5", "--style", "denim"),
        ("seasons", "--drift"),
        ("new", "--new-style"),
    ):
        assert run(["schedule", "add", name, *how]) == 0
    capsys.readouterr()
    assert run(["schedule", "list"]) == 0
    table = capsys.readouterr().out
    for words in ("every night at 02:00", "06:00-22:00", "every sunday at 03:30", "0 of 5 new samples", "on drift"):
        assert words in table
    assert run(["schedule", "list", "--json"]) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["nights"]["next_run_at"].endswith(("00:00:00+00:00", "01:00:00+00:00")), "02:00 in Berlin"
    assert run(["schedule", "run", "denim", "--by", "eva"]) == 0
    assert list_jobs(database)[0].style == "denim"
    assert run(["schedule", "remove", "denim"]) == 0
    assert "denim" not in [each.name for each in list_schedules(database)]
