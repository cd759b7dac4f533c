"""A real ingest process over a replayed camera, to be killed: SPOOL ENDPOINT FRAMES MEMORY_MB LIVE."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ingest.service import run_ingest
from ingest.shots import Shot, Source
from inspection.settings import CameraSettings, IngestSettings

HEIGHT_PX, WIDTH_PX, MM_PER_PX = 64, 512, 0.5


class Loom(Source):
    """Woven noise, every seventh frame unreadable; as fast as it is taken, or a frame every 2 ms."""

    def __init__(self, frames: int, *, live: bool) -> None:
        super().__init__()
        self.live = live
        self._frames = frames

    def shots(self) -> Iterator[Shot]:
        y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
        woven = (110 + 30 * ((x // 2 + y // 2) % 2) + np.random.default_rng(0).normal(0, 4, x.shape)).astype(np.uint8)
        for place in range(self._frames):
            if self._closed.wait(0.002 if self.live else 0.0):
                return
            bad = place % 7 == 6
            yield Shot(
                pixels=None if bad else woven,
                problem=f"unreadable: {place}.png" if bad else "",
                origin=f"{place}.png",
                captured_at_ns=1_700_000_000_000_000_000 + place,
                position_mm=place * HEIGHT_PX * MM_PER_PX,
                length_mm=HEIGHT_PX * MM_PER_PX,
            )


def main(spool: str, endpoint: str, frames: str, memory_mb: str, live: str) -> None:
    settings = IngestSettings(
        cameras=(CameraSettings(name="camera-1", source="loom", mm_per_px=MM_PER_PX),),
        endpoint=endpoint,
        spool_dir=Path(spool),
        spool_memory_mb=int(memory_mb),
        spool_disk_mb=1,
        tile_px=64,
        heartbeat_s=0.1,
    )
    run_ingest(settings, threading.Event(), open_source=lambda camera: Loom(int(frames), live=live == "live"))


if __name__ == "__main__":
    main(*sys.argv[1:])
