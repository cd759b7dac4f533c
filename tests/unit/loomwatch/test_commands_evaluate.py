"""`loomwatch evaluate` from end to end on a small bundle: tables, JSON, page."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cras_core.bundle import save_bundle
from cras_core.config import CrasConfig
from cras_core.report import feature_map
from cras_core.training import train
from loomwatch.cli import run
from tests.unit.cras_core.conftest import PERIODS, normal_samples, spoil, weave


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = CrasConfig(
        backbone="efficientnet_lite0", tile_px=64, centers_per_style=8, batch_size=4, steps=20, vectors_per_tile=32
    )
    folder = tmp_path_factory.mktemp("bundles") / "small"
    model = train(normal_samples(count=8), config, device=torch.device("cpu"))
    save_bundle(model, folder, name="small", provenance={}, metrics={})
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for style in PERIODS:
        for part in ("test/good", "test/stain", "ground_truth/stain"):
            (folder / style / part).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(weave(style, 500 + index)).save(folder / style / f"test/good/{index}.png")
            spoiled, mask = spoil(weave(style, 700 + index))
            Image.fromarray(spoiled).save(folder / style / f"test/stain/{index}.png")
            Image.fromarray(mask.astype(np.uint8)).save(folder / style / f"ground_truth/stain/{index}_mask.png")
    return folder


def test_disturbed_figures_stand_beside_the_clean_ones(bundle, data, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(feature_map, "VECTORS", 60)
    out = tmp_path / "figures.json"
    asked = ["--disturb", "noise", "--disturb", "rotation", "--disturb", "noise", "--strength", "0.5"]
    report = tmp_path / "report"
    arguments = ["evaluate", "--bundle", bundle, "--data", data, *asked, "--json", out, "--report", report]
    assert run([str(each) for each in arguments]) == 0
    shown = capfd.readouterr().out
    result = json.loads(out.read_text())
    assert result["setting"] == "multi"
    assert result["confusion"] == {"canvas": {"canvas": 6}, "denim": {"denim": 6}}
    assert list(result["disturbed"]) == ["noise", "rotation"]
    for own in result["disturbed"].values():
        assert own["strength"] == 0.5
        assert own["drop"]["aupro"] == pytest.approx(result["mean"]["aupro"] - own["mean"]["aupro"])
        assert set(own) >= {"classes", "mean", "intervals", "routing_accuracy"}
    assert "class, routed to" in shown
    found, false = (sum(own[count] for own in result["classes"].values()) for count in ("n_found", "n_false"))
    assert re.search(rf"all +{found} of 6 +{false} of 6", shown)
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown  # nothing of a table is cut off at the width of a terminal
    assert "rotation" in shown
    assert "strength 0.5" in (report / "index.html").read_text()


def test_in_the_single_setting_nothing_is_routed(bundle, data, tmp_path, capfd):
    out = tmp_path / "figures.json"
    arguments = ["evaluate", "--bundle", bundle, "--data", data, "--setting", "single", "--json", out]
    assert run([str(each) for each in arguments]) == 0
    assert "compared with its own class" in capfd.readouterr().out
    result = json.loads(out.read_text())
    assert (result["setting"], result["confusion"], result["routing_accuracy"]) == ("single", {}, 1)


def test_an_export_scores_as_the_bundle_does(bundle, data, tmp_path, capfd):
    if "CI" not in os.environ:
        pytest.importorskip("onnxruntime")
    place, own, other = tmp_path / "export", tmp_path / "own.json", tmp_path / "other.json"
    assert run(["export", str(bundle), "--out", str(place)]) == 0
    assert "100% alike" in " ".join(capfd.readouterr().out.split())
    asked = ["evaluate", "--bundle", str(bundle), "--data", str(data)]
    assert run([*asked, "--json", str(own)]) == 0
    assert run([*asked, "--json", str(other), "--runtime", str(place)]) == 0
    figures, expected = json.loads(other.read_text()), json.loads(own.read_text())
    assert (figures.pop("runtime"), expected.pop("runtime")) == ("onnx-float32", "torch-float32")
    assert figures["mean"]["image_auroc"] == pytest.approx(expected["mean"]["image_auroc"], abs=1e-3)
    assert figures["mean"]["pixel_auroc"] == pytest.approx(expected["mean"]["pixel_auroc"], abs=1e-3)


def test_a_runtime_that_is_none_is_one_line(bundle, data, tmp_path, capfd):
    assert run(["evaluate", "--bundle", str(bundle), "--data", str(data), "--runtime", "abacus"]) == 2
    assert "runtime must be one of torch-float32" in capfd.readouterr().err
    assert run(["export", str(bundle), "--out", str(bundle)]) == 2
    assert "exists already" in capfd.readouterr().err
