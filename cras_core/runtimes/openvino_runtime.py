"""OpenVINO on CPU: f32, bf16 where the processor has it, int8 calibrated on normal tiles (nncf)."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.graph import ROUTE, ScoringGraph
from cras_core.runtimes.base import Answer

PRECISIONS = {"f32": "f32", "bf16": "bf16", "int8": "bf16"}  # what int8 leaves in floating point runs in
CALIBRATION_BATCH = 4


def installed(precision: str) -> bool:
    """Whether the packages for it are there."""
    return find_spec("openvino") is not None and (precision != "int8" or find_spec("nncf") is not None)


def convert(graph: ScoringGraph) -> Any:
    """The graph as an `openvino.Model` with any number of tiles."""
    import openvino

    size = graph.tile_px
    example = (torch.zeros(2, size, size, 3, dtype=torch.uint8), torch.tensor([ROUTE, 0]))
    shapes = [openvino.PartialShape([-1, size, size, 3]), openvino.PartialShape([-1])]
    with torch.inference_mode():
        return openvino.convert_model(graph.eval(), example_input=example, input=shapes)


def quantize(model: Any, tiles: NDArray[np.uint8]) -> Any:
    """int8 weights and activations of the backbone, calibrated on normal tiles (N, T, T, 3).

    The heads stay in floating point: they are a small part of the time, and what they compare lies close together.
    """
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    batches = [tiles[start : start + CALIBRATION_BATCH] for start in range(0, len(tiles), CALIBRATION_BATCH)]
    data = nncf.Dataset(batches, lambda batch: [batch, np.full(len(batch), ROUTE, np.int64)])
    return nncf.quantize(
        model,
        data,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
        ignored_scope=nncf.IgnoredScope(patterns=[r"__module\.(heads|routing|maps|embedding)/.*"], validate=False),
    )


class OpenvinoRuntime:
    """tiles: normal ones (N, T, T, 3) to calibrate int8 on."""

    def __init__(self, graph: ScoringGraph, *, precision: str, tiles: NDArray[np.uint8]) -> None:
        model = convert(graph)
        self._start(quantize(model, tiles) if precision == "int8" else model, precision)

    def _start(self, model: Any, precision: str) -> None:
        import openvino

        self.name = f"openvino-{precision}"
        settings = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self._request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        outputs = self._request.infer([np.ascontiguousarray(tiles), styles])
        maps, scores, routed = (outputs[index].copy() for index in range(3))
        return Answer(maps, scores, routed)


def supported(precisions: Sequence[str]) -> list[str]:
    """Those that this processor computes in itself rather than emulates, and whose packages are there."""
    ready = [precision for precision in precisions if installed(precision)]
    if "bf16" in ready:
        import openvino

        capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if "BF16" not in capabilities:
            ready.remove("bf16")
    return ready
