"""What somebody did to defects in this browser session, so that it can be taken back, one after the other."""

from dataclasses import dataclass, replace
from typing import TypeAlias

import streamlit as st

from dashboard import data
from dashboard.language import _
from dashboard.stored_sentences import told
from inspection.errors import LoomwatchError
from storage.reviews import Done, Joined

ACTS_KEY, TOLD_KEY, REFUSED_KEY = "review.acts", "review.told", "review.refused"
KEPT = 200


@dataclass(frozen=True, slots=True)
class Parted:
    """A defect that was split: the numbers and versions of its parts."""

    parts: tuple[tuple[int, int], ...]


One: TypeAlias = Done | Joined | Parted
Step: TypeAlias = tuple[One, ...]  # what is taken back by one press


def steps() -> list[Step]:
    kept: list[Step] = st.session_state.setdefault(ACTS_KEY, [])
    return kept


def note(step: Step, told: str) -> None:
    """Remembers what was done, and says it."""
    step = tuple(one for one in step if not (isinstance(one, Done) and one.value == one.previous))
    if step:
        steps().append(step)
        del steps()[:-KEPT]
    st.session_state[TOLD_KEY] = told


def refuse(why: str) -> None:
    st.session_state[REFUSED_KEY] = told(why) + "."


def take_back() -> int | None:
    """Takes the last step back; the defect to look at, None when there is nothing to take back."""
    if not steps():
        return None
    step, shown, problems = steps().pop(), None, []
    for one in reversed(step):
        try:
            shown = _take_back(one)
        except LoomwatchError as error:
            problems.append(told(str(error)))
    if problems:
        more = (
            _(" ({problems} of {step} could not be taken back)", problems=len(problems), step=len(step))
            if len(step) > 1
            else ""
        )
        refuse(_("not taken back: {problems}{more}", problems=problems[0], more=more))
    else:
        st.session_state[TOLD_KEY] = (
            _("Taken back") if len(step) == 1 else _("Taken back: {step} defects", step=len(step))
        )
    return shown


def _take_back(one: One) -> int:
    match one:
        case Done():
            undone = data.undo_act(one)
            _follow(one, undone)
            return undone.defect_id
        case Joined():
            return data.undo_merge(one)[0]
        case Parted():
            return data.merge_defects(dict(one.parts)).defect_id


def _follow(done: Done, undone: Done) -> None:
    """What this person did to the same defect just before can still be taken back; not if others acted in between."""
    expected, raised = done.version - 1, undone.version - done.version + 1
    for index in reversed(range(len(steps()))):
        for place, one in enumerate(steps()[index]):
            if isinstance(one, Done) and one.defect_id == done.defect_id:
                if one.version != expected:
                    return
                changed, expected = replace(one, version=one.version + raised), expected - 1
                steps()[index] = (*steps()[index][:place], changed, *steps()[index][place + 1 :])
