"""Figures, states and times in the words of a person at the line. Lengths along the roll in m, sizes in mm."""

import math
import re
from datetime import date, datetime, tzinfo
from functools import cache

from babel.dates import format_date

from dashboard import stored_words
from dashboard.language import _, figure, language, ngettext
from dashboard.stored_words import said
from dashboard.units import units
from inspection.language import N_
from storage.defects.geometry import CODES
from storage.grading.profile import MEASURE_IN_SI, Measure
from storage.reads.defects import COUNTED, DefectItem, Series
from storage.reads.review_state import State
from storage.sample_captures import SampleCapture

STATE_WORDS: dict[State, str] = {
    "unreviewed": N_("To review"),
    "confirmed": N_("Confirmed"),
    "rejected": N_("False alarm"),
}

ACTORS = {  # as which loomwatch itself acts; all others are people's names
    "company": N_("sign-in by the company"),
    "rule": N_("rules of the gate"),
    "the guard": N_("the guard"),
    "the line": N_("the line"),
}
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=&])")


def plain(text: str) -> str:
    """Text that people typed, for markdown: every mark is shown as it was written and none is obeyed."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def who(name: str) -> str:
    """Whoever did something: a person's name as it is."""
    return _(ACTORS[name]) if name in ACTORS else name


def state(name: str) -> str:
    """A review state."""
    return _(STATE_WORDS[name]) if name in STATE_WORDS else said(name)


def geometry(name: str) -> str:
    """A defect's form."""
    return _(FORMS[name]) if name in FORMS else name


def code(name: str) -> str:
    """A defect's name in the trade, with a capital."""
    return stored_words.sentence(CODES[name].words) if name in CODES else name


def metres(length_mm: float, form: str = "") -> str:
    """Along the roll, in m or yd. form: of the number, "" for one that suits its size."""
    own = units()
    length = own.along(length_mm)
    return f"{figure(length, form or (',.2f' if length < 1000 else ',.0f'))} {own.long}"


def millimetres(length_mm: float) -> str:
    """Across it, or a size, in mm or in."""
    own = units()
    if own.short == "in":
        return f"{figure(own.across(length_mm), ',.2f')} in"
    return f"{figure(length_mm, '.1f' if length_mm < 100 else ',.0f')} mm"


def area(area_mm2: float) -> str:
    if units().short == "in":
        return f"{figure(units().across(units().across(area_mm2)), ',.2f')} in²"
    if area_mm2 >= 10_000:
        return f"{figure(area_mm2 / 100, ',.0f')} cm²"
    return f"{figure(area_mm2, '.1f' if area_mm2 < 100 else ',.0f')} mm²"


def speed(m_min: float) -> str:
    own = units()
    return f"{figure(own.along(m_min * 1000), '.1f')} {own.long}/min"


def percent(share: float) -> str:
    """A share of 0 to 1. Rounded down, so that 100 % means all of it."""
    tenths = math.floor(share * 1000 + 1e-9)
    return "100 %" if tenths >= 1000 else f"{figure(tenths / 10, '.1f')} %"


def rate(points: float | None, name: Measure) -> tuple[str, str]:
    """A grade's points in the viewer's units: how many, and per which length or area."""
    own: dict[str, Measure] = {"100m": "100yd", "100m2": "100yd2", "100yd": "100m", "100yd2": "100m2"}
    wanted = name if units().long in name else own[name]
    if points is None:
        return "–", measure(wanted)
    return figure(points * MEASURE_IN_SI[wanted][1] / MEASURE_IN_SI[name][1], ",.1f"), measure(wanted)


def measure(name: str) -> str:
    """What a grade's rate refers to: 100yd2 -> 100 yd²."""
    return re.sub(r"(\d)(?=[a-z])", r"\1 ", name).replace("2", "²")


def strength(ratio: float) -> str:
    """A score in units of its threshold."""
    return _("{ratio} × limit", ratio=figure(ratio, ".2f"))


def milliseconds(duration_ms: float) -> str:
    return f"{figure(duration_ms, '.0f')} ms" if duration_ms < 1000 else f"{figure(duration_ms / 1000, '.1f')} s"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{figure(max(0, seconds), '.0f')} s"
    if seconds < 90 * 60:
        return _("{minutes} min", minutes=figure(seconds / 60, ".0f"))
    return (
        f"{figure(seconds / 3600, '.0f')} h"
        if seconds < 48 * 3600
        else _("{days} days", days=figure(seconds / 86400, ".0f"))
    )


