"""A report in the form that was asked for. A PDF has a language; tables and facts have English names, for
programs."""

from typing import Literal

from storage.reports.language import speaking
from storage.reports.period_report import PeriodReport, period_facts
from storage.reports.roll_report import RollReport, roll_facts
from storage.reports.sheets import (
    facts_json,
    period_sheets,
    roll_sheets,
    roll_title,
    style_sheets,
    table_csv,
    workbook,
)
from storage.reports.style_report import StyleReport, style_facts

Form = Literal["pdf", "xlsx", "csv", "json"]
FORMS: tuple[Form, ...] = ("pdf", "xlsx", "csv", "json")


def write_roll(report: RollReport, form: Form, *, paper_size: str = "A4", language: str = "en") -> bytes:
    """A roll's certificate. As CSV its defects, one a row."""
    match form:
        case "pdf":
            from storage.reports.roll_pdf import roll_pdf  # fonts and drawing, which only a PDF needs

            with speaking(language):
                return roll_pdf(report, paper_size=paper_size)
        case "xlsx":
            return workbook(roll_sheets(report), title=roll_title(report))
        case "csv":
            return table_csv(next(sheet for sheet in roll_sheets(report) if sheet.name == "Defects"))
        case "json":
            return facts_json(roll_facts(report) | {"record": report.record})


def write_period(report: PeriodReport, form: Form, *, paper_size: str = "A4", language: str = "en") -> bytes:
    """The report of a shift or a day. As CSV its rolls, one a row."""
    match form:
        case "pdf":
            from storage.reports.period_pdf import period_pdf

            with speaking(language):
                return period_pdf(report, paper_size=paper_size)
        case "xlsx":
            return workbook(period_sheets(report), title=report.title)
        case "csv":
            return table_csv(next(sheet for sheet in period_sheets(report) if sheet.name == "Rolls"))
        case "json":
            return facts_json(period_facts(report))


def write_style(report: StyleReport, form: Form, *, paper_size: str = "A4", language: str = "en") -> bytes:
    """The report of a style. As CSV its rolls, one a row."""
    match form:
        case "pdf":
            from storage.reports.style_pdf import style_pdf

            with speaking(language):
                return style_pdf(report, paper_size=paper_size)
        case "xlsx":
            return workbook(style_sheets(report), title=report.title)
        case "csv":
            return table_csv(next(sheet for sheet in style_sheets(report) if sheet.name == "Rolls"))
        case "json":
            return facts_json(style_facts(report))
