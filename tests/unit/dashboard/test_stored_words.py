"""What the stores can say is translated where it is shown."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dashboard
from dashboard import model_comparison, units, words
from dashboard.language import speaking
from dashboard.stored_words import KNOWN, said, sentence
from inspection.types import REASONS, WARNINGS
from storage.accounts.roles import ROLES
from storage.defects.geometry import GEOMETRIES, NAMES
from storage.grading.severity import SEVERITIES
from storage.reads.gap_words import reason_in_words, warning_in_words
from storage.reads.review_state import STATES
from storage.reports import language as papers
from storage.reports import sayings
from storage.reports.words import LEFT_OUT

ROOT = Path(dashboard.__file__).parent.parent
# What is put together of parts, as it comes out
COMPOSED = {
    "3 of fabric, a tile is 3 px": ["480 x 200 px of fabric, a tile is 256 px"],
    "3 mm of fabric, 3 mm 3 expected": [
        "3 mm of fabric, 3 mm and more expected",
        "3 mm of fabric, 3 mm to 4 mm expected",
    ],
    "3 frame3 by the camera's own count": ["1 frame by the camera's own count", "3 frames by the camera's own count"],
    "3 3 than its reference": ["3% brighter than its reference", "3% darker than its reference"],
}


@pytest.mark.parametrize(
    "all_words",
    [
        [reason_in_words(code) for code in REASONS],
        [warning_in_words(code) for code in WARNINGS],
        [name.words for name in NAMES],
        [str(each) for each in SEVERITIES],
        list(ROLES),
        [word for word in LEFT_OUT.values() if word],
    ],
)
def test_every_word_of_the_stores_is_known_to_the_catalog(all_words: list[str]) -> None:
    assert all_words
    assert [word for word in all_words if word not in KNOWN] == []


def test_what_staff_choose_is_in_their_language() -> None:
    with speaking("de"):
        assert said("mispick") == "Schussfehler"
        assert sentence("broken or missing end") == "Kettfadenbruch oder fehlender Kettfaden"
        assert {words.state(state) for state in STATES} == {"Zu prüfen", "Bestätigt", "Fehlalarm"}
        assert words.code("hole") == "Loch"
        assert all(words.geometry(form) != form for form in GEOMETRIES)


def test_the_detail_in_brackets_is_in_the_viewers_language_and_units() -> None:
    reason = reason_in_words("width_out_of_range: 1480 mm of fabric, 1500 mm to 1620 mm expected")
    assert said(reason) == reason
    with speaking("de"):
        assert said(reason) == (
            "die Ware war nicht so breit, wie sie sein soll (1480 mm Ware, erwartet sind 1500 mm bis 1620 mm)"
        )
        with papers.speaking("de"):
            assert sayings.said(reason) == said(reason)
        assert said(reason_in_words("unreadable: a.png: truncated or damaged (cut): write it again or remove it")) == (
            "das Bild war nicht lesbar (a.png: unvollständig oder beschädigt (cut): Schreiben Sie es noch einmal, "
            "oder lassen Sie es weg)"
        )
        assert said("the frame was too dark (nobody wrote this down)").endswith(" (nobody wrote this down)")
    token = units._chosen.set("imperial")
    try:
        assert said("a seam passed (within 254 mm behind it)") == "a seam passed (within 10.00 in behind it)"
    finally:
        units._chosen.reset(token)
    assert said("something new (12)") == "something new (12)"


def test_what_ingest_adds_to_a_reason_is_said_in_german() -> None:
    found = [each for text in details("ingest") for each in COMPOSED.get(text, [text])]
    assert len(found) > 10
    with speaking("de"):
        assert [each for each in found if said(f"a seam passed ({each})").endswith(f" ({each})")] == []


def test_why_a_spooled_frame_is_none_is_said_in_german() -> None:
    tree = ast.parse((ROOT / "ingest" / "framefile.py").read_text())
    spool = ast.parse((ROOT / "ingest" / "spool.py").read_text())
    found = [
        filled(call.exc.args[0])
        for call in (*ast.walk(tree), *ast.walk(spool))
        if isinstance(call, ast.Raise) and isinstance(call.exc, ast.Call) and ast.unparse(call.exc.func) == "WireError"
    ]
    assert len(found) > 5
    with speaking("de"), papers.speaking("de"):
        for why in found:
            reason = reason_in_words(f"spool_damaged: {why}")
            assert "Bild" in said(reason).partition("(")[2], why
            assert sayings.said(reason) == said(reason)


def test_why_no_model_fits_a_frame_is_said_in_german() -> None:
    scorer = ast.parse((ROOT / "cras_core" / "scoring.py").read_text())
    found = [
        filled(call.args[0])
        for call in ast.walk(scorer)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "BundleError"
    ]
    found = [why for why in found if "was trained" in why]
    assert len(found) == 2
    with speaking("de"), papers.speaking("de"):
        for why in found:
            reason = reason_in_words(f"model_mismatch: {why}")
            assert "trainiert" in said(reason).partition("(")[2], why
            assert sayings.said(reason) == said(reason)


def filled(text: ast.expr) -> str:
    """As it comes out, with a 3 for each value."""
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "3" for part in parts)


def details(package: str) -> Iterator[str]:
    """What stands behind a code in a package, with a 3 for each value; what only repeats an error is left out."""
    for path in sorted((ROOT / package).glob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        within = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            parts = node.values if isinstance(node, ast.JoinedStr) else [node] if id(node) not in within else []
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "3" for part in parts)
            code, colon, detail = text.partition(": ")
            if colon and code in REASONS | WARNINGS and detail != "3":
                yield detail


def test_every_rule_and_verdict_of_the_gate_has_words() -> None:
    from typing import get_args

    from storage.gates import Verdict

    assert set(model_comparison.VERDICTS) == set(get_args(Verdict))
