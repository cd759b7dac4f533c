"""Trends: how quality goes, where defects lie and of which kinds they are, and whether scores drift."""

import re
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast

import pandas as pd
import streamlit as st

from dashboard import charts, data, shell, stored_words, trend_charts, words
from dashboard.charts import Drawing
from dashboard.csv_file import csv_of
from dashboard.language import _, figure, ngettext
from dashboard.units import units
from storage.defects.geometry import GEOMETRIES
from storage.grading.severity import SEVERITIES
from storage.trends.drift import DriftState
from storage.trends.periods import today
from storage.trends.reads import By, Measure, Trend, TrendFilter, chart_of, difference_of
from storage.trends.totals import BAND_MM

SPANS = {"30": _("30 days"), "7": _("7 days"), "90": _("90 days"), "365": _("A year")}
STEPS = {"day": _("Day by day"), "shift": _("Shift by shift")}
SIDES = {"style": _("Style"), "shift_name": _("Shift"), "line": _("Line"), "camera": _("Camera"), "loom": _("Loom")}
NAMELESS = {"style": _("no style"), "loom": _("no loom")}
MEASURES: dict[str, tuple[str, str]] = {  # words, number format
    "defects_per_100_m2": (_("Defects per 100 {unit}²", unit=units().long), ".2f"),
    "points_per_100_m2": (_("Points per 100 {unit}²", unit=units().long), ".2f"),
    "false_alarm_rate": (_("False alarms"), ".0%"),
    "coverage": (_("Coverage"), ".1%"),
    "uptime": (_("Uptime"), ".0%"),
    "hours_to_review": (_("Hours to review"), ".1f"),
}
DRIFT_WORDS = {
    "gathering": _("Too few frames yet"),
    "steady": _("Steady"),
    "watch": _("Watch"),
    "drifted": _("Drifted"),
}
MOST_KINDS = 12
MOST_DAYS = 120  # that are drawn one by one across the cloth
USUAL_KEY = "trends.usual"  # the day before those shown


def show_page() -> None:
    st.title(_("Trends"), anchor=False)
    lines = data.line_names()
    if not lines:
        st.info(
            _("**There are no trends yet.** As soon as a line delivers cloth, its figures add up here by themselves."),
            icon=":material/trending_up:",
        )
        return
    wanted = choose_filter(lines)
    now = data.trend_whole(wanted)
    if now is None:
        st.info(
            _("**Nothing passed in these days.** Choose other days, or take a filter away."),
            icon=":material/event_busy:",
        )
        return
    before = choose_earlier(wanted)
    show_figures(now, data.trend_whole(before))
    show_control(wanted)
    with st.grid(2, min_column_width=460):
        with st.container():
            show_sides(wanted)
        with st.container():
            show_kinds(wanted)
    show_width(wanted)
    show_drift(wanted)


# --- filters -------------------------------------------------------------------------------------------------------


def choose_filter(lines: list[str]) -> TrendFilter:
    """All of it lives in the address."""
    with st.grid(8, min_column_width=135):
        days = int(shell.select(_("Days"), "days", SPANS, page="trends"))
        last = choose_day(_("Until"), "last", today(data.plant(), datetime.now(UTC)))
        line = shell.select(_("Line"), "line", {"": _("All lines"), **same(lines)}, page="trends")
        style = shell.select(_("Style"), "style", {"": _("All styles"), **same(data.style_names())}, page="trends")
        shift = shell.select(
            _("Shift"), "shift", {"": _("All shifts"), **same(data.plant().shift_names)}, page="trends"
        )
        camera = shell.select(_("Camera"), "camera", {"": _("All cameras"), **same(data.camera_names())}, page="trends")
        severities = {"": _("All")} | {str(each): stored_words.sentence(each) for each in SEVERITIES}
        severity = shell.select(_("Severity"), "severity", severities, page="trends")
        forms = {"": _("All forms")} | {each: words.geometry(each) for each in GEOMETRIES}
        form = shell.select(_("Form"), "form", forms, page="trends")
    return TrendFilter(
        first=last - timedelta(days=days - 1),
        last=last,
        line=line,
        style=style,
        camera=camera,
        shift=shift,
        severity=severity,
        geometry=form,
    )


def choose_day(label: str, name: str, default: date, *, width: int | Literal["stretch"] = "stretch") -> date:
    """In the address whatever it is: tomorrow another day is the default."""
    wanted = shell.address_day(name) or default
    chosen = st.date_input(label, value=wanted, key=f"trends.{name}.{default}", format="YYYY-MM-DD", width=width)
    chosen = chosen if isinstance(chosen, date) else default
    shell.remember(name, chosen.isoformat())
    return chosen


