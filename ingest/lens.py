"""Dirt on the lens: a column of the camera that stands out metre after metre.

Each frame's column means are put in units of their surroundings. Their median over the last metres (in a median a
defect here and there does not count) is taken in camera columns and in fabric columns: dirt stays with the camera, a
stripe of the fabric with the fabric. Where the fabric wanders sideways the two are told apart; where it does not, only
what was not there at the start is told of, and may as well be a running warp fault.
"""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FRAMES = 16  # in the window
APART_MM = 125.0  # of them, at least: the window is 2 m and more
AROUND_PX = 129
LEAST_SHARE = 0.04  # of the level
OUTSTANDING = 8.0  # times the usual deviation of columns
WANDER_PX = 4.0  # standard deviation of the fabric's left edge
FABRIC_SHARE = 0.7  # of a deviation that is found in fabric columns too, to be the fabric's
EDGE_PX = 16  # beside the fabric's edges nothing is told


class Lens:
    """One camera's."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another fabric."""
        self._window: deque[tuple[int, Floats]] = deque(maxlen=FRAMES)  # (left edge, columns) of frames
        self._since_mm = APART_MM
        self._start: Floats | None = None  # what the first window showed, in camera columns
        self._warning = ""

    def look(self, columns: Floats, *, left_px: int, width_px: int, length_mm: float) -> str:
        """columns: (fabric width,) mean grey levels of a frame. "" or the warning with the camera's column."""
        if self._start is not None and self._start.size != width_px:
            self.reset()
        self._since_mm += length_mm
        if self._since_mm >= APART_MM:
            self._since_mm = 0.0
            self._window.append((left_px, _apart(columns)))
            if len(self._window) == FRAMES:
                self._warning = self._judge(width_px)
        return self._warning

    def _judge(self, width_px: int) -> str:
        lefts = [left for left, _ in self._window]
        in_camera = _median([(left, columns) for left, columns in self._window], width_px)
        if self._start is None:
            self._start = in_camera
        wanders = float(np.std(lefts)) >= WANDER_PX
        deviation = in_camera if wanders else in_camera - self._start
        usual = 1.4826 * float(np.median(np.abs(deviation - np.median(deviation))))
        dirty = np.abs(deviation) > max(LEAST_SHARE, OUTSTANDING * usual)
        if wanders:
            in_fabric = _median([(0, columns) for _, columns in self._window], width_px)
            for left in set(lefts):
                explained = np.zeros(width_px, np.float32)
                explained[left:] = in_fabric[: width_px - left]
                dirty &= np.abs(explained) < FABRIC_SHARE * np.abs(deviation)
        dirty[: max(lefts) + EDGE_PX] = False
        dirty[max(min(left + columns.size for left, columns in self._window) - EDGE_PX, 0) :] = False
        if not dirty.any():
            return ""
        return f"dirty_lens: camera column {int(np.argmax(np.where(dirty, np.abs(deviation), 0.0)))}"


def _apart(columns: Floats) -> Floats:
    """(W,) each column beside the mean of those around it, as a share."""
    row = np.asarray(columns, np.float32)[None, :]
    around = cv2.blur(row, (AROUND_PX, 1), borderType=cv2.BORDER_REFLECT)
    apart = cv2.blur(row, (3, 1), borderType=cv2.BORDER_REFLECT) / np.maximum(around, 1.0) - 1
    return np.asarray(apart[0], np.float32)


def _median(placed: list[tuple[int, Floats]], width_px: int) -> Floats:
    """(width_px,) the median of rows that begin at their own column; where there is no fabric, 0."""
    rows = np.zeros((len(placed), width_px), np.float32)
    for row, (start, columns) in zip(rows, placed, strict=True):
        end = min(start + columns.size, width_px)
        row[start:end] = columns[: end - start]
    return np.asarray(np.median(rows, axis=0), np.float32)
