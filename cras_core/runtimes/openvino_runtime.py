"""OpenVINO on CPU: f32, bf16 where the processor has it, int8 calibrated on normal tiles (nncf)."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cras_core.graph import ROUTE, ScoringGraph
from cras_core.runtimes.base import Answer

CALIBRATION_BATCH = 4
EXAMPLE_TILES = 5  # no size of a model is so small a prime: a size that equals the batch would be taken for it


def installed(precision: str) -> bool:
    """Whether the packages for it are there."""
    return find_spec("openvino") is not None and (precision != "int8" or find_spec("nncf") is not None)


def convert(graph: ScoringGraph) -> Any:
    """The whole graph as an `openvino.Model` with any number of tiles."""
    import openvino

    return openvino.convert_model(export_graph(graph))


def export_graph(graph: nn.Module, *inputs: Tensor) -> torch.export.ExportedProgram:
    """A module as operations only, for any number of tiles from 1. inputs: an example, by default tiles and styles."""
    if not inputs:
        inputs = _example(graph)
    count = torch.export.Dim("tiles", min=1)
    return torch.export.export(graph.eval(), inputs, dynamic_shapes=({0: count},) * len(inputs))


def _example(graph: nn.Module) -> tuple[Tensor, Tensor]:
    size = int(graph.tile_px)  # type: ignore[arg-type]
    count = EXAMPLE_TILES
    return torch.zeros(count, size, size, 3, dtype=torch.uint8), torch.full((count,), ROUTE)


def quantize(model: Any, batches: list[tuple[NDArray[np.float32], NDArray[np.int64]]]) -> Any:
    """int8 weights and activations of the convolutions, calibrated on what they are given for normal tiles.

    All else stays in floating point: heads and maps take little of the time, and what they compare lies close together.
    """
    import nncf

    kinds = {operation.get_type_name() for operation in model.get_ops()}
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf.quantize(
        model,
        nncf.Dataset(batches, list),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
        ignored_scope=nncf.IgnoredScope(types=sorted(kinds - {"Convolution", "GroupConvolution"}), validate=False),
    )


class OpenvinoRuntime:
    """Below f32 the graph runs as two models, the start in f16 or f32. tiles: normal, (N, T, T, 3), to calibrate on."""

    def __init__(self, graph: ScoringGraph, *, precision: str, tiles: NDArray[np.uint8]) -> None:
        import openvino

        self.name = f"openvino-{precision}"
        self._start: Any = None
        if precision == "f32":
            self._finish = _compile(convert(graph), "f32")
            return
        example, styles = _example(graph)
        start = openvino.convert_model(export_graph(_Start(graph), example))
        self._start = _compile(start, "f16" if "FP16" in _capabilities() else "f32")
        with torch.no_grad():
            finish = openvino.convert_model(export_graph(_Finish(graph), graph.start(example), styles))
        if precision == "int8":
            parts = [tiles[first : first + CALIBRATION_BATCH] for first in range(0, len(tiles), CALIBRATION_BATCH)]
            finish = quantize(
                finish, [(self._start.infer([part])[0].copy(), np.full(len(part), ROUTE, np.int64)) for part in parts]
            )
        # what int8 leaves in floating point runs in bfloat16, where the processor has it
        self._finish = _compile(finish, "bf16" if "BF16" in _capabilities() else "f32")

    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        given = np.ascontiguousarray(tiles)
        if self._start is not None:
            given = self._start.infer([given])[0]
        outputs = self._finish.infer([given, styles])
        maps, scores, routed = (outputs[index].copy() for index in range(3))
        return Answer(maps, scores, routed)


class _Start(nn.Module):
    def __init__(self, graph: ScoringGraph) -> None:
        super().__init__()
        self.whole = graph

    def forward(self, tiles: Tensor) -> Tensor:
        return self.whole.start(tiles)


class _Finish(_Start):
    def forward(self, started: Tensor, styles: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        return self.whole.finish(started, styles)


def _compile(model: Any, precision: str) -> Any:
    """Ready to infer, on as many threads as PyTorch has."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return openvino.Core().compile_model(model, "CPU", settings).create_infer_request()


def supported(precisions: Sequence[str]) -> list[str]:
    """Those that this processor computes in itself rather than emulates, and whose packages are there."""
    ready = [precision for precision in precisions if installed(precision)]
    if "bf16" in ready and "BF16" not in _capabilities():
        ready.remove("bf16")
    return ready


def _capabilities() -> list[str]:
    """The types that the processor computes in itself, such as FP32, BF16, INT8."""
    import openvino

    return list(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
