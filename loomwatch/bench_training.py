"""`loomwatch bench training`: a real trainer and its trainings, killed at random moments, in a temporary folder.

Each training is the same: after a kill it must end in the model that an undisturbed one makes, weight for weight, or be
failed with a reason. Registry and running model are looked at after each: every registered bundle whole, nothing in the
models' folder that is not registered, the model in charge the one that was. Last, one is cancelled and timed.
"""

import contextlib
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil

from ingest.simulator import normal_frames
from inspection.errors import ServiceError, StorageError
from inspection.settings import StoreSettings, load
from loomwatch.bench_pipeline import Figure, at_most, result
from loomwatch.normals import add_frame
from loomwatch.supervisor import Service, Supervisor, loomwatch
from storage import registry
from storage.database import open_database, upgrade
from storage.jobs import OPEN, cancel_job, get_job, request_retraining
from storage.model_policy import FalseAlarmsRule, ModelPolicy, RecallRule, StylesRule, set_policy
from storage.pictures import PictureStore
from storage.redis_server import start_private_redis

MM_PER_PX, TILE_PX, LINES = 0.4, 128, 256
END_S = 600.0  # for one training, its tries and the waits between them
# The usual gate without what it times
QUICK_GATE = ModelPolicy(rules=(FalseAlarmsRule(), RecallRule(), StylesRule()))
WEIGHTS = "weights.safetensors"


class TrainingBench:
    """Use with `with`: samples of the simulator's plain weave, a model in charge, a trainer under the supervisor."""

    def __init__(self, *, steps: int) -> None:
        self._steps = steps
        self._stack = ExitStack()
        self.harm: list[str] = []

    def __enter__(self) -> Self:
        from retraining.training import train_candidate

        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loomwatch-bench-")))
            self.store = load(StoreSettings, data_dir=folder, database_url="", redis_url="", pictures_url="")
            upgrade(self.store.database)
            self.database = stack.enter_context(open_database(self.store.database))
            pictures = PictureStore(self.store.pictures)
            frames = normal_frames("plain", seed=7, length_m=1.2, frame_lines=LINES, mm_per_px=MM_PER_PX)
            for number, pixels in enumerate(frames):
                add_frame(
                    self.database, pictures, pixels, name=f"frame {number}", style="plain",
                    roll_group=f"roll {number // 2}", mm_per_px=MM_PER_PX, tile_px=TILE_PX, by="bench",
                )  # fmt: skip
            first = train_candidate(
                self.store, self.database, pictures, source="trained", by="bench", device="cpu",
                tell=lambda *_: None, stop=threading.Event(), parameters=self._parameters(seed=1),
            )  # fmt: skip
            assert first is not None  # nobody stops it
            registry.promote(self.database, first.name, by="bench")
            set_policy(self.database, QUICK_GATE, by="bench")
            self.running = first.name
            self._redis = start_private_redis(folder, folder / "logs" / "redis.log")
            stack.callback(self._redis.stop)
            self._supervisor = stack.enter_context(Supervisor(self.store.logs_dir))
            environment = {
                "LOOMWATCH_DATA_DIR": str(folder),
                "LOOMWATCH_DATABASE_URL": self.store.database,
                "LOOMWATCH_REDIS_URL": self._redis.url,
                "LOOMWATCH_PICTURES_URL": self.store.pictures,
                "LOOMWATCH_TRAINER_DEVICE": "cpu",
                "LOOMWATCH_WORKER_RUNTIME": "torch-float32",  # no others are tried, which takes minutes
                "LOOMWATCH_TRAINER_THREADS": "1",
                "LOOMWATCH_TRAINER_CHECKPOINT_S": "0.5",
                "LOOMWATCH_TRAINER_GUARD_S": "0",
                "LOOMWATCH_TRAINER_MONITOR_PORT": "0",
            }
            self._supervisor.start(Service(name="trainer", command=loomwatch("trainer"), environment=environment))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self) -> str:
        asked = request_retraining(
            self.database, self._redis.url, by="bench", parameters=self._parameters(seed=0), device="cpu"
        )
        return asked.job_id

    def state(self, job_id: str) -> str:
        return get_job(self.database, job_id).state

    def wait(self, job_id: str, done: Callable[[], bool]) -> float:
        """Seconds until it holds. Raises `ServiceError` when it does not."""
        started = time.monotonic()
        while not done():
            self._supervisor.check()
            if time.monotonic() - started > END_S:
                raise ServiceError(f"training {job_id} does not go on: {get_job(self.database, job_id).message}")
            time.sleep(0.02)
        return time.monotonic() - started

    def wait_for_end(self, job_id: str) -> float:
        return self.wait(job_id, lambda: self.state(job_id) not in OPEN)

    def kill(self, *, trainer: bool) -> str:
        """With SIGKILL the trainer, or the training's own process; which it was, "" when there was none."""
        pid = self._supervisor.pid("trainer")
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if pid is None:
                return ""
            training = psutil.Process(pid).children()
            target = pid if trainer or not training else training[0].pid
            os.kill(target, signal.SIGKILL)
            return "trainer" if target == pid else "training"
        return ""

    def processes(self) -> list[psutil.Process]:
        """Of the training that runs."""
        pid = self._supervisor.pid("trainer")
        return psutil.Process(pid).children(recursive=True) if pid else []

    def weights(self, job_id: str) -> bytes:
        """Of the model that a training registered, b"" without one."""
        model = registry.model_of_job(self.database, job_id)
        return (Path(model.path) / WEIGHTS).read_bytes() if model else b""

    def look_for_harm(self, job_id: str) -> None:
        """Into registry, models' folder and what is in charge."""
        models = registry.list_models(self.database)
        for model in models:
            try:
                registry.read_bundle(Path(model.path))
            except StorageError as error:
                self.harm.append(str(error))
        there = {path.name for path in self.store.models_dir.iterdir() if not path.name.startswith(".")}
        if left := there - {model.name for model in models}:
            self.harm.append(f"not registered: {', '.join(sorted(left))}")
        if [model.name for model in models if model.running] != [self.running]:
            self.harm.append(f"{self.running} is not in charge any more")
        if sum(model.job_id == job_id for model in models) > 1:
            self.harm.append(f"training {job_id} registered several models")

    def _parameters(self, *, seed: int) -> dict[str, Any]:
        return {
            "backbone": "efficientnet_lite0", "tile_px": TILE_PX, "mm_per_px": MM_PER_PX, "calibration": "holdout",
            "steps": self._steps, "seed": seed,
        }  # fmt: skip


