"""Packed scores come back as float16 holds them, whatever they are, and so do those stored before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inspection.types import Scores
from storage.packed_scores import pack_scores, unpack_scores


@given(arrays(np.float32, st.integers(0, 300), elements=st.floats(-70000, 70000, width=32)))
def test_scores_come_back_as_float16_holds_them(scores: Scores) -> None:
    with np.errstate(over="ignore"):
        held = scores.astype("<f2").astype(np.float32)
        packed = pack_scores(scores)
    assert np.array_equal(unpack_scores(packed, scores.size), held)
    assert len(packed) <= 2 * scores.size


def test_the_scores_of_a_frame_take_a_fifth_less() -> None:
    grid = np.random.default_rng(0).normal(0.25, 0.05, (11, 21)).astype(np.float32)
    assert len(pack_scores(grid)) < 0.8 * 2 * grid.size


@pytest.mark.parametrize("kind", ["<f2", "<f4"])
def test_scores_stored_before_are_read(kind: str) -> None:
    scores = np.linspace(0, 1.5, 50, dtype=np.float16).astype(kind)
    assert np.array_equal(unpack_scores(scores.tobytes(), 50), scores.astype(np.float32))
