"""The language of the paper that is being written: its texts, and numbers and days as that language writes them.

A text stands in English where it is put on paper, as `_("Roll {name}", name=...)`; `make texts` collects it into
`locale/LANGUAGE/LC_MESSAGES/loomwatch.po`, on which the dashboard's catalog rests.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from pathlib import Path

from babel.dates import format_date

from inspection import language

FOLDER = Path(__file__).parent / "locale"
_spoken: ContextVar[str] = ContextVar("paper_language", default="en")


@contextmanager
def speaking(code: str) -> Iterator[None]:
    token = _spoken.set(code)
    try:
        yield
    finally:
        _spoken.reset(token)


def _(text: str, **values: object) -> str:
    """`text` in the paper's language, with its {placeholders} filled."""
    translated = language.texts(_spoken.get(), FOLDER).gettext(text) if text else ""
    return translated.format(**values) if values else translated


def ngettext(one: str, many: str, number: int, **values: object) -> str:
    """The one or the other, as the language counts."""
    return (
        language.texts(_spoken.get(), FOLDER).ngettext(one, many, number).format(number=figure(number, ","), **values)
    )


def N_(text: str) -> str:
    """Marks a text that is translated later."""
    return text


def figure(value: float, form: str) -> str:
    """A number formatted as `format` does, with the language's own marks."""
    return mark(format(value, form))


def mark(written: str) -> str:
    """A number, as `format` writes it, with the language's own marks."""
    code = _spoken.get()
    return written if code == "en" else re.sub(r"(?<=\d)%", " %", written).translate(language.marks(code))


def day(on: date) -> str:
    """14 Mar 2026, 14.03.2026."""
    return f"{on.day} {on:%b %Y}" if _spoken.get() == "en" else format_date(on, locale=_spoken.get())


def long_day(on: date) -> str:
    """Saturday 14 March 2026."""
    if _spoken.get() == "en":
        return f"{on:%A} {on.day} {on:%B %Y}"
    return format_date(on, "full", locale=_spoken.get())


def moment(at: datetime, *, zone: bool = False) -> str:
    return f"{day(at.date())} {at:%H:%M %Z}" if zone else f"{day(at.date())} {at:%H:%M}"
