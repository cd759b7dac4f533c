"""A training by several processes on one machine, each on a device of its own, started by torchrun's agent within the
training process. The first of them tells how far it is and saves the bundle."""

import json
import os
import sys
from pathlib import Path

import torch

import cras_core.errors
import inspection.errors
from cras_core import team
from cras_core.errors import CrasError, StaleCheckpointError
from inspection.errors import LoomwatchError, ServiceError, StorageAwayError
from inspection.logs import start_logging
from inspection.settings import StoreSettings, TrainerSettings, load
from retraining.parent import end_with_parent
from retraining.passing import may_pass
from retraining.plan import TrainingPlan
from retraining.progress import Shown
from retraining.training import Stopped, train_planned
from storage.database import open_database
from storage.jobs import get_job
from storage.pictures import PictureStore

PROBLEM = "problem.json"


def count_processes(settings: TrainerSettings) -> int:
    """How many are asked for; by themselves one a CUDA device, and one where the device is named or there is none."""
    if settings.processes:
        return settings.processes
    return max(1, torch.cuda.device_count()) if settings.device in ("auto", "cuda") else 1


def train_together(folder: Path, *, job_id: str, processes: int) -> None:
    """Returns when all have ended well. Raises what the first that failed raised, or `ServiceError`."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args
    from torch.distributed.run import run as torchrun

    (folder / PROBLEM).unlink(missing_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun's choice, without its warning; the plan's number is set
    arguments = ["--standalone", "--nproc-per-node", str(processes), "-m", __name__, str(folder), job_id]
    try:
        torchrun(parse_args(arguments))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        try:
            found = json.loads((folder / PROBLEM).read_text())
        except (OSError, ValueError):
            rank, failure = error.get_first_failure()
            reason = f"process {rank} of {processes} ended with {failure.exitcode}"
            raise ServiceError(f"{reason}: the trainer's log tells more") from error
        if found["kind"] == "Stopped":
            raise Stopped from error
        kind = getattr(cras_core.errors, found["kind"], None) or getattr(inspection.errors, found["kind"])
        raise kind(found["message"]) from error


def main(folder: Path, job_id: str) -> int:
    """One of the processes."""
    end_with_parent()
    store, settings = load(StoreSettings), load(TrainerSettings)
    start_logging("training", level=store.log_level, file=None)
    plan = TrainingPlan.read(folder)
    assert plan is not None  # written before the processes were started
    torch.set_num_threads(plan.threads)
    with open_database(store.database) as database:
        job = get_job(database, job_id)
        with Shown(database, store.redis, job, holder=job.holder) as shown:
            try:
                with team.join_team(settings.device) as device:
                    first = team.rank() == 0
                    train_planned(
                        plan,
                        database,
                        PictureStore(store.pictures),
                        folder,
                        device=device,
                        tell=shown.tell if first else lambda *_: None,
                        follow=shown.follow if first else lambda _: None,
                        stop=shown.stop,
                        checkpoint_s=settings.checkpoint_s,
                    )
            except (LoomwatchError, CrasError, Stopped) as error:
                away = may_pass(error) and not isinstance(error, StaleCheckpointError)
                kind = StorageAwayError if away else type(error)  # without the cause that tells it
                (folder / PROBLEM).write_text(json.dumps({"kind": kind.__name__, "message": str(error)}))
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
