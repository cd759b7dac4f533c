"""`loomwatch train` in processes of its own: killed and resumed, and started by torchrun."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from PIL import Image

from loomwatch.cli import run
from tests.waiting import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the other processes: the number of threads decides in which order numbers are added up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pictures of two weaves."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for style, period, count in (("canvas", 6, 4), ("denim", 13, 3)):
        (folder / style / "train" / "good").mkdir(parents=True)
        for number in range(count):
            threads = np.sin(2 * np.pi * (np.arange(64) / period + random.uniform()))
            grey = 128 + 30 * (threads + threads[:, None]) + random.normal(0, 6, (64, 64))
            Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(
                folder / style / "train" / "good" / f"{number}.png"
            )
    return folder


def options(data: Path, out: Path, *, epochs: int) -> list[str]:
    figures = ["--json", str(out.with_suffix(".json"))]
    options = ["--tile", "64", "--batch-size", "3", "--epochs", str(epochs), "--seed", "5", "--device", "cpu"]
    return ["train", "--data", str(data), "--out", str(out), *options, *figures]


def weights(bundle: Path) -> bytes:
    return (bundle / "weights.safetensors").read_bytes()


def thresholds(bundle: Path) -> list[float]:
    styles = json.loads((bundle / "manifest.json").read_text())["styles"]
    return [style["threshold"] for style in styles.values()]


def run_of(checkpoint: Path) -> int:
    """Which of the training's runs a checkpoint was written in, -1 before there is one."""
    if not checkpoint.exists():
        return -1
    with safetensors.safe_open(checkpoint, "np") as file:
        return int(json.loads(file.metadata()["training"])["run"])


def test_a_training_killed_in_the_middle_and_resumed_ends_with_the_same_weights_bit_for_bit(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert run(options(data, whole, epochs=30)) == 0
    command = [sys.executable, "-m", "loomwatch", *options(data, out, epochs=30), "--checkpoint-s", "0"]
    work = tmp_path / "killed.training"
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: run_of(work / "checkpoint.safetensors") >= 1 or process.poll() is not None)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()

    capfd.readouterr()
    assert run(options(data, out, epochs=30)) == 2
    assert f"{work} holds an unfinished training: go on with it (--resume)" in capfd.readouterr().err
    changed = [each if each != "5" else "6" for each in options(data, out, epochs=30)]
    assert run([*changed, "--resume"]) == 2
    assert f"{work} was begun with seed 5, not 6: resume it with the same settings" in capfd.readouterr().err
    assert run_of(work / "checkpoint.safetensors") >= 1, "what was refused must not be lost"

    assert run([*options(data, out, epochs=30), "--resume"]) == 0
    assert weights(out) == weights(whole)
    assert thresholds(out) == thresholds(whole)
    assert (tmp_path / "killed.json").read_text() == (tmp_path / "whole.json").read_text().replace("whole", "killed")
    assert not work.exists()


def test_torchrun_trains_the_same_model_in_two_processes_and_writes_it_once(data: Path, tmp_path: Path) -> None:
    alone, out = tmp_path / "alone", tmp_path / "team"
    assert run(options(data, alone, epochs=4)) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "loomwatch", *options(data, out, epochs=4)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bundle ") == 1
    losses = [json.loads(each.with_suffix(".json").read_text())["losses"] for each in (out, alone)]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    np.testing.assert_allclose(thresholds(out), thresholds(alone), rtol=0.02)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "alone.json", "team", "team.json"]
