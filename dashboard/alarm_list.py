"""Alarms on a page: what is latched until somebody acknowledges it."""

import streamlit as st

from dashboard import data, shell, words
from dashboard.language import _, ngettext
from dashboard.stored_sentences import told
from dashboard.stored_words import said
from inspection.errors import LoomwatchError
from storage.alarms.alarm_store import Alarm

ALARMS = 8  # shown at once, the most urgent
MORE = 50  # of the others, when somebody opens them
PRIORITY_COLOURS = {
    "critical": "red",
    "high": "orange",
    "medium": "yellow",
    "low": "gray",
}


def show_alarms(*, line: str = "", limit: int = ALARMS, across: int = 1) -> None:
    """What is latched until somebody acknowledges it, and what was acknowledged and still holds.

    line: only its own alarms and the whole plant's; across: how many side by side.
    """
    alarms = [alarm for alarm in data.open_alarms() if not line or alarm.line in ("", line)]
    first, rest = alarms[:limit], alarms[limit:]
    show_cards(first, across)
    if rest:
        more = ngettext("{number} more alarm", "{number} more alarms", len(rest))
        with st.expander(more, icon=":material/expand_more:", key="alarms.more", on_change="rerun") as opened:
            if opened.open:
                show_cards(rest[:MORE], across)
                if len(rest) > MORE:
                    st.caption(_("The others follow as these are acknowledged."))


def show_cards(alarms: list[Alarm], across: int) -> None:
    if not alarms:
        return
    data.see_alarms([alarm.id for alarm in alarms if alarm.seen_at is None])
    with st.grid(min(across, len(alarms)), min_column_width=360):
        for alarm in alarms:
            with st.container(border=True, horizontal=True, vertical_alignment="center", wrap=False):
                show_alarm(alarm)


def show_alarm(alarm: Alarm) -> None:
    waits = alarm.state in ("raised", "cleared")
    icon = ":material/notifications_active:" if waits else ":material/notifications_paused:"
    facts = [
        _("line {line}", line=words.plain(alarm.line)) if alarm.line else _("whole plant"),
        words.plain(alarm.rule),
        _("since {clock}", clock=shell.clock(alarm.raised_at)),
        *([_("{occurrences} times", occurrences=alarm.occurrences)] if alarm.occurrences > 1 else []),
        *(
            [_("over since {clock}", clock=shell.clock(alarm.cleared_at))]
            if alarm.state == "cleared" and alarm.cleared_at
            else []
        ),
        *([_("escalated")] if alarm.escalated_at else []),
        *([_("seen by {seen_by}", seen_by=words.plain(alarm.seen_by))] if alarm.seen_by else []),
        *(
            [_("acknowledged by {acknowledged_by}", acknowledged_by=words.plain(alarm.acknowledged_by))]
            if not waits
            else []
        ),
    ]
    priority = f":{PRIORITY_COLOURS[alarm.priority]}-badge[{icon} {said(alarm.priority)}]"
    st.markdown(f"{priority} **{words.plain(told(alarm.text))}**  \n:small[{' · '.join(facts)}]", width="stretch")
    if waits:
        st.button(
            _("Acknowledge"),
            key=f"acknowledge.{alarm.id}",
            icon=":material/check:",
            help=shell.needs("operator"),
            disabled=shell.needs("operator") is not None,
            on_click=acknowledge,
            args=(alarm.id,),
        )


def acknowledge(alarm_id: int) -> None:
    """Somebody else may have been faster, which is as good."""
    try:
        data.acknowledge_alarm(alarm_id)
    except LoomwatchError as error:
        data.forget_reads()
        st.toast(words.plain(told(str(error))))
