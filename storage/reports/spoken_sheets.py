"""A workbook's tables in words: headings and what is coded in the paper's language, along the roll m instead of mm,
shares in %, times as dates of the plant's clock.

CSV and JSON keep names of fields and codes in every language: they are for programs.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from inspection.language import N_
from storage.grading.profile import AnyProfile
from storage.reports import words
from storage.reports.language import _
from storage.reports.sayings import said, sentence
from storage.reports.sheets import STATED, Cell, Sheet

NAMES = (
    N_("Roll"), N_("Defects"), N_("Periodic"), N_("Points by unit"), N_("Not inspected"), N_("Cut plan"), N_("Rolls"),
    N_("Lines"), N_("Lots"), N_("Style"), N_("Averages"), N_("Kinds"), N_("Worst defects"),
)  # fmt: skip
HEADINGS = {
    "field": N_("Figure"),
    "value": N_("Value"),
    # A roll
    "plant": N_("Plant"),
    "made_at": N_("Made"),
    "name": N_("Roll"),
    "roll": N_("Roll"),
    "line": N_("Line"),
    "style": N_("Style"),
    "opened_at": N_("Begun"),
    "closed_at": N_("Ended"),
    "ended_in_period": N_("Ended in this time"),
    "shift": N_("Shift"),
    "models": N_("Models"),
    "length_mm": N_("Length, m"),
    "inspected_mm": N_("Inspected, m"),
    "inspected_m": N_("Inspected, m"),
    "not_inspected_mm": N_("Not inspected, m"),
    "missed_mm": N_("Not inspected, m"),
    "missed_m": N_("Not inspected, m"),
    "not_inspected_yet_mm": N_("Not inspected yet, m"),
    "coverage": N_("Coverage, %"),
    "area_m2": N_("Inspected, m²"),
    "cuttable_width_mm": N_("Cuttable width, mm"),
    "width_start_mm": N_("Width at the start, mm"),
    "width_mid_mm": N_("Width in the middle, mm"),
    "width_end_mm": N_("Width at the end, mm"),
    "widths_are": N_("Widths are"),
    "lot": N_("Lot"),
    "dye_lot": N_("Dye lot"),
    "po": N_("Purchase order"),
    "customer": N_("Customer"),
    "construction": N_("Construction"),
    "loom": N_("Loom"),
    "operator": N_("Operator"),
    "ticketed_mm": N_("Ticketed length, m"),
    "re_inspection_of": N_("Re-inspection of"),
    "parent_roll": N_("Cut from"),
    "remarks": N_("Remarks"),
    "record": N_("Record"),
    # Its grade
    "profile": N_("Grading profile"),
    "profile_name": N_("Grading profile"),
    "profile_version": N_("Version of the profile"),
    "grade": N_("Grade"),
    "outcome": N_("Sold as"),
    "state": N_("State"),
    "points": N_("Points"),
    "rate": N_("Rate"),
    "points_per": N_("Unit of the rate"),
    "measure": N_("Unit of the rate"),
    "limit": N_("Limit"),
    "within": N_("Within the limit"),
    "reasons": N_("Why"),
    "defects_to_review": N_("To review"),
    # Its defects
    "id": N_("Number"),
    "y0_mm": N_("Along from, m"),
    "y1_mm": N_("Along to, m"),
    "x0_mm": N_("Across from, mm"),
    "x1_mm": N_("Across to, mm"),
    "y_mm": N_("Along, m"),
    "x_mm": N_("Across, mm"),
    "size_mm": N_("Size, mm"),
    "geometry": N_("Form"),
    "hole": N_("Hole"),
    "code": N_("Name"),
    "severity": N_("Severity"),
    "series": N_("Series"),
    "strength": N_("Strength, × limit"),
    "status": N_("Review"),
    "rule": N_("Rule"),
    "units": N_("Units"),
    "left_out": N_("Left out as"),
    "captured_at": N_("Seen"),
    "period_mm": N_("Every, mm"),
    "hits": N_("Times"),
    "first_mm": N_("First at, m"),
    "last_mm": N_("Last at, m"),
    "suspect": N_("Suspect"),
    # Parts of it
    "unit": N_("Unit"),
    "points_before_cap": N_("Points before the cap"),
    "share_of_width": N_("Of the width, %"),
    "reason": N_("Why"),
    "first": N_("First quality"),
    # Several
    "first_day": N_("From"),
    "last_day": N_("To"),
    "rolls": N_("Rolls"),
    "defects": N_("Defects"),
    "to_review": N_("To review"),
    "false_alarms": N_("False alarms"),
    "defects_per_100_m2": N_("Defects per 100 m²"),
    "points_per_100_m2": N_("Points per 100 m²"),
}
IN_M = {name for name, text in HEADINGS.items() if name.endswith("_mm") and text.endswith(", m")}
IN_PERCENT = {name for name, text in HEADINGS.items() if text.endswith(", %")}
ENTERED = {"entered": N_("entered"), "measured edge to edge": N_("measured edge to edge")}
SAID: dict[str, Callable[[str], str]] = {
    "widths_are": lambda value: _(ENTERED[value]),
    "grade": said,
    "outcome": lambda value: _(words.OUTCOMES[value]),
    "state": said,
    "points_per": lambda value: _(words.MEASURES[value]),
    "measure": lambda value: _(words.MEASURES[value]),
    "reasons": lambda value: "; ".join(map(sentence, value.split("; "))),
    "geometry": words.geometry,
    "code": lambda value: words.kind(value, ""),
    "severity": said,
    "status": lambda value: said(words.STATUS[value]),
    "left_out": lambda value: said(words.LEFT_OUT[value]),
    "units": lambda value: " ".join(str(int(unit) + 1) for unit in value.split()),
    "reason": sentence,
}


def spoken(sheet: Sheet, profile: AnyProfile | None = None) -> Sheet:
    """profile: of the roll whose defects these are, for the rules that gave points."""
    rows: tuple[tuple[Cell, ...], ...]
    if sheet.head == STATED:
        rows = tuple((heading(str(name)), _value(str(name), value, profile)) for name, value in sheet.rows)
    else:
        rows = tuple(tuple(_value(name, value, profile) for name, value in zip(sheet.head, row, strict=True))
                     for row in sheet.rows)  # fmt: skip
    return replace(sheet, name=_(sheet.name), head=tuple(map(heading, sheet.head)), rows=rows)


def heading(name: str) -> str:
    for begin, text in (("limit_", N_("Limit of {grade}")), ("rolls_", N_("Rolls: {grade}"))):
        if name.startswith(begin):
            return _(text, grade=said(name.removeprefix(begin)))
    return _(HEADINGS[name])


def _value(name: str, value: Cell, profile: AnyProfile | None) -> Cell:
    if value is None or value == "":
        return value
    if name in IN_M or name in IN_PERCENT:
        return float(value) / 1000 if name in IN_M else 100 * float(value)  # type: ignore[arg-type]
    if name.endswith("_at"):
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    if name == "unit":
        return int(value) + 1  # type: ignore[arg-type]
    if name == "rule" and profile is not None:
        return sentence(words.rule(str(value), profile))
    return SAID[name](str(value)) if name in SAID else value
