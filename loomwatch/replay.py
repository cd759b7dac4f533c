"""`python -m loomwatch.replay`: loomwatch ingest with a simulated camera whose frames are drawn once and given again
and again, so that a benchmark measures the line and not the drawing. What runs is otherwise the same, to the byte.

The frames lie in memory as a camera's driver would have left them; nothing copies them.
"""

from typing import cast

from ingest import service
from ingest.cloth import Cloth
from ingest.simulator import SimulatedCamera, read_url
from inspection.logs import start_logging
from inspection.settings import CameraSettings, IngestSettings, load
from inspection.types import Pixels
from loomwatch.stopping import stop_on_signal
from loomwatch.supervisor import watch_parent

FRAMES = 3


class Replayed:
    """What `SimulatedCamera` needs of a cloth: its first `FRAMES` frames over and over."""

    def __init__(self, cloth: Cloth, *, frame_lines: int) -> None:
        self.mm_per_px = cloth.mm_per_px
        self._frames = [cloth.lines(number * frame_lines, frame_lines) for number in range(FRAMES)]

    def lines(self, first: int, count: int) -> Pixels:
        return self._frames[first // count % FRAMES]


def open_replay(camera: CameraSettings) -> SimulatedCamera:
    """A camera as `sim://...`. Raises `SourceError`."""
    cloth, run = read_url(camera.source, mm_per_px=camera.mm_per_px)
    replayed = cast(Cloth, Replayed(cloth, frame_lines=camera.frame_lines))
    return SimulatedCamera(replayed, run, frame_lines=camera.frame_lines)


if __name__ == "__main__":
    start_logging("ingest", level="info", file=None)
    with stop_on_signal() as stop:
        watch_parent(stop)
        service.run_ingest(load(IngestSettings), stop, open_source=open_replay)
