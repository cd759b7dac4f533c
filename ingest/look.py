"""One picture of a camera, before anything is made of it: does it open, and where does it see fabric?"""

import threading
from dataclasses import dataclass

import cv2

from ingest.camera import OpenSource
from ingest.edges import find_edges
from ingest.sources import open_source
from inspection.errors import SourceError
from inspection.settings import CameraSettings
from inspection.types import Pixels

PATIENCE_S = 15.0
SHOWN_PX = 1600  # longest side of the picture
EDGE_BGR = (133, 110, 15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`fabric`: from and to, in px from the left; None where no fabric was found. `level`: its mean, 0 to 255."""

    width_px: int
    height_px: int
    fabric: tuple[int, int] | None
    level: float
    jpeg: bytes


def look_at(camera: CameraSettings, *, patience_s: float = PATIENCE_S, open_source: OpenSource = open_source) -> Look:
    """The camera's next picture, in small, the fabric's edges drawn. Raises `SourceError`, also when none comes."""
    problem = ""
    with open_source(camera.model_copy(update={"follow": False})) as source:
        timer = threading.Timer(patience_s, source.close)
        timer.daemon = True
        timer.start()
        try:
            for shot in source.shots():
                if shot.pixels is not None:
                    return _seen(shot.pixels)
                problem = shot.problem
        finally:
            timer.cancel()
    if problem:
        raise SourceError(f"camera {camera.name} gave no picture that can be read ({problem})")
    raise SourceError(
        f"camera {camera.name} answers, but gave no picture within {patience_s:g} s: a line-scan camera gives one only "
        "while the cloth moves"
    )


def _seen(pixels: Pixels) -> Look:
    height, width = pixels.shape[:2]
    fabric = find_edges(pixels)
    inside = pixels if fabric is None else pixels[:, fabric[0] : fabric[1]]
    shown = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR if pixels.ndim == 2 else cv2.COLOR_RGB2BGR)
    scale = min(1.0, SHOWN_PX / max(height, width))
    shown = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else shown
    for edge in fabric or ():
        column = min(round(edge * scale), shown.shape[1] - 1)
        cv2.line(shown, (column, 0), (column, shown.shape[0] - 1), EDGE_BGR, max(2, shown.shape[1] // 300))
    _done, jpeg = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return Look(width_px=width, height_px=height, fabric=fabric, level=float(inside.mean()), jpeg=jpeg.tobytes())
