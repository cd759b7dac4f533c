"""Reports: a shift, a day or a style on paper, to look at here and to take along."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st
from babel.dates import format_date

from dashboard import data, shell, stored_words, words
from dashboard.language import _, figure, language
from dashboard.units import units
from inspection.settings import ReportSettings
from storage.grading.kept import RollGrade
from storage.reports.filed import file_name, style_file_name
from storage.reports.period_report import PeriodReport
from storage.reports.shifts import Period, day_period, shift_at, shift_names, shift_period
from storage.reports.style_report import StyleReport
from storage.reports.written import FORMS

StyleDays = tuple[str, date, date]  # its name, first and last day

DAY, STYLE = "day", "style"  # beside the names of shifts
STYLE_DAYS = 30
DAY_PX = 180
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
    chosen, line = choose(settings)
    if isinstance(chosen, Period):
        show_period(chosen, line, settings)
    elif chosen is not None:
        show_style(chosen, line, settings)
    show_filing(settings)


def show_period(period: Period, line: str, settings: ReportSettings) -> None:
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
    name = file_name(report.period, "")
    show_downloads(report, f"{line}-{name}" if line else name)
    show_figures(report)
    show_lines(report)
    show_rolls(report)
    show_reasons(report)


def show_style(chosen: StyleDays, line: str, settings: ReportSettings) -> None:
    style, first, last = chosen
    report = data.style_report(style, first, last, line)
    st.subheader(words.plain(_("Style report: {style}", style=style)), anchor=False)
    st.caption(
        _(
            "Rolls that ended from {first} to {last}, as their certificates say.",
            first=words.day(first),
            last=words.day(last),
        )
        + (_(" · not over yet") if report.end > datetime.now(UTC) else "")
    )
    if report.whole is None:
        st.info(
            _("**No roll of this style ended in these days.** Choose other days above, or another style."),
            icon=":material/event_busy:",
        )
        return
    name = style_file_name(style, first, last, "")
    show_downloads(report, f"{line}-{name}" if line else name)
    whole = report.whole
    with st.grid(5, min_column_width=140):
        st.metric(_("Rolls"), figure(len(report.rolls), ","), border=True)
        st.metric(_("Length"), words.metres(sum(graded.length_mm for graded in report.rolls)), border=True)
        st.metric(_("Coverage"), "–" if whole.coverage is None else words.percent(whole.coverage), border=True)
        st.metric(_("Defects"), figure(whole.defects, ","), border=True)
        st.metric(_("To review"), figure(report.to_review, ","), border=True)
    st.dataframe(
        pd.DataFrame(
            {
                _("Line"): each.name,
                _("Rolls"): sum(graded.roll.line == each.name for graded in report.rolls),
                _("Coverage"): "–" if each.coverage is None else words.percent(each.coverage),
                _("Defects"): each.defects,
                _("Defects per 100 {unit}²", unit=units().long): per_area(each.defects_per_100_m2),
                _("Points"): figure(each.points, "g"),
                _("False alarms"): each.false_alarms,
            }
            for each in report.lines
        ),
        hide_index=True,
        column_config=shell.numbers(_("Coverage"), _("Defects per 100 {unit}²", unit=units().long), _("Points")),
        alt=_("The style's rolls, line by line"),
    )
    show_grades(report.rolls)
    show_kinds(report)


def per_area(per_100_m2: float | None) -> str:
    return "–" if per_100_m2 is None else figure(units().per_100_square(per_100_m2), ".1f")


def show_kinds(report: StyleReport) -> None:
    if report.kinds:
        st.subheader(_("Kinds of defects"), anchor=False)
        st.dataframe(
            pd.DataFrame(
                {
                    _("Kind"): words.code(kind.code) if kind.code else words.geometry(kind.geometry),
                    _("Defects"): kind.defects,
                    _("Points"): figure(kind.points, "g"),
                }
                for kind in report.kinds
            ),
            hide_index=True,
            column_config=shell.numbers(_("Points")),
            alt=_("Kinds of defects of these rolls, the most frequent first"),
        )


def title_of(period: Period) -> str:
    day = format_date(period.day, "full", locale="en_GB" if language() == "en" else language())
    return (
        _("Shift report: {name}, {day}", name=period.name, day=day) if period.name else _("Day report: {day}", day=day)
    )


def choose(settings: ReportSettings) -> tuple[Period | StyleDays | None, str]:
    """What the report is of, and the line, as the address has it; by default the shift that runs, of all lines. None
    where there is no style yet."""
    zone = ZoneInfo(settings.time_zone)
    running = shift_at(settings.shifts, zone, datetime.now(UTC))
    names = shift_names(settings.shifts)
    kinds = {
        name: _("Shift {name}", name=name) for name in [running.name, *(name for name in names if name != running.name)]
    }
    lines = data.line_names()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        more = {DAY: _("Whole day"), STYLE: _("A style")}
        kind = shell.select(_("Report of"), "of", kinds | more, page="reports", width=220)
        today = datetime.now(zone).date()
        if kind == STYLE:
            chosen = choose_style(today)
        else:
            day = choose_day(_("Day it begins on"), "day", running.day, latest=today)
        line = ""
        if len(lines) > 1:
            line = shell.select(
                _("Line"), "line", {"": _("All lines")} | {name: name for name in lines}, page="reports", width=220
            )
    if kind == STYLE:
        return chosen, line
    if kind == DAY:
        return day_period(zone, day=day), line
    return shift_period(settings.shifts, zone, day=day, name=kind), line


def choose_style(today: date) -> StyleDays | None:
    """A style and its days; the first is never after the last."""
    styles = data.style_names()
    if not styles:
        st.info(_("**There is no style yet.** It comes with the first roll of it."), icon=":material/texture:")
        return None
    style = shell.select(_("Style"), "style", {name: name for name in styles}, page="reports", width=220)
    left, right = st.container(width=DAY_PX), st.container(width=DAY_PX)
    with right:
        last = choose_day(_("Until"), "last", today, latest=today)
    with left:
        first = choose_day(_("From"), "first", last - timedelta(days=STYLE_DAYS - 1), latest=last)
    return style, first, last


def choose_day(label: str, name: str, default: date, *, latest: date) -> date:
    """Of the address, in which it stays: tomorrow another day is the default. Something that is no day counts as the
    default. latest: today, where the shift that runs may have begun yesterday."""
    wanted = min(shell.address_day(name) or default, latest)
    chosen = st.date_input(
        label, value=wanted, max_value=latest, key=f"reports.{name}", width=DAY_PX, format="YYYY-MM-DD"
    )
    shell.remember(name, chosen.isoformat(), default=default.isoformat() if name == "first" else "")
    return chosen


def show_downloads(report: PeriodReport | StyleReport, name: str) -> None:
    """name: of the files, up to their ending. A file is made when it is asked for, in another thread."""
    spoken = language()
    with st.container(horizontal=True):
        for form in FORMS:
            st.download_button(
                FORM_WORDS[form],
                data=lambda form=form: data.written_report(report, form, spoken),  # type: ignore[misc]
                file_name=name + form,
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
        column_config=shell.numbers(
            _("Inspected"), _("Not inspected"), _("Coverage"), _("Defects per 100 {unit}²", unit=units().long)
        ),
        alt=_("Each line's cloth of this time"),
    )


def show_rolls(report: PeriodReport) -> None:
    if report.rolls:
        show_grades(report.rolls, ended=report.ended)
    else:
        st.subheader(_("Rolls"), anchor=False)
        st.caption(_("No roll has cloth of this time."))


def show_grades(rolls: Sequence[RollGrade], *, ended: frozenset[int] | None = None) -> None:
    """ended: those that ended in the time of the report, where others may be among them."""
    st.subheader(_("Rolls"), anchor=False)
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
            }
            | ({} if ended is None else {_("State"): _("ended") if graded.roll.id in ended else _("goes on")})
            for graded in rolls
            for rate, measure in [words.rate(graded.rate, graded.measure)]
        ),
        hide_index=True,
        column_config=shell.numbers(_("Length"), _("Coverage"), _("Points"), _("Rate")),
        alt=_("Rolls of this time, and their grades"),
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
            column_config=shell.numbers(_("Length")),
            alt=_("Why cloth was not inspected, and how much"),
        )


def show_filing(settings: ReportSettings) -> None:
    if settings.folder is None:
        st.caption(
            _(
                "The alarm service can write the report of every ended shift and day, and of every style by the month, "
                "into a folder by itself. Whoever runs loomwatch names the folder in the setting {setting} of that "
                "service and starts it anew.",
                setting="LOOMWATCH_REPORT_FOLDER",
            )
        )
    else:
        st.caption(
            _(
                "The alarm service writes every ended shift and day, and every style by the month, to {folder} as "
                "{formats}, ten minutes after its end.",
                folder=words.plain(str(settings.folder)),
                formats=", ".join(settings.formats),
            )
        )


with shell.page(_("Reports")):
    show_page()
