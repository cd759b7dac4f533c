"""Which runtimes there are, and which of them this machine has."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.errors import EngineError
from cras_core.graph import ScoringGraph
from cras_core.runtimes import openvino_runtime
from cras_core.runtimes.base import Runtime
from cras_core.runtimes.openvino_runtime import OpenvinoRuntime
from cras_core.runtimes.torch_runtime import TorchRuntime

REFERENCE = "torch-float32"
Builder = Callable[[ScoringGraph, torch.device, NDArray[np.uint8]], Runtime]


def _torch(precision: str) -> Builder:
    return lambda graph, device, _tiles: TorchRuntime(graph, device=device, precision=precision)


def _openvino(precision: str) -> Builder:
    return lambda graph, _device, tiles: OpenvinoRuntime(graph, precision=precision, tiles=tiles)


BUILDERS: dict[str, Builder] = {
    REFERENCE: _torch("float32"),
    "torch-bfloat16": _torch("bfloat16"),
    "torch-float16": _torch("float16"),
    "openvino-f32": _openvino("f32"),
    "openvino-bf16": _openvino("bf16"),
    "openvino-int8": _openvino("int8"),
}


def present(device: torch.device) -> list[str]:
    """The runtimes that work here, the reference first."""
    if device.type != "cpu":
        return [REFERENCE, "torch-bfloat16", "torch-float16"]
    ready = openvino_runtime.supported(["f32", "bf16", "int8"])
    own = ["torch-bfloat16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else []
    return [REFERENCE, *own, *(f"openvino-{precision}" for precision in ready)]


def build(name: str, graph: ScoringGraph, *, device: torch.device, tiles: NDArray[np.uint8]) -> Runtime:
    """A runtime by name. tiles: normal ones (N, T, T, 3), for those that calibrate.

    Raises `EngineError` for one that this machine does not have.
    """
    if name not in BUILDERS:
        raise EngineError(f"runtime must be one of {', '.join(BUILDERS)}, got {name!r}")
    if name not in present(device):
        raise EngineError(
            f"runtime {name} does not work on this machine's {device.type}: choose one of {', '.join(present(device))}"
            + (", or pip install 'loomwatch[openvino]'" if name.startswith("openvino") else "")
        )
    return BUILDERS[name](graph, device, tiles)
