"""PyTorch on a GPU by CUDA graphs: the kernels of a whole batch are launched at once, as they were recorded.

A recording holds for one number of tiles and for tensors that stay where they are, so tiles are copied to where the
first recording reads them, and a style's constants, when the style changes, to where the second one does.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.graph import ScoringGraph
from cras_core.runtimes.base import Answer, compare_by_style, in_steps
from cras_core.runtimes.torch_runtime import PRECISIONS

TILES_AT_ONCE = 64
WARM_UP = 3  # runs before a recording: libraries choose their kernels and take their memory


class CudaGraphsRuntime:
    """`graph` is copied. device: a CUDA one."""

    @torch.inference_mode()
    def __init__(self, graph: ScoringGraph, *, device: torch.device, precision: str) -> None:
        self.name = f"cudagraphs-{precision}"
        self._device = device
        graph = copy.deepcopy(graph).in_precision(PRECISIONS[precision])
        graph = graph.to(device).to(memory_format=torch.channels_last).eval()
        self._heads = graph.heads
        self._tiles = torch.zeros(TILES_AT_ONCE, graph.tile_px, graph.tile_px, 3, dtype=torch.uint8, device=device)
        self._style = 0
        self._constants = [constant.clone() for constant in graph.heads.constants(0)]
        with torch.cuda.device(device):
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP):
                    graph.compare(graph.embed(graph.start(self._tiles))[0], *self._constants)
            torch.cuda.current_stream().wait_stream(aside)
            self._embed, self._compare = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._embed):
                self._levels, self._routed = graph.embed(graph.start(self._tiles))
            with torch.cuda.graph(self._compare, pool=self._embed.pool()):
                self._maps, self._scores = graph.compare(self._levels, *self._constants)

    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        with torch.cuda.device(self._device):
            return in_steps(self._score, tiles, styles, step=TILES_AT_ONCE)

    @torch.inference_mode()
    def _score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        count = len(tiles)
        self._tiles[:count].copy_(torch.tensor(tiles))  # what lies behind it is scored again, and not looked at
        self._embed.replay()
        return compare_by_style(styles, self._routed[:count].cpu().numpy(), self._compare_rows)

    def _compare_rows(self, style: int, rows: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if style != self._style:
            for constant, own in zip(self._constants, self._heads.constants(style), strict=True):
                constant.copy_(own)
            self._style = style
        self._compare.replay()
        count = len(rows)
        return self._maps[:count].cpu().numpy()[rows], self._scores[:count].cpu().numpy()[rows]