def clock(at: datetime, *, zone: tzinfo, now: datetime) -> str:
    """Local time; with the date unless it is today's."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today:
        return f"{local:%H:%M:%S}"
    return f"{day(local.date(), year=local.year != today.year)}, {local:%H:%M}"


def day(date: date, *, year: bool = True) -> str:
    """14 Mar 2026, 14. Mär 2026."""
    return _day(date, language(), year)


@cache
def _day(date: date, spoken: str, year: bool) -> str:
    form = {"en": "d MMM", "de": "d. MMM"}[spoken] + (" y" if year else "")
    return format_date(date, form, locale=spoken)


def moment(at: datetime) -> str:
    """Day and time as `at`'s own zone has them."""
    return f"{day(at.date())}, {at:%H:%M}"


def size(item: DefectItem) -> str:
    """Along the roll x across."""
    form = ".2f" if units().short == "in" else ".1f"
    length, width = (figure(units().across(each), form) for each in (item.length_mm, item.width_mm))
    return f"{length} × {width} {units().short}"


def place(item: DefectItem) -> str:
    return _("{metres} along, {across} across", metres=metres(item.y_mm), across=millimetres(item.x_mm))


def named(item: DefectItem) -> str:
    """The name staff chose, else its form."""
    return code(item.code) if item.code in CODES else geometry(item.geometry)


def act(kind: str, value: str) -> str:
    """What somebody did with a defect, for its history."""
    if kind == "verdict":
        return {"confirmed": _("confirmed"), "rejected": _("false alarm")}.get(value, _("taken back"))
    if kind == "name":
        return _("named {name}", name=said(CODES[value].words)) if value in CODES else _("name taken away")
    if kind == "severity":
        return _("severity {severity}", severity=said(value)) if value else _("severity by the rules")
    return _("merged from {value}", value=value) if kind == "merge" else _("split into {value}", value=value)


def golden_roll(length_m: int) -> str:
    """How long one is, and how many pictures it gives."""
    pictures = ngettext("{number} picture", "{number} pictures", length_m)
    return f"{metres(length_m * 1000, '.0f')}, {pictures}"


def taken(capture: SampleCapture) -> str:
    """How many of a golden roll's pictures there are already, one of each metre."""
    wanted = capture.metres
    return ngettext("{taken} of {number} picture", "{taken} of {number} pictures", wanted, taken=capture.taken)


def sentence(text: str) -> str:
    """First letter in capitals."""
    return text[:1].upper() + text[1:]


FORMS = {
    "point": N_("Point"),
    "warp_line": N_("Line along the warp"),
    "weft_line": N_("Line along the weft"),
    "diagonal": N_("Diagonal line"),
    "area": N_("Area"),
    "full_width": N_("Across the full width"),
    "edge": N_("At the edge"),
}


def form(item: DefectItem) -> str:
    """Its geometry, largest extent, and whether cloth is missing where that could be told."""
    hole = {True: _(", a hole"), False: _(", no hole"), None: ""}[item.hole]
    return _(
        "{form}, {size} at most{hole}",
        form=geometry(item.geometry),
        size=millimetres(item.size_mm),
        hole=hole,
    )


def series(found: Series) -> str:
    suspect = _(", as {suspect} would", suspect=found.suspect) if found.suspect else ""
    following = _("; the next one at {metres}", metres=metres(found.next_mm)) if found.next_mm is not None else ""
    return _(
        "every {period}, {hits} times{suspect}{following}",
        period=millimetres(found.period_mm),
        hits=found.hits,
        suspect=suspect,
        following=following,
    )


def states(counts: dict[State, int]) -> str:
    """How many defects are in each state."""
    parts = (
        _("{count} to review", count=counted(counts["unreviewed"])),
        _("{count} confirmed", count=counted(counts["confirmed"])),
        _("{count} false alarms", count=counted(COUNTED))
        if counts["rejected"] >= COUNTED
        else ngettext("{number} false alarm", "{number} false alarms", counts["rejected"]),
    )
    return " · ".join(parts)


def counted(number: int) -> str:
    """Defects of a list are counted so far and no farther."""
    return f"{figure(number, ',')}+" if number >= COUNTED else figure(number, ",")
