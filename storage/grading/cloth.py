"""What is graded: a roll's cloth and its merged defects, in roll mm (y along the roll, x from the left fabric edge)."""

import math
from dataclasses import dataclass
from typing import Literal

from inspection.errors import StorageError
from storage.defects.geometry import Geometry

Severity = Literal["minor", "major", "critical"]
Status = Literal["unreviewed", "confirmed", "rejected"]  # of its review


@dataclass(frozen=True, slots=True, kw_only=True)
class ClothDefect:
    """One merged defect. Raises `StorageError` for one that cannot be: a place that is no number, or ends before it
    begins."""

    id: int
    y0_mm: float
    y1_mm: float
    x0_mm: float
    x1_mm: float
    size_mm: float  # maximum Feret diameter
    geometry: Geometry
    status: Status
    hole: bool = False
    severity: Severity = "major"
    code: str = ""  # of the mill's taxonomy, "" until it has a name
    series: str = ""  # the periodic series it belongs to
    strength: float = 0.0  # score in units of its threshold

    def __post_init__(self) -> None:
        if not math.isfinite(
            self.y0_mm + self.y1_mm + self.x0_mm + self.x1_mm + self.size_mm
        ):  # one question, not five
            for name in ("y0_mm", "y1_mm", "x0_mm", "x1_mm", "size_mm"):
                if not math.isfinite(getattr(self, name)):
                    raise StorageError(f"defect {self.id}: {name} must be a number, got {getattr(self, name)}")
        if self.y1_mm < self.y0_mm or self.x1_mm < self.x0_mm or self.size_mm < 0:
            raise StorageError(
                f"defect {self.id} cannot reach from ({self.x0_mm}, {self.y0_mm}) to ({self.x1_mm}, {self.y1_mm}) mm "
                f"with a size of {self.size_mm} mm"
            )

    @property
    def length_mm(self) -> float:
        """Along the roll."""
        return self.y1_mm - self.y0_mm

    @property
    def width_mm(self) -> float:
        """Across the roll."""
        return self.x1_mm - self.x0_mm


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthStretch:
    """Cloth whose usable width was measured."""

    y0_mm: float
    y1_mm: float
    width_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedStretch:
    """Cloth that was not inspected over `share` (0 to 1) of its width, from x0 to x1 where that is known."""

    y0_mm: float
    y1_mm: float
    share: float
    x0_mm: float = 0.0
    x1_mm: float = math.inf
    reason: str = ""  # in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloth:
    """A roll as grading sees it. Raises `StorageError` for an impossible one: a negative length or width."""

    length_mm: float
    width_mm: float  # cuttable; what points are normalised by
    fabric_width_mm: float  # edge to edge; what the edge rule measures from
    defects: tuple[ClothDefect, ...]
    coverage: float  # inspected share of what was captured, 0 to 1
    running: bool = False  # cloth may still come
    waiting_mm: float = 0.0  # captured and not told of yet, mean over the cameras; missed as long as it is not
    missed: tuple[MissedStretch, ...] = ()
    widths: tuple[WidthStretch, ...] = ()

    def __post_init__(self) -> None:
        for name in ("length_mm", "width_mm", "fabric_width_mm", "waiting_mm"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise StorageError(f"a roll's {name} must be at least 0, got {value}")
        if not 0 <= self.coverage <= 1:
            raise StorageError(f"a roll's coverage must be in [0, 1], got {self.coverage}")
