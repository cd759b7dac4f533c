"""What rules judge: frozen facts of one line at one moment, read by `alarms.record`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from storage.defects.geometry import Geometry
from storage.grading.cloth import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A frame or a gap. reason: "" for a frame."""

    session: str
    captured_at: datetime
    position_mm: float
    length_mm: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectFact:
    """A defect as it is now. also: numbers it had before it was merged. strength: score in units of its threshold.
    y0_mm, y1_mm: on its camera's counter; at_mm: where it begins on its roll."""

    id: int
    also: tuple[int, ...] = ()
    camera: str
    counter: str
    captured_at: datetime
    x_mm: float
    y0_mm: float
    y1_mm: float
    roll: str
    at_mm: float
    size_mm: float
    geometry: Geometry
    severity: Severity
    points: float
    strength: float
    rejected: bool
    series_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFact:
    """Defects at equal spaces. next_mm: along its roll."""

    id: int
    roll: str
    x_mm: float
    period_mm: float
    next_mm: float
    hits: int
    suspect: str
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFact:
    """heard_at: when its last frame, gap or count was stored, or when ingest last had a sign of life of it, whichever
    is later. ended: it said that it has captured everything."""

    camera: str
    heard_at: datetime
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersFact:
    """How many inspection workers run; None with the reason where nobody can tell."""

    running: int | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFact:
    """state: gathering, steady, watch or drifted, of the scores of a camera and style."""

    camera: str
    style: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFacts:
    """All of one moment. passed: each camera's latest records, oldest first."""

    line: str
    at: datetime
    workers: WorkersFact
    passed: Mapping[str, Sequence[Passed]] = field(default_factory=dict)
    defects: Sequence[DefectFact] = ()
    series: Sequence[SeriesFact] = ()
    cameras: Sequence[CameraFact] = ()
    drift: Sequence[DriftFact] = ()
