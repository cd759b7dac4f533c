"""What a model does on cloth whose truth is known: held-out normal pictures, and confirmed defects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cras_core.errors import CrasError
from cras_core.false_alarms import HeldOut, find_peaks
from cras_core.features import NormalSample
from cras_core.pictures import Pixels, as_rgb, cut_to_tiles, decode_picture
from cras_core.scoring import Scorer
from inspection.errors import StorageError
from inspection.types import Mask, Scores
from storage.masks import decode_mask
from storage.pictures import PictureStore
from storage.reads.regression import KnownDefect

NEAR_MM = 3.0  # around a confirmed defect: an alarm there is its
Of = Callable[[str], Scorer]  # the model of a style


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One picture by one model. ratios: (H, W) scores in units of the threshold; alarms: regions of normal cloth that
    it raises, or, of a defect, 1 when it is found."""

    alarms: int
    metres: float
    ratios: Scores


def look_at_normal(of: Of, sample: NormalSample) -> Looked:
    """Tiles over the threshold that touch are one alarm. Raises `CrasError`."""
    scorer = of(sample.style)
    pixels = as_rgb(sample.read(), name=sample.name)
    ratios, highest, columns = _ratios(scorer, pixels, sample.style, name=sample.name)
    count, metres = len(highest), pixels.shape[0] * scorer.mm_per_px / 1000
    held = HeldOut(
        scores=highest,
        pictures=np.zeros(count, np.int64),
        places=np.asarray([divmod(index, columns) for index in range(count)]),
        groups=[sample.group] * count,
        metres=np.full(count, metres / count),
    )
    return Looked(alarms=len(find_peaks(held, start=1.0)), metres=metres, ratios=ratios)


def look_at_defect(of: Of, defect: KnownDefect, pixels: Pixels, near: Mask) -> Looked:
    """pixels: its crop; near: what belongs to it there. Raises `CrasError`."""
    ratios, _, _ = _ratios(of(defect.style), pixels, defect.style, name=defect.crop)
    return Looked(alarms=int(bool((ratios[near] > 1).any())), metres=0.0, ratios=ratios)


def read_defect(defect: KnownDefect, pictures: PictureStore) -> tuple[Pixels, Mask] | None:
    """Its crop (H, W, 3) and what belongs to it there (H, W); None when the picture is gone."""
    try:
        pixels = decode_picture(pictures.get(defect.crop), name=defect.crop)
        mask = decode_mask(defect.mask)
    except (StorageError, CrasError):
        return None
    pixels = as_rgb(pixels, name=defect.crop)
    row, column = defect.corner_px(pixels.shape)
    placed = np.zeros(pixels.shape[:2], np.uint8)
    part = placed[max(0, row) :, max(0, column) :][: mask.shape[0], : mask.shape[1]]
    part[:] = mask[max(0, -row) :, max(0, -column) :][: part.shape[0], : part.shape[1]]
    side = 2 * round(NEAR_MM / defect.mm_per_px) + 1
    return pixels, np.asarray(cv2.dilate(placed, np.ones((side, side), np.uint8)) > 0)


def ratios_of(scorer: Scorer, pixels: Pixels, style: str, *, name: str) -> Scores:
    """A picture's map in units of the threshold: (H, W, 3) -> (H, W). Raises `CrasError`."""
    return _ratios(scorer, pixels, style, name=name)[0]


def _ratios(scorer: Scorer, pixels: Pixels, style: str, *, name: str) -> tuple[Scores, NDArray[np.float64], int]:
    """The picture's map in units of the threshold (H, W), each tile's highest (N,), and tiles in a row."""
    side = scorer.tile_px
    cut = cut_to_tiles(pixels, tile_px=side, name=name)
    scored = scorer.score(cut.tiles, style=style)
    ratios = np.zeros(pixels.shape[:2], np.float32)
    own = scored.maps / scored.thresholds[:, None, None]
    for (top, left), each in zip(_corners(pixels.shape, side), own, strict=True):
        part = ratios[top : top + side, left : left + side]
        np.maximum(part, each, out=part)
    return ratios, (scored.scores / scored.thresholds).astype(np.float64), cut.columns


def _corners(shape: Sequence[int], side: int) -> list[tuple[int, int]]:
    """Of the tiles of `cut_to_tiles`, in its order."""
    starts = []
    for length in shape[:2]:
        own = list(range(0, length - side + 1, side))
        starts.append(own if own[-1] + side == length else [*own, length - side])
    return [(top, left) for top in starts[0] for left in starts[1]]
