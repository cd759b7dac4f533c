"""What an ingestor tells of itself: how its cameras, its spool and its workers are. It has no database and no Redis, so
its states travel to the workers beside their frames (`inspection.wire`), and from there to the screens.

Counts are since the process started.
"""

from dataclasses import dataclass
from typing import Literal

DROPS = ("spool_full", "camera_lost")  # reasons of gaps by which cloth was lost for want of time or room


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraState:
    """One camera. Rates and speed are of the last ten seconds."""

    camera: str
    state: Literal["running", "away", "ended"]
    position_mm: float  # end of its last frame or gap
    speed_m_min: float
    frames_per_s: float
    pixels_per_s: float
    captured: int  # frames and gaps
    captured_mm: float
    gaps: dict[str, int]  # by the code of their reason (`inspection.types.REASONS`)
    waiting: int  # records in the spool
    reconnects: int
    warnings: tuple[str, ...]  # of its last frame: codes of `inspection.types.WARNINGS`, optionally ": detail"
    silent_s: float = 0.0  # since its last sign of life: a frame, or its driver's word that it is there

    @property
    def dropped(self) -> int:
        return sum(self.gaps.get(reason, 0) for reason in DROPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestState:
    """One ingest process."""

    name: str
    line: str
    cameras: tuple[CameraState, ...]
    workers: int  # connected
    credit: int  # records that workers ask for and that are not there yet
    leased: int  # records with workers
    waiting: int  # records in the spool
    memory_bytes: int
    memory_limit_bytes: int
    disk_bytes: int
    disk_limit_bytes: int
    sent: int  # records, resends included
    taken_back: int  # records whose worker did not finish them
    given_up: int  # frames that became gaps because every worker that tried them died
    malformed: int  # messages dropped
    cut: int  # connections shut down
    refused: int  # handshakes with a key that is not listed

    @property
    def spool_share(self) -> float:
        """How full the spool is, memory and disk together, 0 to 1."""
        limit = self.memory_limit_bytes + self.disk_limit_bytes
        return min((self.memory_bytes + self.disk_bytes) / limit, 1.0) if limit else 0.0
