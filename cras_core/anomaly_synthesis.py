"""DAFS, distance-guided anomaly feature synthesis (eq. 4 to 6): anomalies made in feature space."""

import torch
from torch import Tensor


def synthesize(
    u: Tensor, recomposed: Tensor, *, deviation: float, scaling: float, generator: torch.Generator
) -> Tensor:
    """Anomalous features v = u + r * e (eq. 6), with the noise detached: gradients reach u, and only through u.

    u, recomposed: (..., D); deviation: s; scaling: k -> v (..., D). The nearer a vector lies to its center, the larger
    its noise.
    """
    noise = deviation * torch.randn(u.shape, generator=generator, device=generator.device).to(u.device)
    scale = scale_noise(u.detach(), recomposed, noise, scaling=scaling)
    return u + scale[..., None] * noise


def scale_noise(u: Tensor, recomposed: Tensor, noise: Tensor, *, scaling: float) -> Tensor:
    """The ratio r = k (q - 1) + 1, q = (g / d) / mean(g / d) over all vectors given (eq. 4, 5). (..., D) -> (...)."""
    distance: Tensor = torch.linalg.vector_norm(u - recomposed, dim=-1)  # d
    ratio: Tensor = torch.linalg.vector_norm(noise, dim=-1) / distance.clamp_min(1e-6)  # g / d; d may be 0
    return scaling * (ratio / ratio.mean() - 1) + 1
