"""A network camera's stream, `rtsp://USER:PASSWORD@HOST/PATH`, decoded by OpenCV's FFmpeg. For area cameras without a
link to an encoder: their frames are laid one behind the other, and what the stream's own times leave out was lost.
"""

import time
from collections import deque
from collections.abc import Iterator
from statistics import median
from urllib.parse import urlsplit

import cv2
import numpy as np

from ingest.live_source import LiveSource
from ingest.shots import Shot
from ingest.track import Grab
from inspection.endpoints import without_password
from inspection.errors import SourceAwayError, SourceError
from inspection.settings import CameraSettings

SCHEMES = ("rtsp://", "rtsps://")
TIMEOUT_MS = 4000  # of an answer, and between frames
KNOWN_FRAMES = 10  # before their usual distance in time is known


class RtspSource(LiveSource):
    """Raises `SourceError` for an address without a host, `SourceAwayError` when no stream answers there."""

    def __init__(self, camera: CameraSettings) -> None:
        super().__init__(camera)
        self._shown = without_password(camera.source)
        if not urlsplit(camera.source).hostname:
            raise SourceError(f"camera {camera.name}: {self._shown} names no host: give rtsp://HOST/PATH")
        if camera.encoder_mm_per_tick or camera.features:
            setting = "features" if camera.features else "encoder_mm_per_tick"
            raise SourceError(f"camera {camera.name}: {setting} is set, but an RTSP camera knows none: leave it out")
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
        self._video = cv2.VideoCapture(camera.source, cv2.CAP_FFMPEG, timeouts)
        if not self._video.isOpened():
            raise SourceAwayError(
                f"camera {camera.name}: no stream answers at {self._shown}: check address, user, password and network"
            )

    def shots(self) -> Iterator[Shot]:
        numbers = FrameNumbers()
        try:
            while not self._closed.is_set():
                decoded, pixels = self._video.read()
                if self._closed.is_set():
                    return
                if not decoded:
                    raise SourceAwayError(f"camera {self._camera.name}: the stream of {self._shown} broke off")
                self.hear()
                stream_ms = float(self._video.get(cv2.CAP_PROP_POS_MSEC))
                grab = Grab(
                    pixels=np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8),
                    lines=pixels.shape[0],
                    received_ns=time.time_ns(),
                    frame_id=numbers.next(stream_ms),
                    device_ns=round(stream_ms * 1e6) if stream_ms > 0 else None,
                )
                yield from self._track.shots(grab)
        finally:
            self._video.release()


class FrameNumbers:
    """Numbers of frames from the times of the stream, which has none: a distance of two or more of the usual ones
    leaves out what should have lain between."""

    def __init__(self) -> None:
        self._number = 0
        self._last_ms: float | None = None
        self._steps: deque[float] = deque(maxlen=3 * KNOWN_FRAMES)

    def next(self, stream_ms: float) -> int:
        """`stream_ms`: 0 for a stream that does not tell."""
        step_ms = stream_ms - self._last_ms if self._last_ms is not None else 0.0
        self._last_ms = stream_ms
        usual_ms = median(self._steps) if len(self._steps) >= KNOWN_FRAMES else step_ms
        if step_ms > 0:
            self._steps.append(step_ms)
        self._number += max(1, round(step_ms / usual_ms)) if step_ms > 0 and usual_ms > 0 else 1
        return self._number
