"""Cloth and defects to order, in inches and yards where the rules are."""

from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import storage.grading
from storage.grading.cloth import Cloth, ClothDefect
from storage.grading.profile import AnyProfile, dump_profile, parse_profile

IN, YD = 25.4, 914.4
SHIPPED = Path(storage.grading.__file__).parent / "profiles"
_ids = count(1)


@cache
def shipped(name: str) -> AnyProfile:
    return parse_profile((SHIPPED / f"{name}.json").read_bytes(), source=name)


def profile(base: str = "four-point", /, **changes: Any) -> AnyProfile:
    """A shipped profile with some fields changed."""
    import json

    return parse_profile(json.dumps(dump_profile(shipped(base)) | changes), source=base)


def defect(y_mm: float, length_mm: float, /, **changes: Any) -> ClothDefect:
    """In the middle of the width; starting at `y_mm`, as large as it is long along the roll."""
    values: dict[str, Any] = {
        "id": next(_ids),
        "y0_mm": y_mm,
        "y1_mm": y_mm + length_mm,
        "x0_mm": 500.0,
        "x1_mm": 501.0,
        "size_mm": length_mm,
        "geometry": "warp_line",
        "status": "confirmed",
    }
    return ClothDefect(**(values | changes))


def cloth(length_mm: float, width_mm: float, *defects: ClothDefect, **changes: Any) -> Cloth:
    values: dict[str, Any] = {
        "length_mm": length_mm,
        "width_mm": width_mm,
        "fabric_width_mm": width_mm,
        "defects": defects,
        "coverage": 1.0,
    }
    return Cloth(**(values | changes))
