"""Figures, states and times in the words of a person at the line. Lengths along the roll in m, sizes in mm."""

import math
import re
from datetime import datetime, tzinfo

from storage.defects.geometry import CODES
from storage.reads.defects import COUNTED, DefectItem, Series
from storage.reads.review_state import State

STATE_WORDS: dict[State, str] = {"unreviewed": "To review", "confirmed": "Confirmed", "rejected": "False alarm"}

_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=&])")


def plain(text: str) -> str:
    """Text that people typed, for markdown: every mark is shown as it was written and none is obeyed."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def metres(length_mm: float) -> str:
    return f"{length_mm / 1000:,.2f} m" if length_mm < 1_000_000 else f"{length_mm / 1000:,.0f} m"


def millimetres(length_mm: float) -> str:
    return f"{length_mm:.1f} mm" if length_mm < 100 else f"{length_mm:,.0f} mm"


def area(area_mm2: float) -> str:
    if area_mm2 >= 10_000:
        return f"{area_mm2 / 100:,.0f} cm²"
    return f"{area_mm2:.1f} mm²" if area_mm2 < 100 else f"{area_mm2:,.0f} mm²"


def percent(share: float) -> str:
    """A share of 0 to 1. Rounded down, so that 100 % means all of it."""
    tenths = math.floor(share * 1000 + 1e-9)
    return "100 %" if tenths >= 1000 else f"{tenths / 10:.1f} %"


def measure(name: str) -> str:
    """What a grade's rate refers to: 100yd2 -> 100 yd²."""
    return re.sub(r"(\d)(?=[a-z])", r"\1 ", name).replace("2", "²") if name.endswith("2") else name


def strength(ratio: float) -> str:
    """A score in units of its threshold."""
    return f"{ratio:.2f} × limit"


def milliseconds(duration_ms: float) -> str:
    return f"{duration_ms:.0f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.1f} s"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(0, seconds):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def clock(at: datetime, *, zone: tzinfo, now: datetime) -> str:
    """Local time; with the date unless it is today's."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today:
        return f"{local:%H:%M:%S}"
    year = "" if local.year == today.year else f" {local:%Y}"
    return f"{local.day} {local:%b}{year}, {local:%H:%M}"


def size(item: DefectItem) -> str:
    """Along the roll x across."""
    return f"{item.length_mm:.1f} × {item.width_mm:.1f} mm"


def named(item: DefectItem) -> str:
    """The name staff chose, else its form."""
    return sentence(CODES[item.code].words) if item.code in CODES else FORMS.get(item.geometry, item.geometry)


def act(kind: str, value: str) -> str:
    """What somebody did with a defect, for its history."""
    if kind == "verdict":
        return {"confirmed": "confirmed", "rejected": "false alarm"}.get(value, "taken back")
    if kind == "name":
        return f"named {CODES[value].words}" if value in CODES else "name taken away"
    if kind == "severity":
        return f"severity {value}" if value else "severity by the rules"
    return f"merged from {value}" if kind == "merge" else f"split into {value}"


def count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """First letter in capitals."""
    return text[:1].upper() + text[1:]


FORMS = {
    "point": "Point",
    "warp_line": "Line along the warp",
    "weft_line": "Line along the weft",
    "diagonal": "Diagonal line",
    "area": "Area",
    "full_width": "Across the full width",
    "edge": "At the edge",
}


def form(item: DefectItem) -> str:
    """Its geometry, largest extent, and whether cloth is missing where that could be told."""
    hole = {True: ", a hole", False: ", no hole", None: ""}[item.hole]
    return f"{FORMS.get(item.geometry, item.geometry)}, {item.size_mm:,.0f} mm at most{hole}"


def series(found: Series) -> str:
    suspect = f", as {found.suspect} would" if found.suspect else ""
    following = f"; the next one at {metres(found.next_mm)}" if found.next_mm is not None else ""
    return f"every {found.period_mm:,.0f} mm, {found.hits} times{suspect}{following}"


def states(counts: dict[State, int]) -> str:
    """How many defects are in each state."""
    return f"{counted(counts['unreviewed'])} to review · {counted(counts['confirmed'])} confirmed · " + (
        f"{counted(COUNTED)} false alarms"
        if counts["rejected"] >= COUNTED
        else count(counts["rejected"], "false alarm")
    )


def counted(number: int) -> str:
    """Defects of a list are counted so far and no farther."""
    return f"{number:,}+" if number >= COUNTED else f"{number:,}"
