"""Texts by gettext, read from catalogs as they are, and numbers as a language writes them."""

import gettext
import re
from collections.abc import Callable, Collection
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = {"en": "English", "de": "Deutsch"}
_NUMBER = re.compile(r"[\d.,]+(%| mm| m| in)?")
Translate = Callable[..., str]


@cache
def texts(code: str, folder: Path, *more: Path) -> gettext.NullTranslations:
    """Of the catalogs in these folders, the first that has a text; in English none is needed."""
    if code == "en":
        return gettext.NullTranslations()
    with (folder / code / "LC_MESSAGES" / "loomwatch.po").open("rb") as file:
        catalog = read_po(file, locale=code)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    found = gettext.GNUTranslations(compiled)
    if more:
        found.add_fallback(texts(code, *more))
    return found


@cache
def marks(code: str) -> dict[int, str]:
    """For `str.translate`: English marks for decimals and thousands to the language's own."""
    symbols = Locale(code).number_symbols["latn"]
    return str.maketrans({".": symbols["decimal"], ",": symbols["group"]})


def said(text: str, known: Collection[str], translate: Translate) -> str:
    """A word or sentence part of the stores, if it is known; a detail in brackets behind it stays as it is."""
    if text in known:
        return translate(text)
    words, bracket, detail = text.partition(" (")
    return f"{translate(words)} ({detail}" if bracket and words in known else text


def told(
    text: str,
    sentences: tuple[str, ...],
    known: Collection[str],
    translate: Translate,
    number: Callable[[str], str] = str,
    part: Callable[[str, str], str | None] = lambda name, value: None,
) -> str:
    """A sentence of the stores that fits one of `sentences`, with the same names and figures; else as `said`. number:
    writes a figure in it; part: what stands in a placeholder, None where nothing special does."""

    def filled(name: str, value: str) -> str:
        if (special := part(name, value)) is not None:
            return special
        return number(value) if _NUMBER.fullmatch(value) else said(value, known, translate)

    shown = said(text, known, translate)
    if shown == text:
        for sentence, pattern in _patterns(sentences):
            if found := pattern.fullmatch(text):
                return translate(sentence, **{name: filled(name, value) for name, value in found.groupdict().items()})
    return shown


@cache
def _patterns(sentences: tuple[str, ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Those with the most words of their own first: a later one may fit the same text less closely."""
    longest = sorted(sentences, key=lambda text: -len(re.sub(r"\{\w+\}", "", text)))
    return tuple(
        (text, re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(text)), re.DOTALL)) for text in longest
    )
