"""Defects: the queue, worst first, one defect at a time with its pictures and facts, and staff's verdict on it."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from dashboard import data, shell, words
from storage.defects.geometry import CODES, propose_names
from storage.grading.severity import SEVERITIES
from storage.reads.defects import DefectDetail, DefectFilter, DefectItem
from storage.reads.review_state import STATES, State
from storage.reads.roll_runs import is_running

PAGE_ROWS = 15
ALL = "all"
STATE_CHOICES: dict[str, str] = {**{state: words.STATE_WORDS[state] for state in STATES}, ALL: "All"}
STRENGTHS = {"": "Any", "1.1": "from 1.1 ×", "1.25": "from 1.25 ×", "1.5": "from 1.5 ×", "2": "from 2 ×"}
ACTS_KEY, FILTER_KEY, DONE_KEY = "defects.acts", "defects.filter", "defects.done"


def show_page() -> None:
    st.title("Defects", anchor=False)
    if message := st.session_state.pop(DONE_KEY, None):
        st.toast(message, icon=":material/check:")
    wanted = choose_filter()
    items, total = data.list_defects(wanted, PAGE_ROWS, 0)
    current = current_defect(items)
    if current is None:
        show_empty(wanted)
        return
    with st.container(border=True):
        show_defect(current, wanted, total)
    show_queue(wanted, total, current.item.id)


# --- what to look at -----------------------------------------------------------------------------------------------


def choose_filter() -> DefectFilter:
    """Filters live in the address; changing one starts at the worst defect again."""
    now = datetime.now(UTC)
    rolls = {str(roll.id): roll for roll in data.rolls()}
    names = {
        key: ("Cloth without a roll, " + f"{roll.opened_at:%-d %b %Y}" if roll.automatic else roll.name)
        + f" · {roll.line}"
        + (" · running" if is_running(roll, at=now) else "")
        for key, roll in rolls.items()
    }
    with st.grid(4, min_column_width=170):
        roll = shell.select("Roll", "roll", {"": "All rolls", **names}, page="defects")
        style = shell.select("Style", "style", {"": "All styles", **same(data.style_names())}, page="defects")
        camera = shell.select("Camera", "camera", {"": "All cameras", **same(data.camera_names())}, page="defects")
        strength = shell.select("Strength (× limit)", "strength", STRENGTHS, page="defects")
    wanted = DefectFilter(
        roll=rolls.get(roll), style=style, camera=camera, min_strength=float(strength) if strength else 0.0
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        state = choose_state()
        counts = data.count_by_state(wanted)
        st.caption(words.states(counts), width="content")
    address = (roll, style, camera, strength, state or ALL)
    if st.session_state.get(FILTER_KEY, address) != address:
        st.query_params.pop("defect", None)
        st.query_params.pop("page", None)
    st.session_state[FILTER_KEY] = address
    return DefectFilter(
        roll=wanted.roll, style=style, camera=camera, min_strength=wanted.min_strength, state=state or ""
    )


def choose_state() -> State | None:
    """One state; None for all."""
    wanted = st.query_params.get("state", "unreviewed")
    chosen = st.segmented_control(
        "State",
        list(STATE_CHOICES),
        default=wanted if wanted in STATE_CHOICES else "unreviewed",
        required=True,
        format_func=lambda key: STATE_CHOICES[key],
        key="defects.state",
        label_visibility="collapsed",
    )
    shell.remember("state", chosen or "unreviewed", default="unreviewed")
    return next((state for state in STATES if state == chosen), None)


def same(names: list[str]) -> dict[str, str]:
    return {name: name for name in names}


def current_defect(items: list[DefectItem]) -> DefectDetail | None:
    """The address's defect, else the worst one, which is then kept in the address: while somebody looks at it, a worse
    one that comes in must not slip under the buttons."""
    chosen = shell.address_number("defect")
    detail = data.defect(chosen) if chosen is not None else None
    if chosen is not None and detail is None:
        st.warning(f"There is no defect {chosen} any more. Here is the worst of the others.", icon=":material/search:")
    if detail is None and items:
        detail = data.defect(items[0].id)
    shell.remember("defect", str(detail.item.id) if detail else "")
    return detail


def show_empty(wanted: DefectFilter) -> None:
    counts = data.count_by_state(wanted)
    if wanted.state == "unreviewed" and any(counts.values()):
        st.success("**Everything is reviewed.** New defects appear here, worst first.", icon=":material/task_alt:")
    elif wanted == DefectFilter(state=wanted.state):
        st.info(
            "**No defects were found yet.** They appear here, worst first, as soon as the line finds some.",
            icon=":material/fact_check:",
        )
    else:
        st.info(
            "**No defect fits these filters.** Choose All, another roll or a lower strength.",
            icon=":material/filter_alt_off:",
        )
    if st.session_state.get(ACTS_KEY):
        show_undo(None)


# --- one defect ----------------------------------------------------------------------------------------------------


def show_defect(detail: DefectDetail, wanted: DefectFilter, total: int) -> None:
    item = detail.item
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"Defect {item.id}", anchor=False, width="content")
        shell.state_badge(item.state)
        if detail.learned:
            st.badge("Learned as normal", icon=":material/school:", color="blue")
        fits = not wanted.state or wanted.state == item.state
        rank = data.rank_of(wanted, item.id) + 1
        st.caption(
            f"{rank:,} of {words.counted(total)}, worst first"
            if fits and rank <= total
            else f"{words.counted(total)} in this list",
            width="stretch",
            text_alignment="right",
        )
    show_buttons(detail, wanted)
    with st.grid(4, min_column_width=240):
        show_pictures(item)
        with st.container():
            show_facts(detail)
            show_history(detail)


def show_pictures(item: DefectItem) -> None:
    """Crop, heat and outline side by side."""
    shown = data.defect_pictures(item.id)
    if shown is None:
        st.info(
            "The pictures of this defect were not kept or are gone; its place and size still hold.",
            icon=":material/image_not_supported:",
        )
        return
    for picture, caption, alt in (
        (shown.crop, "As the camera saw it", f"Cloth around defect {item.id}"),
        (shown.heat, "What is unusual: brighter is stronger", f"Heat of defect {item.id}"),
        (shown.outline, "Outline of the defect", f"Defect {item.id} outlined"),
    ):
        st.image(picture, caption=caption, width="stretch", alt=alt)


def show_buttons(detail: DefectDetail, wanted: DefectFilter) -> None:
    """Verdicts go on to the next defect; each has a key."""
    item = detail.item
    before, after = data.neighbours_of(wanted, item.id)
    following = after if after is not None else before
    needed = shell.needs("operator")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Confirm defect",
            key=f"confirm.{item.id}",
            type="primary",
            icon=":material/error:",
            shortcut="D",
            disabled=item.state == "confirmed" or needed is not None,
            help=needed,
        ):
            judge(item, "confirmed", following, wanted)
        if st.button(
            "False alarm: learn as normal",
            key=f"reject.{item.id}",
            icon=":material/block:",
            shortcut="F",
            disabled=item.state == "rejected" or needed is not None,
            help=needed or "The picture becomes a sample of normal fabric for the next training",
        ):
            judge(item, "rejected", following, wanted)
        show_undo(item)
        st.space("stretch")
        if st.button(
            "Previous",
            key=f"before.{item.id}",
            icon=":material/chevron_left:",
            shortcut="Left",
            disabled=before is None,
        ):
            go_to(before, wanted)
        if st.button(
            "Next",
            key=f"after.{item.id}",
            icon=":material/chevron_right:",
            icon_position="right",
            shortcut="Right",
            disabled=after is None,
        ):
            go_to(after, wanted)


def show_undo(item: DefectItem | None) -> None:
    """Takes back the last verdict given here; else that of the defect in view."""
    acts: list[tuple[int, State]] = st.session_state.setdefault(ACTS_KEY, [])
    reviewed = item is not None and item.state != "unreviewed"
    label = f"Undo defect {acts[-1][0]}" if acts else "Undo review"
    needed = shell.needs("operator")
    disabled = needed is not None or (not acts and not reviewed)
    if not st.button(label, key="undo", icon=":material/undo:", shortcut="U", disabled=disabled, help=needed):
        return
    if acts:
        defect_id, state = acts[-1]
        data.review(defect_id, state)
        acts.pop()
    elif item is not None:
        defect_id = item.id
        data.review(defect_id, "unreviewed")
    st.session_state[DONE_KEY] = f"Defect {defect_id}: taken back"
    st.query_params["defect"] = str(defect_id)
    st.rerun()


def judge(item: DefectItem, state: State, following: int | None, wanted: DefectFilter) -> None:
    data.review(item.id, state)
    st.session_state.setdefault(ACTS_KEY, []).append((item.id, item.state))
    learned = state == "rejected" and (detail := data.defect(item.id)) is not None and detail.learned
    verdict = "confirmed" if state == "confirmed" else "false alarm" + (", learned as normal" if learned else "")
    st.session_state[DONE_KEY] = f"Defect {item.id}: {verdict}"
    go_to(following, wanted)


def go_to(defect_id: int | None, wanted: DefectFilter) -> None:
    if defect_id is None:
        st.query_params.pop("defect", None)
    else:
        st.query_params["defect"] = str(defect_id)
        shell.remember("page", str(data.rank_of(wanted, defect_id) // PAGE_ROWS + 1), default="1")
    st.rerun()


def show_facts(detail: DefectDetail) -> None:
    item = detail.item
    roll = "none" if item.roll is None else "cloth without a roll" if item.roll.automatic else item.roll.name
    rows = {
        "Place": f"{words.metres(item.y_mm)} along the roll, {item.x_mm:.0f} mm from the left edge",
        "Size": f"{words.size(item)} (along × across), area {words.area(item.area_mm2)}",
        "Form": words.form(item),
        "Strength": f"{words.strength(item.strength)} (score {item.score:.3f}, limit {item.threshold:.3f})",
        "Roll": f"{roll} on {item.line}",
        "Style": item.style or "not known",
        "Seen": f"{shell.clock(item.captured_at)} by camera {item.camera}",
        "Model": detail.model,
    }
    if item.fragments > 1:
        rows["Seen in"] = f"{item.fragments:,} frames' pieces; the picture shows the strongest, at " + words.metres(
            detail.peak_y_mm
        )
    if detail.series is not None:
        rows["Repeats"] = words.series(detail.series)
    if detail.origin:
        rows["File"] = detail.origin
    if detail.others_in_frame:
        rows["Same frame"] = words.count(detail.others_in_frame, "other suspicious place")
    st.markdown("  \n".join(f"**{name}** {words.plain(value)}" for name, value in rows.items()))
    with st.container(horizontal=True):
        choose_name(detail)
        choose_severity(item)


def choose_name(detail: DefectDetail) -> None:
    """The trade's names for a defect of this form; staff choose."""
    item = detail.item
    proposed = propose_names(item.geometry, hole=item.hole, periodic=detail.series is not None)
    codes = ["", *(name.code for name in proposed)]
    if item.code and item.code not in codes:
        codes.append(item.code)
    chosen = st.selectbox(
        "Name",
        codes,
        index=codes.index(item.code),
        format_func=lambda code: words.sentence(CODES[code].words) if code else "Not named",
        key=f"name.{item.id}.{item.code}",
        disabled=shell.needs("operator") is not None,
    )
    if chosen != item.code:
        data.name_defect(item.id, chosen)
        st.rerun()


