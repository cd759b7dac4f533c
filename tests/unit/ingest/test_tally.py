"""A camera's rates: over the last ten seconds, and falling to nothing when it stops."""

from dataclasses import dataclass

import pytest

from ingest.tally import WINDOW_S, Tally


@dataclass
class Driver:
    """What a tally asks of a source."""

    heard_at: float


def test_rates_are_those_of_the_last_ten_seconds() -> None:
    tally = Tally("left", now=0.0)
    for number in range(200):  # 4 frames a second, 200 mm each: 48 m/min
        tally.passed(pixels=1000, end_mm=200.0 * (number + 1), length_mm=200.0, now=number * 0.25)
    counted = tally.count(now=49.75)
    assert counted.frames_per_s == pytest.approx(4.0, rel=0.05)
    assert counted.pixels_per_s == pytest.approx(4000, rel=0.05)
    assert counted.speed_m_min == pytest.approx(48.0, rel=0.05)
    assert (counted.captured, counted.captured_mm, counted.position_mm) == (200, 40_000.0, 40_000.0)
    still = tally.count(now=49.75 + WINDOW_S + 0.01)
    assert (still.frames_per_s, still.pixels_per_s, still.speed_m_min) == (0.0, 0.0, 0.0)
    assert still.captured == 200


def test_the_first_seconds_are_not_diluted() -> None:
    tally = Tally("left", now=100.0)
    for number in range(4):
        tally.passed(pixels=10, end_mm=0.0, length_mm=0.0, now=100.5 + number * 0.5)
    assert tally.count(now=102.0).frames_per_s == pytest.approx(2.0)


def test_a_gap_is_captured_cloth_but_no_frame() -> None:
    tally = Tally("left", now=0.0)
    tally.passed(pixels=0, end_mm=500.0, length_mm=500.0, now=1.0)
    counted = tally.count(now=1.0)
    assert (counted.captured, counted.captured_mm, counted.frames_per_s) == (1, 500.0, 0.0)


def test_reconnects_are_openings_after_the_first() -> None:
    tally = Tally("left")
    assert tally.count().state == "away"
    tally.opened(Driver(0.0))
    assert (tally.count().state, tally.count().reconnects) == ("running", 0)
    tally.lost()
    assert tally.count().state == "away"
    tally.opened(Driver(0.0))
    assert tally.count().reconnects == 1
    tally.ended()
    assert tally.count().state == "ended"


def test_a_camera_is_silent_since_its_last_frame_or_its_drivers_last_word() -> None:
    tally = Tally("left", now=100.0)
    assert tally.count(now=107.0).silent_s == 7.0  # it never opened
    driver = Driver(heard_at=110.0)
    tally.opened(driver)
    assert tally.count(now=112.0).silent_s == 2.0
    tally.passed(pixels=1, end_mm=1.0, length_mm=1.0, now=120.0)
    assert tally.count(now=121.0).silent_s == 1.0
    driver.heard_at = 500.0  # the line stands, the camera answers
    assert tally.count(now=500.5).silent_s == 0.5
    tally.lost()
    driver.heard_at = 900.0
    assert tally.count(now=560.0).silent_s == 60.0
