"""Review: the queue, worst first; one defect at a time by keyboard, or many at once in a grid."""

from datetime import UTC, date, datetime, time, timedelta

import streamlit as st

from dashboard import acts, data, shell, stored_words, words
from dashboard.defect_cards import PAGE_CARDS, card_grid, tick_key
from dashboard.language import _, figure, ngettext
from dashboard.one_defect import merge_and_open, show_defect, show_undo
from dashboard.roll_names import choose_roll
from dashboard.stored_sentences import told
from inspection.errors import LoomwatchError
from storage.defects.geometry import GEOMETRIES, NAMES
from storage.grading.severity import SEVERITIES
from storage.reads.defects import DefectDetail, DefectFilter, DefectItem
from storage.reads.review_state import STATES, State
from storage.reviews import Act

MOST_AT_ONCE = 1000  # defects of one bulk act
ALL = "all"
STATE_CHOICES: dict[str, str] = {**{state: words.state(state) for state in STATES}, ALL: _("All")}
STRENGTHS = {"": _("Any"), "1.1": _("from 1.1 ×"), "1.25": _("from 1.25 ×"), "1.5": _("from 1.5 ×"), "2": _("from 2 ×")}
VIEWS = {"one": _("One by one"), "grid": _("Grid")}
FILTER_KEY, AHEAD_CSS = "review.filter", "<style>.st-key-ahead {display: none;}</style>"
TICKED_KEY = "review.ticked"  # defect -> the version that was looked at, on all pages of the grid


def show_page() -> None:
    st.html(AHEAD_CSS)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(_("Review"), anchor=False, width="content")
        state = choose_state()
        st.space("stretch")
        view = shell.segments(_("View"), "view", VIEWS, page="review", follows=True)
    wanted = choose_filter(state)
    if view == "grid":
        show_grid(wanted)
    else:
        show_queue(wanted)


# --- what to look at -----------------------------------------------------------------------------------------------


def choose_filter(state: State | None) -> DefectFilter:
    """Filters live in the address; changing one starts at the worst defect again."""
    forms: dict[str, str] = {name: words.geometry(name) for name in GEOMETRIES}
    codes = {name.code: words.code(name.code) for name in NAMES}
    severities: dict[str, str] = {name: stored_words.sentence(name) for name in SEVERITIES}
    lines = data.line_names()
    with st.grid(4, min_column_width=170, vertical_alignment="bottom"):
        roll = choose_roll("review", every=_("All rolls"))
        style = choose(_("Style"), "style", {"": _("All styles"), **same(data.style_names())})
        strength = choose(_("Strength (× limit)"), "strength", STRENGTHS)
        with st.popover(_("More filters"), icon=":material/filter_alt:", width="stretch"):
            day = choose_day()
            line = choose(_("Line"), "line", {"": _("All lines"), **same(lines)})
            camera = choose(_("Camera"), "camera", {"": _("All cameras"), **same(data.camera_names())})
            form = choose(_("Form"), "form", {"": _("Any form"), **forms})
            code = choose(_("Name"), "name", {"": _("Any name"), **codes})
            severity = choose(_("Severity"), "severity", {"": _("Any severity"), **severities})
            by = choose(_("Reviewed by"), "by", {"": _("Anybody or nobody"), **same(data.reviewers())})
    address = (roll.id if roll else None, day, line, style, camera, strength, form, code, severity, by, state or ALL)
    if st.session_state.get(FILTER_KEY, address) != address:
        st.query_params.pop("defect", None)
        st.query_params.pop("page", None)
        st.session_state.pop(TICKED_KEY, None)
    st.session_state[FILTER_KEY] = address
    return DefectFilter(
        roll=roll,
        line=line,
        since=beginning(day) if day else None,
        until=beginning(day + timedelta(days=1)) if day else None,
        style=style,
        camera=camera,
        min_strength=float(strength) if strength else 0.0,
        state=state or "",
        geometry=form,
        code=code,
        severity=severity,
        by=by,
    )


def choose_day() -> date | None:
    """On which they were captured; something that is no day counts as any."""
    wanted = shell.address_day("day")
    chosen = st.date_input(_("Captured on"), value=wanted, key="review.day", format="YYYY-MM-DD")
    shell.remember("day", chosen.isoformat() if chosen else "")
    return chosen


