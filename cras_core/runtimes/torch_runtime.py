"""PyTorch, on any device it knows: float32 as trained, bfloat16 or float16 for speed. Channels last throughout."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.graph import ScoringGraph
from cras_core.runtimes.base import Answer

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchRuntime:
    """`graph` is used as it is in float32, and copied for other precisions."""

    def __init__(self, graph: ScoringGraph, *, device: torch.device, precision: str = "float32") -> None:
        self.name = f"torch-{precision}"
        self._device = device
        if precision != "float32":
            graph = copy.deepcopy(graph).in_precision(PRECISIONS[precision])
        self._graph = graph.to(device).to(memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        pictures = torch.tensor(tiles, device=self._device)  # a copy: a read-only array must not become a tensor
        answer = self._graph(pictures, torch.from_numpy(styles).to(self._device))
        maps, scores, routed = (part.cpu().numpy() for part in answer)
        return Answer(maps, scores, routed)
