"""AUROC, average precision and AUPRO, from scores and truth. Pure functions; ties count half, as they should."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

Values = NDArray[np.float32]
Truth = NDArray[np.bool_]


def auroc(scores: Values, truth: Truth) -> float | None:
    """Area under the ROC curve; None when only one kind is there."""
    hits, alarms = _curve(scores, truth)
    if not hits[-1] or not alarms[-1]:
        return None
    return float(np.trapezoid(hits, alarms) / hits[-1] / alarms[-1])


def average_precision(scores: Values, truth: Truth) -> float | None:
    """Sum over thresholds of precision times the step in recall; None when only one kind is there."""
    hits, alarms = _curve(scores, truth)
    if not hits[-1] or not alarms[-1]:
        return None
    return float((np.diff(hits) * hits[1:] / (hits[1:] + alarms[1:])).sum() / hits[-1])


def aupro(maps: Values, masks: Truth, *, limit: float = 0.3) -> float | None:
    """Area under the per-region overlap up to a false positive rate of `limit`, over `limit`.

    maps, masks: (N, H, W). A region is an 8-connected part of a mask; each counts the same, whatever its size.
    None when there is no region or no normal pixel.
    """
    weights = np.zeros(masks.shape, np.float64)
    regions = 0
    for mask, weight in zip(masks, weights, strict=True):
        if not mask.any():
            continue
        labels, count = label(mask, structure=np.ones((3, 3)))
        weight[mask] = 1 / np.bincount(labels.ravel())[labels[mask]]
        regions += count
    normal = masks.size - int(masks.sum())
    if not regions or not normal:
        return None
    overlap, alarms = _curve(maps, masks, weights=weights)
    overlap, rate = overlap / regions, alarms / normal
    inside = rate <= limit
    at_limit = np.interp(limit, rate, overlap)
    return float(np.trapezoid([*overlap[inside], at_limit], [*rate[inside], limit]) / limit)


def _curve(
    scores: NDArray[np.floating], truth: Truth, *, weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much truth (by weight) and how much else lies at or above each threshold, from none to all; equal scores
    are one step."""
    flat = scores.ravel()
    order = np.argsort(-flat, kind="stable")
    ordered = flat[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1) if len(ordered) else np.empty(0, np.int64)
    wanted = truth.ravel()[order]
    gains = wanted.astype(np.float64) if weights is None else weights.ravel()[order]
    hits = np.concatenate([[0.0], np.cumsum(gains)[ends]])
    alarms = np.concatenate([[0.0], np.cumsum(~wanted, dtype=np.float64)[ends]])
    return hits, alarms
