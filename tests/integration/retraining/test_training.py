"""A training in this process: real samples, a real (small) model, what is registered and what a failure leaves."""

import multiprocessing
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import threading
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from sqlalchemy import select

from cras_core.bundle import load_bundle, save_bundle
from cras_core.checkpoint import TrainingFolder
from cras_core.errors import ConfigError
from cras_core.training import train as train_as_ever
from inspection.errors import StorageAwayError, StorageError
from inspection.settings import StoreSettings, TrainerSettings, load
from retraining.job import over_limit, run_training
from retraining.service import VANISHED, how_it_ended
from retraining.training import train_candidate
from storage import registry
from storage.database import open_database
from storage.engine import sqlite_path
from storage.gates import latest_gate
from storage.job_queue import JobQueue
from storage.job_runs import start_job, try_again
from storage.jobs import GATE, cancel_job, get_job
from storage.model_policy import ModelPolicy, RecallRule, set_policy
from storage.pictures import PictureStore
from storage.sample_sets import read_set
from storage.samples import add_sample, decide_samples, list_samples
from storage.tables import JobRow, SampleRow, StyleRow
from tests.records import make_png

pytestmark = pytest.mark.integration

SMALL = {"backbone": "efficientnet_lite0", "epochs": 1, "tile_px": 64, "calibration": "holdout"}


@pytest.fixture
def store(tmp_path) -> StoreSettings:
    return load(StoreSettings, data_dir=tmp_path, database_url="", redis_url="", pictures_url="")


@pytest.fixture
def samples(sqlite_database, store):
    """Two styles of four pictures each."""
    pictures = PictureStore(store.pictures)
    for style, period in (("coarse", 16), ("fine", 6)):
        for number in range(4):
            add_sample(
                sqlite_database,
                pictures,
                style=style,
                png=make_png(number, size_px=128, period_px=period),
                source="golden",
                roll_group=f"{style} {number}",
                mm_per_px=0.25,
                by="eva",
            )
    return list_samples(sqlite_database)


def train(database, store, *, stop=None, tell=lambda *_: None, **parameters):
    return train_candidate(
        store,
        database,
        PictureStore(store.pictures),
        source="trained",
        by="eva",
        device="cpu",
        tell=tell,
        stop=stop or threading.Event(),
        parameters=parameters,
    )


def queue_job(database, **parameters):
    job_id = uuid.uuid4().hex
    now = datetime.now(UTC)
    with database.session() as session:
        session.add(
            JobRow(
                id=job_id,
                state="queued",
                progress=0.0,
                message="",
                parameters=parameters,
                by="eva",
                created_at=now,
                started_at=None,
                ended_at=None,
            )
        )
    return job_id


def test_a_candidate_is_registered_with_where_it_came_from_and_scores(sqlite_database, store, samples):
    told = []
    model = train(sqlite_database, store, tell=lambda fraction, words: told.append((fraction, words)), **SMALL)
    assert model == registry.list_models(sqlite_database)[0]
    assert (model.source, model.running) == ("trained", False)
    assert model.name.startswith("trained-")
    assert model.manifest["mm_per_px"] == 0.25
    assert model.manifest["provenance"]["samples"] == {"coarse": {"golden": 4}, "fine": {"golden": 4}}
    scorer = load_bundle(Path(model.path), device=torch.device("cpu"))
    assert scorer.styles == ("coarse", "fine")
    assert scorer.score(np.full((1, 64, 64, 3), 128, np.uint8), style="").maps.shape == (1, 64, 64)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {words.split(",")[0] for _, words in told} >= {"reads the samples", "trains", "registers the model"}
    assert not list(store.data_dir.glob("training-*")), "what it worked in is gone"


def test_settings_are_those_of_the_running_model_and_its_styles_are_kept(sqlite_database, store, samples):
    registry.promote(sqlite_database, train(sqlite_database, store, **SMALL).name, by="eva")
    again = train(sqlite_database, store, seed=3)
    assert again.manifest["config"]["tile_px"] == 64
    assert again.manifest["config"]["seed"] == 3
    assert registry.running_model(sqlite_database).name != again.name
    with sqlite_database.session() as session:
        for sample in samples:
            if sample.style == "fine":
                session.get_one(SampleRow, sample.id).active = False
    with pytest.raises(StorageError, match="style fine, which the running model knows"):
        train(sqlite_database, store)


def test_a_training_that_is_stopped_leaves_nothing(sqlite_database, store, samples):
    stop = threading.Event()
    assert train(sqlite_database, store, stop=stop, tell=lambda *_: stop.set(), **SMALL) is None
    assert registry.list_models(sqlite_database) == []
    assert not store.models_dir.exists()


