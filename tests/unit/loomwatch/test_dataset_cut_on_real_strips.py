"""Cutting real annotated strips, compared with tiles that were cut from the same strips by other hands."""

from pathlib import Path

import pytest

from loomwatch.dataset_cut import CutSettings, cut_data_set

AITEX = Path(__file__).parents[4] / "shared" / "data" / "aitex"
STYLE = "fabric_06"

if not (AITEX / "frames").is_dir():
    pytest.skip("needs the AITEX strips in ../shared/data/aitex", allow_module_level=True)


def strips_of(folder: Path) -> set[str]:
    return {path.stem.rsplit("_", 1)[0] for path in folder.glob("*.png")}


def test_every_strip_gives_its_tiles_and_every_defect_strip_its_defect(tmp_path: Path) -> None:
    found = cut_data_set(AITEX / "frames" / STYLE, tmp_path / "out", CutSettings())[STYLE]
    theirs = AITEX / "tiles" / STYLE
    mine = tmp_path / "out" / STYLE
    assert found.frames_missed == ()
    assert strips_of(mine / "test/defect") == set().union(*map(strips_of, theirs.glob("test/defect_*")))
    assert found.test_defects == {"defect": sum(1 for _ in theirs.glob("test/defect_*/*.png"))}
    assert (found.frames_train, found.frames_test) == (14, 6)
    # theirs leave a margin at the selvedge and what is less than a tile at the other end: one tile a strip less, or two
    more = found.train_good + found.test_good - sum(1 for _ in theirs.glob("*/good/*.png"))
    assert 20 <= more <= 40
