"""Basler cameras on pylon's own emulation: real driver, real buffers, no camera."""

import os
from collections import deque
from pathlib import Path

import cv2
import numpy as np
import pytest

from ingest.shots import Shot, Source
from ingest.sources import open_source
from inspection.errors import SourceAwayError, SourceError
from inspection.settings import CameraSettings

try:
    import pypylon.pylon as pylon
except ImportError:
    missing = "pypylon is not installed (extra basler)"
    if os.environ.get("CI"):
        raise
    pytest.skip(missing, allow_module_level=True)

WIDTH, HEIGHT = 96, 64
SMALL = {"Width": WIDTH, "Height": HEIGHT}


@pytest.fixture(autouse=True)
def two_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "2")


def camera(source: str = "basler://0815-0000", *, features: dict[str, object] | None = None, **more: object):
    values = {"name": "c", "source": source, "mm_per_px": 0.5, "features": SMALL | (features or {})}
    return CameraSettings.model_validate(values | more)


def take(source: Source, count: int) -> list[Shot]:
    """Copies: a frame's buffer goes back to the camera when the next one is asked for."""
    shots = []
    for shot in source.shots():
        pixels = None if shot.pixels is None else shot.pixels.copy()
        shots.append(Shot(**{name: getattr(shot, name) for name in Shot.__slots__} | {"pixels": pixels}))
        if len(shots) == count:
            source.close()
    return shots


