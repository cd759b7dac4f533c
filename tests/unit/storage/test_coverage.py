"""Coverage adds up at every moment, whatever arrives in whatever order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.coverage import Count, Record, stretches_of

MM = 250.0


def record(sequence, *, reason="", camera="camera-1", session="s", length_mm=MM):
    return Record(
        camera=camera, session=session, sequence=sequence, position_mm=sequence * MM, length_mm=length_mm, reason=reason
    )


def told(stretches):
    return [(each.kind, each.reason, each.start_mm, each.end_mm, each.records) for each in stretches]


def test_records_of_one_kind_that_follow_each_other_are_one_stretch():
    reasons = ["", "", "too_dark", "too_dark: mean 3", "spool_full", ""]
    assert told(stretches_of(record(n, reason=reason) for n, reason in enumerate(reasons))) == [
        ("inspected", "", 0, 500, 2),
        ("not_inspectable", "too_dark", 500, 1000, 2),
        ("gap", "spool_full", 1000, 1250, 1),
        ("inspected", "", 1250, 1500, 1),
    ]


def test_what_lies_between_two_records_and_was_not_told_waits():
    assert told(stretches_of([record(0), record(3)])) == [
        ("inspected", "", 0, 250, 1),
        ("waiting", "", 250, 750, 2),
        ("inspected", "", 750, 1000, 1),
    ]


def test_cameras_and_sessions_are_kept_apart():
    parts = stretches_of([record(0), record(0, camera="camera-2"), record(0, session="later"), record(1)])
    assert sorted((each.camera, each.session, each.records) for each in parts) == [
        ("camera-1", "later", 1),
        ("camera-1", "s", 2),
        ("camera-2", "s", 1),
    ]


reasons = st.sampled_from(["", "", "", "too_dark", "spool_full: 3", "camera_lost"])


@given(
    captured=st.lists(st.tuples(reasons, st.sampled_from([100.0, 250.0, 333.25])), min_size=1, max_size=30),
    data=st.data(),
)
def test_inspected_and_gaps_and_what_waits_are_what_was_captured_at_every_moment(captured, data):
    """Records arrive one by one in any order; after each the sums hold against the camera's own count."""
    records, position_mm = [], 0.0
    for sequence, (reason, length_mm) in enumerate(captured):
        records.append(
            Record(
                camera="c", session="s", sequence=sequence, position_mm=position_mm, length_mm=length_mm, reason=reason
            )
        )
        position_mm += length_mm
    order = [records[0], *data.draw(st.permutations(records[1:]))]
    count = Count(camera="c", session="s", records=len(records), captured_mm=position_mm)
    for arrived in range(1, len(order) + 1):
        stretches = stretches_of(order[:arrived], [count])
        assert sum(each.length_mm for each in stretches) == pytest.approx(count.captured_mm)
        assert sum(each.records for each in stretches) == count.records
        inspected = sum(each.length_mm for each in stretches if each.kind == "inspected")
        assert inspected == pytest.approx(sum(each.length_mm for each in order[:arrived] if not each.reason))
        assert all(a.end_mm == pytest.approx(b.start_mm) for a, b in itertools.pairwise(stretches))
    assert all(each.kind != "waiting" for each in stretches)
