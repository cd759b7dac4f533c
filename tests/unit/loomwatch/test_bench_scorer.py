"""`loomwatch bench scorer`: what it times, in which order, and what it tells."""

import json

import huggingface_hub
import numpy as np
import pytest
import torch

from cras_core.errors import BackboneError, EngineError
from cras_core.graph import ROUTE
from cras_core.parity import compare, with_defects
from cras_core.runtimes.builders import BUILDERS, REFERENCE, Builder, build, present
from cras_core.runtimes.torch_runtime import TorchRuntime
from loomwatch.bench_scorer import UNFOLDED, UnfoldedRuntime, bundle_or_backbone
from loomwatch.cli import run

CPU = torch.device("cpu")


class Noted:
    """A runtime that notes when it is asked, and for how many tiles."""

    name = REFERENCE

    def __init__(self, runtime, calls):
        self.runtime, self.calls = runtime, calls

    def score(self, tiles, styles):
        self.calls.append((self.name, len(tiles)))
        return self.runtime.score(tiles, styles)


def test_all_are_timed_in_turn_and_told_with_what_failed(tmp_path, monkeypatch, capfd):
    calls = []
    unfolded = UnfoldedRuntime.score

    def noted(self, tiles, styles):
        calls.append((UNFOLDED, len(tiles)))
        return unfolded(self, tiles, styles)

    def fail(*_):
        raise EngineError("it does not fit\nin here")

    monkeypatch.setattr(UnfoldedRuntime, "score", noted)
    reference = Builder(load=lambda graph, _place, device: Noted(TorchRuntime(graph, device=device), calls))
    monkeypatch.setitem(BUILDERS, REFERENCE, reference)
    monkeypatch.setitem(BUILDERS, "onnx-float32", Builder(load=fail))
    monkeypatch.setattr("cras_core.runtimes.builders.present", lambda _: [REFERENCE, "onnx-float32"])
    file = tmp_path / "scorer.json"
    options = ["--tile", "64", "--runs", "2", "--batch-size", "3", "--runtime", "onnx-float32", "--json", str(file)]
    assert run(["bench", "scorer", *options]) == 0

    assert calls[-4:] == [(UNFOLDED, 3), (REFERENCE, 3)] * 2
    found = json.loads(file.read_text())
    runtimes = found.pop("runtimes")
    assert found == {
        "backbone": "efficientnet_lite0",
        "tile_px": 64,
        "batch_size": 3,
        "runs": 2,
        "threads": torch.get_num_threads(),
    }
    assert runtimes.pop("onnx-float32") == {"error": "it does not fit in here"}
    assert list(runtimes) == [UNFOLDED, REFERENCE]
    for row in runtimes.values():
        assert row["tiles_per_s_min"] <= row["tiles_per_s_median"] <= row["tiles_per_s_max"]
        assert row["ratio"] == pytest.approx(
            row["tiles_per_s_median"] / runtimes[UNFOLDED]["tiles_per_s_median"], rel=1e-6
        )
        assert row["problem"] == ""
        assert row["agreement"]["decisions"] == 1
        assert row["auroc_points"] == {
            kind: pytest.approx(-100 * row["agreement"][f"{kind}_auroc_loss"]) for kind in ("image", "pixel")
        }
        assert row["peak_mb"] is None or row["peak_mb"] >= 0
    assert "onnx-float32: not to be used, it does not fit in here" in capfd.readouterr().out


@pytest.mark.parametrize("name", ["torch-bfloat16", "openvino-bf16", "openvino-int8"])
def test_runtimes_below_float32_keep_the_limits_on_a_model_that_tells_defects(name, tmp_path):
    if name not in present(CPU):
        pytest.skip(f"{name} does not work on this machine")
    made = {"backbone": "efficientnet_lite0", "tile_px": 128, "weights": None, "device": CPU}
    with bundle_or_backbone(None, **made) as (scorer, tiles):
        runtime = build(name, scorer.graph, tmp_path, device=CPU, tiles=tiles)
        parity = compare(runtime, scorer.reference, with_defects(tiles), scorer.thresholds)
    assert parity.problem(exact=False) == "", parity


def test_a_backbone_without_weights_or_network_is_timed_with_weights_at_random(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    made = {"tile_px": 64, "weights": None, "device": CPU}
    with bundle_or_backbone(None, backbone="timm:resnet18", **made) as (scorer, tiles):
        assert scorer.config.backbone == "timm:resnet18"
        scores = scorer.runtime.score(tiles[:2], np.full(2, ROUTE)).scores
        assert np.isfinite(scores).all()
        same = UnfoldedRuntime(scorer, scorer.heads).score(tiles[:2], np.full(2, ROUTE)).scores
        np.testing.assert_allclose(same, scores, rtol=1e-3)
    with (
        pytest.raises(BackboneError, match="timm knows no network 'resnet1888'"),
        bundle_or_backbone(None, backbone="timm:resnet1888", **made),
    ):
        pass
    (tmp_path / "w.pth").write_text("no weights")
    with (
        pytest.raises(BackboneError, match=r"w\.pth is not a weights file"),
        bundle_or_backbone(None, backbone="timm:resnet18", **made | {"weights": tmp_path / "w.pth"}),
    ):
        pass
