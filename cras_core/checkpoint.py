"""The training folder: what an unfinished training leaves on disk, so that it can be gone on with. No pickle, ever.

- `features.f16`, `features.json`: the cached features, and of which pictures and backbone they are
  (`feature_store`);
- `checkpoint.safetensors`: every number of the training at one step, and in its header (JSON) whose they are. Written
  beside its place, flushed and renamed: there is always a whole one, or none.

Removed when the model is saved.
"""

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from cras_core import team
from cras_core.errors import CheckpointError, StaleCheckpointError

State = dict[str, Tensor]

CHECKPOINT = "checkpoint.safetensors"
EVERY_S = 30.0


class TrainingFolder:
    """`every_s`: at least so long between two checkpoints; 0: one after every step."""

    def __init__(self, path: Path, *, every_s: float = EVERY_S) -> None:
        self.path = path
        self.every_s = every_s
        self._saved_at = time.monotonic()

    @classmethod
    def begin(cls, path: Path, *, resume: bool, every_s: float = EVERY_S) -> "TrainingFolder":
        """The folder, made if it is not there. Raises `CheckpointError` when it holds an unfinished training that is
        not to be resumed, or cannot be written to."""
        if path.exists() and not resume:
            raise CheckpointError(f"{path} holds an unfinished training: go on with it (--resume), or remove it")
        team.wait()  # nobody makes it while others still look
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot make {path}: {error.strerror or error}") from error
        return cls(path, every_s=every_s)

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (self.path / CHECKPOINT).is_file()

    def load(self, facts: Mapping[str, Any]) -> tuple[int, State] | None:
        """The run it was in and the numbers there, None without a checkpoint.

        `facts`: what this training is. Raises `StaleCheckpointError` when the checkpoint is damaged or of another one.
        """
        path = self.path / CHECKPOINT
        if not path.is_file():
            return None
        try:
            with safetensors.safe_open(path, "pt") as file:
                header = json.loads((file.metadata() or {})["training"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            run, made_of = int(header["run"]), dict(header["facts"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise StaleCheckpointError(
                f"{path} is damaged or no checkpoint: remove {self.path} to start the training anew"
            ) from error
        now = json.loads(json.dumps(facts))
        for name in sorted(made_of.keys() | now.keys()):
            if made_of.get(name) != now.get(name):
                raise StaleCheckpointError(
                    f"{self.path} was begun with {name} {_short(made_of.get(name))}, not {_short(now.get(name))}: "
                    "resume it with the same settings and pictures, or remove it to start anew"
                )
        return run, state

    def due(self) -> bool:
        """Whether it is time for the next checkpoint; only the first of several processes writes them."""
        return team.rank() == 0 and time.monotonic() - self._saved_at >= self.every_s

    def save(self, *, run: int, state: State, facts: Mapping[str, Any]) -> None:
        """Replaces the checkpoint in one step. Raises `CheckpointError` when it cannot be written."""
        header = {"training": json.dumps({"run": run, "facts": facts})}
        tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
        replace_file(self.path / CHECKPOINT, safetensors.torch.save(tensors, header))
        self._saved_at = time.monotonic()

    def remove(self) -> None:
        if team.rank() == 0:
            shutil.rmtree(self.path, ignore_errors=True)


def replace_file(path: Path, data: bytes) -> None:
    """Whole or not at all, also when the power fails. Raises `CheckpointError`."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path} ({error.strerror or error}): make room, then go on with --resume"
        ) from error


def _short(value: object) -> str:
    words = json.dumps(value)
    return words if len(words) <= 40 else f"{words[:40]}..."
