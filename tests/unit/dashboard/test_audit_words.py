"""The audit trail is told in words."""

import ast
from pathlib import Path

import dashboard
from dashboard.audit_words import ACTS, KINDS, act_in_words, kind_in_words, subject_asked_for, subject_in_words
from dashboard.language import speaking
from storage.reviews import _ACTIONS

ROOT = Path(dashboard.__file__).parent.parent


def recorded() -> set[str]:
    """Acts that the program writes down: what is given as `action`, and to the page Set up's `_keep`."""
    found = set(_ACTIONS.values())
    for package in ("storage", "dashboard", "retraining"):
        for path in (ROOT / package).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if not isinstance(call, ast.Call):
                    continue
                given = [keyword.value for keyword in call.keywords if keyword.arg == "action"]
                given += call.args[:1] if ast.unparse(call.func) == "_keep" else []
                found |= {
                    part.value
                    for value in given
                    for part in ast.walk(value)
                    if isinstance(part, ast.Constant) and "." in str(part.value)
                }
    return found


def test_every_act_and_kind_has_words() -> None:
    assert recorded() == set(ACTS)
    assert {action.partition(".")[0] for action in ACTS} == set(KINDS)


def test_they_are_said_in_german_and_unknown_ones_stay() -> None:
    with speaking("de"):
        assert act_in_words("roll.open") == "Rolle eröffnet"
        assert kind_in_words("user") == "Konten"
        assert act_in_words("loom.oiled") == "loom.oiled"


def test_things_are_said_in_words_and_names_stay() -> None:
    assert subject_in_words("sample.decide", "sample 12") == "Sample 12"
    with speaking("de"):
        assert subject_in_words("sample.add", "sample 12") == "Muster 12"
        assert subject_in_words("sample.add", "samples/2024/ab12.png") == "Muster mit dem Bild ab12.png"
        assert subject_in_words("sample.capture", "capture 3") == "Aufnahme 3"
        assert subject_in_words("defect.review", "defect 7") == "Fehler 7"
        assert subject_in_words("alarm.acknowledge", "4") == "Alarm 4"
        assert subject_in_words("alarm_rule.set", "few@line-1") == "few, Linie line-1"
        assert subject_in_words("line.camera", "the line") == "Die Linie"
        assert subject_in_words("roll.open", "defect 7") == "defect 7"  # a roll's name
        assert subject_in_words("user.add", "otto") == "otto"
        assert [subject_asked_for(text) for text in ("fehler 7", " Muster 12", "R-10", "Fehler")] == [
            "defect 7", "sample 12", "R-10", "Fehler",
        ]  # fmt: skip
