"""CRD, center-aware residual discrimination (eq. 7, 8): tells normal from synthesized features by residuals."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Discriminator(nn.Module):
    """MLP 2 D -> D -> D / 2 -> 1 with BatchNorm and LeakyReLU 0.2. Gives logits: the sigmoid of eq. 8 is in the loss
    and in scoring, where it loses no precision."""

    def __init__(self, *, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        half = max(1, dim // 2)
        self.first = nn.Linear(2 * dim, dim)
        self.first_norm = nn.BatchNorm1d(dim)
        self.second = nn.Linear(dim, half)
        self.second_norm = nn.BatchNorm1d(half)
        self.last = nn.Linear(half, 1, bias=False)
        for layer in (self.first, self.second, self.last):
            nn.init.xavier_normal_(layer.weight, generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.in_features)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def forward(self, pairs: Tensor) -> Tensor:
        """(n, 2 D) -> (n,) logits."""
        x = F.leaky_relu(self.first_norm(self.first(pairs)), 0.2)
        x = F.leaky_relu(self.second_norm(self.second(x)), 0.2)
        logits: Tensor = self.last(x)
        return logits.squeeze(1)


def join_residual(features: Tensor, recomposed: Tensor) -> Tensor:
    """Eq. 7: [u, u - c^]. (..., D) and (..., D) -> (..., 2 D)."""
    return torch.cat([features, features - recomposed], dim=-1)


def discrimination_loss(normal: Tensor, anomalous: Tensor) -> Tensor:
    """Eq. 8: binary cross-entropy, 0 for normal and 1 for anomalous logits, each averaged over its own."""
    return F.binary_cross_entropy_with_logits(normal, torch.zeros_like(normal)) + F.binary_cross_entropy_with_logits(
        anomalous, torch.ones_like(anomalous)
    )
