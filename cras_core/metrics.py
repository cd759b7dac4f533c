"""AUROC, average precision, F1-max and AUPRO, from raw scores and truth, by scikit-learn. Pure functions.

Up to `EXACT` values are handed over as they are. More (the pixels of a class are tens of millions) are first counted on
a grid of a million score levels, at most 2^-16 of the highest score apart, and the counts are handed over as sample
weights: on woven cloth no figure differed from the exact one by as much as 1e-4, and memory beyond the arrays
themselves no longer grows with them (some tens of MB), where scikit-learn takes about 55 bytes a pixel.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

Values = NDArray[np.float32]
Truth = NDArray[np.bool_]
Weights = NDArray[np.float64]

EXACT = 1_000_000  # values
PRO_LIMIT = 0.3  # false positive rate
MANTISSA_BITS = 16  # kept of float32's 23


def auroc(scores: Values, truth: Truth) -> float | None:
    """Area under the ROC curve, ties counting half; None when only one kind is there."""
    if not _both(truth):
        return None
    cases = _Cases.of(scores, truth)
    return float(roc_auc_score(cases.truth, cases.scores, sample_weight=cases.weights))


def average_precision(scores: Values, truth: Truth) -> float | None:
    """Sum over thresholds of precision times the step in recall; None when only one kind is there."""
    if not _both(truth):
        return None
    cases = _Cases.of(scores, truth)
    return float(average_precision_score(cases.truth, cases.scores, sample_weight=cases.weights))


def f1_max(scores: Values, truth: Truth) -> float | None:
    """The largest F1 that any threshold reaches; None when only one kind is there. It knows the truth: no threshold
    set without labels is that good."""
    if not _both(truth):
        return None
    cases = _Cases.of(scores, truth)
    precision, recall, _ = precision_recall_curve(cases.truth, cases.scores, sample_weight=cases.weights)
    both = precision + recall
    return float(np.max(2 * precision * recall / np.where(both > 0, both, 1)))


def aupro(maps: Values, masks: Truth, *, limit: float = PRO_LIMIT) -> float | None:
    """Area under the per-region overlap up to a false positive rate of `limit`, over `limit`.

    maps, masks: (N, H, W). A region is an 8-connected part of a mask; each counts the same, whatever its size, so the
    curve is the ROC curve of pixels that weigh one over their region's size. None when there is no region or no normal
    pixel. (Bergmann et al., MVTec AD, IJCV 2021)
    """
    if not _both(masks):
        return None
    cases = _Cases.of(maps, masks, weights=region_weights(masks)[0])
    rate, overlap, _ = roc_curve(cases.truth, cases.scores, sample_weight=cases.weights)
    inside = rate <= limit
    at_limit = np.interp(limit, rate, overlap)
    return float(np.trapezoid([*overlap[inside], at_limit], [*rate[inside], limit]) / limit)


def region_weights(masks: Truth) -> tuple[Values, NDArray[np.int64]]:
    """Of masks (N, H, W): each pixel's weight (N, H, W), 1 over its region's size and 1 outside; each one's regions
    (N,)."""
    weights = np.ones(masks.shape, np.float32)
    regions = np.zeros(len(masks), np.int64)
    for index in np.flatnonzero(masks.any(axis=(1, 2))):
        mask = masks[index]
        labels, regions[index] = label(mask, structure=np.ones((3, 3)))
        weights[index][mask] = 1 / np.bincount(labels.ravel())[labels[mask]]
    return weights, regions


@dataclass(frozen=True, slots=True)
class Curves:
    """ROC (false_rate, hit_rate) and PR (recall, precision), each from the highest threshold down."""

    false_rate: Weights
    hit_rate: Weights
    recall: Weights
    precision: Weights


def curves(scores: Values, truth: Truth, *, points: int = 400) -> Curves | None:
    """Both curves, thinned to about so many points for drawing; None when only one kind is there."""
    if not _both(truth):
        return None
    cases = _Cases.of(scores, truth)
    false_rate, hit_rate, _ = roc_curve(cases.truth, cases.scores, sample_weight=cases.weights)
    precision, recall, _ = precision_recall_curve(cases.truth, cases.scores, sample_weight=cases.weights)
    precision, recall = precision[-2::-1], recall[-2::-1]  # without the point at precision 1 that no threshold reaches
    roc, pr = _thin(false_rate, hit_rate, points), _thin(recall, precision, points)
    return Curves(false_rate=false_rate[roc], hit_rate=hit_rate[roc], recall=recall[pr], precision=precision[pr])


def _thin(x: Weights, y: Weights, points: int) -> NDArray[np.int64]:
    """Indices of about `points` places evenly along a curve, the first and last among them."""
    along = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    found = np.searchsorted(along, np.linspace(0, along[-1], points))
    return np.unique(np.concatenate([[0], np.minimum(found, len(along) - 1), [len(along) - 1]]))


def _both(truth: Truth) -> bool:
    return bool(truth.any()) and not bool(truth.all())


@dataclass(frozen=True, slots=True)
class _Cases:
    """What scikit-learn gets, each (n,); weights None: all 1."""

    scores: NDArray[np.floating]
    truth: Truth
    weights: NDArray[np.floating] | None

    @classmethod
    def of(cls, scores: Values, truth: Truth, *, weights: Values | None = None) -> Self:
        if scores.size <= EXACT:
            return cls(scores.ravel(), truth.ravel(), None if weights is None else weights.ravel())
        lowest, highest = float(scores.min()), float(scores.max())
        last = int(_places(np.asarray([highest], np.float32), lowest, highest)[0])
        counts = np.zeros((2, last + 1))
        for start in range(0, scores.size, EXACT):
            part = np.s_[start : start + EXACT]
            places = _places(scores.ravel()[part], lowest, highest)
            places += counts.shape[1] * truth.ravel()[part]
            weigh = None if weights is None else weights.ravel()[part]
            counts += np.bincount(places, weights=weigh, minlength=counts.size).reshape(counts.shape)
        kinds, levels = np.nonzero(counts)
        return cls(levels.astype(np.float64), kinds == 1, counts[kinds, levels])


def _places(scores: Values, lowest: float, highest: float) -> NDArray[np.int64]:
    """Each score's level, from 0 on: (n,) -> (n,). In order, and equal where scores agree to 16 binary digits.

    Positive floats are ordered as their bits are. Scores are moved up to begin at 2^-14 of their span, so that there
    are never more than a million levels.
    """
    begin = np.float32((highest - lowest) * 2.0**-14 or 1)
    bits = (np.asarray(scores, np.float32) - np.float32(lowest) + begin).view(np.uint32)
    return ((bits - begin.view(np.uint32)) >> (23 - MANTISSA_BITS)).astype(np.int64)
