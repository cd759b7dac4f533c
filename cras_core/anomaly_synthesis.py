"""DAFS, distance-guided anomaly feature synthesis (eq. 4 to 6): anomalies made in feature space."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cras_core import team
from cras_core.config import NoiseGuide


def synthesize(u: Tensor, recomposed: Tensor, noise: Tensor, *, scaling: float, guide: NoiseGuide) -> Tensor:
    """Anomalous features v = u + r * e (eq. 6), with the noise detached: gradients reach u, and only through u.

    u, recomposed: (..., D); noise: e of `draw_noise` (..., D); scaling: k; guide: as in `scale_noise` -> v (..., D).
    By "ratio", the nearer a vector lies to its center, the larger its noise.
    """
    if guide == "none":
        return u + noise
    scale = scale_noise(u.detach(), recomposed, noise, scaling=scaling, guide=guide)
    return u + scale[..., None] * noise


def draw_noise(shape: Sequence[int], *, deviation: float, generator: torch.Generator) -> Tensor:
    """e ~ N(0, s^2 I) of eq. 4, on the generator's device; deviation: s."""
    return deviation * torch.randn(shape, generator=generator, device=generator.device)


def scale_noise(u: Tensor, recomposed: Tensor, noise: Tensor, *, scaling: float, guide: NoiseGuide = "ratio") -> Tensor:
    """The ratio r = k (q - 1) + 1, q = (g / d) / mean(g / d) over all vectors given (eq. 4, 5). (..., D) -> (...).

    The ablations leave out the noise's norm g (`guide="residual"`) or the residual's norm d (`"noise"`).
    """
    ratio: Tensor = torch.ones(u.shape[:-1], device=u.device)
    if guide in ("ratio", "noise"):
        ratio = torch.linalg.vector_norm(noise, dim=-1)  # g
    if guide in ("ratio", "residual"):
        ratio = ratio / torch.linalg.vector_norm(u - recomposed, dim=-1).clamp_min(1e-6)  # d may be 0
    return scaling * (ratio / team.mean(ratio) - 1) + 1
