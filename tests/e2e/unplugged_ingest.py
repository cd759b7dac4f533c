"""`loomwatch ingest` whose camera is unplugged after some frames, for as long as a file is there: FRAMES FILE."""

import sys
from collections.abc import Iterator
from pathlib import Path

from ingest import camera as camera_module
from ingest import service
from ingest.shots import Shot, Source
from ingest.sources import open_source
from inspection.errors import SourceError
from inspection.logs import start_logging
from inspection.settings import CameraSettings, IngestSettings, load
from loomwatch.stopping import stop_on_signal
from loomwatch.supervisor import watch_parent

FRAMES, UNPLUGGED = int(sys.argv[1]), Path(sys.argv[2])


class Unplugged(Source):
    """A source that fails after FRAMES when the file appears, and cannot be opened as long as it is there."""

    live = True

    def __init__(self, camera: CameraSettings) -> None:
        super().__init__()
        if UNPLUGGED.exists():
            raise SourceError("the camera does not answer")
        self._source = open_source(camera)

    def shots(self) -> Iterator[Shot]:
        for number, shot in enumerate(self._source.shots()):
            if number == FRAMES and not UNPLUGGED.with_suffix(".over").exists():
                UNPLUGGED.touch()
                raise SourceError("the camera was unplugged")
            yield shot

    def close(self) -> None:
        super().close()
        self._source.close()


camera_module.BACK_OFF_S = (0.2,)
start_logging("ingest", level="info", file=None)
with stop_on_signal() as stop:
    watch_parent(stop)
    service.run_ingest(load(IngestSettings), stop, open_source=Unplugged)