def kill_trainings(*, kills: int, steps: int, seed: int, tell: Callable[[str], object]) -> dict[str, Any]:
    """Figures and, of each kill, what came out."""
    draw = random.Random(seed)
    with TrainingBench(steps=steps) as bench:
        whole = bench.ask()
        bench.wait(whole, lambda: bench.state(whole) != "queued")
        usual_s = bench.wait_for_end(whole)
        right = bench.weights(whole)
        if bench.state(whole) != "done" or not right:
            raise ServiceError(f"the undisturbed training failed: {get_job(bench.database, whole).message}")
        runs: list[dict[str, Any]] = []
        for number in range(kills):
            job_id = bench.ask()
            bench.wait(job_id, lambda job_id=job_id: bench.state(job_id) != "queued")  # type: ignore[misc]
            after_s = draw.uniform(0, usual_s)
            time.sleep(after_s)
            at = get_job(bench.database, job_id)
            killed = bench.kill(trainer=number % 2 == 0)
            took_s = bench.wait_for_end(job_id)
            job = get_job(bench.database, job_id)
            bench.look_for_harm(job_id)
            found = bench.weights(job_id)
            as_it_should = {"done": found == right, "failed": not found and bool(job.message)}
            outcome = job.state if as_it_should.get(job.state) else "wrong"
            runs.append(
                {
                    "killed": killed, "at": round(at.progress, 3), "doing": at.message, "after_s": round(after_s, 2),
                    "outcome": outcome, "tries": job.tries, "took_s": round(took_s, 1), "message": job.message,
                }
            )  # fmt: skip
            tell(f"{number + 1} of {kills}: {killed or 'nothing'} killed at {at.progress:.0%}, {outcome}")
        cancel_s = _cancel(bench)
    return result(
        [
            Figure(name="an undisturbed training", value=usual_s, unit="s", target="", good=True),
            Figure(name="kills", value=float(sum(bool(run["killed"]) for run in runs)), unit="", target="", good=True),
            Figure(name="ended in the right model", value=_count(runs, "done"), unit="", target="", good=True),
            Figure(name="ended in a loud failure", value=_count(runs, "failed"), unit="", target="", good=True),
            at_most("ended otherwise", _count(runs, "wrong"), "", 0),
            at_most("harm to registry or running model", float(len(bench.harm)), "", 0),
            at_most("a cancelled training's process is gone after", cancel_s, "s", 1.0),
        ],
        runs=runs,
        harm=bench.harm,
    )  # fmt: skip


def _cancel(bench: TrainingBench) -> float:
    """Seconds from the act until no process of the training is left."""
    job_id = bench.ask()
    bench.wait(job_id, lambda: bool(get_job(bench.database, job_id).losses) or bench.state(job_id) not in OPEN)
    processes = bench.processes()
    started = time.monotonic()
    cancel_job(bench.database, job_id, by="bench")

    def gone() -> bool:
        return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)

    with contextlib.suppress(psutil.NoSuchProcess):
        bench.wait(job_id, gone)
    return time.monotonic() - started


def _count(runs: list[dict[str, Any]], outcome: str) -> float:
    return float(sum(run["outcome"] == outcome for run in runs))
