"""What two models raised on one frame, how many frames are looked at, and what that may cost."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_worker.shadow import CREDIT_S, Budget, compare_alarms, is_chosen
from inspection.types import FrameKey
from tests.records import make_defect

PLACES = st.lists(st.integers(0, 400), max_size=5, unique=True)


def test_alarms_at_one_place_are_the_same_and_others_stand_alone() -> None:
    both, only_running, only_candidate = compare_alarms(
        [make_defect(100, 40), make_defect(300, 40)], [make_defect(110, 45), make_defect(400, 40)], near_mm=5
    )
    assert both == 1
    assert [defect.x0_px for defect in only_running] == [300]
    assert [defect.x0_px for defect in only_candidate] == [400]


@settings(deadline=None)
@given(running=PLACES, candidate=PLACES)
def test_every_alarm_is_counted_once(running, candidate) -> None:
    ours, theirs = ([make_defect(place, 40) for place in places] for places in (running, candidate))
    both, only_running, only_candidate = compare_alarms(ours, theirs, near_mm=5)
    assert both + len(only_running) == len(running)
    assert len(only_candidate) <= len(candidate)
    back = compare_alarms(theirs, ours, near_mm=5)
    assert (back[1], back[2]) == (only_candidate, only_running)
    assert compare_alarms(ours, ours, near_mm=5) == (len(running), [], [])


def test_the_share_of_frames_is_kept_and_the_same_frames_are_chosen_by_every_worker() -> None:
    keys = [FrameKey("camera-1", "s", number) for number in range(4000)]
    chosen = [key for key in keys if is_chosen(key, share=0.1)]
    assert 0.07 < len(chosen) / len(keys) < 0.13
    assert set(chosen) <= {key for key in keys if is_chosen(key, share=0.2)}
    assert [key for key in keys if is_chosen(key, share=1.0)] == keys


@settings(deadline=None)
@given(
    share=st.floats(0.01, 1),
    frames=st.lists(st.tuples(st.floats(0.001, 60), st.floats(0.001, 5)), min_size=1, max_size=60),
)
def test_never_is_more_spent_than_the_share_of_time_and_one_frame(share, frames) -> None:
    """Each frame comes some time after the one before, and would cost so much."""
    budget, now, spent = Budget(share, now=0.0), 0.0, 0.0
    for after_s, cost_s in frames:
        now += after_s
        if budget.allows(now=now):
            assert spent <= share * now + 1e-6
            budget.spend(cost_s)
            spent += cost_s
    assert spent <= share * now + max(cost for _, cost in frames) + 1e-6


def test_little_is_saved_up_while_no_cloth_passes() -> None:
    budget = Budget(0.5, now=0.0)
    assert budget.allows(now=10_000.0)
    budget.spend(0.5 * CREDIT_S)
    assert budget.allows(now=10_000.0)
    budget.spend(0.01)
    assert not budget.allows(now=10_000.0)
    assert budget.allows(now=10_000.0 + np.ceil(0.01 / 0.5))
