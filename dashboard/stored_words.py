"""What the stores tell in English words, in the language of who looks: names of defects, reasons, states, grades.

`KNOWN` has to name them all for them to be translated; a test compares it with what the stores can say.
"""

import inspection.language
from dashboard.language import _, language
from dashboard.stored_figures import in_own_units
from dashboard.units import units
from inspection.language import N_
from storage.reports.sayings import DETAILS, WORDS

KNOWN = (
    *WORDS,
    # Warnings of cameras
    N_("the light has drifted"),
    N_("the focus is drifting"),
    N_("a camera column stands out metre after metre: clean the lens, or look for a running warp fault"),
    # Priorities
    N_("high"),
    N_("medium"),
    N_("low"),
    # Roles
    N_("viewer"),
    N_("operator"),
    N_("quality"),
    N_("admin"),
    # Services
    N_("running"),
    N_("waiting"),
    N_("training"),
    N_("watching"),
    N_("standing by"),
    N_("ended"),
    N_("problem"),
    N_("silent"),
    N_("starting"),
    N_("stopped"),
    N_("done"),
    # Drift
    N_("gathering"),
    N_("steady"),
    N_("watch"),
    N_("drifted"),
    # Versions of the database's tables
    N_("empty"),
    N_("current"),
    N_("older"),
    N_("newer"),
)


def said(text: str) -> str:
    """A word or sentence part of the stores, and the detail in brackets behind it."""
    return inspection.language.said(text, KNOWN, _, detail)


def detail(text: str) -> str:
    if language() == "en" and units().long == "m":
        return text
    return inspection.language.told(text, DETAILS, KNOWN, in_own_units, part=_part)


def _part(name: str, value: str) -> str | None:
    return detail(value) if name == "why" else None


def sentence(text: str) -> str:
    """The same with its first letter in capitals."""
    shown = said(text)
    return shown[:1].upper() + shown[1:]
