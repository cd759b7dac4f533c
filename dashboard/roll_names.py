"""Choosing one of thousands of rolls. The browser is told the latest; an older one is found by its name."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal

import streamlit as st

from dashboard import data, shell, words
from dashboard.language import _, figure, language
from inspection.types import Roll
from storage.reads.roll_runs import is_running

LISTED = 200  # what is listed is sent and built into the page each time that it is drawn
TURN_KEY = "roll.turn"  # raised when a name was typed, so that the box shows the roll of the address


def choose_roll(
    page: str, *, every: str = "", width: int | Literal["stretch"] = "stretch", bare: bool = False
) -> Roll | None:
    """The roll of the address; by default the latest, running ones first. every: the words for all of them, which are
    then the default, and None. There is at least one roll, or `every`."""
    rolls = {str(roll.id): roll for roll in data.rolls()}
    options = ({"": every} if every else {}) | _names(language(), str(data.zone()))
    asked = st.query_params.get("roll", "")
    if asked in rolls and asked not in options:
        options[asked] = _name_of(rolls[asked], shell.clock(rolls[asked].opened_at))
    older = len(rolls) > LISTED
    place = f"{page}.{st.session_state.get(TURN_KEY, 0)}"
    chosen = shell.select(
        _("Roll"),
        "roll",
        options,
        page=place,
        width=width,
        bare=bare,
        always=True,  # tomorrow another roll is the latest
        help=older_in_words() if older else None,
        accept_new_options=older,
        on_change=_find if older else None,
        args=(f"{place}.roll", options.keys()) if older else None,
    )
    return rolls.get(chosen)


def older_in_words() -> str:
    return _("The latest {number} rolls are listed; type the name of an older one.", number=figure(LISTED, ","))


def _find(key: str, listed: Collection[str]) -> None:
    """What was typed and is none of those listed is the name of an older roll, or of none."""
    typed = str(st.session_state[key] or "").strip()
    if typed in listed:
        return
    found = next((roll for roll in data.rolls() if roll.name.casefold() == typed.casefold()), None)
    if found is None:
        st.toast(_("There is no roll {name}.", name=words.plain(typed)), icon=":material/search_off:")
    else:
        st.query_params["roll"] = str(found.id)
    st.session_state[TURN_KEY] = st.session_state.get(TURN_KEY, 0) + 1


@st.cache_data(ttl=10, max_entries=20, show_spinner=False)
def _names(spoken: str, zone: str) -> dict[str, str]:
    """Of those listed, by number as text."""
    rolls, now = data.rolls()[:LISTED], datetime.now(UTC)
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
