"""The fastest runtime that agrees, found once a model and machine by a process of its own, and remembered.

Of its own, because tracing a graph for another engine puts stand-ins in the place of its weights, and because a trial
may take a minute that the frames of a running line cannot wait. It works at low priority and leaves, in a folder,
`choice.json` and the export of the runtime chosen; the running process only reads them.
"""

import hashlib
import json
import logging
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.bundle import read_tiles
from cras_core.device import machine
from cras_core.errors import CrasError, EngineError
from cras_core.graph import ROUTE
from cras_core.runtimes.base import Runtime
from cras_core.runtimes.builders import REFERENCE, builder, worth_a_trial
from cras_core.runtimes.exports import export, load_export
from cras_core.scoring import Scorer

log = logging.getLogger(__name__)

CHOICE = "choice.json"
KEPT = 4  # models whose choices and exports stay
ROUNDS = 5
BATCH = 8
GPU_BATCH = 64
POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A runtime's trial: tiles a second, and why it may not be used ("" when it may)."""

    name: str
    tiles_per_s: float
    problem: str


def use_runtime(
    scorer: Scorer, bundle: Path, *, name: str, memory: Path, stop: Callable[[], bool] = lambda: False
) -> list[Tried]:
    """Gives `scorer` one runtime by name, or with "auto" the fastest present here that agrees with the reference.

    memory: folder of earlier choices and exports. stop: asked during the trial; nothing is changed once it is true.
    -> what was tried, [] when remembered, stopped, or without need of a trial. The scorer may go on scoring meanwhile.
    Raises `EngineError` when the runtime named is not here or does not agree, or when the trial cannot be made;
    `BundleError` when the bundle's normal tiles are missing or damaged.
    """
    if name == REFERENCE:
        scorer.runtime = scorer.reference
        return []
    if name != "auto":
        builder(name, scorer.device)
    place = memory / _key(scorer, name)
    tried: list[Tried] = []
    if (chosen := _recall(scorer, place)) is None:
        if not _try_aside(scorer, bundle, place, name=name, stop=stop):
            return []
        chosen = _recall(scorer, place)
        if chosen is None:
            raise EngineError(f"no runtime for model {scorer.name} in {place}: {_reason(place)}")
        tried = [Tried(**each) for each in json.loads((place / CHOICE).read_text())["tried"]]
        _forget_old(memory)
    scorer.runtime = chosen
    for each in tried:
        log.info("runtime %s: %s", each.name, each.problem or f"{each.tiles_per_s:.0f} tiles/s")
    log.info("scoring by %s%s", chosen.name, "" if tried else ", as found before")
    return tried


def tried_before(scorer: Scorer, *, name: str, memory: Path) -> list[Tried]:
    """What the trial for this model and machine found, [] when there was none."""
    try:
        tried = json.loads((memory / _key(scorer, name) / CHOICE).read_text())["tried"]
        return [Tried(**each) for each in tried]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def find_runtime(scorer: Scorer, tiles: NDArray[np.uint8], place: Path, *, names: Sequence[str]) -> list[Tried]:
    """Makes, checks and times the runtimes named, and leaves the fastest's export and `choice.json` in `place`.

    Without the reference among the names and none that agrees, the choice says why.
    """
    runtimes: dict[str, Runtime] = {}
    problems = {}
    place.mkdir(parents=True, exist_ok=True)
    for left in (path for path in place.iterdir() if path.is_dir()):  # by a trial that was stopped
        shutil.rmtree(left, ignore_errors=True)
    for name in names:
        try:
            runtimes[name] = scorer.reference if name == REFERENCE else export(scorer, name, tiles, place / name)
        except (CrasError, RuntimeError, MemoryError) as error:
            problems[name] = " ".join(str(error).split())
    batch = BATCH if scorer.device.type == "cpu" else GPU_BATCH
    speeds = time_runtimes(runtimes, tiles, batch=batch) if runtimes else {}
    fastest = max(speeds, key=lambda name: speeds[name], default="")
    tried = [Tried(name=name, tiles_per_s=speed, problem="") for name, speed in speeds.items()]
    tried += [Tried(name=name, tiles_per_s=0.0, problem=problem) for name, problem in problems.items()]
    for name in names:
        if name != fastest:
            shutil.rmtree(place / name, ignore_errors=True)
    fresh = place / f".{CHOICE}"
    fresh.write_text(json.dumps({"runtime": fastest, "tried": [asdict(each) for each in tried]}, indent=2) + "\n")
    fresh.replace(place / CHOICE)
    return tried


def time_runtimes(
    runtimes: dict[str, Runtime], tiles: NDArray[np.uint8], *, batch: int, rounds: int = ROUNDS
) -> dict[str, float]:
    """Tiles a second by the median of `rounds`, one runtime after the other in each, after a round to warm up."""
    work = np.ascontiguousarray(np.resize(tiles, (batch, *tiles.shape[1:])))
    styles = np.full(batch, ROUTE, np.int64)
    spent: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(rounds + 1):
        for name, runtime in runtimes.items():
            started = time.perf_counter()
            runtime.score(work, styles)
            spent[name].append(time.perf_counter() - started)
    return {name: batch / statistics.median(seconds[1:]) for name, seconds in spent.items()}


def _try_aside(scorer: Scorer, bundle: Path, place: Path, *, name: str, stop: Callable[[], bool]) -> bool:
    """Runs `find_runtime` in a process of its own. False when stopped. Raises `BundleError`, `EngineError`."""
    read_tiles(bundle)
    names = worth_a_trial(scorer.device) if name == "auto" else [name]
    command = [sys.executable, "-m", "cras_core.runtimes.trial", str(bundle.absolute()), str(place.absolute())]
    command += ["--device", str(scorer.device), "--threads", str(torch.get_num_threads()), *names]
    if scorer.graph.backbone.weights_file:
        command += ["--weights", scorer.graph.backbone.weights_file]
    place.mkdir(parents=True, exist_ok=True)
    with (place / "trial.log").open("w") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                if stop():
                    return False
                time.sleep(POLL_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        raise EngineError(f"the trial of runtimes failed with exit code {process.returncode}: see {place}/trial.log")
    return True


def _recall(scorer: Scorer, place: Path) -> Runtime | None:
    """The runtime chosen before; None where there is none, or it is damaged: a choice lost costs a trial, no more."""
    try:
        name = json.loads((place / CHOICE).read_text())["runtime"]
        if name == REFERENCE:
            return scorer.reference
        return load_export(scorer, place / name) if name else None
    except (OSError, ValueError, KeyError, TypeError, EngineError):
        return None


def _reason(place: Path) -> str:
    tried = json.loads((place / CHOICE).read_text())["tried"]
    return "; ".join(each["problem"] for each in tried if each["problem"]) or "its export cannot be read"


def _forget_old(memory: Path) -> None:
    for old in sorted(memory.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _key(scorer: Scorer, name: str) -> str:
    """What a choice holds for: the model, the machine, its threads, and the programs that compute."""
    facts: tuple[Any, ...] = (
        name,
        scorer.manifest["manifest_sha256"],
        str(scorer.device),
        machine(scorer.device),
        torch.get_num_threads(),
        torch.__version__,
        _version("openvino"),
        _version("onnxruntime"),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
