"""The simulated camera: how lines come with time, and what a late reader loses."""

import threading

import numpy as np
import pytest

from ingest.shots import Shot
from ingest.simulator import BUFFER_FRAMES, SimulatedCamera, normal_frames, read_url
from ingest.sources import open_source
from inspection.errors import SourceError
from inspection.settings import CameraSettings

MM = 0.2
LINES = 64
SPEED = 6.0  # m/min, 100 mm/s
FRAME_NS = int(LINES * MM / 100 * 1e9)
UTC_NS = 1_700_000_000_000_000_000


class Hand:
    """A clock that only moves when somebody waits, or a test turns it."""

    def __init__(self) -> None:
        self.ns = 5_000_000_000
        self.waited: list[float] = []

    def now_ns(self) -> int:
        return self.ns

    def utc_ns(self) -> int:
        return self.ns + UTC_NS

    def wait(self, closed: threading.Event, seconds: float) -> None:
        assert seconds > 0
        self.waited.append(seconds)
        self.ns += int(seconds * 1e9) + 1


def simulated(query: str, clock: Hand) -> SimulatedCamera:
    cloth, run = read_url(f"sim://plain?width_mm=40&margin_mm=4&{query}", mm_per_px=MM)
    return SimulatedCamera(cloth, run, frame_lines=LINES, clock=clock)


def whole(shots: list[Shot]) -> None:
    """Every millimetre is told of, once."""
    end = 0.0
    for shot in shots:
        assert shot.position_mm == pytest.approx(end)
        assert (shot.pixels is None) == bool(shot.problem)
        end = shot.position_mm + shot.length_mm


def test_a_reader_in_time_gets_every_frame_when_its_last_line_has_passed():
    clock = Hand()
    source = simulated(f"speed_m_min={SPEED}&length_m=0.128", clock)
    start = clock.utc_ns()
    shots = list(source.shots())
    assert source.live
    assert len(shots) == 10
    assert [shot.problem for shot in shots] == [""] * 10
    for number, shot in enumerate(shots):
        assert shot.captured_at_ns == pytest.approx(start + (number + 1) * FRAME_NS, abs=2)
    assert clock.waited == pytest.approx([FRAME_NS / 1e9] * 10, rel=1e-4)
    whole(shots)


def test_a_reader_a_little_late_loses_nothing():
    clock = Hand()
    shots = simulated(f"speed_m_min={SPEED}&length_m=0.256", clock).shots()
    got = [next(shots)]
    clock.ns += BUFFER_FRAMES * FRAME_NS - FRAME_NS // 2
    waited = len(clock.waited)
    got += [next(shots) for _ in range(BUFFER_FRAMES - 1)]
    assert len(clock.waited) == waited  # they lay ready
    got += list(shots)
    assert all(shot.problem == "" for shot in got)
    assert len(got) == 20
    whole(got)


def test_a_reader_too_late_loses_the_oldest_frames_and_is_told_how_much():
    clock = Hand()
    source = simulated(f"speed_m_min={SPEED}&length_m=0.256", clock)
    shots = source.shots()
    got = [next(shots)]
    clock.ns += (BUFFER_FRAMES + 3) * FRAME_NS
    got += list(shots)
    lost = got[1]
    assert lost.problem.startswith("camera_lost")
    assert lost.length_mm == pytest.approx(3 * LINES * MM)
    assert [shot.problem for shot in got if shot is not lost] == [""] * (len(got) - 1)
    assert got[-1].position_mm + got[-1].length_mm == pytest.approx(256.0)
    whole(got)
    # What comes after the gap is the cloth of that place.
    first = round(got[2].position_mm / MM)
    np.testing.assert_array_equal(got[2].pixels, source.cloth.lines(first, LINES))


def test_cloth_that_ended_while_nobody_read_is_still_accounted_for():
    clock = Hand()
    shots = simulated(f"speed_m_min={SPEED}&length_m=0.256", clock).shots()
    got = [next(shots)]
    clock.ns += 1000 * FRAME_NS
    got += list(shots)
    whole(got)
    assert got[-1].position_mm + got[-1].length_mm == pytest.approx(256.0)
    assert sum(shot.pixels is not None for shot in got) == 1 + BUFFER_FRAMES


def test_without_a_speed_frames_come_as_asked_for():
    clock = Hand()
    source = simulated("length_m=0.1", clock)
    assert not source.live
    shots = list(source.shots())
    assert clock.waited == []
    assert len(shots) == 8  # 100 mm are reached within the eighth frame of 12.8 mm
    whole(shots)


@pytest.mark.parametrize("speed", [0, SPEED])
def test_cloth_without_a_length_never_ends(speed: float):
    shots = simulated(f"speed_m_min={speed:g}", Hand()).shots()
    assert [next(shots).position_mm for _ in range(3)] == pytest.approx([0, LINES * MM, 2 * LINES * MM])


def test_closing_from_another_thread_ends_a_camera_that_waits_for_lines():
    source = open_source(CameraSettings(name="cam", source="sim://plain?speed_m_min=0.001&width_mm=40"))
    reader = threading.Thread(target=lambda: list(source.shots()))
    reader.start()
    source.close()
    reader.join(20)
    assert not reader.is_alive()


def test_the_start_on_the_roll_moves_the_cloth_and_not_the_position():
    here, there = simulated("length_m=0.05&start_m=1", Hand()), simulated("length_m=0.05", Hand())
    shot = next(here.shots())
    assert shot.position_mm == 0
    np.testing.assert_array_equal(shot.pixels, there.cloth.lines(round(1000 / MM), LINES))


def test_normal_frames_are_perfect_cloth_of_the_size_asked_for():
    frames = normal_frames("twill", seed=3, length_m=0.1, frame_lines=128, width_mm=60, mm_per_px=MM)
    assert len(frames) == 4
    assert all(frame.shape == (128, 300, 3) and frame.dtype == np.uint8 for frame in frames)
    roll, _ = read_url("sim://twill?seed=3&width_mm=60&defects_per_m=0", mm_per_px=MM)
    assert not any(np.array_equal(frame, roll.lines(128 * number, 128)) for number, frame in enumerate(frames))


def test_normal_frames_of_an_unknown_style_are_refused():
    with pytest.raises(SourceError, match="unknown style 'velvet'"):
        normal_frames("velvet", seed=1, length_m=1, frame_lines=128)