def choose_severity(item: DefectItem) -> None:
    """By the rules of its roll's profile, until staff say otherwise."""
    chosen = st.selectbox(
        "Severity",
        SEVERITIES,
        index=[*SEVERITIES].index(item.severity) if item.severity in SEVERITIES else 1,
        format_func=words.sentence,
        key=f"severity.{item.id}.{item.severity}",
        disabled=shell.needs("operator") is not None,
    )
    if chosen != item.severity:
        data.set_severity(item.id, chosen)
        st.rerun()


def show_history(detail: DefectDetail) -> None:
    st.markdown("**History**")
    if not detail.history:
        st.caption("Nobody has reviewed this defect yet.")
    for review in reversed(detail.history):
        verdict = words.STATE_WORDS[review.state] if review.state != "unreviewed" else "Taken back"
        st.caption(f"{shell.clock(review.at)} · **{verdict}** · {words.plain(review.by)}")
    if detail.item.state == "rejected" and not detail.learned:
        st.caption(
            "Not learned yet: the picture shows another place that is not a false alarm, or no picture was kept."
        )


# --- the queue -----------------------------------------------------------------------------------------------------


def show_queue(wanted: DefectFilter, total: int, current: int) -> None:
    """All defects of the filter, worst first, in pages; choosing a row shows it above."""
    pages = max(1, -(-total // PAGE_ROWS))
    page = min(max(1, shell.address_number("page") or 1), pages)
    st.subheader("Queue", anchor=False)
    items, _ = data.list_defects(wanted, PAGE_ROWS, (page - 1) * PAGE_ROWS)
    ids = [item.id for item in items]
    key = f"queue.{page}.{current}"

    def choose() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows and rows[0] < len(ids):
            st.query_params["defect"] = str(ids[rows[0]])

    if items:
        st.dataframe(
            pd.DataFrame([queue_row(item) for item in items]),
            hide_index=True,
            key=key,
            on_select=choose,
            selection_mode="single-row",
            selection_default={"selection": {"rows": [ids.index(current)] if current in ids else []}},
            row_height=56,
            column_config={
                "Picture": st.column_config.ImageColumn(width=70),
                "Strength": st.column_config.ProgressColumn(
                    format="%.2f ×", min_value=0, max_value=max(2.0, max(item.strength for item in items))
                ),
            },
            alt="Defects, worst first",
        )
    if pages > 1:
        with st.container(horizontal_alignment="center"):
            st.pagination(
                pages, default=page, key=f"pages.{page}.{pages}", on_change=turn, args=(f"pages.{page}.{pages}",)
            )


def turn(key: str) -> None:
    """To the page that was chosen."""
    shell.remember("page", str(st.session_state[key]), default="1")


def queue_row(item: DefectItem) -> dict[str, object]:
    return {
        "Picture": data.thumbnail(item),
        "Defect": item.id,
        "State": words.STATE_WORDS[item.state],
        "Strength": item.strength,
        "Along": words.metres(item.y_mm),
        "Across": f"{item.x_mm:.0f} mm",
        "Size": words.size(item),
        "Area": words.area(item.area_mm2),
        "Style": item.style,
        "Camera": item.camera,
        "Seen": shell.clock(item.captured_at),
    }


with shell.page("Defects"):
    show_page()
