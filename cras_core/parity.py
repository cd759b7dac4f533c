"""Parity: whether another runtime decides as PyTorch in float32 does. None that has not passed is ever used.

Compared on the bundle's own normal tiles, half of them with a defect drawn in, so that both sides of the threshold are
there. Errors are in units of what matters: of the threshold, or of the score where that is higher.
"""

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cras_core.graph import ROUTE
from cras_core.runtimes.base import Answer, Runtime

BATCH = 8
NEAR = 0.1  # of the threshold: scores this close to it may fall on either side


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """score_error, map_error: 95 % of image scores, and of map pixels over half the threshold, are off by at most this
    share of the threshold or of themselves; mask_iou: of what lies over the threshold, all tiles together; decisions:
    share of tiles decided alike, those `NEAR` the threshold aside; routing: share compared with the same style."""

    score_error: float
    map_error: float
    mask_iou: float
    decisions: float
    routing: float
    tiles: int

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
}


def compare(runtime: Runtime, reference: Runtime, tiles: NDArray[np.uint8], thresholds: NDArray[np.float32]) -> Parity:
    """tiles: (N, T, T, 3), N at least 1, such as `with_defects` gives; thresholds: (S,) a style."""
    return compare_answers(run(runtime, tiles), run(reference, tiles), thresholds)


def compare_answers(found: Answer, wanted: Answer, thresholds: NDArray[np.float32]) -> Parity:
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
    return Parity(
        score_error=float(np.quantile(apart, 0.95)),
        map_error=float(np.quantile(off, 0.95)) if off.size else 0.0,
        mask_iou=int((over & truly).sum()) / union if union else 1.0,
        decisions=float(same[clear].mean()) if clear.any() else 1.0,
        routing=float((found.styles == wanted.styles).mean()),
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


def with_defects(tiles: NDArray[np.uint8], *, seed: int = 0) -> NDArray[np.uint8]:
    """(N, T, T, 3) normal tiles -> a copy, every second one with a stain, a thick thread or a hole drawn in."""
    random = np.random.default_rng(seed)
    drawn = tiles.copy()
    side = tiles.shape[1]
    for index in range(1, len(drawn), 2):
        x, y = (int(v) for v in random.integers(side // 4, 3 * side // 4, 2))
        size = int(random.integers(max(2, side // 64), max(3, side // 12)))
        mask = np.zeros((side, side), np.uint8)
        if index % 3 == 0:
            cv2.line(mask, (0, y), (side - 1, y), 255, max(1, size // 4))
        else:
            cv2.ellipse(mask, (x, y), (size, max(1, size // 2)), 30 * index, 0, 360, 255, -1)
        shade = (0.55, 1.5, 0.15)[index % 3]
        inside = mask > 0
        drawn[index][inside] = np.clip(drawn[index][inside] * shade, 0, 255).astype(np.uint8)
    return drawn
