"""Texts by gettext, read from catalogs as they are, and numbers as a language writes them."""

import gettext
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = {"en": "English", "de": "Deutsch"}
_NUMBER = re.compile(r"[\d.,]+(%| mm| m| in)?")
_PERCENT = re.compile(r"(?<=\d)%")
Translate = Callable[..., str]


def N_(text: str) -> str:
    """Marks a text that is translated later, where it is shown."""
    return text


class Speech:
    """Texts and numbers in the language that is spoken here. catalogs: folders, the first that has a text;
    otherwise: the language while nobody has chosen one."""

    def __init__(self, otherwise: Callable[[], str], *catalogs: Path) -> None:
        self._otherwise, self._catalogs = otherwise, catalogs
        self._chosen: ContextVar[str] = ContextVar("language", default="")

    def language(self) -> str:
        return self._chosen.get() or self._otherwise()

    def choose(self, code: str) -> None:
        self._chosen.set(code)

    @contextmanager
    def speaking(self, code: str) -> Iterator[None]:
        token = self._chosen.set(code)
        try:
            yield
        finally:
            self._chosen.reset(token)

    def text(self, text: str, **values: object) -> str:
        """`text` with its {placeholders} filled."""
        translated = texts(self.language(), *self._catalogs).gettext(text) if text else ""
        return translated.format(**values) if values else translated

    def plural(self, one: str, many: str, number: int, **values: object) -> str:
        """The one or the other, as the language counts; `{number}` is the number as it writes it."""
        chosen = texts(self.language(), *self._catalogs).ngettext(one, many, number)
        return chosen.format(number=values.pop("number", self.figure(number, ",")), **values)

    def figure(self, value: float, form: str) -> str:
        """A number formatted as `format` does, with the language's own marks for decimals and thousands."""
        return self.mark(format(value, form))

    def mark(self, written: str) -> str:
        """A number, as `format` writes it, with the language's own marks."""
        code = self.language()
        return written if code == "en" else _PERCENT.sub(" %", written).translate(marks(code))


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


def said(text: str, known: Collection[str], translate: Translate, detail: Callable[[str], str] = str) -> str:
    """A word or sentence part of the stores, if it is known. detail: says what stands in brackets behind it."""
    if text in known:
        return translate(text)
    words, bracket, rest = text.partition(" (")
    if not (bracket and words in known):
        return text
    return f"{translate(words)} ({detail(rest[:-1])})" if rest.endswith(")") else f"{translate(words)} ({rest}"


def told(
    text: str,
    sentences: tuple[str, ...],
    known: Collection[str],
    translate: Translate,
    number: Callable[[str], str] = str,
    part: Callable[[str, str], str | None] = lambda name, value: None,
    detail: Callable[[str], str] = str,
) -> str:
    """A sentence of the stores that fits one of `sentences`, with the same names and figures; else as `said`. number:
    writes a figure in it; part: what stands in a placeholder, None where nothing special does; detail: as in `said`."""

    def filled(name: str, value: str) -> str:
        if (special := part(name, value)) is not None:
            return special
        return number(value) if _NUMBER.fullmatch(value) else said(value, known, translate, detail)

    shown = said(text, known, translate, detail)
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
