"""Frames of a camera in their place along the roll."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.encoder import Encoder
from ingest.shots import Shot
from ingest.track import DeviceClock, Grab, Track

MM, LINES = 0.5, 100
FRAME_MM = MM * LINES  # 50
TICK_MM = 0.1
SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND


def track(*, ticks: bool, bits: int = 32, tick_mm: float = TICK_MM) -> Track:
    encoder = Encoder(mm_per_tick=tick_mm, bits=bits, max_speed_m_min=60) if ticks else None
    return Track(mm_per_px=MM, encoder=encoder, mm_per_tick=tick_mm)


def grab(number: int = 0, **changes: object) -> Grab:
    """Row r of frame n holds n * LINES + r, modulo 251."""
    rows = (np.arange(LINES) + number * LINES) % 251
    pixels = np.repeat(rows[:, None], 8, axis=1).astype(np.uint8)
    values: dict[str, object] = {
        "pixels": pixels, "lines": LINES, "received_ns": START_NS + number * SECOND // 10,
        "device_ns": number * SECOND // 10,
    }  # fmt: skip
    return Grab(**(values | changes))  # type: ignore[arg-type]


def take(under_test: Track, *grabs: Grab) -> list[Shot]:
    return [shot for each in grabs for shot in under_test.shots(each)]


def places(shots: list[Shot]) -> list[tuple[float, float, str]]:
    return [(round(s.position_mm, 6), round(s.length_mm, 6), s.problem.partition(":")[0]) for s in shots]


def test_without_an_encoder_frames_lie_one_behind_the_other() -> None:
    shots = take(track(ticks=False), *(grab(number) for number in range(3)))
    assert places(shots) == [(0, 50, ""), (50, 50, ""), (100, 50, "")]
    assert not any(shot.absolute for shot in shots)


def test_frames_the_camera_numbers_skip_are_told_with_their_length() -> None:
    shots = take(track(ticks=False), *(grab(number, frame_id=number + 7) for number in (0, 1, 4, 5)))
    assert places(shots) == [(0, 50, ""), (50, 50, ""), (100, 100, "camera_lost"), (200, 50, ""), (250, 50, "")]
    assert "2 frames by the camera's own count" in shots[2].problem


@pytest.mark.parametrize(
    ("ids", "lost"),
    [
        ((65_534, 65_535, 1, 2), 0),  # GigE Vision 1.x leaves zero out
        ((65_534, 2, 3), 2),
        ((0, 0, 0), 0),  # a camera that does not count
        ((500, 0, 1), 0),  # counts anew
        ((5, None, 9), 0),
        ((5, 2**40, 2**40 + 1), 0),  # another counter altogether
    ],
)
def test_numbers_that_start_again_are_no_loss(ids: tuple[int | None, ...], lost: int) -> None:
    shots = take(track(ticks=False), *(grab(number, frame_id=id_) for number, id_ in enumerate(ids)))
    assert sum(shot.length_mm for shot in shots if shot.problem) == lost * FRAME_MM


def test_a_frame_the_driver_could_not_complete_keeps_its_place() -> None:
    shots = take(track(ticks=False), grab(0), grab(1, pixels=None, problem="camera_lost: incomplete"), grab(2))
    assert places(shots) == [(0, 50, ""), (50, 50, "camera_lost"), (100, 50, "")]


def test_with_an_encoder_positions_are_the_counters() -> None:
    shots = take(track(ticks=True), *(grab(n, ticks=10_000 + n * 500) for n in range(3)))
    assert places(shots) == [(1000, 50, ""), (1050, 50, ""), (1100, 50, "")]
    assert all(shot.absolute for shot in shots)


def test_a_tick_or_two_beside_the_lines_is_no_gap_and_adds_nothing() -> None:
    shots = take(track(ticks=True), *(grab(n, ticks=n * 500 + (n % 3) - 1 + 1) for n in range(9)))
    assert [shot.problem for shot in shots] == [""] * 9
    assert sum(shot.length_mm for shot in shots) == 9 * FRAME_MM


def test_cloth_the_encoder_saw_and_no_frame_shows_was_lost() -> None:
    shots = take(track(ticks=True), grab(0, ticks=0), grab(1, ticks=800), grab(2, ticks=1300))
    assert places(shots) == [(0, 50, ""), (50, 30, "camera_lost"), (80, 50, ""), (130, 50, "")]
    assert "30.0 mm by the encoder" in shots[1].problem


def test_lines_of_cloth_that_was_captured_are_left_out() -> None:
    shots = take(track(ticks=True), grab(0, ticks=0), grab(1, ticks=300))
    assert places(shots) == [(0, 50, ""), (50, 30, "")]
    np.testing.assert_array_equal(shots[1].pixels, grab(1).pixels[40:])


def test_a_line_that_stands_captures_nothing() -> None:
    shots = take(track(ticks=True), *(grab(n, ticks=4_000) for n in range(5)), grab(5, ticks=4_500))
    assert places(shots) == [(400, 50, ""), (450, 50, "")]
    assert shots[1].flags == ()


def test_cloth_that_goes_back_and_comes_again_is_captured_once_and_the_next_frame_tells() -> None:
    way = [20_000, 20_500, 21_000, 20_600, 20_200, 20_600, 21_000, 21_500, 22_000]
    shots = take(track(ticks=True), *(grab(n, ticks=ticks) for n, ticks in enumerate(way)))
    assert places(shots) == [(2000, 50, ""), (2050, 50, ""), (2100, 50, ""), (2150, 50, ""), (2200, 50, "")]
    assert [shot.flags for shot in shots] == [(), (), (), ("reversed",), ()]


def test_a_part_too_short_to_inspect_is_left_to_the_next_frame_that_shows_it_too() -> None:
    slow = [grab(n, ticks=n * 100) for n in range(12)]  # 10 mm a frame of 50 mm
    shots = take(track(ticks=True), *slow)
    assert [shot.problem for shot in shots] == [""] * len(shots)
    assert [(s.position_mm, s.length_mm) for s in shots] == [(0, 50), (50, 30), (80, 30), (110, 30)]


def test_a_reset_starts_a_new_epoch_at_its_own_zero() -> None:
    shots = take(track(ticks=True), grab(0, ticks=90_000), grab(1, ticks=200), grab(2, ticks=700))
    assert places(shots) == [(9000, 50, ""), (20, 50, ""), (70, 50, "")]
    assert [shot.new_epoch for shot in shots] == [False, True, False]
    assert shots[1].flags == ("encoder_reset",)


def test_a_glitch_is_told_and_the_position_goes_on_by_lines() -> None:
    shots = take(track(ticks=True), *(grab(n, ticks=t) for n, t in enumerate((0, 500, 80_000_000, 1500))))
    assert places(shots) == [(0, 50, ""), (50, 50, ""), (100, 50, ""), (150, 50, "")]
    assert [shot.flags for shot in shots] == [(), (), ("encoder_glitch",), ()]


def test_a_camera_that_gives_no_counter_is_told_of_and_counted_by_lines() -> None:
    shots = take(track(ticks=True), grab(0, ticks=100), grab(1), grab(2, ticks=1100))
    assert places(shots) == [(10, 50, ""), (60, 50, ""), (110, 50, "")]
    assert shots[1].flags == ("encoder_missing",)


@given(
    steps=st.lists(st.integers(-40, 120), min_size=1, max_size=60),
    start=st.integers(0, 2**16),
    bits=st.sampled_from([16, 32]),
)
@settings(max_examples=60, deadline=None)
def test_however_the_cloth_moves_each_mm_up_to_the_furthest_is_captured_or_lost_once(
    steps: list[int], start: int, bits: int
) -> None:
    """Steps in mm between frames: forward with and without loss, standing still, and back."""
    position, furthest = 1000.0, 1000.0 + FRAME_MM
    under_test, shots = track(ticks=True, bits=bits), []
    for number, step in enumerate([0, *steps]):
        position = max(position + step, 500.0)  # the reset's neighbourhood is another test's
        furthest = max(furthest, position + FRAME_MM)
        ticks = round((position - 1000.0) / TICK_MM) + start
        shots += list(under_test.shots(grab(number, ticks=ticks % (1 << bits), device_ns=number * SECOND)))
    if any(shot.new_epoch for shot in shots):
        return  # a reversal to the counter's own zero may be a reset
    ends = [shot.position_mm + shot.length_mm for shot in shots]
    starts = [shot.position_mm for shot in shots]
    assert starts[1:] == pytest.approx(ends[:-1])  # neither twice nor untold
    assert ends[-1] - starts[0] == pytest.approx(furthest - 1000.0, abs=FRAME_MM / 2 + 2 * MM)


def test_every_line_that_is_given_is_the_one_its_place_says() -> None:
    """The cloth's line at p mm has the value p / MM modulo 251: whatever is left out, the rest must fit."""
    under_test = track(ticks=True)
    rng, position = np.random.default_rng(3), 1000.0
    for number in range(200):
        position = max(1000.0, position + rng.integers(-30, 60) * 1.0)
        rows = (np.arange(LINES) + round(position / MM)) % 251
        pixels = np.repeat(rows[:, None], 4, axis=1).astype(np.uint8)
        sent = grab(number, pixels=pixels, ticks=round(position / TICK_MM), device_ns=number * SECOND)
        for shot in under_test.shots(sent):
            if shot.pixels is not None:
                expected = (np.arange(shot.pixels.shape[0]) + round(shot.position_mm / MM)) % 251
                np.testing.assert_array_equal(shot.pixels[:, 0], expected)


def test_the_time_of_capture_is_the_cameras_not_the_hosts() -> None:
    """Frames every 100 ms by the camera, which the host gets up to 80 ms late."""
    clock, rng = DeviceClock(), np.random.default_rng(0)
    late = [0, *rng.integers(0, 80_000_000, 50).tolist()]
    found = [clock.utc_ns(n * SECOND // 10, START_NS + n * SECOND // 10 + delay) for n, delay in enumerate(late)]
    errors = [abs(at - (START_NS + n * SECOND // 10)) for n, at in enumerate(found)]
    assert max(errors) < 1_000_000
    assert found == sorted(found)


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_a_host_clock_that_is_set_is_followed(jump_s: int) -> None:
    clock = DeviceClock()
    clock.utc_ns(0, START_NS)
    later = START_NS + (jump_s + 1) * SECOND
    assert clock.utc_ns(SECOND, later) == later


def test_a_camera_clock_that_runs_slow_is_followed_within_its_drift() -> None:
    clock, slow = DeviceClock(), 1 - 50e-6
    for second in range(0, 36_000, 10):
        at = clock.utc_ns(round(second * slow * SECOND), START_NS + second * SECOND)
    assert math.isclose(at, START_NS + second * SECOND, abs_tol=10_000_000)
