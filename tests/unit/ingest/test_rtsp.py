"""RTSP against a server that speaks it."""

import itertools

import numpy as np
import pytest

from ingest.rtsp import FrameNumbers, RtspSource
from ingest.sources import open_source
from inspection.errors import SourceAwayError, SourceError
from inspection.settings import CameraSettings
from inspection.types import Pixels
from tests.unit.ingest.rtsp_server import RtspServer

LINES = 96


def picture(number: int) -> Pixels:
    """Red to the left, a grey that tells the number to the right."""
    pixels = np.zeros((LINES, 160, 3), np.uint8)
    pixels[:, :80] = (200, 40, 30)
    pixels[:, 80:] = number * 4 % 240
    return pixels


def camera(url: str, **more: object) -> CameraSettings:
    return CameraSettings.model_validate({"name": "c", "source": url, "mm_per_px": 0.5} | more)


def test_frames_come_in_color_one_behind_the_other_and_lost_ones_are_told() -> None:
    with RtspServer(picture, leave_out={20, 21}) as server:
        source = open_source(camera(server.url))
        assert isinstance(source, RtspSource)
        shots = list(itertools.islice(source.shots(), 30))
        source.close()
    assert server.requests[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    frames = [shot for shot in shots if not shot.problem]
    for number, shot in zip([*range(20), *range(22, 31)], frames, strict=True):
        assert shot.pixels.shape == (LINES, 160, 3)
        assert np.abs(shot.pixels[50, 20].astype(int) - (200, 40, 30)).max() <= 6
        assert np.abs(shot.pixels[50, 140].astype(int) - number * 4).max() <= 3
        assert shot.position_mm == number * LINES * 0.5
    (lost,) = [shot for shot in shots if shot.problem]
    assert (lost.position_mm, lost.length_mm) == (20 * 48, 2 * 48)


def test_a_stream_that_is_cut_is_away_and_comes_back() -> None:
    with RtspServer(picture) as server:
        source = RtspSource(camera(server.url))
        shots = source.shots()
        next(shots)
        server.cut()
        with pytest.raises(SourceAwayError, match="broke off"):
            list(itertools.islice(shots, 500))
        with pytest.raises(SourceAwayError, match="no stream answers"):
            RtspSource(camera(server.url))
        server.plug()
        with RtspSource(camera(server.url)) as again:
            assert next(again.shots()).pixels is not None


@pytest.mark.parametrize("more", [{"encoder_mm_per_tick": 1.0}, {"features": {"Width": 3}}])
def test_settings_an_rtsp_camera_cannot_have_are_refused(more: dict[str, object]) -> None:
    with pytest.raises(SourceError, match="is set, but an RTSP camera knows none"):
        RtspSource(camera("rtsp://127.0.0.1:9/x", **more))


def test_frame_numbers_follow_the_streams_times_and_small_jitter_is_no_loss() -> None:
    numbers = FrameNumbers()
    rng = np.random.default_rng(0)
    times = [40.0 * n + rng.uniform(-9, 9) for n in range(60) if n not in (30, 31, 45)]
    found = [numbers.next(at) for at in times]
    assert [b - a for a, b in itertools.pairwise(found)].count(1) == 54
    assert found[-1] - found[0] == 59


def test_a_stream_without_times_is_counted_frame_by_frame() -> None:
    numbers = FrameNumbers()
    assert [numbers.next(0.0) for _ in range(4)] == [1, 2, 3, 4]


def test_an_error_does_not_tell_the_password() -> None:
    with RtspServer(picture) as server:
        server.cut()
        with pytest.raises(SourceAwayError) as caught:
            RtspSource(camera(server.url.replace("rtsp://", "rtsp://staff:secret@")))
    assert "secret" not in str(caught.value)
