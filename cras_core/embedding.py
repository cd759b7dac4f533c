"""MCMC, first half: feature maps to one vector a position, from neighbourhoods of n x n (3 x 3) on every level.

The paper: each level's n x n neighbourhoods are unfolded to C * n * n numbers, averaged adaptively to `embedding_dim`;
the deeper levels are upsampled bilinearly to the shallowest grid, concatenated, and averaged adaptively to
`embedding_dim` again. All of it is linear and fixed: each of the averages is over a few neighbours of one to three
channels that follow each other, so it is that many depthwise filters, and nothing is unfolded. With `embedding_dim` = 0
each channel keeps its own n x n mean, and D is the sum of the levels' channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Embedding(nn.Module):
    """Maps of the levels, shallowest first -> vectors (N, P, D) float32, P = the shallowest level's positions.

    channels: of each level; neighbourhood: n, odd. dims: how many of the D come from each level, in order.
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
        for level, (count, dim) in enumerate(zip(channels, self.dims, strict=True)):
            if neighbourhood * neighbourhood * count % embedding_dim == 0:
                sources, filters = _averages(count, neighbourhood, dim)
                self.register_buffer(f"sources_{level}", sources, persistent=False)
                self.register_buffer(f"filters_{level}", filters, persistent=False)

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
        return [self._average(index, level) for index, level in enumerate(maps)]

    def _average(self, index: int, level: Tensor) -> Tensor:
        """Adaptive averages of the C * n * n neighbourhood numbers to E, and of those to D_l."""
        dim, side = self.dims[index], self.neighbourhood
        if side * side * self.channels[index] % self.embedding_dim:
            return _average_unfolded(level, side, self.embedding_dim, dim)
        sources = self.get_buffer(f"sources_{index}")
        filters = self.get_buffer(f"filters_{index}").to(level.dtype)
        parts = [
            F.conv2d(level.index_select(1, source), kernels, padding=side // 2, groups=dim)
            for source, kernels in zip(sources, torch.split(filters, dim), strict=True)
        ]
        return sum(parts[1:], parts[0])


def _averages(channels: int, side: int, dim: int) -> tuple[Tensor, Tensor]:
    """The averages over windows of C * n * n / dim neighbourhood numbers, as K filters over one channel each.

    -> sources (K, dim): which channel; filters (K * dim, 1, n, n), zero where a window touches fewer channels.
    """
    area = side * side
    width = area * channels // dim
    numbers = torch.arange(dim * width).view(dim, width)  # in the order of F.unfold: channel, row, column
    channel, place = numbers // area, numbers % area
    nth = channel - channel[:, :1]
    count = int(nth.max()) + 1
    sources = (channel[:, 0] + torch.arange(count)[:, None]).clamp(max=channels - 1)
    filters = torch.zeros(count, dim, area)
    filters[nth, torch.arange(dim)[:, None], place] = 1 / width
    return sources, filters.view(count * dim, 1, side, side)


def _average_unfolded(level: Tensor, side: int, embedding_dim: int, dim: int) -> Tensor:
    """For windows that overlap: the plain way, n * n times the memory."""
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
