"""The golden roll of a line that does not run yet: taken from its camera directly, since there is no model by which a
worker could inspect anything. Of a camera one frame of each metre, of files every frame."""

import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from inference_worker.pictures import encode
from ingest.camera import OpenSource
from ingest.edges import find_edges
from ingest.shots import Shot, Source
from ingest.sources import open_source
from inspection.errors import LoomwatchError, SourceError
from inspection.line_setup import LineSetup
from inspection.settings import CameraSettings
from inspection.types import Pixels
from storage.database import Database
from storage.pictures import PictureStore
from storage.sample_captures import SampleCapture, count_taken, end_capture, get_capture
from storage.samples import Captured, add_sample

log = logging.getLogger(__name__)

PATIENCE = 50  # frames in a row without fabric
LOOK_S = 0.5  # between looks whether it is still wanted


def record_golden_roll(
    database: Database,
    pictures: PictureStore,
    setup: LineSetup,
    capture_id: int,
    stop: threading.Event,
    *,
    open_source: OpenSource = open_source,
) -> None:
    """Takes what a capture asks for; it ends as done or, with the reason, as failed. One that was stopped ends at once.

    Raises `StorageError` when the database or the picture store refuses.
    """
    capture = get_capture(database, capture_id)
    if setup.camera is None or setup.camera.name != capture.camera:
        return end_capture(database, capture_id, state="failed", why="its camera is not set up any more")
    try:
        _Recording(database, pictures, setup, setup.camera, capture, stop).run(open_source)
    except SourceError as error:
        log.error("golden roll %d: %s", capture_id, error)
        end_capture(database, capture_id, state="failed", why=str(error))
    except LoomwatchError as error:
        end_capture(database, capture_id, state="failed", why=str(error))
        raise


@dataclass(slots=True)
class _Recording:
    database: Database
    pictures: PictureStore
    setup: LineSetup
    camera: CameraSettings
    capture: SampleCapture
    stop: threading.Event
    metres: set[int] = field(default_factory=set)
    without: int = 0

    def run(self, open_source: OpenSource) -> None:
        taken, over = self.capture.taken, threading.Event()
        with open_source(self.camera.model_copy(update={"follow": False})) as source:
            watch = threading.Thread(target=self._watch, args=(source, over), name="watch-capture", daemon=True)
            watch.start()
            try:
                for shot in source.shots():
                    metre = int(shot.position_mm // 1000)
                    fabric = None if source.live and metre in self.metres else self._fabric(shot)
                    if fabric is None:
                        continue
                    self.metres.add(metre)
                    self._keep(shot, fabric)
                    taken = count_taken(self.database, self.capture.id)  # which ends it when it has all
                    if taken >= self.capture.metres:
                        return
            finally:
                over.set()
                watch.join()
        if self._asked_to_end():
            return
        if not taken:
            raise SourceError(f"camera {self.camera.name} gave no frame with fabric")
        end_capture(self.database, self.capture.id, state="done")

    def _watch(self, source: Source, over: threading.Event) -> None:
        """Closes a source that waits for cloth when nobody wants it any more."""
        while not over.wait(LOOK_S):
            if self._asked_to_end():
                source.close()
                return

    def _asked_to_end(self) -> bool:
        return self.stop.is_set() or get_capture(self.database, self.capture.id).state != "running"

    def _fabric(self, shot: Shot) -> Pixels | None:
        """(H, W) or (H, W, 3); None for a frame that shows none."""
        edges = find_edges(shot.pixels) if shot.pixels is not None else None
        if shot.pixels is None or edges is None:
            self.without += 1
            if self.without >= PATIENCE:
                raise SourceError(f"camera {self.camera.name}: no fabric was found in {PATIENCE} frames in a row")
            return None
        self.without = 0
        fabric = shot.pixels[:, edges[0] : edges[1]]
        height, width = fabric.shape[:2]
        if min(height, width) < self.setup.tile_px:
            raise SourceError(
                f"camera {self.camera.name} shows {width} x {height} px of fabric, a tile has {self.setup.tile_px} px: "
                "take a larger picture, or one nearer to the cloth"
            )
        return fabric

    def _keep(self, shot: Shot, fabric: Pixels) -> None:
        at = datetime.fromtimestamp(shot.captured_at_ns / 1e9, UTC)
        height, width = fabric.shape[:2]
        captured = Captured(
            line=self.setup.line,
            roll=f"golden roll {self.capture.id}",
            day=f"{self.capture.started_at:%Y-%m-%d}",
            camera=self.camera.name,
            counter=f"golden roll {self.capture.id}",
            x0_mm=0.0,
            x1_mm=width * self.camera.mm_per_px,
            y0_mm=shot.position_mm,
            y1_mm=shot.position_mm + height * self.camera.mm_per_px,
            captured_at=at,
        )
        add_sample(
            self.database,
            self.pictures,
            style=self.capture.style,
            png=encode(fabric, suffix=".png"),
            source="roll",
            roll_group=captured.group,
            mm_per_px=self.camera.mm_per_px,
            by=self.capture.by,
            why=self.capture.why or "golden roll",
            captured=captured,
            capture_id=self.capture.id,
        )
