"""OpenVINO on CPU: f32, bf16 where the processor has it, int8 calibrated on normal tiles (nncf).

Exported as parts, since what each computes in differs: `start` (below f32 only) is the backbone's first stage, in f16
or f32; `embed` gives the aggregated levels and the routing; `compare` judges them against one style, whose constants
are inputs in the file and made constants before it is compiled.
"""

import functools
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cras_core.device import sums_int8_exactly
from cras_core.errors import EngineError
from cras_core.graph import ScoringGraph
from cras_core.runtimes.base import Answer, compare_by_style, in_steps

CALIBRATION_BATCH = 4
COMPILED_STYLES = 8  # kept ready; each takes memory for its constants
LARGE = 2**18  # weights; layers of fewer take less time than int8's rounding is worth
EXAMPLE = 3  # tiles; one would be taken for a constant


def installed(precision: str) -> bool:
    """Whether the packages for it are there."""
    return find_spec("openvino") is not None and (precision != "int8" or find_spec("nncf") is not None)


def supported(precisions: Sequence[str]) -> list[str]:
    """Those that this processor computes in itself rather than emulates, and whose packages are there."""
    ready = [precision for precision in precisions if installed(precision)]
    if "bf16" in ready and "BF16" not in _capabilities():
        ready.remove("bf16")
    return ready


def export(graph: ScoringGraph, place: Path, *, precision: str, tiles: NDArray[np.uint8]) -> None:
    """Writes the parts of `graph` to the folder. tiles: normal, (N, T, T, 3), to calibrate int8 on.

    Not while another thread scores with `graph`: tracing puts stand-ins in the place of its weights.
    """
    import openvino

    graph = graph.eval().requires_grad_(False)
    example = torch.zeros(EXAMPLE, graph.tile_px, graph.tile_px, 3, dtype=torch.uint8)
    levels, _ = graph.embed(graph.start(example))
    parts: dict[str, Any] = {}
    if precision == "f32":
        parts["embed"] = _convert(_Embed(graph, started=False), example)
    else:
        parts["start"] = _convert(_Start(graph), example)
        parts["embed"] = _convert(_Embed(graph, started=True), _Start(graph)(example))
    parts["compare"] = _convert_compare(graph, levels)
    if precision == "int8":
        start = _compile(parts["start"].clone(), _start_precision(), tiles=CALIBRATION_BATCH)
        whole = len(tiles) - len(tiles) % CALIBRATION_BATCH or CALIBRATION_BATCH
        tiles = np.resize(tiles, (whole, *tiles.shape[1:]))
        batches = [tiles[first : first + CALIBRATION_BATCH] for first in range(0, whole, CALIBRATION_BATCH)]
        started = [start.infer([batch])[0].copy() for batch in batches]
        parts["embed"] = _quantize(parts["embed"], started, _convolutions(parts["embed"]))
        if large := _large_layers(parts["compare"]):
            embed = _compile(parts["embed"].clone(), "f32", tiles=CALIBRATION_BATCH)
            parts["compare"] = _quantize(parts["compare"], _compared(graph, embed, started), large)
    for name, model in parts.items():
        openvino.save_model(model, place / f"{name}.xml", compress_to_fp16=False)


