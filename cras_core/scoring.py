"""Scoring: tiles to raw score maps. A tile is routed by itself or by the style given, and never sees its batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.backbone import Backbone
from cras_core.errors import BundleError, PictureError
from cras_core.features import Extractor
from cras_core.graph import ROUTE, ScoringGraph
from cras_core.heads import Heads
from cras_core.runtimes.base import Runtime
from cras_core.runtimes.torch_runtime import TorchRuntime

Maps = NDArray[np.float32]

SCORE_BATCH = 16  # tiles at once, on a processor
GPU_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """maps: (N, T, T) raw scores (eq. 9); scores: (N,), each map's maximum (eq. 10); styles: which each tile was
    compared with; thresholds: (N,), those styles'."""

    maps: Maps
    scores: Maps
    styles: tuple[str, ...]
    thresholds: Maps


class Scorer:
    """A model ready to score on one device. Made by `bundle.load_bundle`, or of a model in memory.

    runtime: what computes; the reference, PyTorch in float32, unless replaced by one that agrees with it
    (`runtimes.selection`). thresholds: (S,) in the order of `styles`.
    """

    def __init__(
        self, *, name: str, backbone: Backbone, heads: Heads, manifest: Mapping[str, Any], device: torch.device
    ):
        config = heads.config
        self.name = name
        self.manifest = dict(manifest)
        self.config = config
        self.tile_px = config.tile_px
        self.mm_per_px = config.mm_per_px
        self.styles = heads.styles
        self.heads = heads
        self.device = device
        self.thresholds = np.asarray([manifest["styles"][style]["threshold"] for style in heads.styles], np.float32)
        extractor = Extractor(backbone, config, device=device)
        self.graph = ScoringGraph(extractor.backbone, extractor.embedding, heads, grids_px=extractor.grids_px).eval()
        self.reference: Runtime = TorchRuntime(self.graph, device=device)
        self.runtime: Runtime = self.reference

    @property
    def runtime_name(self) -> str:
        return self.runtime.name

    def check(self, *, tile_px: int, mm_per_px: float) -> None:
        """Raises `BundleError` when frames of another tile size or scale would be scored."""
        if tile_px != self.tile_px:
            raise BundleError(
                f"bundle {self.name} was trained on tiles of {self.tile_px} px, not {tile_px} px: "
                "cut tiles of its size, or train a bundle for yours"
            )
        if not abs(mm_per_px - self.mm_per_px) <= 0.01 * self.mm_per_px:
            raise BundleError(
                f"bundle {self.name} was trained at {self.mm_per_px:g} mm/px, not {mm_per_px:g} mm/px: "
                "set the camera's scale right, or train a bundle at yours"
            )

    def score(self, tiles: NDArray[np.uint8], *, style: str = "") -> Scored:
        """tiles: (N, T, T, C) uint8, C 1 or 3. A known `style` is compared with; otherwise each tile is routed.

        Raises `PictureError` for any other form.
        """
        if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1:3] != (self.tile_px,) * 2:
            raise PictureError(
                f"tiles must be (N, {self.tile_px}, {self.tile_px}, 1 or 3) uint8, got {tiles.shape} {tiles.dtype}"
            )
        if tiles.shape[3] not in (1, 3):
            raise PictureError(f"tiles must have 1 or 3 channels, got {tiles.shape[3]}")
        given = self.styles.index(style) if style in self.styles else ROUTE
        runtime = self.runtime  # may be replaced meanwhile
        step = SCORE_BATCH if self.device.type == "cpu" else GPU_BATCH
        parts = [
            runtime.score(
                np.ascontiguousarray(np.broadcast_to(part, (*part.shape[:3], 3))), np.full(len(part), given, np.int64)
            )
            for start in range(0, len(tiles), step)
            if len(part := tiles[start : start + step])
        ]
        empty = np.empty((0, self.tile_px, self.tile_px), np.float32)
        styles = np.concatenate([np.empty(0, np.int64), *(part.styles for part in parts)])
        return Scored(
            maps=np.concatenate([empty, *(part.maps for part in parts)]),
            scores=np.concatenate([np.empty(0, np.float32), *(part.scores for part in parts)]),
            styles=tuple(self.styles[index] for index in styles),
            thresholds=self.thresholds[styles],
        )
