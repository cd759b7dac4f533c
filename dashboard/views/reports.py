"""Reports: a shift or a day on paper, to look at here and to take along."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st
from babel.dates import format_date

from dashboard import data, shell, stored_words, words
from dashboard.language import _, figure, language
from dashboard.units import units
from inspection.settings import ReportSettings
from storage.reports.filed import file_name
from storage.reports.period_report import PeriodReport
from storage.reports.shifts import Period, day_period, shift_at, shift_names, shift_period
from storage.reports.written import FORMS

DAY = "day"
FORM_WORDS = {"pdf": _("PDF"), "xlsx": _("Excel"), "csv": _("CSV, its rolls"), "json": "JSON"}
MIME = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv",
    "json": "application/json",
}


def show_page() -> None:
    st.title(_("Reports"), anchor=False)
    settings = data.report_settings()
    period, line = choose(settings)
    report = data.period_report(period, line)
    st.subheader(words.plain(title_of(period)), anchor=False)
    zone = ZoneInfo(settings.time_zone)
    now = datetime.now(UTC)
    st.caption(
        _(
            "{start} to {end}, {zone}",
            start=words.plain(words.moment(period.start.astimezone(zone))),  # else 29. Nov. begins a list
            end=words.moment(period.end.astimezone(zone)),
            zone=settings.time_zone,
        )
        + (_(" · not over yet") if period.end > now else "")
    )
    if not report.lines:
        st.info(
            _(
                "**No cloth passed in this time.** Choose another day or shift above; cloth is "
                "reported in the shift it was captured in."
            ),
            icon=":material/event_busy:",
        )
        return
    show_downloads(report, line)
    show_figures(report)
    show_lines(report)
    show_rolls(report)
    show_reasons(report)
    show_filing(settings)


def title_of(period: Period) -> str:
    day = format_date(period.day, "full", locale=language())
    return (
        _("Shift report: {name}, {day}", name=period.name, day=day) if period.name else _("Day report: {day}", day=day)
    )


def choose(settings: ReportSettings) -> tuple[Period, str]:
    """The period and the line of the address; by default the shift that runs, of all lines."""
    zone = ZoneInfo(settings.time_zone)
    running = shift_at(settings.shifts, zone, datetime.now(UTC))
    names = shift_names(settings.shifts)
    kinds = {
        name: _("Shift {name}", name=name) for name in [running.name, *(name for name in names if name != running.name)]
    }
    lines = data.line_names()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = shell.select(_("Report of"), "of", kinds | {DAY: _("Whole day")}, page="reports", width=220)
        day = choose_day(running.day, latest=datetime.now(zone).date())
        line = ""
        if len(lines) > 1:
            line = shell.select(
                _("Line"), "line", {"": _("All lines")} | {name: name for name in lines}, page="reports", width=220
            )
    if kind == DAY:
        return day_period(zone, day=day), line
    return shift_period(settings.shifts, zone, day=day, name=kind), line


def choose_day(default: date, *, latest: date) -> date:
    """Of the address; something that is no day counts as the default. latest: today, where the shift that runs may have
    begun yesterday."""
    try:
        wanted = date.fromisoformat(st.query_params.get("day", ""))
    except ValueError:
        wanted = default
    wanted = min(wanted, latest)
    chosen = st.date_input(
        _("Day it begins on"), value=wanted, max_value=latest, key="reports.day", width=180, format="YYYY-MM-DD"
    )
    shell.remember("day", chosen.isoformat(), default=default.isoformat())
    return chosen


def show_downloads(report: PeriodReport, line: str) -> None:
    with st.container(horizontal=True):
        for form in FORMS:
            name = file_name(report.period, form)
            st.download_button(
                FORM_WORDS[form],
                data=lambda form=form: data.written_report(report, form),  # type: ignore[misc]
                file_name=f"{line}-{name}" if line else name,
                mime=MIME[form],
                icon=":material/download:",
                key=f"reports.{form}",
                on_click="ignore",
                type="primary" if form == "pdf" else "secondary",
            )


def show_figures(report: PeriodReport) -> None:
    """All lines together; there before the tables, which a browser takes longer over."""
    inspected = sum(line.inspected_mm for line in report.lines)
    passed = inspected + sum(line.missed_mm for line in report.lines)
    with st.grid(5, min_column_width=140):
        st.metric(_("Rolls"), figure(len(report.rolls), ","), border=True)
        st.metric(_("Inspected"), words.metres(inspected), border=True)
        st.metric(_("Coverage"), words.percent(inspected / passed) if passed > 0 else "–", border=True)
        st.metric(_("Defects"), figure(sum(line.defects for line in report.lines), ","), border=True)
        st.metric(_("To review"), figure(sum(line.to_review for line in report.lines), ","), border=True)


def show_lines(report: PeriodReport) -> None:
    st.dataframe(
        pd.DataFrame(
            {
                _("Line"): line.line,
                _("Inspected"): words.metres(line.inspected_mm),
                _("Not inspected"): words.metres(line.missed_mm),
                _("Coverage"): words.percent(line.coverage),
                _("Defects"): line.defects,
                _("Defects per 100 {unit}²", unit=units().long): figure(
                    units().per_100_square(line.defects_per_100_m2), ".1f"
                ),
                _("To review"): line.to_review,
                _("False alarms"): line.false_alarms,
            }
            for line in report.lines
        ),
        hide_index=True,
        alt=_("Each line's cloth of this time"),
    )


def show_rolls(report: PeriodReport) -> None:
    st.subheader(_("Rolls"), anchor=False)
    if not report.rolls:
        st.caption(_("No roll has cloth of this time."))
        return
    st.dataframe(
        pd.DataFrame(
            {
                _("Roll"): graded.roll.name,
                _("Line"): graded.roll.line,
                _("Style"): graded.roll.style,
                _("Length"): words.metres(graded.length_mm),
                _("Coverage"): words.percent(graded.coverage),
                _("Defects"): graded.defects,
                _("To review"): graded.to_review,
                _("Points"): figure(graded.points, "g"),
                _("Rate"): _("{rate} per {measure}", rate=rate, measure=measure),
                _("Grade"): stored_words.sentence(graded.grade),
                "": _("ended") if graded.roll.id in report.ended else _("goes on"),
            }
            for graded in report.rolls
            for rate, measure in [words.rate(graded.rate, graded.measure)]
        ),
        hide_index=True,
        alt=_("Rolls with cloth of this time, and their grades"),
    )


def show_reasons(report: PeriodReport) -> None:
    if report.reasons:
        st.subheader(_("Not inspected"), anchor=False)
        st.dataframe(
            pd.DataFrame(
                {_("Line"): line, _("Why"): stored_words.sentence(reason), _("Length"): words.metres(length)}
                for line, reason, length in report.reasons
            ),
            hide_index=True,
            alt=_("Why cloth was not inspected, and how much"),
        )


def show_filing(settings: ReportSettings) -> None:
    if settings.folder is None:
        st.caption(_("To have every ended shift and day written into a folder, set LOOMWATCH_REPORT_FOLDER."))
    else:
        st.caption(
            _(
                "Every ended shift and day is written to {folder} as {formats}, ten minutes after its end.",
                folder=words.plain(str(settings.folder)),
                formats=", ".join(settings.formats),
            )
        )


with shell.page(_("Reports")):
    show_page()
