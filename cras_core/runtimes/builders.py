"""Which runtimes there are, and which of them this machine has."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.errors import EngineError
from cras_core.graph import ScoringGraph
from cras_core.runtimes import compiled_runtime, onnx_runtime, openvino_runtime
from cras_core.runtimes.base import Runtime
from cras_core.runtimes.compiled_runtime import CompiledRuntime
from cras_core.runtimes.cuda_graphs_runtime import CudaGraphsRuntime
from cras_core.runtimes.onnx_runtime import OnnxRuntime
from cras_core.runtimes.openvino_runtime import OpenvinoRuntime
from cras_core.runtimes.torch_runtime import TorchRuntime

REFERENCE = "torch-float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """export: writes what `load` needs to a folder, of a graph and normal tiles (N, T, T, 3); None when nothing.
    load: the runtime of a graph, such a folder and a device. needs: what a machine may lack for it."""

    load: Callable[[ScoringGraph, Path, torch.device], Runtime]
    export: Callable[[ScoringGraph, Path, NDArray[np.uint8]], None] | None = None
    needs: str = ""


def _torch(precision: str) -> Builder:
    return Builder(load=lambda graph, _place, device: TorchRuntime(graph, device=device, precision=precision))


def _openvino(precision: str) -> Builder:
    return Builder(
        export=lambda graph, place, tiles: openvino_runtime.export(graph, place, precision=precision, tiles=tiles),
        load=lambda graph, place, _device: OpenvinoRuntime(graph, place, precision=precision),
        needs="pip install 'loomwatch[openvino]'",
    )


def _compiled(precision: str) -> Builder:
    return Builder(
        export=lambda graph, place, _tiles: compiled_runtime.export(graph, place, precision=precision),
        load=lambda graph, place, _device: CompiledRuntime(graph, place, precision=precision),
        needs="install a C++ compiler such as g++",
    )


def _cuda_graphs(precision: str) -> Builder:
    return Builder(load=lambda graph, _place, device: CudaGraphsRuntime(graph, device=device, precision=precision))


BUILDERS: dict[str, Builder] = {
    REFERENCE: _torch("float32"),
    "torch-bfloat16": _torch("bfloat16"),
    "torch-float16": _torch("float16"),
    "compiled-float32": _compiled("float32"),
    "compiled-bfloat16": _compiled("bfloat16"),
    "cudagraphs-bfloat16": _cuda_graphs("bfloat16"),
    "cudagraphs-float16": _cuda_graphs("float16"),
    "openvino-f32": _openvino("f32"),
    "openvino-bf16": _openvino("bf16"),
    "openvino-int8": _openvino("int8"),
    OnnxRuntime.name: Builder(
        export=lambda graph, place, _tiles: onnx_runtime.export(graph, place),
        load=lambda graph, place, device: OnnxRuntime(graph, place, device=device),
        needs="pip install 'loomwatch[onnx]'",
    ),
}


def present(device: torch.device) -> list[str]:
    """The runtimes that work here, the reference first."""
    if device.type != "cpu":
        return [REFERENCE, "torch-bfloat16", "torch-float16", "cudagraphs-bfloat16", "cudagraphs-float16"]
    precisions = ["float32", "bfloat16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ["float32"]
    names = [f"torch-{precision}" for precision in precisions]
    if compiled_runtime.supported():
        names += [f"compiled-{precision}" for precision in precisions]
    names += [f"openvino-{precision}" for precision in openvino_runtime.supported(["f32", "bf16", "int8"])]
    if onnx_runtime.installed():
        names.append(OnnxRuntime.name)
    return names


def worth_a_trial(device: torch.device) -> list[str]:
    """Those of `present` among which a machine chooses by itself, within a minute or two.

    Compiling takes about as long as all others together, so it is left out where OpenVINO is, which is faster, and only
    the lower precision is compiled elsewhere.
    """
    names = present(device)
    compiled = [name for name in names if name.startswith("compiled-")]
    spared = compiled if any(name.startswith("openvino-") for name in names) else compiled[:-1]
    return [name for name in names if name not in spared]


def builder(name: str, device: torch.device) -> Builder:
    """Raises `EngineError` for a runtime that is unknown, or that this machine does not have."""
    if name not in BUILDERS:
        raise EngineError(f"runtime must be one of {', '.join(BUILDERS)}, got {name!r}")
    there = present(device)
    if name not in there:
        needs = BUILDERS[name].needs
        raise EngineError(
            f"runtime {name} does not work on this machine's {device.type}: choose one of {', '.join(there)}"
            + (f", or {needs}" if needs else "")
        )
    return BUILDERS[name]


def build(name: str, graph: ScoringGraph, place: Path, *, device: torch.device, tiles: NDArray[np.uint8]) -> Runtime:
    """A runtime by name, unchecked. place: an empty folder for what it needs; tiles: normal ones (N, T, T, 3).

    Not while another thread scores with `graph`. Raises as `builder`.
    """
    chosen = builder(name, device)
    if chosen.export is not None:
        chosen.export(graph, place, tiles)
    return chosen.load(graph, place, device)
