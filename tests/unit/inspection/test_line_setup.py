"""What the page Set up writes: kept whole, for its owner's eyes only, and refused in one line."""

import stat
from pathlib import Path

import pytest

from inspection.errors import SettingsError
from inspection.line_setup import FILE, LineSetup, change_setup, read_setup
from inspection.settings import CameraSettings

CAMERA = CameraSettings(name="left", source="rtsp://staff:secret@10.0.0.9/stream")


def test_nothing_is_chosen_at_first(tmp_path: Path) -> None:
    assert read_setup(tmp_path) == LineSetup()


def test_a_change_leaves_the_rest_as_it_is_and_the_file_to_its_owner(tmp_path: Path) -> None:
    change_setup(tmp_path, line="line-1")
    change_setup(tmp_path, camera=CAMERA.model_dump())
    changed = change_setup(tmp_path, style="denim", runs=True)
    assert changed == read_setup(tmp_path) == LineSetup(line="line-1", camera=CAMERA, style="denim", runs=True)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_wrong_change_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    change_setup(tmp_path, line="line-1")
    with pytest.raises(SettingsError, match="tile_px"):
        change_setup(tmp_path, tile_px=1)
    assert read_setup(tmp_path) == LineSetup(line="line-1")


def test_a_damaged_file_is_told_without_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"camera": {"source": "rtsp://staff:secret@10.0.0.9/"}}')
    with pytest.raises(SettingsError, match="remove it") as caught:
        read_setup(tmp_path)
    assert "secret" not in str(caught.value)
