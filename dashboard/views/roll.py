"""Roll: one roll in figures and as a map, its grade point by point, its papers, and what staff do with it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import pandas as pd
import streamlit as st

from dashboard import charts, data, roll_charts, shell, stored_words, words
from dashboard.language import _, figure, ngettext
from dashboard.roll_acts import OPENED_KEY, say_what_was_done, show_acts, show_opening, show_papers
from dashboard.roll_grade import show_grade
from dashboard.roll_names import LISTED, choose_roll, older_in_words
from dashboard.stored_sentences import told
from dashboard.stored_words import said
from dashboard.units import units
from inspection.types import Roll
from storage.grading.stored import RollSeries
from storage.reads.defects import DefectItem
from storage.reads.gap_words import merge_gaps
from storage.reads.roll_map import MAP_DEFECTS, RollMap
from storage.reads.roll_runs import is_running
from storage.reads.roll_summary import CameraCoverage, RollSummary


def show_page() -> None:
    st.title(_("Roll"), anchor=False)
    say_what_was_done()
    rolls = data.rolls()
    if not rolls:
        st.info(
            _(
                "**There is no roll yet.** Open one when a new roll starts. Cloth that passes "
                "without one is gathered in a roll of the day, which appears here by itself."
            ),
            icon=":material/straighten:",
        )
        show_opening(None)
        return
    roll = choose(rolls)
    summary = data.roll_summary(roll)
    show_figures(summary)
    if not summary.cameras:
        st.info(
            _("**Nothing was captured on this roll yet.** As soon as a camera delivers cloth, its map is drawn here."),
            icon=":material/hourglass_empty:",
        )
        return
    show_map(roll)
    show_grade(data.graded_roll(roll), data.cut_plan(roll))
    show_series(data.graded_roll(roll).series)
    with st.grid(2, min_column_width=520):
        with st.container():
            show_cameras(summary)
        with st.container():
            show_gaps(data.roll_map(roll))


def choose(rolls: list[Roll]) -> Roll:
    """The roll of the address, else the running one, and what can be done with it."""
    chosen = choose_roll(f"roll.{st.session_state.get(OPENED_KEY, '')}", width=520, bare=True) or rolls[0]
    if len(rolls) > LISTED:
        st.caption(older_in_words())
    standing = data.roll_standing(chosen)
    with st.container(horizontal=True, vertical_alignment="center"):
        if is_running(chosen, at=datetime.now(UTC)):
            st.badge(_("Running"), icon=":material/play_circle:", color="green")
        if standing.suspended:
            st.badge(_("Suspended"), icon=":material/pause_circle:", color="orange")
        if standing.held:
            st.badge(_("On hold"), icon=":material/lock:", color="violet")
        waiting = data.roll_summary(chosen).by_state["unreviewed"]
        if st.button(
            _("Review {defects}", defects=ngettext("{number} defect", "{number} defects", waiting))
            if waiting
            else _("Its defects"),
            icon=":material/fact_check:",
        ):
            st.switch_page(
                "views/review.py", query_params={"roll": str(chosen.id)} | ({} if waiting else {"state": "all"})
            )
        show_papers(chosen)
        show_acts(chosen, standing)
        show_opening(chosen)
    for reason, kind in (
        (standing.suspended, _("Suspended")),
        (standing.held, _("On hold")),
        (standing.remarks, _("Note")),
    ):
        if reason:
            st.caption(f"**{kind}:** {words.plain(reason)}")
    return chosen


def show_figures(roll: RollSummary) -> None:
    captured = roll.captured_mm > 0
    several = _(" Mean of {cameras} cameras.", cameras=len(roll.cameras)) if len(roll.cameras) > 1 else ""
    with st.grid(7, min_column_width=190):
        st.metric(_("Length"), words.metres(roll.length_mm), border=True, help=_("Captured so far, along the roll"))
        st.metric(
            _("Inspected"), words.metres(roll.inspected_mm), border=True, help=_("Inspected by a model.") + several
        )
        st.metric(
            _("Not inspected"),
            words.metres(roll.gap_mm),
            border=True,
            help=_("Passed a camera and was not inspected; the table below says why.") + several,
        )
        st.metric(
            _("Coverage"),
            words.percent(roll.coverage) if captured else "–",
            border=True,
            help=_("Captured and not inspected yet: {length}", length=words.metres(roll.waiting_mm))
            if roll.waiting_mm > 0
            else None,
        )
        each = figure(units().per_100_long(roll.defects_per_100_m), ".1f") if captured else "–"
        st.metric(
            _("Defects"),
            figure(roll.defects, ","),
            border=True,
            help=_("Found, without the false alarms: {rate} per 100 {unit}", rate=each, unit=units().long),
        )
        grade = data.roll_grade(roll.roll)  # of a long roll takes a moment, in which the rest is there already
        rate, measure = words.rate(grade.rate, grade.measure)
        st.metric(_("Points per {measure}", measure=measure), rate, border=True)
        st.metric(
            _("Grade") if grade.state == "final" else _("Grade so far"),
            stored_words.sentence(grade.grade),
            border=True,
            help=_("{total} points.", total=figure(grade.points.total, "g"))
            + " "
            + " ".join(f"{told(each)}." for each in grade.reasons),
        )


# --- the map -------------------------------------------------------------------------------------------------------


@st.fragment
def show_map(roll: Roll) -> None:
    """Strip and part, and beside them the defect that was picked. A click draws this part of the page alone."""
    with shell.told():
        drawn = data.roll_map(roll)
        defects = drawn.defects
        gaps = merge_gaps(drawn.gaps)
        picked = shell.address_number("defect")
        st.subheader(_("Map"), anchor=False)
        groups = charts.lanes(drawn.summary)
        for number, group in enumerate(groups):
            names = [camera.camera for camera in group]
            if len(groups) > 1:
                st.markdown(f"**{words.plain(', '.join(names))}**")
            here, missed = defects[defects["camera"].isin(names)], gaps[gaps["camera"].isin(names)]
            from_m = first_metre(here, picked, drawn.summary, group)
            key = f"map.{roll.id}.{number}"
            st.vega_lite_chart(
                roll_charts.strip(
                    drawn.summary,
                    here,
                    missed,
                    data.cut_plan(roll) if number == 0 else None,
                    cameras=group,
                    from_m=from_m,
                ),
                key=f"{key}.strip",
                on_select=partial(move, f"{key}.strip"),
                selection_mode=["window"],
                alt=_(
                    "The whole roll: {defects}, {gaps}",
                    defects=ngettext("{number} defect", "{number} defects", len(here)),
                    gaps=ngettext("{number} gap", "{number} gaps", len(missed)),
                ),
            )
            st.vega_lite_chart(
                roll_charts.part(drawn.summary, here, missed, cameras=group, from_m=from_m, selected=picked),
                key=f"{key}.part.{from_m}",
                on_select=partial(pick, f"{key}.part.{from_m}", from_m),
                selection_mode=["pick"],
                alt=_("The roll from {place} on, in true proportions", place=words.metres(from_m * 1000, ".1f")),
            )
        total = sum(drawn.summary.by_state.values())
        st.caption(
            (
                _(
                    "The {map_defects} strongest of {total} defects. ",
                    map_defects=figure(MAP_DEFECTS, ","),
                    total=figure(total, ","),
                )
                if total > len(defects)
                else ""
            )
            + (
                _("On the strip one mark may stand for several that lie close together. ")
                if len(defects) > roll_charts.STRIP_MARKS
                else ""
            )
            + _(
                "Drag over the strip to see that part in true proportions; click a defect there to "
                "see it, turn the wheel to zoom. Hatched: not inspected. Hollow: false alarms. Heavy "
                "rim: critical. Dotted: what repeats. Below the strip: the cut plan."
            )
        )
        step_through(drawn, defects, picked)
        if picked is not None and picked in set(defects["id"]):
            show_picked(picked)


def first_metre(defects: pd.DataFrame, picked: int | None, roll: RollSummary, cameras: list[CameraCoverage]) -> float:
    """Where the part begins: the address's metre, else a little before the picked defect, else the roll's start."""
    width_m = max((camera.x1_mm for camera in cameras), default=0.0) / 1000
    last = max(0.0, roll.length_mm / 1000 - 2 * width_m)
    try:
        return round(min(max(0.0, float(st.query_params.get("at", ""))), last), 2)
    except ValueError:
        pass
    found = defects[defects["id"] == picked]
    if not len(found):
        return 0.0
    return round(min(max(0.0, float(found["y0_mm"].iloc[0]) / 1000 - width_m), last), 2)


def move(key: str) -> None:
    """To the part of the strip that was marked."""
    marked = st.session_state[key]["selection"].get("window") or {}
    if marked.get("x_m"):
        st.query_params["at"] = f"{max(0.0, min(marked['x_m'])):.2f}"


def pick(key: str, from_m: float) -> None:
    """Puts the defect that was clicked into the address; a click beside all of them takes it out. The map stays."""
    st.query_params["at"] = f"{from_m:.2f}"
    points = st.session_state[key]["selection"].get("pick") or []
    if points and "id" in points[0]:
        look_at(int(points[0]["id"]), follow=False)
    else:
        st.query_params.pop("defect", None)


def look_at(defect_id: int, *, follow: bool) -> None:
    """follow: the part of the map goes where the defect is."""
    st.query_params["defect"] = str(defect_id)
    if follow:
        st.query_params.pop("at", None)


def step_through(drawn: RollMap, defects: pd.DataFrame, picked: int | None) -> None:
    """From defect to defect along the roll, without a mouse."""
    along = [int(number) for number in defects.sort_values(["y0_mm", "id"])["id"]]
    if not along:
        st.success(_("No defect was found on this roll so far."), icon=":material/task_alt:")
        return
    place = along.index(picked) if picked in along else -1
    before = along[place - 1] if place > 0 else None
    after = along[place + 1] if place + 1 < len(along) else None
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, target, key, symbol in (
            (_("Defect before"), before, "Left", ":material/chevron_left:"),
            (_("Defect after"), after, "Right", ":material/chevron_right:"),
        ):
            st.button(
                label,
                key=f"roll.{label}",
                icon=symbol,
                shortcut=key,
                disabled=target is None,
                on_click=look_at,
                args=(target,),
                kwargs={"follow": True},
            )


def show_picked(defect_id: int) -> None:
    detail = data.defect(defect_id)
    if detail is None:
        return
    item = detail.item
    shown = data.defect_pictures(defect_id)
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if shown is not None:
            st.image(shown.outline, width=260, alt=_("Defect {id} with its outline", id=item.id))
            st.image(shown.heat, width=260, alt=_("Heat of defect {id}", id=item.id))
        with st.container(width=520):
            if shown is None:
                st.caption(_("Its picture was not kept."))
            with st.container(horizontal=True, vertical_alignment="center"):
                st.subheader(_("Defect {id}", id=item.id), anchor=False, width="content")
                shell.state_badge(item.state)
            st.markdown(facts_of(item))
            with st.container(horizontal=True):
                if st.button(_("Review this defect"), type="primary", icon=":material/fact_check:"):
                    st.switch_page(
                        "views/review.py",
                        query_params={
                            "defect": str(item.id),
                            "state": "all",
                            **({"roll": str(item.roll.id)} if item.roll else {}),
                        },
                    )
                st.button(_("Close"), icon=":material/close:", on_click=close_defect)


def close_defect() -> None:
    st.query_params.pop("defect", None)


def facts_of(item: DefectItem) -> str:
    return _(
        "**{named}**, {severity}  \nAt **{metres}** along the roll, **{across}** from the "
        "left edge  \nSize {size} (along × across), area {area}  \nStrength {strength} · "
        "camera {camera} · seen {clock}",
        named=words.named(item),
        severity=said(item.severity),
        metres=words.metres(item.y_mm),
        across=words.millimetres(item.x_mm),
        size=words.size(item),
        area=words.area(item.area_mm2),
        strength=words.strength(item.strength),
        camera=words.plain(item.camera),
        clock=shell.clock(item.captured_at),
    )


def show_series(series: Sequence[RollSeries]) -> None:
    if not series:
        return
    st.subheader(_("Periodic defects"), anchor=False)
    st.dataframe(
        pd.DataFrame(
            {
                _("Every"): [words.millimetres(each.period_mm) for each in series],
                _("Times"): [each.hits for each in series],
                _("First one"): [words.metres(each.first_mm) for each in series],
                _("Last one"): [words.metres(each.last_mm) for each in series],
                _("From left"): [words.millimetres(each.x_mm) for each in series],
                _("Suspect"): [each.suspect or _("unknown") for each in series],
            }
        ),
        hide_index=True,
        column_config=shell.numbers(_("Every"), _("First one"), _("Last one"), _("From left")),
        alt=_("Defects of this roll at equal spaces, and what may make them"),
    )


# --- cameras and gaps ----------------------------------------------------------------------------------------------


def show_cameras(roll: RollSummary) -> None:
    st.subheader(_("Cameras"), anchor=False)
    st.dataframe(
        pd.DataFrame([camera_row(camera) for camera in roll.cameras]),
        hide_index=True,
        column_config=shell.numbers(
            _("Captured"), _("Inspected"), _("Not inspected"), _("Not inspected yet"), _("Coverage")
        ),
        alt=_("What each camera captured and inspected of this roll"),
    )


def camera_row(camera: CameraCoverage) -> dict[str, str]:
    share = camera.inspected_mm / camera.captured_mm if camera.captured_mm > 0 else 0.0
    return {
        _("Camera"): camera.camera,
        _("Captured"): words.metres(camera.captured_mm),
        _("Inspected"): words.metres(camera.inspected_mm),
        _("Not inspected"): words.metres(camera.gap_mm),
        _("Not inspected yet"): words.metres(camera.waiting_mm),
        _("Coverage"): words.percent(share),
    }


def show_gaps(drawn: RollMap) -> None:
    st.subheader(_("Not inspected"), anchor=False)
    gaps = merge_gaps(drawn.gaps)
    if not len(gaps):
        st.success(_("Every millimetre that passed the cameras was inspected."), icon=":material/verified:")
        return
    st.dataframe(
        pd.DataFrame(
            {
                _("From"): gaps["y0_mm"].map(words.metres),
                _("To"): gaps["y1_mm"].map(words.metres),
                _("Length"): (gaps["y1_mm"] - gaps["y0_mm"]).map(words.metres),
                _("Why"): gaps["reason"].map(stored_words.sentence),
                _("Camera"): gaps["camera"],
                _("When"): gaps["captured_at"].map(shell.clock),
            }
        ),
        hide_index=True,
        column_config={_("Why"): st.column_config.TextColumn(width="large")}
        | shell.numbers(_("From"), _("To"), _("Length")),
        alt=_("Parts of the roll that were not inspected, and why"),
    )


with shell.page(_("Roll")):
    show_page()
