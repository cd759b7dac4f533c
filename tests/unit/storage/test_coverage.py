"""What a gap's reason makes of its cloth."""

from inspection.types import REASONS
from storage.coverage import NOT_INSPECTABLE, kind_of


def test_what_cannot_be_inspected_is_told_from_what_was_lost():
    assert kind_of("") == "inspected"
    assert kind_of("too_dark: mean 3") == "not_inspectable"
    assert kind_of("spool_full: 3") == "gap"
    assert {code for code in REASONS if kind_of(code) == "not_inspectable"} == set(NOT_INSPECTABLE)
