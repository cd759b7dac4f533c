"""The fastest runtime that agrees, found once a model and machine, and remembered."""

import hashlib
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.bundle import read_tiles
from cras_core.errors import CrasError, EngineError
from cras_core.graph import ROUTE
from cras_core.parity import compare, with_defects
from cras_core.runtimes.base import Runtime
from cras_core.runtimes.builders import REFERENCE, build, present
from cras_core.scoring import Scorer

log = logging.getLogger(__name__)

QUICK = ("torch-bfloat16", "torch-float16", "openvino-f32", "openvino-bf16")  # ready without a calibration
ROUNDS = 5
BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A runtime's trial: tiles a second, and why it may not be used ("" when it may)."""

    name: str
    tiles_per_s: float
    problem: str


def use_runtime(scorer: Scorer, bundle: Path, name: str) -> None:
    """Gives `scorer` one runtime by name. Raises `EngineError` when it is not here or does not agree, `BundleError`."""
    scorer.runtime = check_runtime(scorer, name, read_tiles(bundle))


def choose_runtime(
    scorer: Scorer,
    bundle: Path,
    *,
    memory: Path,
    names: Sequence[str] = QUICK,
    stop: Callable[[], bool] = lambda: False,
) -> list[Tried]:
    """Gives `scorer` the fastest of the runtimes named, present here, that agrees with PyTorch in float32.

    memory: JSON file of earlier choices, by model and machine; written whole. stop: asked between two trials; nothing
    is chosen once it is true. -> what was tried, [] when remembered or stopped.
    Raises `BundleError` when the bundle's normal tiles are missing or damaged.
    """
    tiles = read_tiles(bundle)
    key = _key(scorer)
    known = _recall(memory).get(key)
    if known in present(scorer.device):
        scorer.runtime = check_runtime(scorer, known, tiles)
        log.info("scoring by %s, the fastest here before", known)
        return []
    runtimes: dict[str, Runtime] = {REFERENCE: scorer.runtime}
    problems = {}
    for name in names:
        if stop():
            return []
        if name not in present(scorer.device):
            continue
        try:
            runtimes[name] = check_runtime(scorer, name, tiles)
        except (CrasError, RuntimeError, MemoryError) as error:
            problems[name] = " ".join(str(error).split())
    speeds = time_runtimes(runtimes, tiles)
    fastest = max(speeds, key=lambda name: speeds[name])
    scorer.runtime = runtimes[fastest]
    _remember(memory, key, fastest)
    tried = [Tried(name=name, tiles_per_s=speed, problem="") for name, speed in speeds.items()]
    tried += [Tried(name=name, tiles_per_s=0.0, problem=problem) for name, problem in problems.items()]
    for each in tried:
        log.info("runtime %s: %s", each.name, each.problem or f"{each.tiles_per_s:.0f} tiles/s")
    log.info("scoring by %s", fastest)
    return tried


def check_runtime(scorer: Scorer, name: str, tiles: NDArray[np.uint8]) -> Runtime:
    """Builds a runtime and holds it against PyTorch in float32. Raises `EngineError` when it does not agree."""
    if name == REFERENCE:
        return scorer.reference
    runtime = build(name, scorer.graph, device=scorer.device, tiles=tiles)
    parity = compare(runtime, scorer.reference, with_defects(tiles), scorer.thresholds)
    if problem := parity.problem(exact=name.endswith(("-float32", "-f32"))):
        raise EngineError(f"runtime {name} does not agree with {REFERENCE} on model {scorer.name}: {problem}")
    return runtime


def time_runtimes(
    runtimes: dict[str, Runtime], tiles: NDArray[np.uint8], *, rounds: int = ROUNDS, batch: int = BATCH
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


def _key(scorer: Scorer) -> str:
    """What a choice holds for: the model, the machine, its threads, and the programs that compute."""
    facts = (
        scorer.manifest["manifest_sha256"],
        str(scorer.device),
        torch.cuda.get_device_name(scorer.device) if scorer.device.type == "cuda" else _processor(),
        torch.get_num_threads(),
        torch.__version__,
        _version("openvino"),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _recall(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):  # a choice lost costs a trial, nothing more
        return {}
    return known if isinstance(known, dict) else {}


def _remember(memory: Path, key: str, name: str) -> None:
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        fresh = memory.with_name(f".{memory.name}.{os.getpid()}")
        fresh.write_text(json.dumps(_recall(memory) | {key: name}, indent=2) + "\n")
        fresh.replace(memory)
    except OSError as error:
        log.warning("cannot remember the choice of runtime in %s: %s", memory, error.strerror)