def test_settings_the_method_does_not_know_are_refused(sqlite_database, store, samples):
    with pytest.raises(ConfigError, match="unknown settings: epoch"):
        train(sqlite_database, store, epoch=3)


def test_a_job_that_succeeds_is_done_and_names_its_model(sqlite_database, store, samples):
    job_id = queue_job(sqlite_database, **SMALL)
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    (model,) = registry.list_models(sqlite_database)
    job = get_job(sqlite_database, job_id)
    assert (job.state, job.progress) == ("done", 1.0)
    assert job.message.startswith(f"model {model.name} is ready to be promoted, no model runs")
    gate = latest_gate(sqlite_database, model.name)
    assert gate is not None
    assert (gate.verdict, gate.against, gate.whole) == ("passed", "", False)
    assert (model.source, model.by, model.job_id) == ("retrained", "eva", job_id)
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    assert len(registry.list_models(sqlite_database)) == 1


def test_a_job_that_judges_a_model_trains_nothing_and_ends_with_the_gate(sqlite_database, store, samples):
    running, candidate = (train(sqlite_database, store, **SMALL, seed=seed).name for seed in (1, 2))
    registry.promote(sqlite_database, running, by="eva")
    set_policy(sqlite_database, ModelPolicy(rules=(RecallRule(),), promotion="gate"), by="eva")
    job_id = queue_job(sqlite_database, **{GATE: candidate})
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert job.state == "done", job.message
    assert job.message == f"model {candidate} passed the gate (1 rules could not be judged) and is ready to be promoted"
    assert latest_gate(sqlite_database, candidate).against == running
    assert len(registry.list_models(sqlite_database)) == 2
    job_id = queue_job(sqlite_database, **{GATE: running})
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert (job.state, job.message.split(":")[0]) == ("failed", f"model {running} is in charge")


