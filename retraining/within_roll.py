"""A golden roll of a style that no model knows: frames that stand out from the rest of their roll.

Nothing can score them yet, and a defect in them would be learned as normal fabric. Compared are the backbone's vectors,
as a training takes them, in fields of 32 px: how far each is from the nearest ones of the roll's other frames, as in
PatchCore (Roth et al., CVPR 2022), and of a frame the farthest. What runs through the whole roll is not seen.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cras_core.backbone import build_backbone
from cras_core.config import CrasConfig
from cras_core.features import EXTRACT_BATCH, Extractor
from cras_core.pictures import as_rgb, cut_to_tiles
from inspection.types import Pixels

LEAST_FRAMES = 8  # fewer say nothing of each other
FIELDS = 8  # across a tile
COMPARED = 4000  # of the other frames' fields, by chance
NEAREST = 3
LEAST_SPREAD = 0.02  # of the logarithms: a roll whose frames are all but the same has no outliers


def stand_out(frames: Iterable[tuple[int, Pixels]], *, device: torch.device) -> dict[int, float]:
    """By how many times their usual spread each frame's farthest field is farther than the roll's usual one.

    frames: (number, (H, W[, 3]) uint8); those smaller than a tile are left out. {} when there are too few.
    """
    config = CrasConfig()
    extractor = Extractor(build_backbone(config.backbone, levels=config.levels), config, device=device)
    fields = {
        number: _fields(extractor, as_rgb(pixels, name=f"sample {number}"), config.tile_px)
        for number, pixels in frames
        if min(pixels.shape[:2]) >= config.tile_px
    }
    if len(fields) < LEAST_FRAMES:
        return {}
    farthest = np.asarray([_farthest(number, fields) for number in fields])
    usual = np.median(farthest)
    spread = max(1.4826 * float(np.median(np.abs(farthest - usual))), LEAST_SPREAD)
    return {number: float(far - usual) / spread for number, far in zip(fields, farthest, strict=True)}


def _fields(extractor: Extractor, pixels: Pixels, tile_px: int) -> Tensor:
    """(H, W, 3) -> (fields, D)."""
    tiles = cut_to_tiles(pixels, tile_px=tile_px, name="a sample").tiles
    found = []
    for first in range(0, len(tiles), EXTRACT_BATCH):
        vectors = extractor.extract(tiles[first : first + EXTRACT_BATCH])  # (n, P, D)
        grid = vectors.reshape(len(vectors), extractor.grid_px, extractor.grid_px, extractor.dim).permute(0, 3, 1, 2)
        pooled = avg_pool2d(grid, extractor.grid_px // FIELDS)  # (n, D, FIELDS, FIELDS)
        found.append(pooled.permute(0, 2, 3, 1).flatten(0, 2))
    return torch.cat(found)


def _farthest(number: int, fields: dict[int, Tensor]) -> float:
    """The logarithm of the greatest distance of a frame's fields to the nearest of the others."""
    others = torch.cat([each for other, each in fields.items() if other != number])
    chosen = torch.randperm(len(others), generator=torch.Generator().manual_seed(number))[:COMPARED]
    distances = torch.cdist(fields[number], others[chosen.to(others.device)])
    return float(distances.topk(NEAREST, largest=False).values[:, -1].max().clamp(min=1e-6).log())
