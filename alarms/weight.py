"""How severe a defect is and what it scores by itself: the four-point bands in metric, as the default profile has them.

Critical is what scores the most points of a unit: a hole of more than an inch, a defect of more than nine inches.
"""

from storage.grading.cloth import Severity

BANDS_MM = (76.2, 152.4, 228.6)
PINHOLE_MM = 25.4
UNIT_MM = 914.4


def points_of(*, size_mm: float, length_mm: float, hole: bool) -> float:
    """length_mm: along the roll; what is longer than a unit scores four in each."""
    if hole:
        return 2.0 if size_mm <= PINHOLE_MM else 4.0
    if length_mm > UNIT_MM:
        return 4.0 * -(-length_mm // UNIT_MM)
    return 1.0 + sum(size_mm > band for band in BANDS_MM)


def severity_of(*, size_mm: float, length_mm: float, hole: bool) -> Severity:
    return "critical" if points_of(size_mm=size_mm, length_mm=length_mm, hole=hole) >= 4 else "major"
