"""What in a sample is unlike other normal fabric of its style: a faint defect that the running model scores as normal,
and any defect where no model knows the style yet.

Compared are the backbone's vectors, as a training takes them, in fields of 32 px: how far each is from the nearest ones
of other samples, as in PatchCore (Roth et al., CVPR 2022), and of a tile the farthest. What all samples have is not
seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cras_core.backbone import build_backbone
from cras_core.config import CrasConfig
from cras_core.features import EXTRACT_BATCH, Extractor
from cras_core.pictures import as_rgb, cut_to_tiles
from inspection.types import Pixels

LEAST_FRAMES = 8  # of a roll: fewer say nothing of each other
LEAST_TILES = 40  # that are accepted: fewer do not show what is usual
LEAST_ROLLS = 2  # of them: how rolls differ is not known otherwise
FIELDS = 8  # across a tile
COMPARED = 4000  # of the others' fields, by chance
NEAREST = 3
LEAST_SPREAD = 0.02  # of the logarithms: a roll whose frames are all but the same has no outliers
TAIL = 0.1  # of the accepted tiles, from which rarer distances are extrapolated


def beside_roll(frames: Iterable[tuple[int, Pixels]], *, device: torch.device) -> dict[int, float]:
    """By how many times their usual spread each frame's farthest field is farther than its golden roll's usual one.

    frames: (number, (H, W[, 3]) uint8); those smaller than a tile are left out. {} when there are too few.
    """
    look = Look(device)
    fields = {
        number: found for number, pixels in frames if (found := look.fields(pixels, f"sample {number}")) is not None
    }
    if len(fields) < LEAST_FRAMES:
        return {}
    owners = np.repeat(list(fields), [found.shape[:2].numel() for found in fields.values()])
    everything = torch.cat([found.flatten(0, 1) for found in fields.values()])
    farthest = np.asarray([_farthest(fields[number], everything[owners != number]).max() for number in fields])
    usual = np.median(farthest)
    spread = max(1.4826 * float(np.median(np.abs(farthest - usual))), LEAST_SPREAD)
    return {number: float(far - usual) / spread for number, far in zip(fields, farthest, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A sample that others are compared with: what staff have not accepted yet counts, but says nothing of what is
    usual. pixels: (H, W[, 3]) uint8."""

    roll: str
    accepted: bool
    pixels: Pixels


def beside_others(
    samples: Iterable[tuple[int, str, Pixels]], others: Iterable[Other], *, share: float, device: torch.device
) -> dict[int, float]:
    """How far each sample's farthest field is from those of other rolls, in units of the distance that at most `share`
    of accepted samples exceed.

    samples: number, roll and (H, W[, 3]) uint8 of each. What is smaller than a tile is left out. {} without accepted
    tiles enough of two rolls. Rare distances are extrapolated by an
    exponential tail of their logarithms, as a picture of many tiles is held against a rarer one.
    """
    look = Look(device)
    found: list[Tensor] = []
    of_tile: list[str] = []
    counts: list[bool] = []
    for number, other in enumerate(others):
        if (fields := look.fields(other.pixels, f"other {number}")) is not None:
            found.append(fields)
            of_tile += [other.roll] * len(fields)
            counts += [other.accepted] * len(fields)
    rolls, accepted = np.asarray(of_tile), np.asarray(counts, np.bool_)
    if accepted.sum() < LEAST_TILES or len(set(rolls[accepted])) < LEAST_ROLLS or share <= 0:
        return {}
    tiles = torch.cat(found)  # (N, F, D)
    everything, owners = tiles.flatten(0, 1), np.repeat(rolls, tiles.shape[1])
    usual = np.concatenate(
        [
            _farthest(tiles[accepted & (rolls == roll)], everything[owners != roll])
            for roll in sorted(set(rolls[accepted]))
        ]
    )
    results = {}
    for number, roll, pixels in samples:
        if (fields := look.fields(pixels, f"sample {number}")) is not None:
            far = float(_farthest(fields, everything[owners != roll]).max())
            results[number] = float(np.exp(far - _exceeded_by(usual, share / len(fields))))
    return results


class Look:
    """The default backbone, which looks at a sample."""

    def __init__(self, device: torch.device) -> None:
        self._config = CrasConfig()
        backbone = build_backbone(self._config.backbone, levels=self._config.levels)
        self._extractor = Extractor(backbone, self._config, device=device)

    def fields(self, pixels: Pixels, name: str) -> Tensor | None:
        """(H, W[, 3]) -> (tiles, FIELDS ** 2, D); None of what is smaller than a tile."""
        side, grid_px = self._config.tile_px, self._extractor.grid_px
        if min(pixels.shape[:2]) < side:
            return None
        tiles = cut_to_tiles(as_rgb(pixels, name=name), tile_px=side, name=name).tiles
        found = []
        for first in range(0, len(tiles), EXTRACT_BATCH):
            vectors = self._extractor.extract(tiles[first : first + EXTRACT_BATCH])  # (n, P, D)
            grid = vectors.reshape(len(vectors), grid_px, grid_px, -1).permute(0, 3, 1, 2)
            found.append(avg_pool2d(grid, grid_px // FIELDS).flatten(2).transpose(1, 2))
        return torch.cat(found)


def _farthest(tiles: Tensor, others: Tensor) -> NDArray[np.float64]:
    """The logarithm of the greatest distance of each tile's fields to the nearest of the others: (n, F, D), (m, D) ->
    (n,)."""
    chosen = torch.randperm(len(others), generator=torch.Generator().manual_seed(0))[:COMPARED]
    memory = others[chosen.to(others.device)]
    far = [torch.cdist(tile, memory).topk(NEAREST, largest=False).values[:, -1].max() for tile in tiles]
    return torch.stack(far).clamp(min=1e-6).log().double().cpu().numpy()


def _exceeded_by(usual: NDArray[np.float64], share: float) -> float:
    """What at most this share, `TAIL` or less, of tiles like these exceed: (n,)."""
    begin = float(np.quantile(usual, 1 - TAIL))
    excess = float(np.maximum(usual - begin, 0).mean()) / TAIL
    return begin + excess * float(np.log(TAIL / share))
