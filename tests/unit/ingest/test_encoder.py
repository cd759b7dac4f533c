"""Counter readings and what they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.encoder import TRUSTED, Encoder, Reading

SECOND = 1_000_000_000
FRAME_MM = 200.0


def encoder(*, mm_per_tick: float = 0.1, bits: int = 32, max_speed_m_min: float = 60.0) -> Encoder:
    return Encoder(mm_per_tick=mm_per_tick, bits=bits, max_speed_m_min=max_speed_m_min)  # 1000 mm/s


def feed(under_test: Encoder, *readings: tuple[int, float]) -> list[Reading]:
    """(ticks, seconds) in order."""
    return [under_test.read(ticks, round(at_s * SECOND), frame_mm=FRAME_MM) for ticks, at_s in readings]


def kinds(readings: list[Reading]) -> list[str]:
    return [reading.kind for reading in readings]


def test_positions_are_ticks_times_their_length_since_the_counter_was_reset() -> None:
    readings = feed(encoder(), (50_000, 0), (52_000, 1), (52_000, 2), (60_000, 3))
    assert kinds(readings) == ["forward"] * 4
    assert [reading.position_mm for reading in readings] == pytest.approx([5000, 5200, 5200, 6000])


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_a_counter_that_wraps_goes_on_counting(bits: int) -> None:
    end = 1 << bits
    readings = feed(encoder(bits=bits), (end - 1000, 0), (500, 1), (2500, 2))
    assert kinds(readings) == ["forward"] * 3
    assert [r.position_mm - readings[0].position_mm for r in readings] == pytest.approx([0, 150, 350])


def test_a_counter_that_wraps_again_and_again_never_loses_a_tick() -> None:
    under_test = encoder(bits=16)
    readings = feed(under_test, *(((step * 7_000) % 65_536, step) for step in range(100)))
    assert set(kinds(readings)) == {"forward"}
    assert readings[-1].position_mm == pytest.approx(99 * 700.0)


def test_an_encoder_wired_the_other_way_counts_down() -> None:
    readings = feed(encoder(mm_per_tick=-0.1), (0, 0), ((1 << 32) - 2000, 1), ((1 << 32) - 4000, 2))
    assert kinds(readings) == ["forward"] * 3
    assert [reading.position_mm for reading in readings] == pytest.approx([0, 200, 400])


def test_cloth_that_goes_back_is_a_reversal_and_then_goes_on() -> None:
    readings = feed(encoder(), (100_000, 0), (97_000, 1), (95_000, 2), (99_000, 3), (104_000, 4))
    assert kinds(readings) == ["forward", "reversed", "reversed", "forward", "forward"]
    assert [reading.position_mm for reading in readings] == pytest.approx([10_000, 9_700, 9_500, 9_900, 10_400])


def test_a_reversal_below_zero_of_an_unsigned_counter_is_no_jump_of_429_km() -> None:
    readings = feed(encoder(), (5_000, 0), (3_000, 1), ((1 << 32) - 1_000, 2))
    assert kinds(readings)[1:] == ["reversed", "reversed"]
    assert readings[-1].position_mm == pytest.approx(-100)


@pytest.mark.parametrize("rest_s", [1, 60, 3600])
def test_a_counter_that_was_set_to_zero_starts_a_new_epoch(rest_s: int) -> None:
    readings = feed(encoder(), (900_000, 0), (1_500, rest_s), (3_500, rest_s + 1))
    assert kinds(readings) == ["forward", "reset", "forward"]
    assert [reading.position_mm for reading in readings[1:]] == pytest.approx([150, 350])


def test_a_lower_counter_behind_a_silence_is_a_reset_so_that_nothing_is_taken_for_seen() -> None:
    # a line that stood for an hour could have gone back 500 m, but nobody saw it
    readings = feed(encoder(), (9_000_000, 0), (4_000_000, 3600))
    assert kinds(readings) == ["forward", "reset"]


def test_a_jump_beyond_what_the_line_can_run_is_a_glitch_and_the_next_good_reading_is_believed() -> None:
    readings = feed(encoder(), (100_000, 0), (5_000_000, 0.2), (104_000, 0.4), (106_000, 0.6))
    assert kinds(readings) == ["forward", "glitch", "forward", "forward"]
    assert readings[1].position_mm == pytest.approx(10_000)
    assert readings[2].position_mm == pytest.approx(10_400)


def test_single_glitches_in_a_row_that_disagree_are_never_believed() -> None:
    wild = [(7_000_000, 0.2), (3_000_000_000, 0.4), (90_000_000, 0.6), (1_000_000_000, 0.8), (20_000_000, 1.0)]
    readings = feed(encoder(), (100_000, 0), *wild, (105_000, 1.2))
    assert kinds(readings) == ["forward", *["glitch"] * 5, "forward"]


def test_a_counter_that_stays_elsewhere_is_believed_after_a_few_readings_as_a_new_epoch() -> None:
    elsewhere = [(50_000_000 + step * 2_000, 0.2 * (step + 1)) for step in range(TRUSTED + 1)]
    readings = feed(encoder(), (100_000, 0), *elsewhere)
    assert kinds(readings) == ["forward", *["glitch"] * (TRUSTED - 1), "reset", "forward"]
    assert readings[-1].position_mm == pytest.approx(5_000_000 + TRUSTED * 200)


def test_frames_from_a_buffer_that_come_all_at_once_are_no_glitch() -> None:
    readings = feed(encoder(), (0, 0), (2_000, 0.001), (4_000, 0.002))
    assert kinds(readings) == ["forward"] * 3


@given(st.lists(st.integers(0, 9_000), min_size=1, max_size=200), st.integers(0, 2**32 - 1), st.sampled_from([20, 32]))
def test_no_start_and_no_forward_run_is_ever_misread(steps: list[int], start: int, bits: int) -> None:
    under_test, ticks = encoder(bits=bits), start
    first = under_test.read(ticks % (1 << bits), 0, frame_mm=FRAME_MM).position_mm
    for second, step in enumerate(steps):
        ticks += step
        reading = under_test.read(ticks % (1 << bits), (second + 1) * SECOND, frame_mm=FRAME_MM)
        assert reading.kind == "forward"
    assert reading.position_mm - first == pytest.approx((ticks - start) * 0.1, abs=1e-6)
