"""What rolls are called where one is chosen among thousands."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import data, shell, words
from dashboard.language import _, language
from inspection.types import Roll
from storage.reads.roll_runs import is_running


def roll_names() -> dict[str, str]:
    """By number as text; running rolls first."""
    return _names(language(), str(data.zone()))


@st.cache_data(ttl=10, max_entries=20, show_spinner=False)
def _names(spoken: str, zone: str) -> dict[str, str]:
    rolls, now = data.rolls(), datetime.now(UTC)
    times = shell.clocks(roll.opened_at for roll in rolls)
    return {
        str(roll.id): _name_of(roll, when) + (_(" · running") if is_running(roll, at=now) else "")
        for roll, when in zip(rolls, times, strict=True)
    }


def _name_of(roll: Roll, when: str) -> str:
    if roll.automatic:
        name, when = _("Cloth without a roll, {opened_at}", opened_at=words.day(roll.opened_at.date())), ""
    else:
        name = roll.name
    return " · ".join(part for part in (name, roll.line, roll.style, when) if part)
