"""PyTorch's compiler (AOTInductor): the graph as machine code of this processor, made ahead, run without the compiler.

Two parts: `embed.pt2` gives the aggregated levels and the routing, `compare.pt2` judges them against one style, whose
constants are inputs. Making them takes a C++ compiler.
"""

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cras_core.errors import EngineError
from cras_core.graph import ScoringGraph
from cras_core.runtimes.base import Answer, compare_by_style, in_steps
from cras_core.runtimes.torch_runtime import PRECISIONS


def supported() -> bool:
    """Whether there is a C++ compiler to make it with."""
    return shutil.which("g++") is not None  # the one that AOTInductor calls


@torch.no_grad()
def export(graph: ScoringGraph, place: Path, *, precision: str) -> None:
    """Writes both parts to the folder. Not while another thread scores with `graph`."""
    graph = copy.deepcopy(graph).eval().requires_grad_(False).in_precision(PRECISIONS[precision])
    tiles = torch.zeros(graph.tiles_at_once, graph.tile_px, graph.tile_px, 3, dtype=torch.uint8)
    _compile(_Embed(graph), (tiles,), place / "embed.pt2")
    levels, _ = _load(place / "embed.pt2")(tiles)  # as they lie in memory there: the code takes no other layout
    _compile(_Compare(graph), (levels, list(graph.heads.constants(0))), place / "compare.pt2")


class CompiledRuntime:
    """Runs what `export` wrote to `place`. Raises `EngineError` when it is not whole."""

    def __init__(self, graph: ScoringGraph, place: Path, *, precision: str) -> None:
        self.name = f"compiled-{precision}"
        self._step = graph.tiles_at_once
        heads = copy.deepcopy(graph.heads)
        heads.in_precision(PRECISIONS[precision])
        self._heads = heads
        try:
            self._embed, self._compare = (_load(place / f"{part}.pt2") for part in ("embed", "compare"))
        except (OSError, RuntimeError) as error:
            raise EngineError(f"{place} holds no whole export of {self.name}: export it again") from error

    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        return in_steps(self._score, tiles, styles, step=self._step)

    @torch.inference_mode()
    def _score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        count = len(tiles)
        given = torch.zeros(self._step, *tiles.shape[1:], dtype=torch.uint8)
        given[:count] = torch.tensor(tiles)
        levels, routed = self._embed(given)

        def compare(style: int, rows: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            maps, scores = self._compare(levels, list(self._heads.constants(style)))
            return maps.numpy()[:count][rows], scores.numpy()[:count][rows]

        return compare_by_style(styles, routed.numpy()[:count], compare)


class _Embed(nn.Module):
    def __init__(self, graph: ScoringGraph) -> None:
        super().__init__()
        self.whole = graph

    def forward(self, tiles: Tensor) -> tuple[list[Tensor], Tensor]:
        return self.whole.embed(self.whole.start(tiles))


class _Compare(nn.Module):
    def __init__(self, graph: ScoringGraph) -> None:
        super().__init__()
        self.whole = graph

    def forward(self, levels: list[Tensor], constants: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self.whole.compare(levels, *constants)


def _compile(module: nn.Module, example: tuple[Any, ...], file: Path) -> None:
    """With its constants laid out for the layers that use them (freezing)."""
    try:
        program = torch.export.export(module, example)
        torch._inductor.aoti_compile_and_package(program, package_path=str(file), inductor_configs={"freezing": True})
    except RuntimeError as error:
        raise EngineError(f"the graph could not be compiled: {str(error).strip().partition(chr(10))[0]}") from error


def _load(file: Path) -> Any:
    return torch._inductor.aoti_load_package(str(file))