def choose_earlier(wanted: TrendFilter) -> TrendFilter:
    """What the days are compared with: as many, ended on the chosen day."""
    length, usual = wanted.last - wanted.first, wanted.first - timedelta(days=1)
    former = st.session_state.get(USUAL_KEY, usual)
    if former != usual and st.query_params.get("before") == former.isoformat():
        st.query_params.pop("before")  # other days were chosen, and nobody had chosen what to compare them with
    st.session_state[USUAL_KEY] = usual
    with st.container(horizontal=True, vertical_alignment="bottom"):
        last = choose_day(_("Compared with days until"), "before", usual, width=220)
        earlier = replace(wanted, first=last - length, last=last)
        st.caption(
            _(
                "{first} to {last}, compared with {first2} to {last2}",
                first=words.plain(words.day(wanted.first)),  # else 29. Nov. begins a list
                last=words.day(wanted.last),
                first2=words.day(earlier.first),
                last2=words.day(earlier.last),
            )
        )
    return earlier


def same(names: list[str]) -> dict[str, str]:
    return {name: name for name in names if name}


# --- figures -------------------------------------------------------------------------------------------------------


def show_figures(now: Trend, earlier: Trend | None) -> None:
    found = difference_of(earlier, now)
    earlier = found.first if found else None
    with st.grid(6, min_column_width=190):
        for name, (label, form) in MEASURES.items():
            value = own(name, getattr(now, name))
            old = own(name, getattr(earlier, name)) if earlier else None
            change = None if value is None or old is None else text_of(value - old, form, signed=True)
            same = change is not None and not re.search("[1-9]", change)  # as far as it is shown
            st.metric(
                label,
                text_of(value, form),
                delta=_("as before") if same else change,
                delta_color="off" if same else "normal" if name in ("coverage", "uptime") else "inverse",
                delta_arrow="off" if same else "auto",
                border=True,
            )
    table = pd.DataFrame([row_of(each, when) for each, when in ((earlier, _("before")), (now, _("now"))) if each])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            difference_in_words(found.ratio, found.p_value) if found else _("Nothing passed in the days before.")
        )
        export(lambda: table, "comparison", label=_("Both periods as CSV"))


def difference_in_words(ratio: float | None, chance: float | None) -> str:
    if ratio is None or chance is None:
        return _("No defects to compare.")
    sure = (
        _("more than chance would do")
        if chance < 0.01
        else _("chance alone could do that")
        if chance > 0.05
        else _("perhaps chance")
    )
    return _(
        "Defects per area: {ratio} times those of the days before ({sure}, p = {chance}).",
        ratio=figure(ratio, ".2f"),
        sure=sure,
        chance=figure(chance, ".2g"),
    )


def own(name: str, value: float | None) -> float | None:
    """A measure in the viewer's units; what is exported keeps the unit that its column names."""
    return units().per_100_square(value) if value is not None and name.endswith("_per_100_m2") else value


def text_of(value: float | None, form: str, *, signed: bool = False) -> str:
    return "–" if value is None else figure(value, ("+" if signed else "") + form)


# --- charts --------------------------------------------------------------------------------------------------------


def show_control(wanted: TrendFilter) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader(_("In the course of time"), anchor=False)
        names = {name: label for name, (label, _) in MEASURES.items()}
        measure = shell.select(_("Measure"), "measure", names, page="trends", width=260, bare=True)
        step = shell.select(_("Step"), "step", STEPS, page="trends", width=170, bare=True)
    trends = data.trends(wanted, cast(By, step))
    chart = chart_of(trends, cast(Measure, measure))
    label, form = MEASURES[measure]
    limits = {"value": chart.values, "lower": chart.lower, "center": chart.center, "upper": chart.upper}
    table = pd.DataFrame({"name": [trend.name for trend in trends], **limits, "signal": chart.signals})
    if table["value"].isna().all():
        st.caption(_(
"{label} is not known for this choice: a style has no uptime of its own, and what "
"nobody reviewed has no false alarms.",
label=label
))  # fmt: skip
        return
    out = int((table["signal"] != "").sum())
    draw(
        trend_charts.control_chart(
            table.assign(**{name: table[name] * (own(measure, 1.0) or 1.0) for name in limits}),
            title=label,
            text_format=form,
        ),
        alt=_(
            "{label}, {points}, {out} out of control",
            label=label,
            points=ngettext("{number} point", "{number} points", len(table)),
            out=out,
        ),
        as_picture=len(table) >= trend_charts.MANY,
    )
    kind = (
        _("u-chart: limits follow the area inspected")
        if chart.kind == "u"
        else _("individuals chart: limits from the moving range")
    )
    said = (
        _("No point is out of control.")
        if not out
        else _("{points} out of control.", points=ngettext("{number} point", "{number} points", out))
    )
    few = _("Limits need five points.") if pd.isna(chart.center) else f"{said} ({kind})"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(few)
        export(lambda: pd.DataFrame([row_of(trend, trend.name) for trend in trends]).merge(table), "course")


