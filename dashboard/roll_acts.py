"""What staff do with a roll: open, close, suspend and clear, hold and release, a note, its papers."""

from collections.abc import Callable

import streamlit as st

from dashboard import data, shell, stored_sentences, words
from dashboard.data import Standing
from dashboard.language import _, language
from inspection.errors import LoomwatchError
from inspection.language import N_
from inspection.types import Roll
from storage.accounts.roles import Role
from storage.reports.written import FORMS, Form

DONE_KEY, REFUSED_KEY = "roll.done", "roll.refused"
OPENED_KEY = "roll.opened"  # the last one opened here: the choice of rolls begins anew, at the address
ACTS_PX, BUTTON_PX = 560, 190  # a line each: all of it fits on a tablet without scrolling
FORM_WORDS: dict[Form, tuple[str, str]] = {
    "pdf": (N_("Certificate (PDF)"), "application/pdf"),
    "xlsx": (N_("Workbook (XLSX)"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "csv": (N_("Defects (CSV)"), "text/csv"),
    "json": (N_("All facts (JSON)"), "application/json"),
}


def say_what_was_done() -> None:
    if done := st.session_state.pop(DONE_KEY, None):
        st.toast(done, icon=":material/check:")
    if refused := st.session_state.pop(REFUSED_KEY, None):
        st.warning(words.plain(refused), icon=":material/error:")


def show_papers(roll: Roll) -> None:
    """Each is made when it is asked for."""
    with st.popover(_("Certificate"), icon=":material/description:"):
        st.caption(_("States the grade as it is now; provisional until all is reviewed and the roll is closed."))
        for form in FORMS:
            label, mime = FORM_WORDS[form]
            st.download_button(
                _(label),
                data=data.roll_paper(roll, form, language()),
                file_name=f"{file_name(roll)}.{form}",
                mime=mime,
                key=f"paper.{roll.id}.{form}",
                icon=":material/download:",
                on_click="ignore",
                width="stretch",
            )


def file_name(roll: Roll) -> str:
    """Letters, digits and dashes of what people typed."""
    kept = "".join(letter if letter.isalnum() else "-" for letter in f"{roll.line}-{roll.name}")
    return f"roll-{kept}"[:100]


def show_acts(roll: Roll, standing: Standing) -> None:
    name = words.plain(roll.name)
    with st.popover(_("Change this roll"), icon=":material/edit:"), st.container(width=ACTS_PX, gap="xsmall"):
        if not roll.automatic and roll.closed_at is None:
            shell.act_button(
                _("Close roll {name}", name=name),
                icon=":material/stop_circle:",
                type="primary",
                width="stretch",
                on_click=act,
                args=(lambda: data.close_roll(roll), _("Roll {name} is closed", name=name)),
            )
        if standing.suspended:
            one_line(
                _("Remark"),
                _("Clear it"),
                roll,
                "clear",
                lambda text: data.clear_roll(roll, text),
                _("{name} is cleared", name=name),
                least="quality",
            )
        else:
            one_line(
                _("Why is it put aside?"),
                _("Suspend"),
                roll,
                "suspend",
                lambda text: data.suspend_roll(roll, text),
                _("{name} is suspended", name=name),
            )
        if standing.held:
            shell.act_button(
                _("Release from hold"),
                least="quality",
                icon=":material/lock_open:",
                width="stretch",
                on_click=act,
                args=(lambda: data.release_roll(roll), _("{name} is released", name=name)),
            )
        else:
            one_line(
                _("Why must its pictures be kept?"),
                _("Hold"),
                roll,
                "hold",
                lambda text: data.hold_roll(roll, text),
                _("{name} is on hold: nothing of it is pruned", name=name),
                least="quality",
            )
        one_line(
            _("Note"),
            _("Keep the note"),
            roll,
            "note",
            lambda text: data.note_roll(roll, "remarks", text),
            _("The note is kept"),
            value=standing.remarks,
        )
        one_line(
            _("Loom"),
            _("Keep the loom"),
            roll,
            "loom",
            lambda text: data.note_roll(roll, "loom", text),
            _("The loom is kept"),
            value=standing.loom,
        )
        one_line(
            _("Lot"),
            _("Keep the lot"),
            roll,
            "lot",
            lambda text: data.note_roll(roll, "lot", text),
            _("The lot is kept"),
            value=standing.lot,
        )


def one_line(
    label: str,
    button: str,
    roll: Roll,
    name: str,
    do: Callable[[str], None],
    told: str,
    *,
    value: str = "",
    least: Role = "operator",
) -> None:
    key = f"roll.{name}.{roll.id}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(label, value=value, key=key, max_chars=500)
        shell.act_button(
            button,
            least=least,
            key=f"{key}.do",
            width=BUTTON_PX,
            on_click=lambda: act(lambda: do(st.session_state[key]), told),
        )


def show_opening(roll: Roll | None) -> None:
    with st.popover(_("Open a roll"), icon=":material/add_circle:"):
        lines = data.all_lines()
        known = lines.index(roll.line) if roll is not None and roll.line in lines else 0
        line = st.selectbox(_("Line"), lines, index=known if lines else None, key="open.line", accept_new_options=True)
        name = st.text_input(_("Roll number"), key="open.name", max_chars=100)
        styles = ["", *data.style_names()]
        style = st.selectbox(
            _("Style"), styles, format_func=lambda each: each or _("Found by itself"), key="open.style"
        )
        st.caption(_("It begins now. A roll that is open on the line must be closed first."))
        shell.act_button(
            _("Open it"),
            type="primary",
            disabled=not (line or "").strip() or not name.strip(),
            width="stretch",
            on_click=open_roll,
            args=(line or "", name, style),
        )


def open_roll(line: str, name: str, style: str) -> None:
    def do() -> None:
        opened = data.open_roll(line.strip(), name.strip(), style)
        st.query_params["roll"] = str(opened.id)
        st.session_state[OPENED_KEY] = opened.id

    act(do, _("Roll {strip} is open", strip=words.plain(name.strip())))


def act(do: Callable[[], object], told: str) -> None:
    try:
        do()
    except LoomwatchError as error:
        st.session_state[REFUSED_KEY] = stored_sentences.told(str(error)) + "."
    else:
        st.session_state[DONE_KEY] = told
