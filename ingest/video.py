"""A video file as a camera: its frames are area frames, laid one after the other along the roll."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ingest.shots import Shot, Source
from inspection.errors import SourceError
from inspection.types import Pixels

log = logging.getLogger(__name__)


class VideoSource(Source):
    """Raises `SourceError` when the file cannot be opened, or not one frame of it decoded.

    A frame that cannot be decoded is a shot without pixels; how many frames there are is taken from the file's header.
    """

    live = False

    def __init__(self, path: Path, *, mm_per_px: float) -> None:
        super().__init__()
        self._path = path
        self._mm_per_px = mm_per_px
        self._video = cv2.VideoCapture(str(path))
        decoded, first = self._video.read() if self._video.isOpened() else (False, None)
        if not decoded or first is None:
            self._video.release()
            raise SourceError(f"{path} cannot be decoded as a video: convert it, for example to H.264 in MP4")
        self._first = first
        self._frames = max(int(self._video.get(cv2.CAP_PROP_FRAME_COUNT)), 1)

    def shots(self) -> Iterator[Shot]:
        try:
            yield from self._read()
        finally:
            self._video.release()

    def _read(self) -> Iterator[Shot]:
        position_mm = 0.0
        length_mm = self._first.shape[0] * self._mm_per_px
        number = 0
        missing = 0
        while not self._closed.is_set():
            decoded, pixels = (True, self._first) if number == 0 else self._video.read()
            if not decoded:
                if number + missing >= self._frames:
                    break
                missing += 1  # told of when it is known how many there are in a row
                continue
            if missing:
                yield self._shot(None, number, position_mm, missing * length_mm, problem=self._problem(number, missing))
                position_mm, number, missing = position_mm + missing * length_mm, number + missing, 0
            yield self._shot(_as_frame(pixels), number, position_mm, length_mm)
            position_mm += length_mm
            number += 1
        if missing:
            yield self._shot(None, number, position_mm, missing * length_mm, problem=self._problem(number, missing))

    def _problem(self, number: int, missing: int) -> str:
        frames = f"frame {number}" if missing == 1 else f"frames {number} to {number + missing - 1}"
        why = f"{self._path.name}: {frames} cannot be decoded"
        log.warning("in %s: %s", self._path.parent, why)
        return f"unreadable: {why}"

    def _shot(
        self, pixels: Pixels | None, number: int, position_mm: float, length_mm: float, *, problem: str = ""
    ) -> Shot:
        return Shot(
            pixels=pixels,
            problem=problem,
            origin=f"{self._path.name}#{number}",
            captured_at_ns=time.time_ns(),
            position_mm=position_mm,
            length_mm=length_mm,
        )


def _as_frame(pixels: np.ndarray) -> Pixels:
    """What OpenCV decodes, (H, W, 3) BGR, as RGB."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