def beginning(day: date) -> datetime:
    """Of a day where the times of the page are."""
    return datetime.combine(day, time(), tzinfo=data.zone()).astimezone(UTC)


def choose(label: str, name: str, options: dict[str, str]) -> str:
    return shell.select(label, name, options, page="review")


def choose_state() -> State | None:
    """One state; None for all."""
    chosen = shell.segments(_("State"), "state", STATE_CHOICES, page="review")
    return next((state for state in STATES if state == chosen), None)


def same(names: list[str]) -> dict[str, str]:
    return {name: name for name in names}


# --- one by one ----------------------------------------------------------------------------------------------------


@st.fragment
def show_queue(wanted: DefectFilter) -> None:
    """A key press runs this part of the page alone."""
    with shell.told():
        say_what_was_done()
        current = current_defect(wanted)
        if current is None:
            st.caption(words.states(data.count_by_state(wanted)))
            show_empty(wanted)
        else:
            show_defect(current, wanted)


def current_defect(wanted: DefectFilter) -> DefectDetail | None:
    """The address's defect, else the worst one, which is then kept in the address: while somebody looks at it, a worse
    one that comes in must not slip under the buttons."""
    chosen = shell.address_number("defect")
    detail = data.defect(chosen) if chosen is not None else None
    if chosen is not None and detail is None:
        st.warning(
            _("There is no defect {chosen} any more. Here is the worst of the others.", chosen=chosen),
            icon=":material/search:",
        )
    if detail is None:
        items = data.list_defects(wanted, 1, 0)[0]
        detail = data.defect(items[0].id) if items else None
    shell.remember("defect", str(detail.item.id) if detail else "")
    return detail


def say_what_was_done() -> None:
    if done := st.session_state.pop(acts.TOLD_KEY, None):
        st.toast(done, icon=":material/check:")
    if refused := st.session_state.pop(acts.REFUSED_KEY, None):
        st.warning(words.plain(refused), icon=":material/group:")


def show_empty(wanted: DefectFilter) -> None:
    counts = data.count_by_state(wanted)
    if wanted.state == "unreviewed" and any(counts.values()):
        st.success(_("**Everything is reviewed.** New defects appear here, worst first."), icon=":material/task_alt:")
    elif wanted == DefectFilter(state=wanted.state):
        st.info(
            _("**No defects were found yet.** They appear here, worst first, as soon as the line finds some."),
            icon=":material/fact_check:",
        )
    else:
        st.info(
            _("**No defect fits these filters.** Choose All, another roll or a lower strength."),
            icon=":material/filter_alt_off:",
        )
    if acts.steps():
        show_undo()


# --- many at once --------------------------------------------------------------------------------------------------


