"""The golden roll of a line that does not run yet: what its camera gives becomes samples, or it says why not."""

import threading
from pathlib import Path

import cv2
import pytest

from ingest.simulator import normal_frames
from inspection.line_setup import LineSetup
from inspection.settings import CameraSettings
from loomwatch.golden_roll import record_golden_roll
from storage.database import Database
from storage.pictures import PictureStore
from storage.sample_captures import SampleCapture, get_capture, start_capture, stop_capture
from storage.samples import list_samples

pytestmark = pytest.mark.integration


@pytest.fixture
def pictures(tmp_path: Path) -> PictureStore:
    return PictureStore(str(tmp_path / "pictures"))


def setup_of(source: str, **more: object) -> LineSetup:
    camera = CameraSettings.model_validate({"name": "left", "source": source, "frame_lines": 256, **more})
    return LineSetup(line="line-1", camera=camera, style="denim")


def ask(database: Database) -> int:
    return start_capture(database, camera="left", style="denim", metres=20, by="eva", line="line-1").id


def record(database: Database, pictures: PictureStore, setup: LineSetup, capture: int) -> SampleCapture:
    record_golden_roll(database, pictures, setup, capture, threading.Event())
    return get_capture(database, capture)


def write(folder: Path, number: int) -> None:
    frames = normal_frames("plain", seed=1, length_m=number * 0.0512, frame_lines=256, width_mm=80)
    for place, pixels in enumerate(frames[:number]):
        cv2.imwrite(str(folder / f"{place}.png"), pixels[..., ::-1])


def test_each_picture_of_a_folder_is_a_sample_until_there_are_enough(
    sqlite_database: Database, pictures: PictureStore, tmp_path: Path
) -> None:
    write(tmp_path, 22)
    setup = setup_of(str(tmp_path), follow=True)
    ended = record(sqlite_database, pictures, setup, ask(sqlite_database))
    assert (ended.state, ended.taken) == ("done", 20)
    samples = list_samples(sqlite_database)
    assert {(sample.style, sample.source, sample.by, sample.state) for sample in samples} == {
        ("denim", "roll", "eva", "waits")
    }
    assert [round(sample.captured.y0_mm, 1) for sample in samples[:3] if sample.captured] == [0.0, 51.2, 102.4]


def test_a_folder_that_holds_fewer_gives_what_it_has(
    sqlite_database: Database, pictures: PictureStore, tmp_path: Path
) -> None:
    write(tmp_path, 3)
    ended = record(sqlite_database, pictures, setup_of(str(tmp_path)), ask(sqlite_database))
    assert (ended.state, ended.taken) == ("done", 3)


def test_a_camera_gives_one_picture_of_each_metre(sqlite_database: Database, pictures: PictureStore) -> None:
    setup = setup_of("sim://plain?width_mm=80&speed_m_min=60&length_m=3.2&defects_per_m=0")
    ended = record(sqlite_database, pictures, setup, ask(sqlite_database))
    metres = [int(sample.captured.y0_mm // 1000) for sample in list_samples(sqlite_database) if sample.captured]
    assert (ended.state, ended.taken) == ("done", len(metres))
    assert 1 <= len(metres) == len(set(metres)) <= 4


def test_it_says_why_there_is_none(sqlite_database: Database, pictures: PictureStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, why in (
        (tmp_path / "nowhere", "there is no"),
        (tmp_path / "empty", "holds no pictures"),
        ("sim://plain?width_mm=60", "a tile has 256 px"),
    ):
        ended = record(sqlite_database, pictures, setup_of(str(source)), ask(sqlite_database))
        assert ended.state == "failed"
        assert why in ended.why
    ended = record(sqlite_database, pictures, LineSetup(line="line-1"), ask(sqlite_database))
    assert ended.why == "its camera is not set up any more"


def test_one_that_is_stopped_ends_also_while_the_line_stands(sqlite_database: Database, pictures: PictureStore) -> None:
    setup, capture = setup_of("sim://plain?speed_m_min=0.001"), ask(sqlite_database)
    recording = threading.Thread(
        target=record_golden_roll, args=(sqlite_database, pictures, setup, capture, threading.Event())
    )
    recording.start()
    stop_capture(sqlite_database, capture, by="eva")
    recording.join(60)
    assert not recording.is_alive()
    assert get_capture(sqlite_database, capture).state == "stopped"
