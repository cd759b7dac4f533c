"""One picture of a camera, to see whether it works before it is set up."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ingest.look import look_at
from inspection.errors import SourceError
from inspection.settings import CameraSettings


def camera(source: str | Path, **more: object) -> CameraSettings:
    return CameraSettings.model_validate({"name": "left", "source": str(source), **more})


def test_the_picture_comes_with_the_fabric_that_was_found() -> None:
    seen = look_at(camera("sim://plain?defects_per_m=0", frame_lines=256))
    assert (seen.width_px, seen.height_px) == (1024, 256)
    assert seen.fabric is not None
    left, right = seen.fabric
    assert abs(left - 45) < 12, "9 mm of background to each side"
    assert abs(right - 979) < 12
    shown = cv2.imdecode(np.frombuffer(seen.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (256, 1024, 3)


def test_a_folder_that_nobody_has_written_to_yet_says_so_instead_of_waiting(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no pictures"):
        look_at(camera(tmp_path, follow=True))


def test_a_damaged_picture_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(SourceError, match=r"camera left gave no picture that can be read \(unreadable: 1.png"):
        look_at(camera(tmp_path))


def test_a_line_that_stands_gives_none_and_is_not_waited_for_for_ever() -> None:
    with pytest.raises(SourceError, match="only while the cloth moves"):
        look_at(camera("sim://plain?speed_m_min=0.001"), patience_s=0.2)
