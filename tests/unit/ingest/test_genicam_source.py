"""GenICam cameras through a real GenTL producer: `viky`, a virtual camera that the package genicam brings along. Its
chunk data holds a counter, the bounces of its ball, which stands in for an encoder's."""

import os
from pathlib import Path

import numpy as np
import pytest

from ingest.shots import Shot, Source
from ingest.sources import open_source
from inspection.errors import SourceAwayError, SourceError
from inspection.settings import CameraSettings

try:
    import genicam
    import harvesters.core  # noqa: F401
except ImportError:
    if os.environ.get("CI"):
        raise
    pytest.skip("harvesters is not installed (extra genicam)", allow_module_level=True)

CTI = Path(genicam.__file__).parent / "viky.cti"
if not CTI.exists():
    missing = "this genicam has no producer viky.cti"
    pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing, allow_module_level=True)

SIZE = {"Width": 400, "Height": 400, "AcquisitionFrameRate": 200.0}


def camera(device: str = "0", *, features: dict[str, object] | None = None, **more: object) -> CameraSettings:
    values = {
        "name": "c", "source": f"genicam://{CTI}?device={device}", "mm_per_px": 0.5,
        "features": {"PixelFormat": "Mono8"} | SIZE | (features or {}),
    }  # fmt: skip
    return CameraSettings.model_validate(values | more)


def take(source: Source, count: int) -> list[Shot]:
    shots = []
    for shot in source.shots():
        shots.append(shot)
        if len(shots) == count:
            source.close()
    return shots


def test_frames_come_one_behind_the_other() -> None:
    shots = take(open_source(camera()), 4)
    assert [shot.position_mm for shot in shots if not shot.problem][:2] == [0, 200]
    assert sum(shot.length_mm for shot in shots) == shots[-1].position_mm + shots[-1].length_mm
    assert shots[0].pixels.shape == (400, 400)


def test_color_is_rgb_without_alpha() -> None:
    """The producer's picture is a ball of the device's color on white."""
    for device, strongest in (("0", 0), ("1", 1), ("2", 2)):
        (shot,) = take(open_source(camera(device, features={"PixelFormat": "RGBa8"})), 1)
        assert shot.pixels.shape == (400, 400, 3)
        ball = shot.pixels[(shot.pixels < 255).any(axis=2)]
        assert ball.size
        assert np.argmax(ball.mean(axis=0)) == strongest


def test_a_counter_in_the_chunk_data_is_the_position() -> None:
    """200 mm a bounce: between two bounces nothing new passes, and each bounce is one frame further."""
    shots = take(
        open_source(camera(encoder_mm_per_tick=200.0, encoder_chunk="ChunkNrBounces", max_speed_m_min=10_000)), 3
    )
    assert all(shot.absolute and shot.flags == () for shot in shots)
    starts = [shot.position_mm for shot in shots]
    assert all(start % 200 == 0 for start in starts)
    assert np.diff(starts).tolist() == [200, 200]


def test_chunks_that_are_not_wanted_leave_positions_to_lines_and_an_encoder_is_refused() -> None:
    assert not take(open_source(camera(chunks=False)), 1)[0].absolute
    with pytest.raises(SourceError, match="gives no chunk data"):
        open_source(camera(chunks=False, encoder_mm_per_tick=1.0))


def test_a_chunk_the_camera_does_not_have_is_told_of_with_each_frame() -> None:
    shots = take(open_source(camera(encoder_mm_per_tick=1.0, encoder_chunk="ChunkEncoderValue")), 2)
    assert [shot.flags for shot in shots if not shot.problem] == [("encoder_missing",)] * 2


def test_cameras_of_one_producer_run_at_the_same_time_and_come_and_go() -> None:
    first, second = open_source(camera("0")), open_source(camera("1"))
    shots = first.shots(), second.shots()
    for each in shots * 2:
        next(each)
    first.close()
    assert list(shots[0]) == []
    next(shots[1])  # the other one goes on
    again = open_source(camera("0"))
    assert len(take(again, 2)) == 2
    next(shots[1])
    second.close()
    assert list(shots[1]) == []
    assert len(take(open_source(camera("1")), 1)) == 1


def test_a_camera_in_use_is_away() -> None:
    with open_source(camera("0")) as first:
        shots = first.shots()
        next(shots)
        with pytest.raises(SourceAwayError, match="another program may have it"):
            open_source(camera("0"))
        next(shots)
        first.close()
        list(shots)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ({"Widht": 64}, "feature Widht = 64: the camera has no such feature"),
        ({"Width": 100_000}, "feature Width = 100000 is refused: .*smaller than Max = 800"),
        ({"Width": 200.5}, "feature Width = 200.5: a whole number is needed"),
        ({"PixelFormat": "Mono9"}, "feature PixelFormat = 'Mono9' is refused"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_reason_and_leaves_the_camera_free(features, told: str) -> None:
    with pytest.raises(SourceError, match=f"camera c: {told}") as caught:
        open_source(camera(features=features))
    assert not isinstance(caught.value, SourceAwayError)
    assert len(take(open_source(camera()), 1)) == 1


def test_a_device_that_is_not_there_is_away_and_those_that_are_get_named() -> None:
    with pytest.raises(SourceAwayError, match="has no device '77'; those that answer: 0, 1, 2"):
        open_source(camera("77"))
    with pytest.raises(SourceError, match="has 3 devices: choose one"):
        open_source(CameraSettings(name="c", source=f"genicam://{CTI}"))


def test_a_producer_that_is_none_and_a_parameter_nobody_knows_are_refused(tmp_path: Path) -> None:
    fake = tmp_path / "fake.cti"
    fake.write_bytes(b"no library")
    for source, told in (
        (f"genicam://{fake}", "cannot be used as a GenTL producer"),
        ("genicam:///nowhere.cti", "there is no GenTL producer '/nowhere.cti'"),
        (f"genicam://{CTI}?serial=0", "unknown parameter 'serial'"),
    ):
        with pytest.raises(SourceError, match=told) as caught:
            open_source(CameraSettings(name="c", source=source))
        assert not isinstance(caught.value, SourceAwayError)
