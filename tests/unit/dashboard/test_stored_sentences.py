"""Sentences of the stores are said in the viewer's language, names and figures kept."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from alarms.evaluate import evaluate
from alarms.facts import CameraFact, LineFacts, WorkersFact
from dashboard.language import speaking
from dashboard.stored_sentences import SENTENCES, told
from storage.alarms.rules import parse_rule


def test_a_refusal_names_the_same_roles() -> None:
    with speaking("de"):
        assert told("this needs the role quality, and Anna Keller is viewer: ask an admin") == (
            "Das braucht die Rolle Qualität, und Anna Keller ist Betrachter: fragen Sie einen Administrator"
        )


@pytest.mark.parametrize("sentence", SENTENCES)
def test_each_is_found_again_with_its_names(sentence: str) -> None:
    names = re.findall(r"\{(\w+)\}", sentence)
    filled = sentence.format(**{name: f"<{name}>" for name in names})
    with speaking("de"):
        shown = told(filled)
    assert shown[1:] != filled[1:]
    assert "{" not in shown
    assert [name for name in names if f"<{name}>" not in shown and f"<{name[:-1]}>" not in shown] == []


def test_a_silent_camera_is_told_of_as_the_alarm_service_writes_it() -> None:
    at = datetime(2026, 3, 14, 8, 0, 12, tzinfo=UTC)
    camera = CameraFact(camera="left", heard_at=at - timedelta(minutes=5), ended=False)
    facts = LineFacts(line="line-1", at=at, workers=WorkersFact(running=1), cameras=[camera])
    [signal] = evaluate(parse_rule({"name": "cams", "kind": "camera_down"}), facts).signals
    with speaking("de"):
        assert told(signal.text).startswith("Kamera left ist stumm seit 2026-03-14 07:55:12 UTC: Ist sie verbunden")


def test_what_nobody_wrote_down_stays_as_it_is() -> None:
    with speaking("de"):
        assert told("the moon is full") == "The moon is full"
