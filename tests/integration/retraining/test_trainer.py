"""The trainer as a process: real Redis, real spawned trainings, killed and stopped."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from inspection.settings import StoreSettings, load
from storage import registry
from storage.database import open_database, upgrade
from storage.jobs import get_job, request_retraining
from storage.live import Live
from storage.pictures import PictureStore
from storage.redis_server import start_private_redis
from storage.samples import add_sample
from tests.records import make_png
from tests.waiting import wait_for

pytestmark = pytest.mark.integration

TRAINER = """
import signal, threading
from inspection.logs import start_logging
from inspection.settings import StoreSettings, TrainerSettings, load
from retraining.service import run_trainer
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
start_logging("trainer", level="info", file=None)
try:
    run_trainer(load(StoreSettings), load(TrainerSettings, device="cpu", threads=1), stop)
except Exception as error:
    raise SystemExit(f"{type(error).__name__}: {error}")
"""


class Plant:
    """A data folder with samples, Redis running, and trainers that are started and stopped."""

    def __init__(self, data_dir, redis_url):
        self.store = load(StoreSettings, data_dir=data_dir, database_url="", redis_url=redis_url, pictures_url="")
        upgrade(self.store.database)
        self.database = open_database(self.store.database)
        for number in range(4):
            add_sample(
                self.database,
                PictureStore(self.store.pictures),
                style="fine",
                png=make_png(number, size_px=128),
                source="golden",
                roll_group=f"g{number}",
                mm_per_px=0.25,
                by="eva",
            )

    def request(self):
        parameters = {"epochs": 1, "tile_px": 64, "calibration": "holdout"}
        return request_retraining(self.database, self.store.redis, by="eva", parameters=parameters)

    def state(self, job_id):
        return get_job(self.database, job_id).state

    def start(self):
        environment = {
            **os.environ,
            "LOOMWATCH_DATA_DIR": str(self.store.data_dir),
            "LOOMWATCH_REDIS_URL": self.store.redis,
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen([sys.executable, "-c", TRAINER], env=environment, stderr=subprocess.PIPE, text=True)

    @contextmanager
    def trainer(self):
        """A trainer that is stopped in order at the end and leaves no process behind."""
        process = self.start()
        try:
            yield process
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            assert not [child for child in children if child.is_running() and child.status() != "zombie"]
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def plant(tmp_path, redis_url):
    plant = Plant(tmp_path, redis_url)
    yield plant
    plant.database.close()


def test_a_request_becomes_a_candidate(plant):
    job_id = plant.request()
    with plant.trainer():
        live = Live(plant.store.redis)
        wait_for(lambda: [service.state for service in live.services()] == ["training"])
        wait_for(lambda: plant.state(job_id) in ("done", "failed"), seconds=240)
        wait_for(lambda: [service.state for service in live.services()] == ["waiting"])
        live.close()
    job = get_job(plant.database, job_id)
    assert job.state == "done", job.message
    (model,) = registry.list_models(plant.database)
    assert (model.source, model.job_id, model.running) == ("retrained", job_id, False)
    assert model.name in job.message


def test_a_killed_trainer_takes_its_training_with_it_and_the_next_one_says_so(plant):
    job_id = plant.request()
    trainer = plant.start()
    try:
        wait_for(lambda: plant.state(job_id) == "running")
        children = psutil.Process(trainer.pid).children(recursive=True)
        assert children
    finally:
        trainer.kill()
        trainer.communicate()
    if sys.platform == "linux":
        wait_for(lambda: not [child for child in children if child.is_running() and child.status() != "zombie"])
    assert plant.state(job_id) == "running"
    with plant.trainer():
        wait_for(lambda: plant.state(job_id) == "failed")
        second = plant.request()
        wait_for(lambda: plant.state(second) == "running")
    assert get_job(plant.database, job_id).message.startswith("the trainer was stopped")
    assert plant.state(second) == "failed", "a stop ends the training, and its row says so"
    assert get_job(plant.database, second).message.startswith("the trainer was stopped")
    assert registry.list_models(plant.database) == []


def test_a_training_process_that_is_killed_fails_its_job_and_the_only_trainer_goes_on(plant):
    job_id = plant.request()
    with plant.trainer() as trainer:
        wait_for(lambda: plant.state(job_id) == "running")
        (training,) = psutil.Process(trainer.pid).children()
        training.kill()
        wait_for(lambda: plant.state(job_id) == "failed")
        assert "ended by SIGKILL" in get_job(plant.database, job_id).message
        second = plant.start()
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 1
        assert "ServiceError: another trainer runs for" in errors
        assert trainer.poll() is None


def test_a_request_that_redis_lost_is_found_again(tmp_path):
    folder = tmp_path / "redis"
    with start_private_redis(folder, tmp_path / "redis.log") as server:
        plant = Plant(tmp_path, server.url)
        job_id = plant.request()
    with start_private_redis(folder, tmp_path / "redis.log"), plant.trainer():
        wait_for(lambda: plant.state(job_id) == "running")
    plant.database.close()


def test_without_redis_the_trainer_says_so(tmp_path):
    plant = Plant(tmp_path, f"unix://{tmp_path / 'none.sock'}")
    plant.database.close()
    process = plant.start()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "StorageError: Redis at unix://" in errors
