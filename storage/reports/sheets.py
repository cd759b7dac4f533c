"""Reports as tables: every table in a workbook (XLSX, in words by `spoken_sheets`), the one that matters most as CSV,
all facts as JSON."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import xlsxwriter

from storage.reports.period_report import PeriodReport, period_facts
from storage.reports.roll_report import RollReport, roll_facts
from storage.reports.style_report import StyleReport, style_facts

Cell = str | float | int | bool | datetime | None
STATED = ("field", "value")  # the head of a table of single facts
LONGEST_COLUMN = 60  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table; lengths in mm, as its headings say."""

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def roll_sheets(report: RollReport) -> list[Sheet]:
    """The certificate, then defects, periodic ones, units, what was not inspected, and the cut plan."""
    facts = roll_facts(report)
    grade = facts["grade"]
    stated: list[tuple[Cell, ...]] = [("plant", facts["plant"]), ("made_at", facts["made_at"])]
    stated += [(name, _cell(value)) for name, value in facts["roll"].items()]
    stated += [(f"profile_{name}", value) for name, value in facts["profile"].items()]
    stated += [
        (name, "; ".join(value) if name == "reasons" else _cell(value))
        for name, value in grade.items()
        if name != "limits"
    ]
    stated += [(f"limit_{limit['grade']}", limit["max"]) for limit in grade["limits"]]
    stated.append(("record", report.record))
    return [
        Sheet(name="Roll", head=STATED, rows=tuple(stated)),
        _sheet("Defects", facts["defects"], _DEFECT),
        _sheet("Periodic", facts["periodic"], _SERIES),
        _sheet("Points by unit", facts["units"], ("unit", "points_before_cap", "points")),
        _sheet("Not inspected", facts["not_inspected"], ("y0_mm", "y1_mm", "share_of_width", "reason")),
        _sheet("Cut plan", facts["cut_plan"]["pieces"], ("y0_mm", "y1_mm", "points", "rate", "first")),
    ]


_DEFECT = (
    "id", "y0_mm", "y1_mm", "x0_mm", "x1_mm", "size_mm", "geometry", "hole", "code", "severity", "series", "strength",
    "status", "points", "rule", "units", "left_out",
)  # fmt: skip
_SERIES = ("id", "period_mm", "hits", "x_mm", "first_mm", "last_mm", "suspect")
_ROLL = (
    "roll", "line", "style", "lot", "opened_at", "closed_at", "ended_in_period", "length_mm", "coverage",
    "not_inspected_yet_mm", "defects", "to_review", "points", "rate", "points_per", "profile", "profile_version",
    "grade", "outcome", "state",
)  # fmt: skip
_LINE = (
    "line", "inspected_mm", "missed_mm", "coverage", "area_m2", "defects", "defects_per_100_m2", "to_review",
    "false_alarms",
)  # fmt: skip


def period_sheets(report: PeriodReport) -> list[Sheet]:
    """Rolls, then lines, lots and what was not inspected."""
    facts = period_facts(report)
    return [
        _sheet("Rolls", facts["rolls"], _ROLL),
        _sheet("Lines", facts["lines"], _LINE),
        _sheet("Lots", facts["lots"], ("lot", "rolls", "rate", "measure", "limit", "within")),
        _sheet("Not inspected", facts["not_inspected"], ("line", "reason", "length_mm")),
    ]


_FIGURES = (
    "inspected_m", "missed_m", "coverage", "area_m2", "defects", "defects_per_100_m2", "false_alarms", "points",
    "points_per_100_m2",
)  # fmt: skip
_WORST = (
    "id", "roll", "line", "captured_at", "y_mm", "x_mm", "size_mm", "geometry", "code", "severity", "points", "status",
)  # fmt: skip


def style_sheets(report: StyleReport) -> list[Sheet]:
    """The style together, its rolls, lines, kinds of defects and the worst of them."""
    facts = style_facts(report)
    stated: list[tuple[Cell, ...]] = [
        *((name, facts[name]) for name in ("plant", "made_at", "style")),
        *((f"{name}_day", facts[name]) for name in ("first", "last")),
        *((name, facts[name]) for name in ("length_mm", "to_review")),
    ]
    stated += [] if facts["whole"] is None else [(name, facts["whole"][name]) for name in _FIGURES]
    stated += [(f"rolls_{grade}", count) for grade, count in facts["grades"].items()]
    return [
        Sheet(name="Style", head=STATED, rows=tuple(stated)),
        _sheet("Rolls", facts["rolls"], tuple(name for name in _ROLL if name != "ended_in_period")),
        _sheet("Averages", facts["averages"], ("profile", "profile_version", "rolls", "rate", "measure")),
        _sheet("Lines", facts["lines"], ("line", *_FIGURES)),
        _sheet("Kinds", facts["kinds"], ("geometry", "code", "defects", "points")),
        _sheet("Worst defects", facts["worst"], _WORST),
    ]


def _sheet(name: str, rows: Sequence[dict[str, Any]], columns: tuple[str, ...]) -> Sheet:
    return Sheet(name=name, head=columns, rows=tuple(tuple(_cell(row[column]) for column in columns) for row in rows))


def _cell(value: Any) -> Cell:
    return " ".join(str(each) for each in value) if isinstance(value, list) else value


def workbook(sheets: Sequence[Sheet], *, title: str) -> bytes:
    """XLSX. Text stays text: nothing that somebody typed becomes a formula or a link."""
    out = io.BytesIO()
    options: dict[str, Any] = {"in_memory": True} | dict.fromkeys(
        ("strings_to_formulas", "strings_to_urls", "strings_to_numbers"), False
    )
    with xlsxwriter.Workbook(out, options) as book:
        book.set_properties({"title": title, "comments": "made by loomwatch"})
        head = book.add_format({"bold": True, "bg_color": "#0F6E84", "font_color": "white", "valign": "top"})
        plain = book.add_format({"valign": "top"})
        formats = {
            float: book.add_format({"num_format": "0.00", "valign": "top"}),
            datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm", "valign": "top", "align": "left"}),
        }
        for sheet in sheets:
            page = book.add_worksheet(sheet.name)
            page.freeze_panes(1, 0)
            page.write_row(0, 0, sheet.head, head)
            for number, row in enumerate(sheet.rows, start=1):
                for column, value in enumerate(row):
                    page.write(number, column, value, formats.get(type(value), plain))
            if sheet.rows and len(sheet.head) > 2:
                page.autofilter(0, 0, len(sheet.rows), len(sheet.head) - 1)
            for column, name in enumerate(sheet.head):
                longest = max([len(name), *(len(_shown(row[column])) for row in sheet.rows[:1000])])
                page.set_column(column, column, min(longest, LONGEST_COLUMN) + 2)
    return out.getvalue()


def _shown(value: Cell) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "" if value is None else str(value)[:LONGEST_COLUMN]


def table_csv(sheet: Sheet) -> bytes:
    """UTF-8 with a mark, which spreadsheets need to know it by. Text that a spreadsheet would run is quoted with '."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(sheet.head)
    writer.writerows([harmless(value) for value in row] for row in sheet.rows)
    return out.getvalue().encode("utf-8-sig")


def harmless(value: Cell) -> Cell:
    """Text that a spreadsheet would run gets a mark before it, numbers stay."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def facts_json(facts: dict[str, Any]) -> bytes:
    """Every fact of a report; numbers are numbers."""
    return (json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
