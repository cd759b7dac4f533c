"""Texts of dashboard and papers in each language: complete, and with the same placeholders."""

import ast
import re
import string
from pathlib import Path

import pytest
from babel.messages import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

import dashboard
from dashboard.language import _, asked_for, figure, ngettext, speaking
from inspection.language import LANGUAGES

ROOT = Path(dashboard.__file__).parent.parent
of_each = pytest.mark.parametrize("package", ["dashboard", "storage/reports"])
OTHERS = [code for code in LANGUAGES if code != "en"]


def used(package: str) -> set[str | tuple[str, ...]]:
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    return {found[2] for found in extract_from_dir(str(ROOT / package), methods, options)}


def catalog(code: str, package: str) -> Catalog:
    with (ROOT / package / "locale" / code / "LC_MESSAGES" / "loomwatch.po").open("rb") as file:
        return read_po(file, locale=code)


def sides(message: Message) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of one text, or of one and many."""
    own = message.id if isinstance(message.id, tuple | list) else (message.id,)
    other = message.string if isinstance(message.string, tuple | list) else (message.string,)
    return tuple(own), tuple(other)


def placeholders(text: str) -> set[str]:
    return {name for _literal, name, _form, _conversion in string.Formatter().parse(text) if name is not None}


@of_each
@pytest.mark.parametrize("code", OTHERS)
def test_the_catalog_has_every_text_of_its_package_and_no_other(code: str, package: str) -> None:
    kept = {
        tuple(message.id) if message.pluralizable else message.id for message in catalog(code, package) if message.id
    }
    texts = used(package)
    assert len(texts) > 5
    assert kept == texts, "run make texts, and translate what is new"


@of_each
@pytest.mark.parametrize("code", OTHERS)
def test_every_text_is_translated_with_the_same_placeholders(code: str, package: str) -> None:
    for message in catalog(code, package):
        if not message.id:
            continue
        own, others = sides(message)
        assert not message.fuzzy, own
        assert len(others) == len(own), own
        for each in others:
            assert each.strip(), f"{own} has no {LANGUAGES[code]}"
            assert placeholders(each) <= set().union(*map(placeholders, own)), own
        assert placeholders(others[-1]) == placeholders(own[-1]), own


@of_each
@pytest.mark.parametrize("code", OTHERS)
def test_marks_around_a_text_are_kept(code: str, package: str) -> None:
    """Markdown's: bold, a line's end, a symbol."""
    for message in catalog(code, package):
        if message.id:
            own, others = sides(message)
            for mark in ("**", ":material/", "  \n"):
                assert {each.count(mark) for each in others} <= {each.count(mark) for each in own}, own


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr,en;q=0.5,de;q=0.9", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("tr", "en"),
        ("", "en"),
        ("de;q=nothing", "en"),
    ],
)
def test_a_browser_gets_the_first_of_its_languages_that_is_spoken(header: str, code: str) -> None:
    assert asked_for(header) == code


def test_a_text_and_its_numbers_follow_the_language() -> None:
    assert _("Language") == "Language"
    assert figure(1234.5, ",.2f") == "1,234.50"
    with speaking("de"):
        assert _("Language") == "Sprache"
        assert figure(1234.5, ",.2f") == "1.234,50"
    assert _("Language") == "Language"


def test_one_is_not_many() -> None:
    assert ngettext("{number} pick", "{number} picks", 1) == "1 pick"
    assert ngettext("{number} pick", "{number} picks", 1200) == "1,200 picks"


def test_no_page_writes_a_text_around_its_language() -> None:
    """What a person reads is never a plain string of a widget."""
    shown = {"title", "header", "subheader", "caption", "markdown", "info", "warning", "error", "success", "badge"}
    shown |= {"button", "act_button", "metric", "popover", "expander", "checkbox", "text_input", "selectbox", "Tooltip"}
    charts = {"channel", "tooltip", "layer", "layered"}
    found = []
    for path in sorted((ROOT / "dashboard").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in charts:
                titles = [word.value for word in call.keywords if call.func.id == "tooltip" or word.arg == "title"]
                titles = [each.elts[0] if isinstance(each, ast.Tuple) else each for each in titles]
                found += [f"{path.name}:{each.lineno} {letters(each)}" for each in titles if letters(each)]
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in shown):
                continue
            if ast.unparse(call.func.value) in ("log", "logger"):
                continue
            texts = [*call.args[: call.func.attr != "Tooltip"]]
            texts += [word.value for word in call.keywords if word.arg in ("title", "help", "alt", "label")]
            found += [f"{path.name}:{each.lineno} {each_text}" for each in texts if (each_text := letters(each))]
    assert found == []


def letters(node: ast.expr) -> str:
    """Of a plain or formatted string: its words, "" for none; what a call makes is not looked at."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    written = " ".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
    words = re.findall(r"[A-Za-z]{3,}", re.sub(r":material/\w+:|:\w+\[", "", written))
    return " ".join(words)
