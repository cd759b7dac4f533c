"""What the screens are shown of each camera: its last inspected frame with speed and score, and every frame in small
for the picture of the cloth as it runs. Lost without harm when Redis is away."""

import time
from dataclasses import dataclass

from inference_worker import pictures
from inference_worker.figures import Figures
from inference_worker.inspect import Inspected
from inspection.types import warnings_of
from storage.live import Live, LiveCamera, StripPiece

SHOW_S = 0.5  # between pictures of a camera: a screen looks once a second, and drawing one costs as much as storing
LONGEST_PX = 1280
STRIP_PX = 400  # across, of a frame on the picture of the running cloth
STRIP_LONGEST_PX = 1600
STRIP_ROWS = 4  # of the frame that are averaged into one of the picture: all of them cost ten times as much


@dataclass(slots=True)
class _Seen:
    at_ns: int
    position_mm: float
    speed_m_min: float = 0.0
    shown_at: float = 0.0
    unshown: Inspected | None = None


class Screen:
    """`take` each frame; `show` often, also when there is nothing else to do: the last frame before a stop is shown."""

    def __init__(self, live: Live, figures: Figures) -> None:
        self._live = live
        self._figures = figures
        self._cameras: dict[str, _Seen] = {}

    def take(self, inspected: Inspected) -> None:
        header = inspected.report.header
        before = self._cameras.get(header.camera)
        seen = _Seen(header.captured_at_ns, header.position_mm, unshown=inspected)
        if before is not None:
            seen.shown_at = before.shown_at
            moved_mm, took_ns = seen.position_mm - before.position_mm, seen.at_ns - before.at_ns
            if moved_mm > 0 and took_ns > 0:
                seen.speed_m_min = moved_mm * 60 / 1000 / (took_ns / 1e9)
        self._cameras[header.camera] = seen
        self._publish_strip(inspected)

    def show(self) -> None:
        now = time.monotonic()
        for seen in self._cameras.values():
            if seen.unshown is not None and now - seen.shown_at >= SHOW_S:
                seen.shown_at = now
                self._publish(seen.unshown, seen.speed_m_min)
                seen.unshown = None

    def _publish_strip(self, inspected: Inspected) -> None:
        header = inspected.report.header
        height, width = inspected.ratios.shape
        longest_px = min(STRIP_LONGEST_PX, round(STRIP_PX * max(height, width) / width))
        rows = pictures.small_size(height, width, longest_px=longest_px)[1]
        picture = pictures.preview(
            inspected.fabric(every_row=max(1, height // (STRIP_ROWS * rows))),
            inspected.ratios,
            inspected.report.defects,
            left_px=header.fabric_left_px,
            longest_px=longest_px,
        )
        self._live.publish_strip(
            StripPiece(
                line=header.line,
                camera=header.camera,
                captured_at_ns=header.captured_at_ns,
                position_mm=header.position_mm,
                length_mm=header.length_mm,
                x0_mm=header.x_offset_mm,
                x1_mm=header.x_offset_mm + (header.fabric_right_px - header.fabric_left_px) * header.mm_per_px,
                jpeg=pictures.encode(picture, suffix=".jpg"),
            )
        )

    def _publish(self, inspected: Inspected, speed_m_min: float) -> None:
        report, header = inspected.report, inspected.report.header
        left_px = header.fabric_left_px
        picture = pictures.preview(
            inspected.fabric(), inspected.ratios, report.defects, left_px=left_px, longest_px=LONGEST_PX
        )
        recent = self._figures.recent()
        self._live.publish_camera(
            LiveCamera(
                line=header.line,
                camera=header.camera,
                overlay_jpeg=pictures.encode(picture, suffix=".jpg"),
                position_mm=header.position_mm + header.length_mm,
                speed_m_min=speed_m_min,
                latency_ms=recent.latency_ms,
                tiles_per_s=recent.tiles_per_s,
                score=float(report.tile_scores.max()),
                threshold=report.threshold,
                model=report.model,
                at_ns=time.time_ns(),
                warnings=warnings_of(header.quality_flags),
            )
        )
