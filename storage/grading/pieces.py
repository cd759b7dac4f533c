"""Which units of length a defect scores in, and how large it is in each."""

import math
from dataclasses import dataclass

from storage.grading.cloth import ClothDefect, WidthStretch
from storage.grading.profile import Profile

_SLACK = 1e-9  # of a unit: (3 * 914.4) // 914.4 is 2.0 in floating point, and a point would be lost
_SLENDER = ("warp_line", "diagonal")  # run across evenly: a part of them is a part as wide


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A defect's part in one unit. `running`: it is a part of a defect longer than a unit."""

    unit: int
    size_mm: float
    running: bool


def pieces_of(defect: ClothDefect, profile: Profile, units: int) -> list[Piece]:
    """`units` is how many the roll has, at least 1."""
    unit_mm = profile.unit_mm
    running = defect.length_mm > unit_mm * (1 + _SLACK)
    if not running and profile.split == "midpoint":
        middle = unit_at((defect.y0_mm + defect.y1_mm) / 2, unit_mm, units)
        return [Piece(unit=middle, size_mm=defect.size_mm, running=False)]
    touched = touched_units(defect, unit_mm, units)
    if len(touched) == 1 and not running:
        return [Piece(unit=touched[0], size_mm=defect.size_mm, running=False)]
    pieces = []
    for unit in touched:
        start = max(defect.y0_mm, unit * unit_mm) if unit > touched[0] else defect.y0_mm
        end = min(defect.y1_mm, (unit + 1) * unit_mm) if unit < touched[-1] else defect.y1_mm
        pieces.append(Piece(unit=unit, size_mm=_size(defect, end - start), running=running))
    return pieces


def _size(defect: ClothDefect, length_mm: float) -> float:
    """Of the part of a defect that is so long."""
    share = length_mm / defect.length_mm if defect.geometry in _SLENDER else 1.0
    return max(length_mm, defect.width_mm * share)


def unit_at(y_mm: float, unit_mm: float, units: int) -> int:
    """The unit that holds a place; beyond the ends, the first or last."""
    return min(max(math.floor(y_mm / unit_mm + _SLACK), 0), units - 1)


def touched_units(place: ClothDefect | WidthStretch, unit_mm: float, units: int) -> range:
    """The units that a stretch of cloth lies in; where it ends on a boundary, not the next one."""
    first = unit_at(place.y0_mm, unit_mm, units)
    last = min(math.ceil(place.y1_mm / unit_mm - _SLACK) - 1, units - 1)
    return range(first, max(first, last) + 1)
