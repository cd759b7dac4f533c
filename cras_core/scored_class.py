"""The test pictures of one class, scored: what figures, the report and its examples are made of.

Pictures of another size are fitted to a tile as in training, masks by nearest neighbour.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from cras_core.attack import loss_gradient
from cras_core.dataset import GOOD, ClassFolder
from cras_core.disturbances import ATTACK, Disturbance, Disturbed
from cras_core.metrics import Truth, Values
from cras_core.pictures import Pixels, read_mask, read_picture, resize_to_tile
from cras_core.scoring import Scorer

READ_AT_ONCE = 32  # pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredClass:
    """All test pictures of one class, scored. N is `len(folder.test)`, T the tile's side.

    maps: (N, T, T) raw scores; masks: (N, T, T); scores, thresholds: (N,), a threshold is that of the style a picture
    was compared with; styles: those; anomalous: (N,).
    """

    folder: ClassFolder
    maps: Values
    masks: Truth
    scores: Values
    thresholds: Values
    styles: tuple[str, ...]
    anomalous: Truth
    resize_px: int = 0  # how its pictures are fitted to tiles, see `pictures.resize_to_tile`


def score_class(
    scorer: Scorer,
    folder: ClassFolder,
    *,
    style: str,
    disturbance: Disturbance | None,
    progress: Callable[[int], None],
) -> tuple[ScoredClass, float]:
    """One class, and how many seconds scoring took. Every picture is compared with `style`; empty: it is routed.

    `progress` gets the pictures done. Raises `PictureError`.
    """
    count, tile_px, resize_px = len(folder.test), scorer.tile_px, scorer.config.resize_px
    maps = np.empty((count, tile_px, tile_px), np.float32)
    masks = np.zeros(maps.shape, np.bool_)
    scores, thresholds = np.empty(count, np.float32), np.empty(count, np.float32)
    disturb = None
    if disturbance is not None:
        gradient = loss_gradient(scorer, style=style) if disturbance.kind == ATTACK else None
        disturb = partial(disturbance.apply, gradient=gradient)
    styles: list[str] = []
    seconds = 0.0
    for start in range(0, count, READ_AT_ONCE):
        part = np.s_[start : min(start + READ_AT_ONCE, count)]
        read = [
            read_test(folder, index, tile_px=tile_px, resize_px=resize_px, disturb=disturb)
            for index in range(count)[part]
        ]
        started = time.perf_counter()
        scored = scorer.score(np.stack([tile for tile, _ in read]), style=style)
        seconds += time.perf_counter() - started
        maps[part], scores[part], thresholds[part] = scored.maps, scored.scores, scored.thresholds
        masks[part] = [mask for _, mask in read]
        styles += scored.styles
        progress(part.stop)
    whole = ScoredClass(
        folder=folder,
        maps=maps,
        masks=masks,
        scores=scores,
        thresholds=thresholds,
        styles=tuple(styles),
        anomalous=np.asarray([each.kind != GOOD for each in folder.test]),
        resize_px=resize_px,
    )
    return whole, seconds


def read_test(
    folder: ClassFolder,
    index: int,
    *,
    tile_px: int,
    resize_px: int = 0,
    disturb: Callable[..., Disturbed] | None = None,
) -> tuple[Pixels, Truth]:
    """A test picture as a tile (T, T, 3), and its mask (T, T), empty for a good one. Raises `PictureError`."""
    picture = folder.test[index]
    pixels = read_picture(picture.path)
    tile = resize_to_tile(pixels, tile_px=tile_px, resize_px=resize_px)[0]
    mask = np.zeros((tile_px, tile_px), np.bool_)
    if picture.mask is not None:
        mask = read_mask(picture.mask, like=pixels.shape[:2], tile_px=tile_px, resize_px=resize_px)
    if disturb is None:
        return tile, mask
    return disturb(tile, mask, name=f"{folder.name}/{picture.kind}/{picture.path.name}")
