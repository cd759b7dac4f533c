"""What a demo runs."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.errors import SourceError
from loomwatch.plan import SIM_SPEED_M_MIN, SIM_STYLES, from_folder, simulated


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (300, 400), np.uint8))


def test_simulated_rolls_take_the_seconds_that_were_asked_for() -> None:
    lengths = []
    for roll in simulated(mm_per_px=0.2).rolls(200):
        sources = [camera.source for camera in roll.cameras]
        assert len({camera.name for camera in roll.cameras}) == 2
        lengths += [float(source.partition("length_m=")[2].partition("&")[0]) for source in sources[:1]]
    assert sum(lengths) == pytest.approx(200 * SIM_SPEED_M_MIN / 60)


def test_the_simulated_styles_take_turns_without_end() -> None:
    rolls = simulated(mm_per_px=0.2).rolls(0)
    styles = [next(rolls).style for _ in range(7)]
    assert styles == [SIM_STYLES[number % 3] for number in range(7)]


def test_a_folder_gives_one_roll_a_style_in_order(tmp_path: Path) -> None:
    for style in ("twill", "denim"):
        picture(tmp_path / style / "good" / "a.png")
        picture(tmp_path / style / "defect" / "b.png")
    plan = from_folder(tmp_path, mm_per_px=0.2)
    assert [roll.style for roll in plan.rolls(5)] == ["denim", "twill"]
    assert [frame.roll_group for frame in plan.normals()] == ["a", "a"]


@pytest.mark.parametrize("missing", ["good", "defect"])
def test_a_style_without_pictures_is_named(tmp_path: Path, missing: str) -> None:
    picture(tmp_path / "denim" / "good" / "a.png")
    picture(tmp_path / "denim" / "defect" / "b.png")
    next((tmp_path / "denim" / missing).iterdir()).unlink()
    with pytest.raises(SourceError, match=f"denim/{missing} holds no pictures"):
        from_folder(tmp_path, mm_per_px=0.2)


def test_a_folder_without_styles_and_one_that_is_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no style"):
        from_folder(tmp_path, mm_per_px=0.2)
    with pytest.raises(SourceError, match="is not a folder"):
        from_folder(tmp_path / "away", mm_per_px=0.2)
