"""Grades, rules and lengths in words, as papers say them."""

from datetime import date

from storage.defects.geometry import CODES
from storage.grading.kept import RollGrade
from storage.grading.profile import YARD_MM, AnyProfile, FourPointProfile, Measure

MEASURES: dict[str, str] = {
    "100yd2": "points per 100 yd²",
    "100m2": "points per 100 m²",
    "100yd": "points per 100 yd",
    "100m": "points per 100 m",
}
OUTCOMES = {
    "first": "First quality",
    "rework": "Rework",
    "downgrade": "Downgrade",
    "cut_and_upgrade": "Cut and upgrade",
    "inspect": "Inspect the rest",
    "": "",
}
LEFT_OUT = {
    "false_alarm": "false alarm",
    "minor": "minor",
    "edge": "within the edge",
    "end": "within the ends",
    "": "",
}
STATUS = {"unreviewed": "to review", "confirmed": "confirmed", "rejected": "false alarm"}


def left_out(reason: str, count: int) -> str:
    """How many defects were left out, and why."""
    return f"{count:,} {LEFT_OUT[reason]}{'s' if reason == 'false_alarm' and count > 1 else ''}"


def length(length_mm: float, unit: str) -> str:
    """Along the roll, in the profile's unit; a yard's in metres as well."""
    if unit == "metre":
        return f"{length_mm / 1000:,.2f} m"
    return f"{length_mm / YARD_MM:,.2f} yd ({length_mm / 1000:,.2f} m)"


def place(y_mm: float, unit: str) -> str:
    return f"{y_mm / 1000:,.2f} m" if unit == "metre" else f"{y_mm / YARD_MM:,.2f} yd"


def width(width_mm: float | None, unit: str) -> str:
    if width_mm is None:
        return "unknown"
    return f"{width_mm:,.0f} mm" if unit == "metre" else f"{width_mm / 25.4:.1f} in ({width_mm:,.0f} mm)"


def size(size_mm: float) -> str:
    return f"{size_mm:.1f} mm" if size_mm < 100 else f"{size_mm:,.0f} mm"


def number(points: float) -> str:
    """3 and not 3.0; a cap in proportion to the width may leave parts of a point."""
    return f"{points:,.2f}".rstrip("0").rstrip(".")


def share(part: float) -> str:
    """Rounded down, so that 100 % means all of it."""
    return f"{int(part * 1000 + 1e-9) / 10:.1f} %" if part < 1 else "100 %"


def geometry(name: str) -> str:
    return name.replace("_", " ")


def kind(code: str, form: str) -> str:
    """A defect's name in the trade, else its form."""
    return CODES[code].words if code in CODES else geometry(form)


def graded(roll: RollGrade) -> str:
    waits = ": cloth waits" if roll.waiting_mm else ""
    return roll.grade + (f" (provisional{waits})" if roll.state == "provisional" else "")


def day(on: date) -> str:
    """14 Mar 2026."""
    return f"{on.day} {on:%b %Y}"


def rule(name: str, profile: AnyProfile) -> str:
    """A rule that gave points, with its bounds."""
    if isinstance(profile, FourPointProfile) and name.startswith("size_"):
        bands = [_bound(profile, band) for band in profile.bands_mm]
        return [
            f"up to {bands[0]}",
            f"over {bands[0]} to {bands[1]}",
            f"over {bands[1]} to {bands[2]}",
            f"over {bands[2]}",
        ][int(name[-1]) - 1]
    return {
        "running": "running defects, each unit",
        "hole": "holes",
        "full_width": "full width",
        "per_unit": "shade, barré, crease: each unit",
        "warp": "warp defects",
        "weft": "weft defects",
    }.get(name, name)


def _bound(profile: AnyProfile, bound_mm: float) -> str:
    return f"{bound_mm:g} mm" if profile.unit == "metre" else f"{bound_mm / 25.4:g} in"


def formula(profile: AnyProfile, points: float, *, length_mm: float, width_mm: float, measure: Measure) -> str:
    """The division that gives the rate, in the measure's own units."""
    total = number(points)
    match measure:
        case "100yd2":
            return f"3600 × {total} / ({width_mm / 25.4:.2f} in × {length_mm / YARD_MM:,.2f} yd)"
        case "100m2":
            return f"100 000 × {total} / ({width_mm:,.0f} mm × {length_mm / 1000:,.2f} m)"
        case "100yd":
            return f"100 × {total} / {length_mm / YARD_MM:,.2f} yd"
        case "100m":
            return f"100 × {total} / {length_mm / 1000:,.2f} m"
