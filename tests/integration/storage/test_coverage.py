"""A roll's coverage from what is stored, and the limit below which it is incomplete."""

import pytest

from inspection.errors import StorageError
from storage.coverage import LIMIT, coverage_limit, roll_coverage, set_coverage_limit
from storage.frames import store_capture, store_gap, store_report
from storage.rolls import close_roll, open_roll
from tests.records import LENGTH_MM, LINE, at, make_capture, make_gap, make_report

pytestmark = pytest.mark.integration


def test_every_moment_of_a_running_roll_adds_up_to_the_camera_s_count(database, pictures):
    roll = open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    store_capture(database, make_capture(8))
    acts = [(0, ""), (2, ""), (1, "too_dark"), (5, "spool_full"), (3, ""), (4, ""), (6, ""), (7, "")]
    for sequence, reason in acts:
        if reason:
            store_gap(database, make_gap(sequence, captured_at=at(1), reason=reason))
        else:
            store_report(database, pictures, make_report(sequence, captured_at=at(1)))
        covered = roll_coverage(database, roll)
        assert covered.captured_mm == pytest.approx(8 * LENGTH_MM)
    assert covered.length_mm("waiting") == 0
    assert [covered.length_mm(kind) / LENGTH_MM for kind in ("inspected", "gap", "not_inspectable")] == [6, 1, 1]
    assert covered.coverage == pytest.approx(0.75)
    assert not covered.complete


def test_a_roll_knows_nothing_of_what_waits_on_the_next_one(database, pictures):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    store_report(database, pictures, make_report(0, captured_at=at(1)))
    first = close_roll(database, line=LINE, by="eva", at=at(2))
    second = open_roll(database, line=LINE, name="R2", style="", by="eva", at=at(2))
    store_report(database, pictures, make_report(1, captured_at=at(3)))
    store_capture(database, make_capture(4))
    assert roll_coverage(database, first).captured_mm == pytest.approx(LENGTH_MM)
    assert roll_coverage(database, first).complete
    assert roll_coverage(database, second).length_mm("waiting") == pytest.approx(2 * LENGTH_MM)


def test_a_line_sets_its_own_limit(database, pictures):
    store_report(database, pictures, make_report(0))
    assert coverage_limit(database, line=LINE) == LIMIT
    set_coverage_limit(database, line=LINE, limit=0.5, by="eva")
    assert coverage_limit(database, line=LINE) == 0.5
    with pytest.raises(StorageError, match=r"must be in \[0, 1\], got 98"):
        set_coverage_limit(database, line=LINE, limit=98, by="eva")
    with pytest.raises(StorageError, match="there is no line line-9"):
        set_coverage_limit(database, line="line-9", limit=0.5, by="eva")
