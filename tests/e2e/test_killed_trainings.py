"""Trainers and trainings that are killed: the benchmark's own run, with fewer kills."""

import pytest

from loomwatch.bench_training import kill_trainings

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(600)
def test_a_training_that_is_killed_ends_in_the_right_model_or_fails_loudly_and_harms_nothing() -> None:
    found = kill_trainings(kills=2, steps=60, seed=3, tell=print)
    assert {run["outcome"] for run in found["runs"]} <= {"done", "failed"}, found["runs"]
    assert all(run["outcome"] == "done" or run["message"] for run in found["runs"])
    assert found["harm"] == []
    assert sum(bool(run["killed"]) for run in found["runs"]) == 2
