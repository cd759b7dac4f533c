"""Parity: whether another runtime decides as PyTorch in float32 does. None that has not passed is ever used.

Compared on the bundle's own normal tiles, each as it is, with a defect drawn in and with a faint one, so that both
sides of the threshold are there. Errors are in units of what matters: of the threshold, or of the score where that is
higher.
"""

import statistics
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cras_core.graph import ROUTE
from cras_core.metrics import auroc
from cras_core.runtimes.base import Answer, Runtime

BATCH = 8
NEAR = 0.1  # of the threshold: scores this close to it may fall on either side
# Of a plain defect's contrast. Plain ones alone any runtime ranks above all normal tiles; fainter ones lie so deep
# among them that any rounding deals their ranks by chance.
FAINT = 0.5


class Drawn(NamedTuple):
    """tiles: (M, T, T, 3); defects: (M, T, T), where they were drawn in."""

    tiles: NDArray[np.uint8]
    defects: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """score_error, map_error: 95 % of image scores, and of map pixels over half the threshold, are off by at most this
    share of the threshold or of themselves; mask_iou: of what lies over the threshold, all tiles together; decisions:
    share of tiles decided alike, those `NEAR` the threshold aside; routing: share compared with the same style;
    image_auroc_loss, pixel_auroc_loss: how much lower AUROC of the drawn defects is, mean of the styles;
    image_auroc_error: the standard error of the former, which so few tiles show roughly."""

    score_error: float
    map_error: float
    mask_iou: float
    decisions: float
    routing: float
    image_auroc_loss: float
    image_auroc_error: float
    pixel_auroc_loss: float
    tiles: int

    @property
    def image_auroc_surely_lost(self) -> float:
        return self.image_auroc_loss - 2 * self.image_auroc_error

    def problem(self, *, exact: bool) -> str:
        """Why it does not pass, "" when it does. exact: for runtimes that compute in float32."""
        limits = EXACT if exact else CLOSE
        for name, (sign, limit) in limits.items():
            value = getattr(self, name)
            if not sign * value >= sign * limit:  # NaN does not pass
                return f"{name.replace('_', ' ')} is {value:.4g}, allowed is {limit:g}"
        return ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Limits = dict[str, tuple[int, float]]  # 1: at least, -1: at most
EXACT: Limits = {
    "score_error": (-1, 1e-3),
    "map_error": (-1, 1e-3),
    "mask_iou": (1, 0.999),
    "decisions": (1, 1.0),
    "routing": (1, 1.0),
}
CLOSE: Limits = {
    "score_error": (-1, 0.1),
    "map_error": (-1, 0.15),
    "mask_iou": (1, 0.9),
    "decisions": (1, 0.98),
    "routing": (1, 0.95),
    "image_auroc_surely_lost": (-1, 0.003),
    "pixel_auroc_loss": (-1, 0.003),
}


def compare(runtime: Runtime, reference: Runtime, drawn: Drawn, thresholds: NDArray[np.float32]) -> Parity:
    """drawn: such as `with_defects` gives, at least one tile; thresholds: (S,) a style."""
    return compare_answers(run(runtime, drawn.tiles), run(reference, drawn.tiles), drawn.defects, thresholds)


def compare_answers(
    found: Answer, wanted: Answer, defects: NDArray[np.bool_], thresholds: NDArray[np.float32]
) -> Parity:
    """`compare` of answers that are there already."""
    limit = thresholds[wanted.styles]
    apart = np.abs(found.scores - wanted.scores) / np.maximum(wanted.scores, limit)
    at = np.broadcast_to(limit[:, None, None], wanted.maps.shape)
    high = wanted.maps > at / 2
    off = np.abs(found.maps - wanted.maps)[high] / np.maximum(wanted.maps, at)[high]
    over, truly = found.maps > thresholds[found.styles][:, None, None], wanted.maps > at
    clear = np.abs(wanted.scores - limit) > NEAR * limit
    same = (found.scores > thresholds[found.styles]) == (wanted.scores > limit)
    union = int((over | truly).sum())
    image_loss, image_error, pixel_loss = auroc_losses(found, wanted, defects)
    return Parity(
        score_error=float(np.quantile(apart, 0.95)),
        map_error=float(np.quantile(off, 0.95)) if off.size else 0.0,
        mask_iou=int((over & truly).sum()) / union if union else 1.0,
        decisions=float(same[clear].mean()) if clear.any() else 1.0,
        routing=float((found.styles == wanted.styles).mean()),
        image_auroc_loss=image_loss,
        image_auroc_error=image_error,
        pixel_auroc_loss=pixel_loss,
        tiles=len(limit),
    )