class OpenvinoRuntime:
    """Runs what `export` wrote to `place`. Raises `EngineError` when it is not whole."""

    def __init__(self, graph: ScoringGraph, place: Path, *, precision: str) -> None:
        import openvino

        self.name = f"openvino-{precision}"
        self._precision = "bf16" if precision != "f32" and "BF16" in _capabilities() else "f32"
        self._heads = graph.heads
        self._step = graph.tiles_at_once
        try:
            read = openvino.Core().read_model
            start = _start_precision()
            step, kept = self._step, self._precision
            begin = None if precision == "f32" else read(place / "start.xml")
            self._start = None if begin is None else _compile(begin, start, tiles=step, gives=start)
            takes = "" if precision == "f32" else start
            self._embed = _compile(read(place / "embed.xml"), kept, tiles=step, takes=takes, gives=kept)
            self._compare = read(place / "compare.xml")
        except RuntimeError as error:
            raise EngineError(f"{place} holds no whole export of {self.name}: export it again") from error
        self._of_style = functools.lru_cache(COMPILED_STYLES)(self._compile_style)

    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        return in_steps(self._score, tiles, styles, step=self._step)

    def _score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        count = len(tiles)
        given: Any = np.zeros((self._step, *tiles.shape[1:]), np.uint8)
        given[:count] = tiles
        if self._start is not None:
            self._start.infer([given])
            given = self._start.get_output_tensor(0)
        self._embed.infer([given])
        *levels, routed = (self._embed.get_output_tensor(index) for index in range(len(self._embed.model_outputs)))

        def compare(style: int, rows: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            outputs = self._of_style(style).infer(levels)
            return outputs[0][:count][rows], outputs[1][:count][rows]

        return compare_by_style(styles, routed.data[:count].copy(), compare)

    def _compile_style(self, style: int) -> Any:
        from openvino import opset13

        model = self._compare.clone()
        constants = self._heads.constants(style)
        for parameter, constant in zip(model.get_parameters()[-len(constants) :], constants, strict=True):
            parameter.output(0).replace(opset13.constant(constant.cpu().numpy()).output(0))
            model.remove_parameter(parameter)
        return _compile(model, self._precision, tiles=self._step, takes=self._precision)


class _Start(nn.Module):
    def __init__(self, graph: ScoringGraph) -> None:
        super().__init__()
        self.whole = graph

    def forward(self, tiles: Tensor) -> Tensor:
        return self.whole.start(tiles)


class _Embed(_Start):
    def __init__(self, graph: ScoringGraph, *, started: bool) -> None:
        super().__init__(graph)
        self.started = started

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        levels, routed = self.whole.embed(given if self.started else self.whole.start(given))
        return *levels, routed


class _Compare(_Start):
    def forward(self, levels: Sequence[Tensor], constants: Sequence[Tensor]) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.whole.compare(levels, *constants)


def _convert(module: nn.Module, example: Tensor) -> Any:
    """A module of one input as an `openvino.Model`, for any number of tiles."""
    import openvino

    tiles = torch.export.Dim("tiles", min=1)
    return openvino.convert_model(torch.export.export(module, (example,), dynamic_shapes=({0: tiles},)))


def _convert_compare(graph: ScoringGraph, levels: Sequence[Tensor]) -> Any:
    import openvino

    tiles = torch.export.Dim("tiles", min=1)
    constants = graph.heads.constants(0)
    given = (list(levels), list(constants))
    shapes = ([{0: tiles} for _ in levels], [None for _ in constants])
    return openvino.convert_model(torch.export.export(_Compare(graph), given, dynamic_shapes=shapes))


def _compared(graph: ScoringGraph, embed: Any, started: list[NDArray[np.float32]]) -> list[list[NDArray[np.float32]]]:
    """What `compare` is given for these tiles: their levels, and the constants of the style of the first of a batch."""
    given = []
    for batch in started:
        *levels, routed = (output.copy() for output in embed.infer([batch]).to_tuple())
        given.append([*levels, *(constant.cpu().numpy() for constant in graph.heads.constants(int(routed[0])))])
    return given


def _convolutions(model: Any) -> set[str]:
    return {each.get_friendly_name() for each in model.get_ops() if each.get_type_name() == "Convolution"}


def _large_layers(model: Any) -> set[str]:
    """Products with `LARGE` weights: the discriminator's layers on a wide embedding."""
    products = [each for each in model.get_ops() if each.get_type_name() == "MatMul"]
    weights = {each.get_friendly_name(): each.input_value(1).get_node() for each in products}
    return {
        name
        for name, weight in weights.items()
        if weight.get_type_name() == "Constant" and np.prod(weight.get_output_shape(0)) >= LARGE
    }


def _quantize(model: Any, given: list[Any], names: set[str]) -> Any:
    """int8 weights and activations of the operations so named, calibrated on what the model is given for normal tiles.

    All else stays in floating point: it takes little of the time, and what the search compares lies close together.
    Where sums of int8 products may saturate, weights take half their range.
    """
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix

    others = [each.get_friendly_name() for each in model.get_ops() if each.get_friendly_name() not in names]
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf.quantize(
        model,
        nncf.Dataset(given),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(given),
        ignored_scope=nncf.IgnoredScope(names=others, validate=False),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=None if sums_int8_exactly() else OverflowFix.ENABLE
        ),
    )


def _compile(model: Any, precision: str, *, tiles: int, takes: str = "", gives: str = "") -> Any:
    """Ready to infer so many tiles at once, on as many threads as PyTorch has.

    With a fixed number OpenVINO plans which maps take each other's memory; with any number each takes its own.
    takes, gives: the type of its floating point inputs and outputs, "" for those it was written with. Between two parts
    it is what they compute in, so that maps are not widened and narrowed again.
    """
    import openvino
    from openvino.preprocess import PrePostProcessor

    model.reshape({index: [tiles, *list(port.partial_shape)[1:]] for index, port in enumerate(model.inputs)})
    between = PrePostProcessor(model)
    for kind, ports, place in ((takes, model.inputs, between.input), (gives, model.outputs, between.output)):
        for index, port in enumerate(ports):
            if kind and port.get_element_type().is_real():
                place(index).tensor().set_element_type(getattr(openvino.Type, kind))
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return openvino.Core().compile_model(between.build(), "CPU", settings).create_infer_request()


def _start_precision() -> str:
    return "f16" if "FP16" in _capabilities() else "f32"


@functools.cache
def _capabilities() -> tuple[str, ...]:
    """The types that the processor computes in itself, such as FP32, BF16, INT8."""
    import openvino

    return tuple(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
