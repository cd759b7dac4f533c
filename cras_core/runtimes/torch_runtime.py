"""PyTorch, on any device it knows: float32 as trained, bfloat16 or float16 for speed. Channels last throughout."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.graph import ScoringGraph
from cras_core.runtimes.base import Answer, compare_by_style, in_steps
from cras_core.winograd import with_winograd

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
GPU_BATCH = 256  # tiles at once


class TorchRuntime:
    """In float32 with `graph`'s own weights, but for those of Winograd's filters; copied for other precisions."""

    def __init__(self, graph: ScoringGraph, *, device: torch.device, precision: str = "float32") -> None:
        self.name = f"torch-{precision}"
        self._device = device
        if precision != "float32":
            graph = copy.deepcopy(graph).in_precision(PRECISIONS[precision])
        elif device.type == "cpu":
            graph = with_winograd(graph)
        self._graph = graph.to(device).to(memory_format=torch.channels_last).eval()

    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        step = self._graph.tiles_at_once if self._device.type == "cpu" else GPU_BATCH
        return in_steps(self._score, tiles, styles, step=step)

    @torch.inference_mode()
    def _score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        pictures = torch.tensor(tiles, device=self._device)  # a copy: a read-only array must not become a tensor
        levels, routed = self._graph.embed(self._graph.start(pictures))

        def compare(style: int, rows: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            own = levels if rows.all() else [level[torch.from_numpy(rows).to(self._device)] for level in levels]
            maps, scores = self._graph.compare(own, *self._graph.heads.constants(style))
            return maps.cpu().numpy(), scores.cpu().numpy()

        return compare_by_style(styles, routed.cpu().numpy(), compare)