def run(runtime: Runtime, tiles: NDArray[np.uint8]) -> Answer:
    """All tiles, each finding its own style."""
    parts = [
        runtime.score(tiles[start : start + BATCH], np.full(len(tiles[start : start + BATCH]), ROUTE, np.int64))
        for start in range(0, len(tiles), BATCH)
    ]
    maps, scores, styles = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Answer(maps, scores, styles)


def auroc_losses(found: Answer, wanted: Answer, defects: NDArray[np.bool_]) -> tuple[float, float, float]:
    """AUROC that `found` lacks, means of the styles: of images, with its standard error, and of pixels. NaN where it
    gives no numbers.

    AUROC of images is the share of pairs, a normal tile and one with a defect, that are ranked rightly; the error is
    from how much that differs from tile to tile on either side (DeLong 1988).
    """
    if not np.isfinite(found.maps).all() or not np.isfinite(found.scores).all():
        return np.nan, np.nan, np.nan
    spoiled = np.asarray(defects.any((1, 2)))
    images, variances, pixels = [], [], []
    for style in np.unique(wanted.styles):
        own = wanted.styles == style
        right = [_ranked_rightly(each.scores[own], spoiled[own]) for each in (found, wanted)]
        reference, got = (auroc(each.maps[own], defects[own]) for each in (wanted, found))
        if reference is None or got is None or not right[0].size:
            continue
        lost = right[1] - right[0]
        images.append(float(lost.mean()))
        variances.append(sum(float(lost.mean(axis).var()) / lost.shape[1 - axis] for axis in (0, 1)))
        pixels.append(reference - got)
    if not images:
        return 0.0, 0.0, 0.0
    return statistics.fmean(images), sum(variances) ** 0.5 / len(images), statistics.fmean(pixels)


def _ranked_rightly(scores: NDArray[np.float32], spoiled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,), (n,) -> (spoiled, normal): 1 where the spoiled tile scores higher, 0.5 where alike."""
    high, low = scores[spoiled][:, None], scores[~spoiled]
    return np.asarray((high > low) + 0.5 * (high == low))


def with_defects(tiles: NDArray[np.uint8], *, seed: int = 0) -> Drawn:
    """(N, T, T, 3) normal tiles -> 3 N: each as it is, with a stain, a thick thread or a hole drawn in, and with a
    faint one elsewhere."""
    random = np.random.default_rng(seed)
    drawn = np.repeat(tiles, 3, axis=0)
    defects = np.zeros(drawn.shape[:3], np.bool_)
    side = tiles.shape[1]
    for place in range(len(drawn)):
        index, version = divmod(place, 3)
        if version == 0:
            continue
        x, y = (int(v) for v in random.integers(side // 4, 3 * side // 4, 2))
        size = int(random.integers(max(2, side // 64), max(3, side // 12)))
        mask = np.zeros((side, side), np.uint8)
        if index % 3 == 0:
            cv2.line(mask, (0, y), (side - 1, y), 255, max(1, size // 4))
        else:
            cv2.ellipse(mask, (x, y), (size, max(1, size // 2)), 30 * index, 0, 360, 255, -1)
        shade = (0.55, 1.5, 0.15)[index % 3]
        if version == 2:
            shade = 1 + FAINT * (shade - 1)
        defects[place] = inside = mask > 0
        drawn[place][inside] = np.clip(drawn[place][inside] * shade, 0, 255).astype(np.uint8)
    return Drawn(drawn, defects)
