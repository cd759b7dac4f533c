"""The language of who looks: texts by gettext, and numbers as that language writes them.

A text is written in English where it is shown, as `_("Roll {name}", name=...)`; `make texts` collects it into
`locale/LANGUAGE/LC_MESSAGES/loomwatch.po`, from where it is read as it is: nothing has to be compiled. What
papers say as well is in their catalog (`storage/reports/language.py`). The language is the account's, else the
browser's, else English.
"""

from pathlib import Path

import streamlit as st
from babel import negotiate_locale
from sqlalchemy.exc import SQLAlchemyError
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import signed_in, units
from inspection.errors import LoomwatchError
from inspection.language import LANGUAGES, Speech
from storage.accounts.users import User
from storage.reports.language import FOLDER as PAPERS

FOLDER = Path(__file__).parent / "locale"
_KEY = "language"


def _of_the_page() -> str:
    """Of the page that is being made, which has chosen it at its beginning."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return "en"
    if _KEY not in st.session_state:
        try:
            choose(signed_in.user())
        except (LoomwatchError, SQLAlchemyError):  # which the page tells, in its browser's language
            return asked_for(st.context.headers.get("Accept-Language") or "")
    return str(st.session_state[_KEY])


_SPEECH = Speech(_of_the_page, FOLDER, PAPERS)
_, ngettext = _SPEECH.text, _SPEECH.plural
language, speaking = _SPEECH.language, _SPEECH.speaking


def choose(user: User | None) -> None:
    """For the pages of this browser: language and units as their user has set them, else as the browser asks."""
    units.choose(user.units if user else "metric")
    wanted = user.language if user else ""
    spoken = wanted if wanted in LANGUAGES else asked_for(st.context.headers.get("Accept-Language") or "")
    st.session_state[_KEY] = spoken
    _SPEECH.choose(spoken)  # a run of a page has a thread of its own, and words ask thousands of times


def asked_for(header: str) -> str:
    """The first language of an Accept-Language header that loomwatch speaks, else English."""
    weighed = []
    for part in header.split(","):
        name, _semicolon, weight = part.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), name))
        except ValueError:
            continue
    wanted = [name for _weight, name in sorted(weighed, key=lambda pair: pair[0])]
    return negotiate_locale(wanted, list(LANGUAGES), sep="-") or "en"


def figure(value: float, form: str) -> str:
    """A number formatted as `format` does, with the language's own marks for decimals and thousands."""
    return _SPEECH.mark(format(value, form).replace("%", " %"))