def show_sides(wanted: TrendFilter) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader(_("Side by side"), anchor=False)
        by = shell.select(_("By"), "by", SIDES, page="trends", width=150, bare=True)
    if by == "loom" and wanted.camera:
        st.caption(_("Looms are compared over whole rolls: choose all cameras."))
        return
    if by == "loom" and wanted.geometry:
        st.caption(_("Looms are compared by defects of every form: choose all forms."))
        return
    trends = data.trends(wanted, cast(By, by))
    if not trends:
        st.caption(_("No roll ended in these days, and looms are compared by rolls that ended."))
        return
    table = pd.DataFrame(
        {
            "name": [trend.name or NAMELESS.get(by, "") for trend in trends],
            "value": [own("defects_per_100_m2", trend.defects_per_100_m2) for trend in trends],
        }
    ).dropna()
    label, form = MEASURES["defects_per_100_m2"]
    draw(
        trend_charts.bars(table, title=label, text_format=form),
        alt=_("{label} by {side}", label=label, side=SIDES[by]),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        if by == "loom":
            st.caption(_("Of the rolls that ended in these days, by the loom that their papers name."))
        export(lambda: pd.DataFrame([row_of(trend, trend.name) for trend in trends]), by)


def show_kinds(wanted: TrendFilter) -> None:
    st.subheader(_("Kinds of defects"), anchor=False)
    kinds = data.trend_kinds(wanted)
    if not kinds:
        st.success(_("No defects in these days."), icon=":material/verified:")
        return
    table = pd.DataFrame(
        {
            "kind": [kind_in_words(kind.geometry, kind.code) for kind in kinds],
            "defects": [kind.defects for kind in kinds],
            "points": [kind.points for kind in kinds],
        }
    )
    table = table.groupby("kind", as_index=False, sort=False).sum().sort_values("defects", ascending=False)
    table["share"] = table["defects"].cumsum() / table["defects"].sum()
    draw(
        trend_charts.pareto(table.head(MOST_KINDS)),
        alt=_("Pareto chart of {kinds} of defects", kinds=ngettext("{number} kind", "{number} kinds", len(table))),
    )
    export(lambda: table, "kinds")


def kind_in_words(geometry: str, code: str) -> str:
    """The name staff gave, else the form."""
    if code:
        return words.code(code)
    return words.geometry(geometry)


def show_width(wanted: TrendFilter) -> None:
    st.subheader(_("Across the cloth"), anchor=False)
    table = data.trend_width(wanted)
    if table.empty:
        st.caption(_("No defects that lie at one place across the cloth."))
        return
    table = table.assign(day=table["day"].astype(str))
    every = table.pivot(index="day", columns="x_mm", values="defects").fillna(0).astype(int)
    by_weeks = len(every) > MOST_DAYS
    draw(
        trend_charts.width_map(
            cells(trend_charts.weekly(every) if by_weeks else every),
            band_mm=BAND_MM,
            when=_("Week from") if by_weeks else _("Day"),
        ),
        alt=_("Defects by day and place across the cloth; a stripe is a place that makes defects again and again"),
        as_picture=True,
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            _(
                "A stripe along the days is a place that makes defects again and again: a camera, a "
                "reed, a needle. Days are those of UTC; cameras, shifts, severities and forms are not told "
                "apart here."
            )
            + (_(" More than {days} days are drawn by weeks.", days=MOST_DAYS) if by_weeks else "")
        )
        export(lambda: cells(every), "across")


def cells(every: pd.DataFrame) -> pd.DataFrame:
    """day, x_mm, defects, one row a cell."""
    return every.reset_index().melt(id_vars="day", value_name="defects")


def show_drift(wanted: TrendFilter) -> None:
    st.subheader(_("Drift of scores"), anchor=False)
    found = data.trend_drift(wanted)
    if not found:
        st.caption(_("A camera is judged after its first hundred frames of a day."))
        return
    names = [field.name for field in fields(DriftState)]
    table = pd.DataFrame([[getattr(each, name) for name in names] for each in found], columns=names)
    table["place"] = [" · ".join((each.camera, each.style or _("no style"))) for each in found]
    table["day"] = table["day"].astype(str)
    alt = _("State of each camera's scores, day by day")
    draw(trend_charts.drift_strip(table, words=DRIFT_WORDS), alt=alt, as_picture=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            _(
                "Normal fabric's scores of each day against those its model began with. Watch: "
                "stability index of 0.1, drifted: 0.25, where the difference is no chance. Look at "
                "light, lens and yarn first."
            )
        )
        export(lambda: table.drop(columns="judged_at"), "drift")


def draw(chart: Drawing, *, alt: str, as_picture: bool = False) -> None:
    st.vega_lite_chart(charts.spoken(chart, as_picture=as_picture), alt=alt)


def row_of(trend: Trend, name: str) -> dict[str, object]:
    return asdict(trend) | {"name": name, "start": trend.start.isoformat(), "end": trend.end.isoformat()}


def export(make: Callable[[], pd.DataFrame], name: str, *, label: str = "CSV") -> None:
    """Written when somebody takes it: a year's tables take longer than their charts."""
    st.download_button(
        label,
        lambda: csv_of(make()),
        file_name=f"trends-{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        key=f"trends.export.{name}",
        on_click="ignore",
    )


with shell.page(_("Trends")):
    show_page()
