"""Rolls: one roll in figures and as a map, what is on it, and what of it was not inspected."""

from datetime import UTC, datetime
from functools import partial

import pandas as pd
import streamlit as st

from dashboard import charts, data, shell, words
from inspection.types import Roll
from storage.reads.defects import DefectItem
from storage.reads.gap_words import merge_gaps
from storage.reads.roll_map import MAP_DEFECTS, RollMap
from storage.reads.roll_runs import is_running
from storage.reads.roll_summary import CameraCoverage, RollSummary


def show_page() -> None:
    st.title("Rolls", anchor=False)
    rolls = data.rolls()
    if not rolls:
        st.info(
            "**There is no roll yet.** Open one when a new roll starts (loomwatch rolls open). Cloth that passes "
            "without one is gathered in a roll of the day, which appears here by itself.",
            icon=":material/straighten:",
        )
        return
    roll = choose(rolls)
    drawn = data.roll_map(roll)
    show_figures(drawn.summary)
    if not drawn.summary.cameras:
        st.info(
            "**Nothing was captured on this roll yet.** As soon as a camera delivers cloth, its map is drawn here.",
            icon=":material/hourglass_empty:",
        )
        return
    show_map(drawn)
    with st.grid(2, min_column_width=420):
        with st.container():
            show_cameras(drawn.summary)
        with st.container():
            show_gaps(drawn)


def choose(rolls: list[Roll]) -> Roll:
    """The roll of the address, else the running one."""
    by_id = {str(roll.id): roll for roll in rolls}
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = by_id[
            shell.select(
                "Roll", "roll", {key: name_of(roll) for key, roll in by_id.items()}, page="rolls", width=520, bare=True
            )
        ]
        if is_running(chosen, at=datetime.now(UTC)):
            st.badge("Running", icon=":material/play_circle:", color="green")
        waiting = data.roll_summary(chosen).by_state["unreviewed"]
        if st.button(
            f"Review {words.count(waiting, 'defect')}" if waiting else "Its defects", icon=":material/fact_check:"
        ):
            st.switch_page(
                "views/defects.py", query_params={"roll": str(chosen.id)} | ({} if waiting else {"state": "all"})
            )
    return chosen


def name_of(roll: Roll) -> str:
    name = f"Cloth without a roll, {roll.opened_at:%-d %b %Y}" if roll.automatic else roll.name
    when = "" if roll.automatic else f" · {shell.clock(roll.opened_at)}"
    return f"{name} · {roll.line}" + (f" · {roll.style}" if roll.style else "") + when


def show_figures(roll: RollSummary) -> None:
    captured = roll.inspected_mm + roll.gap_mm > 0
    several = f" Mean of {len(roll.cameras)} cameras." if len(roll.cameras) > 1 else ""
    grade = data.roll_grade(roll.roll)
    with st.grid(7, min_column_width=128):
        st.metric("Length", words.metres(roll.length_mm), border=True, help="Captured so far, along the roll")
        st.metric("Inspected", words.metres(roll.inspected_mm), border=True, help="Inspected by a model." + several)
        st.metric(
            "Not inspected",
            words.metres(roll.gap_mm),
            border=True,
            help="Passed a camera and was not inspected; the table below says why." + several,
        )
        st.metric("Coverage", words.percent(roll.coverage) if captured else "–", border=True)
        st.metric("Defects", f"{roll.defects:,}", border=True, help="Found, without the false alarms")
        st.metric("Per 100 m", f"{roll.defects_per_100_m:.1f}" if captured else "–", border=True)
        rate = "" if grade.rate is None else f", {grade.rate:.1f} per {grade.measure}"
        st.metric(
            "Grade" if grade.state == "final" else "Grade so far",
            words.sentence(grade.grade),
            border=True,
            help=f"{grade.points.total:g} points{rate}. "
            + " ".join(f"{words.sentence(each)}." for each in grade.reasons),
        )