def test_frames_come_one_behind_the_other_with_what_the_camera_tells() -> None:
    shots = take(open_source(camera(features={"ExposureTime": 5000.0})), 3)
    assert [(shot.position_mm, shot.length_mm, shot.problem) for shot in shots] == [
        (0, 32, ""),
        (32, 32, ""),
        (64, 32, ""),
    ]
    assert all(shot.pixels.shape == (HEIGHT, WIDTH) and shot.pixels.dtype == np.uint8 for shot in shots)
    assert {shot.exposure_us for shot in shots} == {5000.0}
    assert shots[0].captured_at_ns < shots[1].captured_at_ns < shots[2].captured_at_ns


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """What the emulated camera sees: red, green and blue fields, wide enough that Bayer edges do not matter."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, :32, 0], pixels[:, 32:64, 1], pixels[:, 64:, 2] = 200, 120, 60
    cv2.imwrite(str(tmp_path / "fields.png"), pixels[:, :, ::-1])
    return tmp_path / "fields.png"


@pytest.mark.parametrize(
    "form", ["RGB8Packed", "BGR8Packed", "BGRA8Packed", "RGB16Packed"]
    + [f"Bayer{pattern}{bits}" for pattern in ("RG", "GR", "GB", "BG") for bits in (8, 10, 12, 16)],
)  # fmt: skip
def test_every_color_format_of_the_camera_shows_the_picture_it_sees(form: str, picture: Path) -> None:
    features = {"PixelFormat": form, "ImageFilename": str(picture), "ImageFileMode": "On", "TestImageSelector": "Off"}
    (shot,) = take(open_source(camera(features=features)), 1)
    for column, expected in ((16, (200, 0, 0)), (48, (0, 120, 0)), (80, (0, 0, 60))):
        assert np.abs(shot.pixels[HEIGHT // 2, column].astype(int) - expected).max() <= 2, (form, column)


@pytest.mark.parametrize("form", ["Mono8", "Mono10", "Mono12", "Mono16"])
def test_every_grey_format_of_the_camera_shows_the_same_grey(form: str, picture: Path) -> None:
    cv2.imwrite(str(picture), np.full((HEIGHT, WIDTH), 77, np.uint8))
    features = {"PixelFormat": form, "ImageFilename": str(picture), "ImageFileMode": "On", "TestImageSelector": "Off"}
    (shot,) = take(open_source(camera(features=features)), 1)
    assert np.abs(shot.pixels.astype(int) - 77).max() <= 1


def test_frames_the_driver_could_not_complete_are_told_in_their_place() -> None:
    source = open_source(camera())
    source._device.ForceFailedBufferCount.Value = 2
    shots = []
    for shot in source.shots():
        shots.append((shot.position_mm, shot.problem))
        if len(shots) == 1:
            source._device.ForceFailedBuffer.Execute()
        if len(shots) == 40 or (sum(bool(problem) for _, problem in shots) == 2 and not shots[-1][1]):
            source.close()
    lost = [problem for _, problem in shots if problem]
    assert len(lost) == 2
    assert all(problem == "camera_lost: The buffer was incompletely grabbed." for problem in lost)
    assert [position for position, _ in shots] == [32.0 * number for number in range(len(shots))]


def test_a_camera_that_cannot_give_chunks_goes_on_without_them(caplog: pytest.LogCaptureFixture) -> None:
    """The emulation lets chunk mode be switched on, and then refuses to start."""
    shots = take(open_source(camera(encoder_mm_per_tick=0.1)), 2)
    assert "goes on without chunk data" in caplog.text
    assert [shot.flags for shot in shots] == [("encoder_missing",)] * 2
    assert [shot.position_mm for shot in shots] == [0, 32]


def test_an_encoder_without_chunks_is_refused() -> None:
    with pytest.raises(SourceError, match="encoder_mm_per_tick is set, but the camera gives no chunk data"):
        open_source(camera(encoder_mm_per_tick=0.1, chunks=False))


def test_two_cameras_of_one_process_run_at_the_same_time() -> None:
    first, second = open_source(camera()), open_source(camera("basler://0815-0001"))
    shots = first.shots(), second.shots()
    assert [next(each).position_mm for each in shots * 3] == [0, 0, 32, 32, 64, 64]
    first.close(), second.close()
    assert [list(each) for each in shots] == [[], []]


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ({"Widht": 64}, "feature Widht = 64: the camera has no such feature"),
        (
            {"Width": 100_000},
            "feature Width = 100000 is refused: Value = 100000 must be equal or smaller than Max = 4096",
        ),
        ({"Width": 64.5}, "feature Width = 64.5: a whole number is needed"),
        ({"Width": "wide"}, "feature Width = 'wide': a whole number is needed"),
        ({"PixelFormat": "Mono9"}, "feature PixelFormat = 'Mono9' is refused: .*the value is invalid"),
        ({"DeviceVendorName": "x"}, "feature DeviceVendorName = 'x' is refused: Node is not writable"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_reason_and_leaves_the_camera_free(features, told: str) -> None:
    with pytest.raises(SourceError, match=f"camera c: {told}") as caught:
        open_source(camera(features=features))
    assert not isinstance(caught.value, SourceAwayError)
    assert "\n" not in str(caught.value)
    assert len(take(open_source(camera()), 1)) == 1


def test_commands_and_switches_are_features_too() -> None:
    features = {"UserSetSelector": "Default", "UserSetLoad": True, "Width": 32, "ReverseX": True}
    source = open_source(camera(features=features))
    assert source._nodes.read("ReverseX") is True
    assert take(source, 1)[0].pixels.shape == (HEIGHT, 32)


def test_a_camera_that_is_not_there_is_away_and_those_that_are_get_named() -> None:
    with pytest.raises(
        SourceAwayError, match="no basler://4711; those that answer: basler://0815-0000, basler://0815-0001"
    ):
        open_source(camera("basler://4711"))


def test_one_of_several_must_be_chosen() -> None:
    with pytest.raises(SourceError, match="fits 2 cameras: choose one of basler://0815-0000, basler://0815-0001"):
        open_source(camera("basler://"))


def test_a_camera_that_is_unplugged_while_it_runs_is_away() -> None:
    source = open_source(camera())
    shots = source.shots()
    next(shots)
    source._device.DetachDevice()
    with pytest.raises(SourceAwayError, match="connection to it is lost"):
        deque(shots, maxlen=0)
    assert len(take(open_source(camera()), 2)) == 2  # and can be opened again


def test_pylon_knows_the_emulation() -> None:
    assert [info.GetSerialNumber() for info in pylon.TlFactory.GetInstance().EnumerateDevices()] == [
        "0815-0000",
        "0815-0001",
    ]
