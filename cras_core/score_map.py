"""Scoring, eq. 9 and 10: patch scores to a score map, and its maximum.

Bilinear upsampling and the Gaussian are linear and separable, so both together are one small constant matrix from each
side: map = A S A^T. Nothing of picture size is filtered.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn


class ScoreMap(nn.Module):
    """Patch scores on a grid -> maps at picture size. grid_px: side of the grid; smoothing_px: the Gaussian's sigma."""

    spread: Tensor

    def __init__(self, *, grid_px: int, tile_px: int, smoothing_px: float) -> None:
        super().__init__()
        identity = torch.eye(grid_px, dtype=torch.float64)[None]
        spread = F.interpolate(identity, size=tile_px, mode="linear", align_corners=False)[0].T.numpy()
        if smoothing_px > 0:
            spread = gaussian_filter1d(spread, smoothing_px, axis=0)  # reflected at the edges, cut at 4 sigma
        self.register_buffer("spread", torch.from_numpy(np.ascontiguousarray(spread)).float(), persistent=False)
        self.grid_px = grid_px

    def forward(self, patch_scores: Tensor) -> Tensor:
        """Eq. 9: (N, P) -> (N, tile_px, tile_px)."""
        grid = patch_scores.view(-1, self.grid_px, self.grid_px)
        return self.spread @ grid @ self.spread.T


def image_scores(maps: Tensor) -> Tensor:
    """Eq. 10: each map's maximum. (N, H, W) -> (N,)."""
    return maps.flatten(1).amax(1)
