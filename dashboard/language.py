"""The language of who looks: texts by gettext, and numbers as that language writes them.

A text is written in English where it is shown, as `_("Roll {name}", name=...)`; `make texts` collects it into
`locale/LANGUAGE/LC_MESSAGES/loomwatch.po`, from where it is read as it is: nothing has to be compiled. What
papers say as well is in their catalog (`storage/reports/language.py`). The language is the account's, else the
browser's, else English.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import streamlit as st
from babel import negotiate_locale
from sqlalchemy.exc import SQLAlchemyError
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import signed_in, units
from inspection.errors import LoomwatchError
from inspection.language import LANGUAGES, marks, texts
from storage.accounts.users import User
from storage.reports.language import FOLDER as PAPERS

FOLDER = Path(__file__).parent / "locale"
_KEY = "language"
_spoken: ContextVar[str] = ContextVar("language", default="")


def language() -> str:
    """Of the page that is being made, which has chosen it at its beginning."""
    if spoken := _spoken.get():
        return spoken
    if get_script_run_ctx(suppress_warning=True) is None:
        return "en"
    if _KEY not in st.session_state:
        try:
            choose(signed_in.user())
        except (LoomwatchError, SQLAlchemyError):  # which the page tells, in its browser's language
            return asked_for(st.context.headers.get("Accept-Language") or "")
    return str(st.session_state[_KEY])


def choose(user: User | None) -> None:
    """For the pages of this browser: language and units as their user has set them, else as the browser asks."""
    units.choose(user.units if user else "metric")
    wanted = user.language if user else ""
    spoken = wanted if wanted in LANGUAGES else asked_for(st.context.headers.get("Accept-Language") or "")
    st.session_state[_KEY] = spoken
    _spoken.set(spoken)  # a run of a page has a thread of its own, and words ask thousands of times


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


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Where there is no page of Streamlit's."""
    token = _spoken.set(code)
    try:
        yield
    finally:
        _spoken.reset(token)


def _(text: str, **values: object) -> str:
    """`text` in the language of who looks, with its {placeholders} filled."""
    translated = texts(language(), FOLDER, PAPERS).gettext(text) if text else ""
    return translated.format(**values) if values else translated


def ngettext(one: str, many: str, number: int, **values: object) -> str:
    """The one or the other, as the language counts; `{number}` is the number as it writes it."""
    return (
        texts(language(), FOLDER, PAPERS)
        .ngettext(one, many, number)
        .format(number=values.pop("number", figure(number, ",")), **values)
    )


def N_(text: str) -> str:
    """Marks a text that is translated later, where it is shown."""
    return text


def figure(value: float, form: str) -> str:
    """A number formatted as `format` does, with the language's own marks for decimals and thousands."""
    written = format(value, form).replace("%", " %")
    return written if language() == "en" else written.translate(marks(language()))
