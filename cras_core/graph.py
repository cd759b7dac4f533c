"""The scoring graph: uint8 tiles to smoothed score maps, whole and folded. Every runtime runs this one graph."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cras_core.backbone import Backbone
from cras_core.embedding import Embedding
from cras_core.folding import FoldedHeads, FoldedRouting
from cras_core.heads import Heads
from cras_core.score_map import ScoreMap, image_scores, patch_scores

HEAVY = 2**20  # 4 MB in float32
ROUTE = -1  # instead of a style's index: the tile finds its own


class ScoringGraph(nn.Module):
    """Nothing in it depends on a tile's batch, and no shape on the data: it can be traced and exported as it is."""

    def __init__(self, backbone: Backbone, embedding: Embedding, heads: Heads, *, grids_px: Sequence[int]) -> None:
        """grids_px: sides of the levels' maps, shallowest first."""
        super().__init__()
        config, grid_px = heads.config, grids_px[0]
        self.backbone = backbone
        self.embedding = embedding
        self.heads = FoldedHeads(heads, dims=embedding.dims)
        self.routing = FoldedRouting(heads, dims=embedding.dims, grids_px=grids_px)
        self.maps = ScoreMap(grid_px=grid_px, tile_px=config.tile_px, smoothing_px=config.smoothing_px)
        self.score_scale = config.score_scale
        self.tile_px = config.tile_px
        # On processors larger batches are no faster, and what lies between the layers takes its memory by the tile.
        compared = grid_px * grid_px * heads.centers.shape[1]  # numbers of eq. 3 a tile
        self.tiles_at_once = 2 if compared > HEAVY else 4

    def forward(self, tiles: Tensor, styles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """tiles: (N, T, T, 3) uint8; styles: (N,) int64, `ROUTE` where the tile is to find its own.

        -> maps (N, T, T) float32 (eq. 9), scores (N,) (eq. 10), styles (N,) that the tiles were compared with.
        """
        return self.finish(self.start(tiles), styles)

    def start(self, tiles: Tensor) -> Tensor:
        """What is computed in float32 whatever the rest is in: (N, T, T, 3) uint8 -> the first stage's (N, C, H, W)."""
        return self.backbone.start(tiles.permute(0, 3, 1, 2))

    def finish(self, started: Tensor, styles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rest: `forward`'s results."""
        levels, routed = self.embed(started)
        styles = torch.where(styles == ROUTE, routed, styles)
        return *self.judge(self.heads(levels, styles)), styles

    def embed(self, started: Tensor) -> tuple[list[Tensor], Tensor]:
        """-> the aggregated levels (N, D_l, H_l, W_l), and each tile's own style (N,)."""
        levels = self.embedding.aggregate(self.backbone.finish(started))
        return levels, self.routing(levels)

    def compare(self, levels: Sequence[Tensor], *constants: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (N, T, T) and scores (N,) of tiles of one style, whose `heads.constants` are given."""
        return self.judge(self.heads.compare(levels, *constants))

    def judge(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 9 and 10: logits of every vector (N, P) -> maps (N, T, T), scores (N,)."""
        maps = self.maps(patch_scores(logits.float(), self.score_scale))
        return maps, image_scores(maps)

    def in_precision(self, dtype: torch.dtype) -> "ScoringGraph":
        """Computes in another floating point type from here on; first stage, routing and maps stay float32."""
        self.backbone.in_precision(dtype)
        self.heads.in_precision(dtype)
        return self
