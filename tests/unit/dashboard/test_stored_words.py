"""What the stores can say is translated where it is shown."""

import pytest

from dashboard import model_comparison, words
from dashboard.language import speaking
from dashboard.stored_words import KNOWN, said, sentence
from inspection.types import REASONS, WARNINGS
from storage.accounts.roles import ROLES
from storage.defects.geometry import GEOMETRIES, NAMES
from storage.grading.severity import SEVERITIES
from storage.reads.gap_words import reason_in_words, warning_in_words
from storage.reads.review_state import STATES
from storage.reports.words import LEFT_OUT


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


def test_a_detail_stays_as_it_is() -> None:
    with speaking("de"):
        assert said("the frame was too dark (mean 12)") == "das Bild war zu dunkel (mean 12)"
    assert said("something new (12)") == "something new (12)"


def test_every_rule_and_verdict_of_the_gate_has_words() -> None:
    from typing import get_args

    from storage.gates import Verdict

    assert set(model_comparison.VERDICTS) == set(get_args(Verdict))
