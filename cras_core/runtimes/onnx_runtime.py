"""ONNX: the whole graph as one file for other programs, and ONNX Runtime to hold it against the reference.

Inputs: `tiles` (N, T, T, 3) uint8, `styles` (N,) int64, -1 where a tile is to find its own. Outputs: `maps` (N, T, T)
and `scores` (N,) float32 raw, `compared_with` (N,) int64. The order of styles and their thresholds are the bundle's.
"""

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.errors import EngineError
from cras_core.graph import ROUTE, ScoringGraph
from cras_core.runtimes.base import Answer, in_steps

FILE = "model.onnx"
EXAMPLE = 3  # tiles; one would be taken for a constant


def installed() -> bool:
    """Whether the packages for it are there."""
    return all(find_spec(package) is not None for package in ("onnx", "onnxscript", "onnxruntime"))


def export(graph: ScoringGraph, place: Path) -> None:
    """Writes `place`/model.onnx. Not while another thread scores with `graph`."""
    tiles = torch.zeros(EXAMPLE, graph.tile_px, graph.tile_px, 3, dtype=torch.uint8)
    count = torch.export.Dim("N", min=1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own making
        torch.onnx.export(
            graph.eval().requires_grad_(False),
            (tiles, torch.full((EXAMPLE,), ROUTE)),
            place / FILE,
            input_names=["tiles", "styles"],
            output_names=["maps", "scores", "compared_with"],
            dynamic_shapes=({0: count}, {0: count}),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


class OnnxRuntime:
    """Runs what `export` wrote to `place`. Raises `EngineError` when it is not whole."""

    name = "onnx-float32"

    def __init__(self, graph: ScoringGraph, place: Path, *, device: torch.device) -> None:
        import onnxruntime

        self._step = graph.tiles_at_once
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        provider = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
        try:
            self._session = onnxruntime.InferenceSession(place / FILE, options, providers=[provider])
        except Exception as error:  # its classes are not public
            raise EngineError(f"{place / FILE} is not a whole export: export it again") from error

    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        return in_steps(self._score, tiles, styles, step=self._step)

    def _score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        return Answer(*self._session.run(None, {"tiles": np.ascontiguousarray(tiles), "styles": styles}))
