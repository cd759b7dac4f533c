from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection.types import REASONS, FrameKey
from tests.transport import capture, frame, gap


def test_a_frame_and_a_gap_of_one_place_share_their_key() -> None:
    assert frame(3).header.key == gap(3).key == FrameKey("camera-1", gap(3).session, 3)


@given(st.integers(0, 10_000))
def test_a_gap_is_as_long_as_the_frame_it_stands_for(sequence: int) -> None:
    assert gap(sequence).length_mm == pytest.approx(frame(0).header.length_mm)


def test_times_are_aware_and_in_utc() -> None:
    assert frame(0).header.captured_at == gap(0).captured_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_types_are_frozen() -> None:
    for record in (frame(0), frame(0).header, gap(0), capture(1)):
        with pytest.raises(FrozenInstanceError):
            setattr(record, fields(record)[0].name, "other")


def test_every_reason_says_what_happened() -> None:
    for code, meaning in REASONS.items():
        assert code.replace("_", "").isalpha()
        assert len(meaning) > 10
