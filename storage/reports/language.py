"""The language of the paper that is being written: its texts, and numbers and days as that language writes them.

A text stands in English where it is put on paper, as `_("Roll {name}", name=...)`; `make texts` collects it into
`locale/LANGUAGE/LC_MESSAGES/loomwatch.po`, on which the dashboard's catalog rests.
"""

from datetime import date, datetime
from pathlib import Path

from babel.dates import format_date

from inspection.language import Speech

FOLDER = Path(__file__).parent / "locale"
_SPEECH = Speech(lambda: "en", FOLDER)
_, ngettext = _SPEECH.text, _SPEECH.plural
figure, mark, speaking = _SPEECH.figure, _SPEECH.mark, _SPEECH.speaking
language = _SPEECH.language


def day(on: date) -> str:
    """14 Mar 2026, 14.03.2026."""
    return f"{on.day} {on:%b %Y}" if language() == "en" else format_date(on, locale=language())


def long_day(on: date) -> str:
    """Saturday 14 March 2026."""
    if language() == "en":
        return f"{on:%A} {on.day} {on:%B %Y}"
    return format_date(on, "full", locale=language())


def moment(at: datetime, *, zone: bool = False) -> str:
    return f"{day(at.date())} {at:%H:%M %Z}" if zone else f"{day(at.date())} {at:%H:%M}"
