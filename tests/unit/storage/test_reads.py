"""Where camera sessions lie on a roll, and gaps as people read them: pure functions."""

from datetime import timedelta
from itertools import pairwise

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from inspection.types import REASONS
from storage.reads.gap_words import merge_gaps, reason_in_words
from storage.reads.roll_runs import SAME_COUNTER_MM, Run, place_runs
from tests.records import START


def run(camera: str, session: str, start_mm: float, end_mm: float, *, minute: float = 0) -> Run:
    return Run(
        camera=camera,
        session=session,
        start_mm=start_mm,
        end_mm=end_mm,
        started_at=START + timedelta(minutes=minute),
        ended_at=START + timedelta(minutes=minute + 1),
        records=2,
        first=0,
        last=1,
        zero_mm=0.0,
    )


def places(*runs: Run) -> list[tuple[str, float, float]]:
    return [(each.session, each.place(each.start_mm), each.place(each.end_mm)) for each in place_runs(runs)]


def test_a_roll_begins_where_its_first_frame_was() -> None:
    assert places(run("a", "1", 5000, 9000)) == [("1", 0, 4000)]


def test_a_counter_that_was_reset_goes_on_behind_the_session_before() -> None:
    assert places(run("a", "1", 5000, 9000), run("a", "2", 0, 3000, minute=5)) == [("1", 0, 4000), ("2", 4000, 7000)]


def test_a_counter_that_went_on_leaves_the_hole_that_nobody_saw() -> None:
    assert places(run("a", "1", 5000, 9000), run("a", "2", 9500, 9900, minute=5)) == [
        ("1", 0, 4000),
        ("2", 4500, 4900),
    ]


def test_cameras_with_one_counter_share_the_zero() -> None:
    assert places(run("a", "1", 5000, 9000), run("b", "2", 5200, 9000)) == [("1", 0, 4000), ("2", 200, 4000)]


def test_cameras_with_counters_of_their_own_begin_at_zero_each() -> None:
    assert places(run("a", "1", 5000, 9000), run("b", "2", 0, 3900)) == [("1", 0, 4000), ("2", 0, 3900)]


def test_a_restart_of_one_camera_does_not_move_the_other() -> None:
    found = places(run("a", "1", 0, 8000), run("b", "1b", 0, 4000), run("b", "2b", 0, 4000, minute=3))
    assert found == [("1", 0, 8000), ("1b", 0, 4000), ("2b", 4000, 8000)]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1e6), st.floats(1, 1e5)), min_size=1, max_size=8))
def test_the_runs_of_a_camera_never_overlap_and_never_lie_before_the_roll(
    drawn: list[tuple[str, float, float]],
) -> None:
    runs = [
        run(camera, str(number), start, start + length, minute=number)
        for number, (camera, start, length) in enumerate(drawn)
    ]
    placed = place_runs(runs)
    for camera in "ab":
        spans = [(each.place(each.start_mm), each.place(each.end_mm)) for each in placed if each.camera == camera]
        if spans:
            assert 0 <= spans[0][0] <= SAME_COUNTER_MM
        for before, after in pairwise(spans):
            assert after[0] >= before[1] - 1e-6
    for each, given_run in zip(placed, runs, strict=True):
        assert (
            abs((each.place(each.end_mm) - each.place(each.start_mm)) - (given_run.end_mm - given_run.start_mm)) < 1e-6
        )


def gaps(*rows: tuple[str, float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"y0_mm": y0, "y1_mm": y1, "x0_mm": 0.0, "x1_mm": 100.0, "camera": camera, "code": reason, "reason": reason}
            for camera, y0, y1, reason in rows
        ],
        columns=["y0_mm", "y1_mm", "x0_mm", "x1_mm", "camera", "code", "reason"],
    )


def test_gaps_that_follow_each_other_for_one_reason_become_one() -> None:
    merged = merge_gaps(gaps(("a", 0, 10, "dark"), ("a", 10, 20, "dark"), ("a", 20.5, 30, "dark")))
    assert merged[["y0_mm", "y1_mm", "count"]].to_numpy().tolist() == [[0, 30, 3]]


def test_gaps_of_another_camera_reason_or_place_stay_apart() -> None:
    merged = merge_gaps(gaps(("a", 0, 10, "dark"), ("a", 10, 20, "lost"), ("b", 10, 20, "dark"), ("a", 40, 50, "lost")))
    assert list(merged["count"]) == [1, 1, 1, 1]
    assert list(merged["y0_mm"]) == sorted(merged["y0_mm"])


def test_no_gaps_stay_no_gaps_and_keep_their_columns() -> None:
    merged = merge_gaps(gaps())
    assert len(merged) == 0
    assert "count" in merged.columns


def test_a_reason_is_told_in_words_with_its_detail() -> None:
    assert reason_in_words("too_dark") == REASONS["too_dark"]
    assert reason_in_words("unreadable: a.png ends early") == f"{REASONS['unreadable']} (a.png ends early)"
    assert reason_in_words("some_new_code") == "some new code"
