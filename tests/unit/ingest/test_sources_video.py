"""Video files as cameras, written by OpenCV here and read back."""

import cv2
import numpy as np
import pytest

from ingest.sources import open_source
from ingest.video import VideoSource
from inspection.errors import SourceError
from inspection.settings import CameraSettings

WIDTH, HEIGHT, FRAMES = 64, 48, 6


def frame(number: int) -> np.ndarray:
    """RGB with a colour of its own, so that order and channels show."""
    pixels = np.full((HEIGHT, WIDTH, 3), 30 * number, np.uint8)
    pixels[:, : WIDTH // 2] = (200, 60, 20)
    return pixels


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "roll.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(FRAMES):
        writer.write(np.ascontiguousarray(frame(number)[:, :, ::-1]))
    writer.release()
    return path


def test_all_frames_come_in_order_as_rgb_one_after_the_other(video):
    with open_source(CameraSettings(name="cam", source=str(video), mm_per_px=0.5)) as source:
        assert not source.live
        shots = list(source.shots())
    assert [shot.problem for shot in shots] == [""] * FRAMES
    for number, shot in enumerate(shots):
        assert shot.pixels.shape == (HEIGHT, WIDTH, 3)
        difference = shot.pixels.astype(int) - frame(number)
        assert np.abs(np.median(difference, axis=(0, 1))).max() <= 6  # MJPG is lossy
        assert np.abs(np.median(shot.pixels[:, :20], axis=(0, 1)) - (200, 60, 20)).max() <= 12
    assert [shot.position_mm for shot in shots] == [24.0 * number for number in range(FRAMES)]
    assert [shot.origin for shot in shots] == [f"roll.avi#{number}" for number in range(FRAMES)]


def test_what_is_no_video_is_refused_at_open(tmp_path):
    path = tmp_path / "roll.avi"
    path.write_bytes(b"RIFF nothing of the kind" * 40)
    with pytest.raises(SourceError, match=r"roll\.avi cannot be decoded as a video"):
        open_source(CameraSettings(name="cam", source=str(path)))


def starts_of_frames(data: bytes) -> list[int]:
    """Where the pictures of a Motion-JPEG file begin."""
    starts, at = [], data.find(b"\xff\xd8\xff")
    while at >= 0:
        starts.append(at)
        at = data.find(b"\xff\xd8\xff", at + 3)
    return starts


def test_a_frame_that_cannot_be_decoded_is_a_problem_shot_and_the_rest_still_comes(video):
    data = bytearray(video.read_bytes())
    starts = starts_of_frames(bytes(data))
    assert len(starts) == FRAMES
    data[starts[2] : starts[3] - 8] = bytes(starts[3] - 8 - starts[2])  # frame 2 wiped, the chunk headers kept
    video.write_bytes(bytes(data))
    shots = list(VideoSource(video, mm_per_px=0.5).shots())
    assert [shot.pixels is not None for shot in shots] == [True, True, False, True, True, True]
    assert shots[2].problem == "unreadable: roll.avi: frame 2 cannot be decoded"
    assert [shot.position_mm for shot in shots] == [24.0 * number for number in range(FRAMES)]
    assert sum(shot.length_mm for shot in shots) == FRAMES * 24.0
    assert np.median(shots[3].pixels[:, WIDTH // 2 + 8 :]) == pytest.approx(90, abs=6)


def test_frames_missing_at_the_end_of_a_cut_file_are_one_gap(video):
    data = video.read_bytes()
    video.write_bytes(data[: starts_of_frames(data)[3] + 30])
    shots = list(VideoSource(video, mm_per_px=0.5).shots())
    assert sum(shot.length_mm for shot in shots) == FRAMES * 24.0
    assert shots[0].pixels is not None
    assert shots[-1].pixels is None
    assert shots[-1].problem.startswith("unreadable: roll.avi: frame")


def test_closing_ends_a_video_between_two_frames(video):
    source = VideoSource(video, mm_per_px=0.5)
    shots = source.shots()
    next(shots)
    source.close()
    assert list(shots) == []