def show_map(drawn: RollMap) -> None:
    """Maps, and beside them the defect that was picked on one."""
    defects = drawn.defects.assign(when=[shell.clock(at) for at in drawn.defects["captured_at"]])
    gaps = merge_gaps(drawn.gaps)
    picked = shell.address_number("defect")
    st.subheader("Map", anchor=False)
    groups = charts.lanes(drawn.summary)
    for group in groups:
        names = [camera.camera for camera in group]
        if len(groups) > 1:
            st.markdown(f"**{words.plain(', '.join(names))}**")
        here = defects["camera"].isin(names).any()
        key = f"map.{drawn.summary.roll.id}.{'.'.join(names)}"
        st.altair_chart(
            charts.roll_map(
                drawn.summary,
                defects[defects["camera"].isin(names)],
                gaps[gaps["camera"].isin(names)],
                cameras=group,
                selected=picked,
            ),
            key=key,
            on_select=partial(pick, key) if here else "ignore",
            selection_mode=["pick"] if here else None,
            alt=f"Map of the roll: {words.count(len(defects), 'defect')}, {words.count(len(gaps), 'gap')}",
        )
    total = sum(drawn.summary.by_state.values())
    st.caption(
        (f"The {MAP_DEFECTS:,} strongest of {total:,} defects. " if total > len(defects) else "")
        + "Larger marks are larger defects. Grey hatched bands were not inspected: point at one to read why. "
        "Click a defect to see it; turn the wheel to zoom along the roll, double click to see all of it."
    )
    if picked is not None and picked in set(defects["id"]):
        show_picked(picked)


def pick(key: str) -> None:
    """Puts the defect that was clicked into the address; a click beside all of them takes it out."""
    points = st.session_state[key]["selection"].get("pick") or []
    shell.remember("defect", str(points[0]["id"]) if points and "id" in points[0] else "")


def show_picked(defect_id: int) -> None:
    detail = data.defect(defect_id)
    if detail is None:
        return
    item = detail.item
    shown = data.defect_pictures(defect_id)
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if shown is not None:
            st.image(shown.outline, width=260, alt=f"Defect {item.id} with its outline")
        with st.container(width=520):
            if shown is None:
                st.caption("Its picture was not kept.")
            with st.container(horizontal=True, vertical_alignment="center"):
                st.subheader(f"Defect {item.id}", anchor=False, width="content")
                shell.state_badge(item.state)
            st.markdown(facts_of(item))
            with st.container(horizontal=True):
                if st.button("Review this defect", type="primary", icon=":material/fact_check:"):
                    st.switch_page(
                        "views/defects.py",
                        query_params={
                            "defect": str(item.id),
                            "state": "all",
                            **({"roll": str(item.roll.id)} if item.roll else {}),
                        },
                    )
                if st.button("Close", icon=":material/close:"):
                    st.query_params.pop("defect", None)
                    st.rerun()


def facts_of(item: DefectItem) -> str:
    return (
        f"At **{words.metres(item.y_mm)}** along the roll, **{item.x_mm:.0f} mm** from the left edge  \n"
        f"Size {words.size(item)} (along × across), area {words.area(item.area_mm2)}  \n"
        f"Strength {words.strength(item.strength)} · camera {words.plain(item.camera)} · "
        f"seen {shell.clock(item.captured_at)}"
    )


def show_cameras(roll: RollSummary) -> None:
    st.subheader("Cameras", anchor=False)
    st.dataframe(
        pd.DataFrame([camera_row(camera) for camera in roll.cameras]),
        hide_index=True,
        alt="What each camera captured and inspected of this roll",
    )


def camera_row(camera: CameraCoverage) -> dict[str, str]:
    share = camera.inspected_mm / camera.captured_mm if camera.captured_mm > 0 else 0.0
    return {
        "Camera": camera.camera,
        "Captured": words.metres(camera.captured_mm),
        "Inspected": words.metres(camera.inspected_mm),
        "Not inspected": words.metres(camera.gap_mm),
        "Coverage": words.percent(share),
    }


def show_gaps(drawn: RollMap) -> None:
    st.subheader("Not inspected", anchor=False)
    gaps = merge_gaps(drawn.gaps)
    if not len(gaps):
        st.success("Every millimetre that passed the cameras was inspected.", icon=":material/verified:")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "From": (gaps["y0_mm"] / 1000).map("{:.2f} m".format),
                "To": (gaps["y1_mm"] / 1000).map("{:.2f} m".format),
                "Length": (gaps["y1_mm"] - gaps["y0_mm"]).map(words.metres),
                "Why": gaps["reason"].map(words.sentence),
                "Camera": gaps["camera"],
                "When": gaps["captured_at"].map(shell.clock),
            }
        ),
        hide_index=True,
        column_config={"Why": st.column_config.TextColumn(width="large")},
        alt="Parts of the roll that were not inspected, and why",
    )


with shell.page("Rolls"):
    show_page()
