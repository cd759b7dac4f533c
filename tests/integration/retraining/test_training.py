"""A training in this process: real samples, a real (small) model, what is registered and what a failure leaves."""

import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from cras_core.bundle import load_bundle
from cras_core.errors import ConfigError
from inspection.errors import StorageError
from inspection.settings import StoreSettings, TrainerSettings, load
from retraining.job import run_training
from retraining.training import train_candidate
from storage import registry
from storage.gates import latest_gate
from storage.jobs import get_job
from storage.pictures import PictureStore
from storage.samples import add_sample, list_samples
from storage.tables import JobRow
from tests.records import make_png

pytestmark = pytest.mark.integration

SMALL = {"epochs": 1, "tile_px": 64, "calibration": "holdout"}


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
    assert {words.split(",")[0] for _, words in told} >= {"reads the samples", "trains", "saves the bundle"}


def test_settings_are_those_of_the_running_model_and_its_styles_are_kept(sqlite_database, store, samples):
    registry.promote(sqlite_database, train(sqlite_database, store, **SMALL).name, by="eva")
    again = train(sqlite_database, store, seed=3)
    assert again.manifest["config"]["tile_px"] == 64
    assert again.manifest["config"]["seed"] == 3
    assert registry.running_model(sqlite_database).name != again.name
    from storage.tables import SampleRow

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
    whole = pictures.get(samples[3].picture)
    pictures.put(samples[3].picture, whole[: len(whole) // 2])
    job_id = queue_job(sqlite_database, **SMALL)
    run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    assert get_job(sqlite_database, job_id).state == "failed"
    assert samples[3].picture in get_job(sqlite_database, job_id).message


def test_an_error_nobody_expected_fails_the_job_too(sqlite_database, store, samples):
    """A parameter of a wrong type that only the arithmetic trips over."""
    job_id = queue_job(sqlite_database, **SMALL, levels=[2, 3], weights=7)
    with pytest.raises(TypeError):
        run_training(store, TrainerSettings(device="cpu"), sqlite_database, job_id)
    job = get_job(sqlite_database, job_id)
    assert job.state == "failed"
    assert job.message.startswith("TypeError: ")
