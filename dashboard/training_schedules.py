"""Schedules of trainings on the page Models: what there is with its last and next run, added, changed, removed, run."""

from collections.abc import Callable
from datetime import datetime, time

import pandas as pd
import streamlit as st

from dashboard import data, shell, words
from dashboard.language import _
from dashboard.stored_sentences import told
from inspection.errors import LoomwatchError
from inspection.language import N_
from storage.schedules import DAYS, KINDS, Rule, Schedule, parse_rule

KIND_WORDS = {
    "nightly": N_("Every night"),
    "weekly": N_("Every week"),
    "samples": N_("After new samples"),
    "drift": N_("On drift"),
    "style": N_("On a new style"),
}
DAY_WORDS = {
    "monday": N_("Monday"),
    "tuesday": N_("Tuesday"),
    "wednesday": N_("Wednesday"),
    "thursday": N_("Thursday"),
    "friday": N_("Friday"),
    "saturday": N_("Saturday"),
    "sunday": N_("Sunday"),
}


def show_schedules() -> None:
    st.subheader(_("Schedules"), anchor=False)
    found = data.training_schedules()
    zone = str(data.plant().zone)
    if not found:
        st.caption(_("Trainings are asked for by hand only. A schedule asks for them by itself, by the plant's clock."))
    else:
        st.dataframe(
            pd.DataFrame([row_of(schedule, waits) for schedule, waits in found]),
            hide_index=True,
            alt=_("Schedules with their last and next run"),
        )
        st.caption(_("Times of the plant's clock ({zone}).", zone=words.plain(zone)))
        for schedule, _waits in found:
            if schedule.problem:
                st.warning(f"**{words.plain(schedule.name)}**: {words.plain(told(schedule.problem))}")
        if not data.scheduler_acts() and any(schedule.rule.enabled for schedule, _waits in found):
            st.warning(
                _("No trainer acts on schedules: start one (loomwatch trainer). A missed run is caught up once."),
                icon=":material/power_off:",
            )
    with st.container(horizontal=True):
        show_form(None)
        for schedule, _waits in found:
            show_form(schedule)


def row_of(schedule: Schedule, waits: str) -> dict[str, str]:
    rule = schedule.rule
    zone = data.plant().zone
    form = "%Y-%m-%d %H:%M"
    following = schedule.next_run_at.astimezone(zone).strftime(form) if schedule.next_run_at else told(waits)
    return {
        _("Schedule"): schedule.name,
        _("When"): when(rule),
        _("For"): rule.style or _("all styles"),
        _("Quiet hours"): f"{rule.quiet_from} - {rule.quiet_to}" if rule.quiet_from else "",
        _("Last run"): schedule.last_run_at.astimezone(zone).strftime(form) if schedule.last_run_at else _("never"),
        _("Next run"): following if rule.enabled else _("off"),
    }


def when(rule: Rule) -> str:
    match rule.kind:
        case "nightly":
            return _("every night at {at}", at=rule.at)
        case "weekly":
            return _("every {day} at {at}", day=_(DAY_WORDS[rule.day]), at=rule.at)
        case "samples":
            return _("after {count} new samples", count=rule.count)
        case "drift":
            return _("on drift")
    return _("on a new style with {count} samples", count=rule.count)


def show_form(schedule: Schedule | None) -> None:
    """A popover to add one, or to change one."""
    needed = shell.needs("quality")
    label = words.plain(schedule.name) if schedule else _("New schedule")
    icon = ":material/edit_calendar:" if schedule else ":material/add:"
    key = f"schedule.{schedule.id if schedule else 'new'}"
    with st.popover(label, icon=icon, disabled=needed is not None, help=needed, key=f"{key}.popover"):
        rule = schedule.rule if schedule else Rule(kind="nightly")
        kind = st.selectbox(
            _("When"),
            KINDS,
            index=KINDS.index(rule.kind),
            format_func=lambda each: _(KIND_WORDS[each]),
            key=f"{key}.kind",
        )
        with st.form(f"{key}.form", border=False):
            name = schedule.name if schedule else st.text_input(_("Name"), key=f"{key}.name", max_chars=100)
            fields = ask(rule, kind, key)
            if st.form_submit_button(_("Save"), type="primary", key=f"{key}.save", disabled=needed is not None):
                attempt(lambda: data.save_schedule(name, parse_rule(kind=kind, **fields), new=schedule is None))
        if schedule is not None:
            with st.container(horizontal=True):
                if st.button(_("Run now"), icon=":material/play_arrow:", key=f"{key}.run", disabled=needed is not None):
                    attempt(lambda: data.run_schedule(schedule.name))
                if st.button(_("Remove"), icon=":material/delete:", key=f"{key}.remove", disabled=needed is not None):
                    attempt(lambda: data.remove_schedule(schedule.name))


def attempt(act: Callable[[], object]) -> None:
    """Does it and shows the page as it is then; what is refused is said beside what was asked for."""
    try:
        act()
    except LoomwatchError as error:
        st.error(words.plain(told(str(error))), icon=":material/error:")
        return
    st.rerun()


def ask(rule: Rule, kind: str, key: str) -> dict[str, object]:
    fields: dict[str, object] = {}
    if kind == "weekly":
        fields["day"] = st.selectbox(
            _("Day"), DAYS, index=DAYS.index(rule.day), format_func=lambda each: _(DAY_WORDS[each]), key=f"{key}.day"
        )
    if kind in ("nightly", "weekly"):
        at = _("At")
        fields["at"] = f"{st.time_input(at, clock(rule.at), key=f'{key}.at'):%H:%M}"
    if kind in ("samples", "style"):
        fields["count"] = st.number_input(_("Samples"), min_value=1, value=rule.count, key=f"{key}.count")
    styles = sorted({"", *data.sampled_styles(), rule.style})
    fields["style"] = st.selectbox(
        _("For"),
        styles,
        index=styles.index(rule.style),
        format_func=lambda each: each or _("all styles"),
        key=f"{key}.style",
    )
    st.caption(_("Quiet hours, in which it begins no training; both empty: none"))
    begin, end = st.columns(2)
    quiet = {
        "quiet_from": begin.time_input(_("From"), clock(rule.quiet_from), key=f"{key}.from"),
        "quiet_to": end.time_input(_("To"), clock(rule.quiet_to), key=f"{key}.to"),
    }
    fields |= {name: f"{at:%H:%M}" if at else "" for name, at in quiet.items()}
    fields["enabled"] = st.checkbox(_("In force"), value=rule.enabled, key=f"{key}.enabled")
    return fields


def clock(text: str) -> time | None:
    return datetime.strptime(text, "%H:%M").time() if text else None
