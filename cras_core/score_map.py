"""Scoring, eq. 9 and 10: logits to patch scores, to a score map, to its maximum.

The discriminator's probability p crowds below 1, where float32 has few values left and strong defects tie. The default
patch score is therefore the surprise -ln(1 - p), what eq. 8 charges for calling the vector normal: the same order,
never negative, about p while p is small, and growing without end. `score_scale="probability"` is p itself.

Bilinear upsampling and the Gaussian are linear and separable, so both together are one small constant matrix from each
side: map = A S A^T. Nothing of picture size is filtered.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit, logit
from torch import Tensor, nn

from cras_core.config import ScoreScale


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


def patch_scores(logits: Tensor, scale: ScoreScale) -> Tensor:
    """Scores at least 0 of discriminator logits, any shape."""
    return torch.sigmoid(logits) if scale == "probability" else F.softplus(logits)


def to_logits(scores: NDArray[np.float64], scale: ScoreScale) -> NDArray[np.float64]:
    """Back from scores, for what needs a scale without a floor or a ceiling."""
    scores = np.maximum(scores, 1e-300)
    if scale == "probability":
        return np.asarray(logit(np.minimum(scores, 1 - 1e-7)))
    return np.asarray(scores + np.log(-np.expm1(-scores)))


def from_logits(logits: NDArray[np.float64], scale: ScoreScale) -> NDArray[np.float64]:
    """The reverse of `to_logits`."""
    return np.asarray(expit(logits) if scale == "probability" else np.logaddexp(0, logits))


def image_scores(maps: Tensor) -> Tensor:
    """Eq. 10: each map's maximum. (N, H, W) -> (N,)."""
    return maps.flatten(1).amax(1)
