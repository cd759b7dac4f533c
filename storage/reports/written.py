"""A report in the form that was asked for. PDF and XLSX are for people and have a language; CSV and JSON have English
names of fields in every language, for programs."""

from typing import Literal

from storage.reports import words
from storage.reports.language import _, speaking
from storage.reports.period_report import PeriodReport, period_facts
from storage.reports.roll_report import RollReport, roll_facts
from storage.reports.sheets import (
    facts_json,
    period_sheets,
    roll_sheets,
    style_sheets,
    table_csv,
    workbook,
)
from storage.reports.spoken_sheets import spoken
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
            with speaking(language):
                profile = report.graded.profile.profile
                sheets = [spoken(sheet, profile) for sheet in roll_sheets(report)]
                return workbook(sheets, title=_("Roll certificate {name}", name=report.roll.name))
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
            with speaking(language):
                return workbook(
                    [spoken(sheet) for sheet in period_sheets(report)], title=words.period_title(report.period)
                )
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
            with speaking(language):
                title = _("Style report: {style}", style=report.style)
                return workbook([spoken(sheet) for sheet in style_sheets(report)], title=title)
        case "csv":
            return table_csv(next(sheet for sheet in style_sheets(report) if sheet.name == "Rolls"))
        case "json":
            return facts_json(style_facts(report))