@st.fragment
def show_grid(wanted: DefectFilter) -> None:
    with shell.told():
        if st.query_params.get("view") != "grid":  # one of them was opened
            st.rerun()
        say_what_was_done()
        pages = max(1, -(-data.list_defects(wanted, 1, 0)[1] // PAGE_CARDS))
        page = min(max(1, shell.address_number("page") or 1), pages)
        items, total = data.list_defects(wanted, PAGE_CARDS, (page - 1) * PAGE_CARDS)
        st.caption(words.states(data.count_by_state(wanted)))
        if not items:
            show_empty(wanted)
            return
        chosen = ticked(items)
        show_bulk(wanted, items, chosen, total)
        card_grid(items, name="grid", choose=True)
        if pages > 1:
            with st.container(horizontal_alignment="center"):
                key = f"grid.pages.{page}.{pages}"
                st.pagination(pages, default=page, key=key, on_change=turn, args=(key,))


def ticked(items: list[DefectItem]) -> dict[int, int | None]:
    """defect -> version: of this page as its boxes say, of the others as they were left. What somebody changed
    meanwhile is not ticked any more."""
    kept: dict[int, int | None] = st.session_state.setdefault(TICKED_KEY, {})
    for item in items:
        key = tick_key("grid", item)
        if st.session_state.setdefault(key, kept.get(item.id) == item.version):
            kept[item.id] = item.version
        else:
            kept.pop(item.id, None)
    return dict(kept)


def turn(key: str) -> None:
    shell.remember("page", str(st.session_state[key]), default="1")


def show_bulk(wanted: DefectFilter, items: list[DefectItem], chosen: dict[int, int | None], total: int) -> None:
    """What can be done with the ticked ones, or with all that the filters let through. Two groups side by side, below
    each other on a tablet; names and severities below them."""
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            every = st.toggle(
                _("All {counted} of these filters", counted=words.counted(min(total, MOST_AT_ONCE))),
                key="grid.every",
                help=_(
                    "The worst {most_at_once} at most, on all pages, as they are now",
                    most_at_once=figure(MOST_AT_ONCE, ","),
                ),
            )
            st.button(
                _("Untick all") if chosen else _("Tick this page"),
                icon=":material/select_all:",
                shortcut="A",
                on_click=tick,
                args=(items, not chosen),
                disabled=every,
            )
            number = min(total, MOST_AT_ONCE) if every else len(chosen)
            elsewhere = 0 if every else len(chosen.keys() - {item.id for item in items})
            st.markdown(
                _("**{defects} chosen**", defects=ngettext("{number} defect", "{number} defects", number))
                + (_(", {number} of them on other pages", number=figure(elsewhere, ",")) if elsewhere else ""),
                width="content",
            )
        nothing = number == 0
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            for label, symbol, state, key in (
                (_("Confirm"), ":material/error:", "confirmed", "D"),
                (_("False alarms"), ":material/block:", "rejected", "F"),
                (_("Take back"), ":material/help:", "unreviewed", ""),
            ):
                shell.act_button(
                    label,
                    icon=symbol,
                    key=f"bulk.{state}",
                    shortcut=key or None,
                    type="primary" if state == "confirmed" else "secondary",
                    disabled=nothing,
                    on_click=act_on_all,
                    args=(wanted, chosen, every, "verdict", state),
                )
            show_undo()
            shell.act_button(
                _("Merge into one"),
                icon=":material/call_merge:",
                disabled=every or len(chosen) < 2,
                help=_("For pieces of one defect on one roll that were not joined by themselves"),
                on_click=merge_and_open,
                args=(chosen,),
            )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        code = st.selectbox(
            _("Name"),
            [name.code for name in NAMES],
            format_func={name.code: words.code(name.code) for name in NAMES}.__getitem__,
            key="bulk.code",
            width=320,
        )
        shell.act_button(
            _("Give this name"), disabled=nothing, on_click=act_on_all, args=(wanted, chosen, every, "name", code)
        )
        severity = st.selectbox(
            _("Severity"), SEVERITIES, format_func=stored_words.sentence, key="bulk.severity", width=140
        )
        shell.act_button(
            _("Set this severity"),
            disabled=nothing,
            on_click=act_on_all,
            args=(wanted, chosen, every, "severity", severity),
        )


def tick(items: list[DefectItem], on: bool) -> None:
    """on: those of this page; else none on any."""
    if not on:
        st.session_state.pop(TICKED_KEY, None)
    for item in items:
        st.session_state[tick_key("grid", item)] = on


def act_on_all(wanted: DefectFilter, chosen: dict[int, int | None], every: bool, act: Act, value: str) -> None:
    if every:
        chosen = {item.id: item.version for item in data.list_defects(wanted, MOST_AT_ONCE, 0)[0]}
    try:
        acted = data.act_on_defects(chosen, act, value)
    except LoomwatchError as error:
        acts.refuse(str(error))
        return
    st.session_state["grid.every"] = False
    st.session_state.pop(TICKED_KEY, None)
    acts.note(
        acted.done, f"{ngettext('{number} defect', '{number} defects', len(acted.done))}: {words.act(act, value)}"
    )
    if acted.refused:
        left = ngettext("{number} defect", "{number} defects", len(acted.refused))
        acts.refuse(
            _("{left} left alone: {why}", left=left, why=told(acted.refused[0]))
            + (_(", and so on") if len(acted.refused) > 1 else "")
        )


with shell.page(_("Review")):
    show_page()
