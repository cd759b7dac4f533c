"""The trainer as a process: real Redis, real spawned trainings, killed and stopped."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from inspection.errors import StorageError
from inspection.settings import StoreSettings, load
from storage import registry
from storage.database import open_database, upgrade
from storage.jobs import cancel_job, get_job, request_retraining
from storage.live import Live
from storage.pictures import PictureStore
from storage.redis_server import start_private_redis
from storage.samples import SampleFilter, add_sample, decide_samples, guard_is_awaited, list_samples
from storage.tables import JobRow
from tests.ports import free_port
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
        self.add("fine")

    def add(self, style, **look):
        for number in range(4):
            add_sample(
                self.database,
                PictureStore(self.store.pictures),
                style=style,
                png=make_png(number, size_px=128, **look),
                source="golden",
                roll_group=f"{style} {number}",
                mm_per_px=0.25,
                by="eva",
            )

    def request(self, **more):
        return self.request_for("", **more)

    def request_for(self, style, **more):
        small = {"backbone": "efficientnet_lite0", "epochs": 1, "tile_px": 64, "calibration": "holdout"}
        parameters = small | more
        asked = request_retraining(self.database, self.store.redis, by="eva", parameters=parameters, style=style)
        return asked.job_id

    def now(self, job_id):
        """The time of its next try has come."""
        with self.database.session() as session:
            session.get_one(JobRow, job_id).not_before = None

    def state(self, job_id):
        return get_job(self.database, job_id).state

    def start(self, name="", **more):
        environment = {
            **os.environ,
            "LOOMWATCH_DATA_DIR": str(self.store.data_dir),
            "LOOMWATCH_REDIS_URL": self.store.redis,
            "LOOMWATCH_TRAINER_NAME": name,
            "LOOMWATCH_TRAINER_GUARD_S": "0",
            **more,
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen([sys.executable, "-c", TRAINER], env=environment, stderr=subprocess.PIPE, text=True)

    @contextmanager
    def trainer(self, name="", **more):
        """A trainer that is stopped in order at the end and leaves no process behind."""
        process = self.start(name, **more)
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


def children_of(process):
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes):
    return not [each for each in processes if each.is_running() and each.status() != "zombie"]


def test_a_killed_trainer_takes_its_training_with_it_and_the_next_one_goes_on_with_it(plant):
    job_id = plant.request()
    trainer = plant.start()
    try:
        wait_for(lambda: plant.state(job_id) == "running")
        children = children_of(trainer)
        assert children
    finally:
        trainer.kill()
        trainer.communicate()
    if sys.platform == "linux":
        wait_for(lambda: gone(children))
    assert plant.state(job_id) == "running"
    with plant.trainer():
        wait_for(lambda: plant.state(job_id) == "queued")
        assert "ended without a word; goes on" in get_job(plant.database, job_id).message
        second = plant.request(seed=1)
        wait_for(lambda: plant.state(second) == "running")
    job = get_job(plant.database, second)
    assert (job.state, job.tries) == ("queued", 0), "a stop ends the training's process, and its row waits"
    assert job.message.startswith("the trainer was stopped; goes on")
    with plant.trainer():
        wait_for(lambda: plant.state(second) == "done")
        plant.now(job_id)
        wait_for(lambda: plant.state(job_id) == "done")
    assert len(registry.list_models(plant.database)) == 2


def test_a_training_process_that_is_killed_again_and_again_fails_its_job_and_the_trainer_goes_on(plant):
    job_id = plant.request()
    with plant.trainer() as trainer:
        for state in ("queued", "queued", "failed"):
            plant.now(job_id)
            wait_for(lambda: plant.state(job_id) == "running")
            (training,) = psutil.Process(trainer.pid).children()
            training.kill()
            wait_for(lambda state=state: plant.state(job_id) == state)
        job = get_job(plant.database, job_id)
        assert job.message.startswith("given up after 3 tries: the training process was ended by SIGKILL")
        second = plant.start()
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 1
        assert "ServiceError: another trainer called" in errors
        assert trainer.poll() is None
    assert registry.list_models(plant.database) == []


def test_a_training_that_is_cancelled_has_no_process_any_more(plant):
    job_id = plant.request(epochs=10_000)
    with plant.trainer() as trainer:
        wait_for(lambda: get_job(plant.database, job_id).losses)
        processes = children_of(trainer)
        cancel_job(plant.database, job_id, by="eva")
        wait_for(lambda: gone(processes))
        second = plant.request()
        wait_for(lambda: plant.state(second) == "running")
    assert get_job(plant.database, job_id).message.startswith("cancelled by eva at ")
    assert registry.list_models(plant.database) == []


def test_two_trainers_take_from_the_same_queue_and_never_train_the_same_at_once(plant):
    plant.add("coarse", period_px=16)
    whole, style = plant.request(), plant.request_for("coarse")
    behind = plant.request(seed=1)
    with plant.trainer(name="one"), plant.trainer(name="two"):
        wait_for(lambda: {plant.state(whole), plant.state(style)} == {"running"})
        assert {get_job(plant.database, each).holder for each in (whole, style)} == {"one", "two"}
        assert plant.state(behind) == "queued"
        for job_id in (whole, style, behind):
            wait_for(lambda job_id=job_id: plant.state(job_id) == "done", seconds=240)
    started, ended = get_job(plant.database, behind).started_at, get_job(plant.database, whole).ended_at
    assert started >= ended


def test_nothing_secret_is_on_the_command_line_of_a_training(tmp_path):
    with start_private_redis(tmp_path / "redis", tmp_path / "redis.log") as server:
        client = redis.Redis.from_url(server.url)
        client.config_set("requirepass", "warp-and-weft")
        client.close()
        plant = Plant(tmp_path, server.url.replace("unix://", "unix://:warp-and-weft@"))
        job_id = plant.request()
        with plant.trainer() as trainer:
            wait_for(lambda: plant.state(job_id) == "running")
            lines = [" ".join(each.cmdline()) for each in (psutil.Process(trainer.pid), *children_of(trainer))]
            assert len(lines) >= 2
            assert not [line for line in lines if "warp-and-weft" in line]
        plant.database.close()


def test_a_request_that_redis_lost_is_found_again(tmp_path):
    folder = tmp_path / "redis"
    with start_private_redis(folder, tmp_path / "redis.log") as server:
        plant = Plant(tmp_path, server.url)
        job_id = plant.request()
    with start_private_redis(folder, tmp_path / "redis.log"), plant.trainer():
        wait_for(lambda: plant.state(job_id) == "running")
    plant.database.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("back", ["while it trains", "after its end"])
def test_a_training_outlives_redis_and_the_next_is_taken_when_it_is_back(tmp_path, back):
    folder, log = tmp_path / "redis", tmp_path / "redis.log"
    with ExitStack() as servers:
        server = servers.enter_context(start_private_redis(folder, log))
        plant = Plant(tmp_path, server.url)
        servers.callback(plant.database.close)
        first = plant.request(epochs=100)
        with plant.trainer():
            wait_for(lambda: get_job(plant.database, first).losses)
            os.kill(server.pid, signal.SIGKILL)
            with pytest.raises(StorageError, match="Redis at unix://"):
                plant.request(seed=1)
            if back == "after its end":
                wait_for(lambda: plant.state(first) != "running", seconds=300)
            servers.enter_context(start_private_redis(folder, log))
            second = plant.request(seed=1)
            for job_id in (first, second):
                wait_for(lambda job_id=job_id: plant.state(job_id) in ("done", "failed"), seconds=300)
        jobs = [get_job(plant.database, job_id) for job_id in (first, second)]
        assert [(job.state, job.tries) for job in jobs] == [("done", 1)] * 2, [job.message for job in jobs]
        models = registry.list_models(plant.database)
        assert sorted(model.job_id for model in models) == sorted((first, second))
        assert {path.name for path in plant.store.models_dir.iterdir()} == {model.name for model in models}
        assert not list((tmp_path / "trainings").iterdir())


def test_what_comes_in_is_looked_at_soon_also_while_a_training_runs(plant):
    job_id = plant.request(epochs=10_000)
    with plant.trainer(LOOMWATCH_TRAINER_GUARD_S="0.5"):
        wait_for(lambda: get_job(plant.database, job_id).losses)
        plant.add("coarse", period_px=16)
        wait_for(lambda: {sample.state for sample in list_samples(plant.database)} == {"accepted"})
        assert plant.state(job_id) == "running"
        cancel_job(plant.database, job_id, by="eva")
    assert not guard_is_awaited(plant.database)


def test_a_guard_that_cannot_look_is_told_of_where_the_trainer_is_seen(plant):
    job_id = plant.request()
    with plant.trainer():
        wait_for(lambda: plant.state(job_id) == "done", seconds=240)
    model = registry.model_of_job(plant.database, job_id)
    registry.promote(plant.database, model.name, by="eva")
    weights = next(Path(model.path).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:200])
    plant.add("fine", period_px=16)
    live, port = Live(plant.store.redis), free_port()
    with plant.trainer(LOOMWATCH_TRAINER_GUARD_S="0.5", LOOMWATCH_TRAINER_MONITOR_PORT=str(port)):
        wait_for(lambda: [each.detail for each in live.services() if each.detail], seconds=120)
        (said,) = [each.detail for each in live.services()]
        assert said.startswith("samples wait for the guard: ")
        assert str(weights.parent) in said

        def ready():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready") as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        wait_for(lambda: said in ready()[1])
        assert ready()[0] == 503
        assert guard_is_awaited(plant.database)
        waiting = [sample.id for sample in list_samples(plant.database, wanted=SampleFilter(state="waits"))]
        decide_samples(plant.database, waiting, state="refused", by="eva")
        wait_for(lambda: ready()[0] == 200)


def test_without_redis_the_trainer_says_so(tmp_path):
    plant = Plant(tmp_path, f"unix://{tmp_path / 'none.sock'}")
    plant.database.close()
    process = plant.start()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "StorageError: Redis at unix://" in errors