@pytest.mark.parametrize(
    ("parameters", "device", "reason"),
    [
        ({}, "cpu", "there are no samples of normal fabric: add some first"),
        ({"epochs": 0}, "cpu", "epochs must be at least 1, got 0"),
        ({"backbone": "nothing"}, "cpu", "there are no samples"),
    ],
)
def test_a_job_that_fails_is_failed_with_its_reason(sqlite_database, store, parameters, device, reason):
    job_id = queue_job(sqlite_database, **parameters)
    run_training(store, TrainerSettings(device=device), sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert job.state == "failed"
    assert job.message.startswith(reason)
    assert registry.list_models(sqlite_database) == []


def test_a_damaged_sample_fails_the_job_and_is_named(sqlite_database, store, samples):
    pictures = PictureStore(store.pictures)
    decide_samples(sqlite_database, [sample.id for sample in samples], state="accepted", by="eva")
    whole = pictures.get(samples[3].picture)
    pictures.put(samples[3].picture, whole[: len(whole) // 2])
    job_id = queue_job(sqlite_database, **SMALL)
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    assert get_job(sqlite_database, job_id).state == "failed"
    assert samples[3].picture in get_job(sqlite_database, job_id).message


def again(database, job_id):
    """The time of the next try has come."""
    with database.session() as session:
        session.get_one(JobRow, job_id).not_before = None


def test_an_error_nobody_expected_is_tried_again_and_then_fails_the_job(sqlite_database, store, samples, monkeypatch):
    def broken(*_arguments, **_options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("retraining.training.train", broken)
    job_id = queue_job(sqlite_database, **SMALL)
    for state in ("queued", "queued", "failed"):
        with pytest.raises(RuntimeError):
            run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
        job = get_job(sqlite_database, job_id)
        assert job.state == state
        again(sqlite_database, job_id)
    assert job.message.startswith("given up after 3 tries: RuntimeError: out of memory")
    assert registry.list_models(sqlite_database) == []


def test_a_training_tells_its_losses_its_log_and_its_end(sqlite_database, store, samples, caplog):
    caplog.set_level("INFO")
    job_id = queue_job(sqlite_database, **SMALL | {"epochs": 3})
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert [(run, epoch) for run, epoch, _ in job.losses] == [(1, 1), (1, 2), (1, 3)]
    assert all(loss > 0 for *_, loss in job.losses)
    assert any("training on 32 tiles of 2 styles" in line for _, line in job.log)
    assert job.log[-1][1] == job.message
    assert (job.tries, job.ends_at) == (1, None)


def test_the_rq_job_tells_progress_loss_log_and_end_to_rqs_own_tools(
    sqlite_database, tmp_path, redis_url, samples, monkeypatch
):
    monkeypatch.setattr("retraining.progress.META_S", 0.0)
    store = load(StoreSettings, data_dir=tmp_path, database_url="", redis_url=redis_url, pictures_url="")
    job_id = queue_job(sqlite_database, **SMALL)
    with JobQueue(redis_url) as queue:
        queue.put(job_id, device="", time_limit_s=60)
        run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
        meta = RqJob.fetch(job_id, connection=queue.connection, serializer=JSONSerializer).get_meta()
    job = get_job(sqlite_database, job_id)
    assert (meta["progress"], meta["message"], meta["loss"]) == (1.0, job.message, job.losses[-1][2])
    assert meta["log"][-1].endswith(job.message)
    assert datetime.fromisoformat(meta["ends_at"]) <= datetime.now(UTC)


def train_within(seconds: int, store: StoreSettings, url: str, job_id: str) -> None:
    """As RQ's worker has it."""
    with open_database(url) as database, UnixSignalDeathPenalty(seconds, JobTimeoutException, job_id=job_id):
        run_training(store, TrainerSettings(device="cpu"), database, job_id)


def test_a_training_that_takes_longer_than_its_limit_fails_and_keeps_what_it_has(
    sqlite_url, sqlite_database, store, samples
):
    job_id = queue_job(sqlite_database, **SMALL | {"epochs": 100_000})
    # A process of its own, as for each job: the signal may hit native code, and pytest's own limit is this signal, too
    process = multiprocessing.get_context("spawn").Process(target=train_within, args=(5, store, sqlite_url, job_id))
    process.start()
    process.join(timeout=200)
    process.kill()
    job = get_job(sqlite_database, job_id)
    assert job.state == "failed"
    assert job.message == "it took longer than its limit of 24 h: give it more, or a faster device"
    assert (store.data_dir / "trainings" / job_id).is_dir()


def test_a_training_that_had_to_be_killed_at_its_limit_is_told_from_one_without_memory(sqlite_database):
    job = start_job(sqlite_database, queue_job(sqlite_database), holder="t")
    late = replace(job, started_at=datetime.now(UTC) - timedelta(days=2))
    assert how_it_ended(late, None) == (over_limit(job), False)
    assert how_it_ended(job, None) == (VANISHED, True)
    assert how_it_ended(late, 1 << 8) == (VANISHED, True)  # it ended with 1
    assert how_it_ended(late, signal.SIGKILL) == (
        "the training process was ended by SIGKILL, perhaps for want of memory", True
    )  # fmt: skip


class Crash(BaseException):
    """As a kill: nothing catches it."""


def crash(where, monkeypatch):
    def broken(*_arguments, **_options):
        raise Crash

    monkeypatch.setattr(where, broken)


def test_a_training_that_dies_goes_on_from_its_last_checkpoint_to_the_same_model(
    sqlite_database, store, samples, monkeypatch, caplog
):
    caplog.set_level("INFO")
    settings = TrainerSettings(device="cpu", checkpoint_s=0, name="t")
    parameters = SMALL | {"epochs": 4}
    whole = queue_job(sqlite_database, **parameters)
    run_training(store, settings, sqlite_database, whole)
    killed = queue_job(sqlite_database, **parameters)
    saved = []

    def save(folder, *arguments, **options):
        if len(saved) == 3:
            raise Crash
        saved.append(folder)
        real(folder, *arguments, **options)

    real = TrainingFolder.save
    monkeypatch.setattr(TrainingFolder, "save", save)
    with pytest.raises(Crash):
        run_training(store, settings, sqlite_database, killed)
    assert get_job(sqlite_database, killed).state == "running"
    assert try_again(sqlite_database, killed, holder="t", reason="its process is gone") == "queued"
    again(sqlite_database, killed)
    monkeypatch.setattr(TrainingFolder, "save", real)
    run_training(store, settings, sqlite_database, killed)
    job = get_job(sqlite_database, killed)
    assert (job.state, job.tries) == ("done", 2), job.message
    assert any("goes on from the last checkpoint" in line for _, line in job.log)
    assert [(run, epoch) for run, epoch, _ in job.losses] == [(1, 1), (1, 2), (1, 3), (1, 4)]
    first, second = (registry.model_of_job(sqlite_database, each) for each in (whole, killed))
    weights = [(Path(model.path) / "weights.safetensors").read_bytes() for model in (first, second)]
    assert weights[0] == weights[1]
    assert not list((store.data_dir / "trainings").iterdir())


def test_a_training_that_dies_after_it_was_saved_or_registered_is_not_trained_again(
    sqlite_database, store, samples, monkeypatch
):
    settings = TrainerSettings(device="cpu", name="t")
    job_id = queue_job(sqlite_database, **SMALL)
    crash("retraining.training.registry.import_bundle", monkeypatch)
    with pytest.raises(Crash):
        run_training(store, settings, sqlite_database, job_id)
    assert registry.list_models(sqlite_database) == []
    monkeypatch.undo()
    try_again(sqlite_database, job_id, holder="t", reason="killed")
    again(sqlite_database, job_id)
    crash("retraining.training.train", monkeypatch)
    crash("retraining.after.run_gate", monkeypatch)
    with pytest.raises(Crash):
        run_training(store, settings, sqlite_database, job_id)
    (model,) = registry.list_models(sqlite_database)
    monkeypatch.undo()
    try_again(sqlite_database, job_id, holder="t", reason="killed")
    again(sqlite_database, job_id)
    crash("retraining.training.train_candidate", monkeypatch)
    run_training(store, settings, sqlite_database, job_id)
    assert get_job(sqlite_database, job_id).state == "done"
    assert [each.name for each in registry.list_models(sqlite_database)] == [model.name]
    assert latest_gate(sqlite_database, model.name) is not None


def test_a_checkpoint_that_is_damaged_costs_its_work_and_nothing_else(
    sqlite_database, store, samples, monkeypatch, caplog
):
    caplog.set_level("INFO")
    settings = TrainerSettings(device="cpu", name="t", checkpoint_s=0)
    job_id = queue_job(sqlite_database, **SMALL)
    crash("cras_core.training.set_thresholds", monkeypatch)
    with pytest.raises(Crash):
        run_training(store, settings, sqlite_database, job_id)
    monkeypatch.undo()
    (store.data_dir / "trainings" / job_id / "work" / "checkpoint.safetensors").write_bytes(b"half of it")
    try_again(sqlite_database, job_id, holder="t", reason="killed")
    again(sqlite_database, job_id)
    run_training(store, settings, sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert job.state == "done", job.message
    assert any("starts anew: " in line and "is damaged" in line for _, line in job.log)


def change_style(database, pick):
    with database.session() as session:
        database.insert_new(session, StyleRow, name="very fine", created_at=datetime.now(UTC))
        for row in session.scalars(select(SampleRow).where(SampleRow.style == "fine")):
            pick(row)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: setattr(row, "style", "very fine"), "style fine was renamed or taken away while the training ran"),
        (lambda row: setattr(row, "active", False), "style fine was renamed or taken away while the training ran"),
    ],
    ids=["renamed", "deleted"],
)
def test_a_style_that_is_renamed_or_deleted_during_a_training_ends_it_in_one_line(
    sqlite_database, store, samples, monkeypatch, change, reason
):
    def saved(*arguments, **options):
        save_bundle(*arguments, **options)
        change_style(sqlite_database, change)

    monkeypatch.setattr("retraining.training.save_bundle", saved)
    job_id = queue_job(sqlite_database, **SMALL)
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert job.state == "failed"
    assert job.message.startswith(reason)
    assert registry.list_models(sqlite_database) == []
    assert not store.models_dir.exists()
    assert not (store.data_dir / "trainings" / job_id).exists()


def test_one_picture_and_mixed_scales_are_refused_before_anything_is_computed(sqlite_database, store, samples):
    pictures = PictureStore(store.pictures)

    def add(style, size_px, mm_per_px):
        png = make_png(9, size_px=size_px)
        add_sample(
            sqlite_database, pictures, style=style, png=png, source="golden", roll_group=f"{style} 0",
            mm_per_px=mm_per_px, by="eva",
        )  # fmt: skip

    add("single", 64, 0.25)
    job_id = queue_job(sqlite_database, **SMALL)
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    assert (
        "style single has samples for 1 tiles of 64 px, 8 at least are needed"
        in get_job(sqlite_database, job_id).message
    )
    add("fine", 128, 0.5)
    job_id = queue_job(sqlite_database, **SMALL)
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    assert "style fine has a sample at 0.5 mm/px, the model sees 0.25 mm/px" in get_job(sqlite_database, job_id).message
    assert registry.list_models(sqlite_database) == []


def with_full_disk(act):
    """`act` while no file can grow beyond a kilobyte."""

    def full(*arguments, **options):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            return act(*arguments, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return full


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("cras_core.checkpoint.replace_file", "work"),
        ("retraining.training.save_bundle", "work/checkpoint.safetensors"),
        ("storage.registry.shutil.copytree", "bundle"),
    ],
)
def test_a_full_disk_is_tried_again_and_with_room_it_goes_on(
    sqlite_database, store, samples, monkeypatch, caplog, what, left
):
    caplog.set_level("INFO")
    settings = TrainerSettings(device="cpu", checkpoint_s=0)
    monkeypatch.setattr(what, with_full_disk(pkgutil.resolve_name(what)))
    job_id = queue_job(sqlite_database, **SMALL)
    run_training(store, settings, sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert (job.state, job.tries) == ("queued", 1)
    assert "File too large" in job.message
    assert job.not_before is not None
    assert registry.list_models(sqlite_database) == []
    assert not any(store.models_dir.glob("*"))
    assert (store.data_dir / "trainings" / job_id / left).exists()
    monkeypatch.undo()
    again(sqlite_database, job_id)
    if left == "bundle":
        crash("retraining.training.train", monkeypatch)
    run_training(store, settings, sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert job.state == "done", job.message
    assert any("goes on from the last" in line for _, line in job.log) == (left == "work/checkpoint.safetensors")


def test_a_database_that_is_away_at_the_end_costs_no_training(sqlite_database, store, samples, monkeypatch):
    file = sqlite_path(sqlite_database.url)
    aside = file.with_name("aside")

    def saved(*arguments, **options):
        save_bundle(*arguments, **options)
        sqlite_database.engine.dispose()
        file.rename(aside)
        file.mkdir()

    monkeypatch.setattr("retraining.training.save_bundle", saved)
    settings = TrainerSettings(device="cpu", name="t")
    job_id = queue_job(sqlite_database, **SMALL)
    with pytest.raises(StorageAwayError):
        run_training(store, settings, sqlite_database, job_id)
    file.rmdir()
    aside.rename(file)
    assert try_again(sqlite_database, job_id, holder="t", reason="its process is gone") == "queued"
    again(sqlite_database, job_id)
    crash("retraining.training.train", monkeypatch)
    run_training(store, settings, sqlite_database, job_id)
    assert get_job(sqlite_database, job_id).state == "done"


def test_a_picture_store_that_is_away_is_asked_again_later(sqlite_database, store, samples, monkeypatch):
    decide_samples(sqlite_database, [sample.id for sample in samples], state="accepted", by="eva")
    folder = Path(store.pictures)
    aside = folder.with_name("aside")

    def away(*arguments, **options):
        folder.rename(aside)
        folder.write_text("no folder")
        return train_as_ever(*arguments, **options)

    monkeypatch.setattr("retraining.training.train", away)
    job_id = queue_job(sqlite_database, **SMALL)
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert job.state == "queued", job.message
    assert job.message.startswith(f"picture store {folder}: samples/coarse/")
    folder.unlink()
    aside.rename(folder)


def test_a_training_that_is_cancelled_leaves_no_model(sqlite_database, store, samples, monkeypatch):
    def saved(*arguments, **options):
        cancel_job(sqlite_database, job_id, by="eva")
        save_bundle(*arguments, **options)

    monkeypatch.setattr("retraining.training.save_bundle", saved)
    job_id = queue_job(sqlite_database, **SMALL)
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert (job.state, job.message.split(" at")[0]) == ("cancelled", "cancelled by eva")
    assert registry.list_models(sqlite_database) == []


def run_in_a_process(job_id, store, *, processes):
    """As the trainer's: torchrun's agent is in it."""
    environment = {
        **os.environ,
        "LOOMWATCH_DATA_DIR": str(store.data_dir),
        "LOOMWATCH_TRAINER_DEVICE": "cpu",
        "LOOMWATCH_TRAINER_PROCESSES": str(processes),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", f"from retraining.job import run; run({job_id!r})"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_two_processes_train_what_one_would_and_from_their_set_two_train_again(samples, sqlite_database, store):
    job_id = queue_job(sqlite_database, **SMALL)
    errors = run_in_a_process(job_id, store, processes=2)
    job = get_job(sqlite_database, job_id)
    assert job.state == "done", f"{job.message}\n{errors}"
    assert len(job.losses) == 1
    model = registry.model_of_job(sqlite_database, job_id)
    alone = train(sqlite_database, store, **SMALL)
    for style, facts in alone.manifest["styles"].items():
        assert model.manifest["styles"][style]["threshold"] == pytest.approx(facts["threshold"], rel=1e-2)
    number = model.manifest["provenance"]["set"]
    assert read_set(sqlite_database, number).recipe["processes"] == 2
    job_id = queue_job(sqlite_database, set=number)
    run_in_a_process(job_id, store, processes=1)
    second = registry.model_of_job(sqlite_database, job_id)
    weights = [(Path(each.path) / "weights.safetensors").read_bytes() for each in (model, second)]
    assert weights[0] == weights[1]
