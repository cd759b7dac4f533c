"""MCMC, first half: feature maps to one vector a position, from neighbourhoods (usually 3 x 3) on every level.

The paper: each level's 3 x 3 neighbourhoods are unfolded to C * 9 numbers, averaged adaptively to `embedding_dim`; the
deeper levels are upsampled bilinearly to the shallowest grid, concatenated, and averaged adaptively to `embedding_dim`
again. All of it is linear and fixed, and the averages are over whole or part channels, so nothing is unfolded:
sums over kernel rows (three maps a channel) hold everything the averages need. With `embedding_dim` = 0 each channel
keeps its own mean over the neighbourhood, and D is the sum of the levels' channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Embedding(nn.Module):
    """Maps of the levels, shallowest first -> vectors (N, P, D) float32, P = the shallowest level's positions.

    channels: of each level. neighbourhood: its side, odd. dims: how many of the D come from each level, in order.
    """

    def __init__(self, *, channels: Sequence[int], embedding_dim: int, neighbourhood: int = 3) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.embedding_dim = embedding_dim
        self.neighbourhood = neighbourhood
        if embedding_dim == 0:
            self.dims = self.channels
            return
        # Averaging the concatenation of L levels of E numbers to E numbers: windows [iL, (i+1)L) of L * E numbers. A
        # window may reach over two levels only if L does not divide E.
        if embedding_dim % len(channels):
            raise ValueError(f"embedding_dim must be a multiple of {len(channels)} levels, got {embedding_dim}")
        self.dims = (embedding_dim // len(channels),) * len(channels)

    @property
    def dim(self) -> int:
        return sum(self.dims)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return join(self.aggregate(maps))

    def aggregate(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(N, C_l, H_l, W_l) -> (N, D_l, H_l, W_l) a level: neighbourhood means on the level's own grid.

        Upsampling comes after it, at the level's own D_l; the two commute, since both are linear and one works over
        positions, the other over channels.
        """
        if self.embedding_dim == 0:
            side = self.neighbourhood
            return [F.avg_pool2d(level, side, stride=1, padding=side // 2) for level in maps]
        return [self._average_rows(level, dim) for level, dim in zip(maps, self.dims, strict=True)]

    def _average_rows(self, level: Tensor, dim: int) -> Tensor:
        """Adaptive averages of the C * n * n neighbourhood numbers to E, and of those to `dim`, by kernel rows."""
        batch, channels, height, width = level.shape
        side, around = self.neighbourhood, self.neighbourhood // 2
        first, second = side**2 * channels / self.embedding_dim, self.embedding_dim / dim
        if first % side or second % 1:
            return _average_unfolded(level, self.embedding_dim, dim, side)
        rows = F.avg_pool2d(level, (1, side), stride=1, padding=(0, around))
        rows = F.pad(rows, (0, 0, around, around))
        stacked = torch.stack([rows[:, :, k : k + height] for k in range(side)], dim=2)  # (N, C, n, H, W)
        return stacked.reshape(batch, dim, -1, height, width).mean(2)


def _average_unfolded(level: Tensor, embedding_dim: int, dim: int, side: int) -> Tensor:
    """For averages over windows that are not whole kernel rows: the plain way, n * n-fold memory."""
    batch, _, height, width = level.shape
    columns = F.unfold(level, side, padding=side // 2).transpose(1, 2)  # (N, P, C * n * n)
    averaged = F.adaptive_avg_pool1d(F.adaptive_avg_pool1d(columns, embedding_dim), dim)
    return averaged.transpose(1, 2).reshape(batch, dim, height, width)


def join(levels: Sequence[Tensor]) -> Tensor:
    """Aggregated maps (N, D_l, H_l, W_l), shallowest first -> vectors (N, P, D) on the shallowest grid."""
    height, width = levels[0].shape[-2:]
    joined = torch.cat([levels[0], *(upsample(level, height, width) for level in levels[1:])], dim=1)
    return joined.flatten(2).transpose(1, 2).contiguous()


def upsample(level: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(level, size=(height, width), mode="bilinear", align_corners=False)
