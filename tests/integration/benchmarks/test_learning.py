"""The experiments on annotated frames, from frames on disk to their tables, on a few small ones of simulated cloth."""

import json

import numpy as np
import pytest

from benchmarks import continual, overlap, poisoning
from benchmarks.poisoning import SHARE, Tile, offer
from cras_core.config import CrasConfig
from ingest.simulator import normal_frames
from inspection.errors import SettingsError
from loomwatch.annotated import find_annotated
from tests.records import encode_png

pytestmark = pytest.mark.integration
SMALL = CrasConfig(tile_px=64, steps=2, calibration_folds=2)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Three styles of 17 good strips of 64 x 512 px, and two with a dark square."""
    folder = tmp_path_factory.mktemp("frames")
    for style in ("denim", "plain", "twill"):
        strips = normal_frames(style, seed=3, length_m=0.0128 * 19, frame_lines=64, width_mm=102.4)
        for number, strip in enumerate(strips[:19]):
            good = number < 17
            place = folder / style / ("good" if good else "spot") / f"{number:02}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            pixels = strip.copy()
            if not good:
                middle = pixels.shape[1] // 2
                mask = np.zeros(pixels.shape[:2], np.uint8)
                mask[20:44, middle - 40 : middle - 16] = mask[20:44, middle + 16 : middle + 40] = 255
                pixels[mask > 0] = 0
                place.with_name(f"{number:02}_mask.png").write_bytes(encode_png(mask))
            place.write_bytes(encode_png(pixels))
    return folder


def test_one_in_twenty_that_are_offered_is_a_defect():
    def tiles(strips, each, defect):
        return [
            Tile("plain", f"{strip}", np.zeros((1, 1, 3), np.uint8), defect)
            for strip in range(strips)
            for _ in range(each)
        ]

    chance = np.random.default_rng(0)
    for normal, wrong in ((tiles(6, 19, False), tiles(3, 4, True)), (tiles(6, 19, False), tiles(2, 1, True))):
        offered = offer(normal, wrong, chance)
        defects = [tile for tile in offered if tile.defect]
        assert len(defects) == SHARE * len(offered)
        assert len({tile.strip for tile in defects}) == len({tile.strip for tile in wrong})
    with pytest.raises(SettingsError, match="0 with a defect"):
        offer(tiles(6, 19, False), [], chance)


def test_poisoning_is_measured(frames):
    run = poisoning.run(find_annotated(frames), SMALL)
    assert run.defects == pytest.approx(SHARE * (run.defects + run.normal), rel=0.2)
    assert set(run.judged) == set(poisoning.SETS)
    assert "| all that was offered |" in poisoning.to_table([run])


def test_what_retraining_is_worth_is_measured(frames, tmp_path):
    found = find_annotated(frames)
    figures = list(continual.Mill(found, sorted(found), SMALL, learned_px=512).run())
    continual.write(figures, tmp_path)
    assert [(each.step, each.way) for each in figures] == [
        (step, way) for step in continual.STEPS for way in continual.WAYS
    ]
    assert len(json.loads((tmp_path / "figures.json").read_text())) == len(figures)
    assert (tmp_path / "continual.png").stat().st_size > 1000
    assert "| light | full training |" in (tmp_path / "table.md").read_text()


def test_what_overlapping_tiles_are_worth_is_measured(frames):
    found = overlap.run(find_annotated(frames), SMALL, [0, 32])
    assert [each.overlap_px for each in found] == [0, 32]
    assert found[0].tiles < found[1].tiles < 2 * found[0].tiles  # n tiles side by side, or 2 n - 1
    assert "| 32 |" in overlap.to_table(found)


def test_an_overlap_as_wide_as_a_tile_is_refused(frames):
    with pytest.raises(SettingsError, match="overlap must be in"):
        overlap.run(find_annotated(frames), SMALL, [64])
