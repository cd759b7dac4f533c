"""Grades, rules and lengths in words, as papers say them: numbers in the paper's language, most words for it to say."""

from inspection.language import N_
from storage.defects.geometry import CODES
from storage.grading.kept import RollGrade
from storage.grading.profile import YARD_MM, AnyProfile, FourPointProfile, Measure
from storage.reports.language import _, figure, long_day, mark, ngettext
from storage.reports.sayings import said
from storage.reports.shifts import Period

MEASURES: dict[str, str] = {
    "100yd2": N_("points per 100 yd²"),
    "100m2": N_("points per 100 m²"),
    "100yd": N_("points per 100 yd"),
    "100m": N_("points per 100 m"),
}
OUTCOMES = {
    "first": N_("First quality"),
    "rework": N_("Rework"),
    "downgrade": N_("Downgrade"),
    "cut_and_upgrade": N_("Cut and upgrade"),
    "inspect": N_("Inspect the rest"),
    "": "",
}
LEFT_OUT = {
    "false_alarm": "false alarm",
    "minor": "minor",
    "edge": "within the edge",
    "end": "within the ends",
    "": "",
}
FORMS = {
    "point": N_("point"),
    "warp_line": N_("warp line"),
    "weft_line": N_("weft line"),
    "diagonal": N_("diagonal"),
    "area": N_("area"),
    "full_width": N_("full width"),
    "edge": N_("edge"),
}
STATUS = {"unreviewed": "to review", "confirmed": "confirmed", "rejected": "false alarm"}


def left_out(reason: str, count: int) -> str:
    """How many defects were left out, and why."""
    if reason == "false_alarm":
        return ngettext("{number} false alarm", "{number} false alarms", count)
    return f"{figure(count, ',')} {said(LEFT_OUT[reason])}"


def length(length_mm: float, unit: str) -> str:
    """Along the roll, in the profile's unit; a yard's in metres as well."""
    if unit == "metre":
        return metres(length_mm)
    return f"{figure(length_mm / YARD_MM, ',.2f')} yd ({metres(length_mm)})"


def metres(length_mm: float) -> str:
    return f"{figure(length_mm / 1000, ',.2f')} m"


def place(y_mm: float, unit: str) -> str:
    return metres(y_mm) if unit == "metre" else f"{figure(y_mm / YARD_MM, ',.2f')} yd"


def width(width_mm: float | None, unit: str) -> str:
    if width_mm is None:
        return _("unknown")
    return millimetres(width_mm) if unit == "metre" else f"{inches(width_mm)} ({millimetres(width_mm)})"


def area(area_m2: float) -> str:
    return f"{figure(area_m2, ',.1f')} m²"


def millimetres(length_mm: float) -> str:
    return f"{figure(length_mm, ',.0f')} mm"


def inches(length_mm: float) -> str:
    return f"{figure(length_mm / 25.4, '.1f')} in"


def size(size_mm: float) -> str:
    return f"{figure(size_mm, '.1f')} mm" if size_mm < 100 else millimetres(size_mm)


def number(points: float) -> str:
    """3 and not 3.0; a cap in proportion to the width may leave parts of a point."""
    return mark(f"{points:,.2f}".rstrip("0").rstrip("."))


def share(part: float) -> str:
    """Rounded down, so that 100 % means all of it."""
    return f"{figure(int(part * 1000 + 1e-9) / 10, '.1f')} %" if part < 1 else "100 %"


def geometry(name: str) -> str:
    return _(FORMS[name]) if name in FORMS else name.replace("_", " ")


def kind(code: str, form: str) -> str:
    """A defect's name in the trade, else its form."""
    return said(CODES[code].words) if code in CODES else code or geometry(form)


def graded(roll: RollGrade) -> str:
    state = _(" (provisional: cloth waits)") if roll.waiting_mm else _(" (provisional)")
    return said(roll.grade) + (state if roll.state == "provisional" else "")


def points(number_: float) -> str:
    """1 point, 2.5 points."""
    written = number(number_)
    return _("1 point") if number_ == 1 else _("{number} points", number=written)


def period_title(period: Period) -> str:
    day = long_day(period.day)
    if period.name:
        return _("Shift report: {name}, {day}", name=period.name, day=day)
    return _("Day report, {day}", day=day)


def first_of(listed: int, number_: int) -> str:
    return _(
        "The first {listed} of {number}: the spreadsheet has all of them.", listed=listed, number=figure(number_, ",")
    )


def grades(counts: dict[str, int]) -> str:
    """How many rolls have each."""
    return " · ".join(f"{figure(count, ',')} {said(grade)}" for grade, count in counts.items()) or "–"


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
            return f"3600 × {total} / ({figure(width_mm / 25.4, '.2f')} in × {figure(length_mm / YARD_MM, ',.2f')} yd)"
        case "100m2":
            return f"100 000 × {total} / ({millimetres(width_mm)} × {metres(length_mm)})"
        case "100yd":
            return f"100 × {total} / {figure(length_mm / YARD_MM, ',.2f')} yd"
        case "100m":
            return f"100 × {total} / {metres(length_mm)}"
