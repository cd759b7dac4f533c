"""CRD, center-aware residual discrimination (eq. 7, 8): tells normal from synthesized features by residuals."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cras_core.team import TeamBatchNorm


class Discriminator(nn.Module):
    """MLP 2 D -> D -> D / 2 -> 1 with BatchNorm and LeakyReLU 0.2. Gives logits: the sigmoid of eq. 8 is in the loss
    and in scoring, where it loses no precision. inputs: "raw" or "residual" for each D it is given."""

    def __init__(self, *, dim: int, inputs: Sequence[str], generator: torch.Generator) -> None:
        super().__init__()
        half = max(1, dim // 2)
        self.dim = dim
        self.inputs = tuple(inputs)
        self.first = nn.Linear(len(self.inputs) * dim, dim)
        self.first_norm = TeamBatchNorm(dim)
        self.second = nn.Linear(dim, half)
        self.second_norm = TeamBatchNorm(half)
        self.last = nn.Linear(half, 1, bias=False)
        for layer in (self.first, self.second, self.last):
            nn.init.xavier_normal_(layer.weight, generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.in_features)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def forward(self, joined: Tensor) -> Tensor:
        """(n, D times inputs) -> (n,) logits."""
        x = F.leaky_relu(self.first_norm(self.first(joined)), 0.2)
        x = F.leaky_relu(self.second_norm(self.second(x)), 0.2)
        logits: Tensor = self.last(x)
        return logits.squeeze(1)


def join_residual(features: Tensor, recomposed: Tensor, *, inputs: Sequence[str] = ("raw", "residual")) -> Tensor:
    """Eq. 7: [u, u - c^], or what an ablation gives instead. (..., D) and (..., D) -> (..., D times inputs)."""
    return torch.cat([features if kind == "raw" else features - recomposed for kind in inputs], dim=-1)


def discrimination_loss(normal: Tensor, anomalous: Tensor) -> Tensor:
    """Eq. 8: binary cross-entropy, 0 for normal and 1 for anomalous logits, each averaged over its own."""
    return F.binary_cross_entropy_with_logits(normal, torch.zeros_like(normal)) + F.binary_cross_entropy_with_logits(
        anomalous, torch.ones_like(anomalous)
    )
