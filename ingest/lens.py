"""Dirt on the lens: a column of the camera that stands out metre after metre.

Each frame's column means, in units of their surroundings, are averaged in camera columns and in fabric columns. Dirt
stays with the camera, a stripe of the fabric with the fabric. Where the fabric wanders sideways the two are told apart;
where it does not, only what was not there at the start is told of, and may as well be a running warp fault.
"""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

AROUND_PX = 129
START = 16  # frames that tell what is there at the start
SLOW = 1 / 16  # share of a frame in the running mean
LEAST_MM = 2000.0  # of cloth, to be metre after metre
LEAST_SHARE = 0.04  # of the level
OUTSTANDING = 8.0  # times the usual deviation of columns
WANDER_PX = 4.0  # standard deviation of the fabric's left edge
FABRIC_SHARE = 0.7  # of a deviation: what the fabric explains of it, to be the fabric's
EDGE_PX = 8  # beside the fabric's edges nothing is told


class Lens:
    """One camera's."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another fabric."""
        self._frames = 0
        self._length_mm = 0.0
        self._edges: deque[int] = deque(maxlen=64)
        self._camera = self._fabric = self._start = np.zeros(0, np.float32)

    def look(self, columns: Floats, *, left_px: int, width_px: int, length_mm: float) -> str:
        """columns: (fabric width,) mean grey levels of a frame. "" or the warning with the camera's column."""
        if width_px != self._camera.size:
            self.reset()
            self._camera = self._fabric = np.full(width_px, np.nan, np.float32)
        apart = _apart(columns)
        in_camera = np.full(width_px, np.nan, np.float32)
        in_camera[left_px : left_px + apart.size] = apart
        in_fabric = np.full(width_px, np.nan, np.float32)
        in_fabric[: apart.size] = apart
        share = max(SLOW, 1 / (self._frames + 1))
        self._camera = _mean(self._camera, in_camera, share)
        self._fabric = _mean(self._fabric, in_fabric, share)
        self._edges.append(left_px)
        self._frames += 1
        self._length_mm += length_mm
        if self._frames == START:
            self._start = self._camera.copy()
        if self._frames < 2 * START or self._length_mm < LEAST_MM:
            return ""
        column = self._find(left_px, apart.size)
        return "" if column is None else f"dirty_lens: camera column {column}"

    def _find(self, left_px: int, fabric_px: int) -> int | None:
        inside = slice(left_px + EDGE_PX, left_px + fabric_px - EDGE_PX)
        seen = self._camera[inside]
        wanders = float(np.std(self._edges)) >= WANDER_PX
        deviation = seen if wanders else seen - self._start[inside]
        if deviation.size == 0 or np.isnan(deviation).all():
            return None
        usual = 1.4826 * float(np.nanmedian(np.abs(deviation - np.nanmedian(deviation))))
        dirty = np.abs(deviation) > max(LEAST_SHARE, OUTSTANDING * usual)
        if wanders:
            explained = self._fabric[EDGE_PX : fabric_px - EDGE_PX]
            dirty &= ~(np.abs(explained) >= FABRIC_SHARE * np.abs(deviation))
        if not dirty.any():
            return None
        return int(inside.start + np.nanargmax(np.where(dirty, np.abs(deviation), np.nan)))


def _apart(columns: Floats) -> Floats:
    """(W,) each column beside the mean of those around it, as a share."""
    row = np.asarray(columns, np.float32)[None, :]
    around = cv2.blur(row, (AROUND_PX, 1), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.blur(row, (3, 1), borderType=cv2.BORDER_REFLECT) / np.maximum(around, 1.0) - 1, np.float32)[0]


def _mean(before: Floats, new: Floats, share: float) -> Floats:
    """The running mean; a column that was not fabric yet takes the new value, one that is not now keeps its own."""
    mixed = before + share * (new - before)
    return np.where(np.isnan(new), before, np.where(np.isnan(before), new, mixed)).astype(np.float32)
