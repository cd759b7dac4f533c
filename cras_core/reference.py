"""The paper's graph drawn plainly, as trained: what the folded graph must equal, and is measured against.

The backbone keeps its BatchNorms, neighbourhoods are unfolded to nine-fold memory, every vector goes through
standardization, adapter, search, residual and discriminator one after the other, and maps are filtered at picture
size. Nothing but tests and benchmarks runs it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cras_core.backbone import Backbone
from cras_core.embedding import Embedding
from cras_core.graph import ROUTE
from cras_core.heads import Heads
from cras_core.score_map import image_scores, patch_scores


class PlainGraph(nn.Module):
    """The same inputs and outputs as `graph.ScoringGraph`. backbone: built with `folded=False`."""

    def __init__(self, backbone: Backbone, embedding: Embedding, heads: Heads) -> None:
        super().__init__()
        self.backbone = backbone
        self.embedding = embedding
        self.heads = heads.eval()

    def forward(self, tiles: Tensor, styles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, T, 3) uint8, (N,) -> maps (N, T, T), scores (N,), styles (N,)."""
        logits, styles = self.logits(tiles, styles)
        side = round(logits.shape[1] ** 0.5)
        grid = patch_scores(logits, self.heads.config.score_scale).view(-1, 1, side, side)
        grown = F.interpolate(grid, size=tiles.shape[1:3], mode="bilinear", align_corners=False)
        maps = smooth(grown, sigma=self.heads.config.smoothing_px)[:, 0]
        return maps, image_scores(maps), styles

    def logits(self, tiles: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embed(self.backbone(tiles.permute(0, 3, 1, 2)))
        styles = torch.where(styles == ROUTE, self.heads.route(x), styles)
        logits: Tensor = self.heads(x, styles)
        return logits, styles

    def embed(self, maps: list[Tensor]) -> Tensor:
        """MCMC's neighbourhoods as the paper draws them: feature maps of the levels -> (N, P, D)."""
        size, side = self.embedding.embedding_dim, self.embedding.neighbourhood
        height, width = maps[0].shape[-2:]
        found = []
        for level in maps:
            around = F.unfold(level, side, padding=side // 2).transpose(1, 2)  # (N, P_l, C * n * n)
            pooled = F.adaptive_avg_pool1d(around, size or level.shape[1])  # of C, each channel its own n * n
            grid = pooled.transpose(1, 2).reshape(len(level), -1, *level.shape[-2:])
            found.append(F.interpolate(grid, size=(height, width), mode="bilinear", align_corners=False))
        joined = torch.cat(found, dim=1).flatten(2).transpose(1, 2)
        return F.adaptive_avg_pool1d(joined, size) if size else joined


def smooth(maps: Tensor, *, sigma: float) -> Tensor:
    """A Gaussian over (N, 1, H, W), reflected at the edges (their own pixel repeated), cut at 4 sigma, as scipy's."""
    if not sigma:
        return maps
    reach = int(4 * sigma + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=maps.device) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(maps.dtype)
    for axis in (2, 3):
        ends = (maps.narrow(axis, 0, reach).flip(axis), maps.narrow(axis, maps.shape[axis] - reach, reach).flip(axis))
        padded = torch.cat([ends[0], maps, ends[1]], dim=axis)
        maps = F.conv2d(padded, kernel.view((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)))
    return maps
