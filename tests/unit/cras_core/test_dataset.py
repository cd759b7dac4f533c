"""The MVTec AD layout: what is there, and what is missing, named."""

from pathlib import Path

import pytest

from cras_core.dataset import group_of, groups_of, read_layout
from cras_core.errors import DataSetError


def test_a_data_set_is_listed(make_data_set):
    layout = read_layout(make_data_set(), need_test=True)
    canvas = layout.classes["canvas"]
    assert list(layout.classes) == ["canvas", "denim"]
    assert [path.name for path in canvas.train_good] == ["000.png", "001.png", "002.png", "003.png"]
    assert [each.kind for each in canvas.test] == ["good"] * 4 + ["stain"] * 4
    assert [each.mask.name if each.mask else None for each in canvas.test][3:5] == [None, "000_mask.png"]


def test_a_missing_folder_and_one_without_classes_are_refused(tmp_path):
    with pytest.raises(DataSetError, match="is not a folder"):
        read_layout(tmp_path / "none")
    with pytest.raises(DataSetError, match="holds no class folder"):
        read_layout(tmp_path)


def test_an_empty_class_folder_is_named(make_data_set):
    folder = make_data_set()
    (folder / "linen").mkdir()
    with pytest.raises(DataSetError, match=r"class linen has no folder .*linen/train/good"):
        read_layout(folder)
    (folder / "linen" / "train" / "good").mkdir(parents=True)
    with pytest.raises(DataSetError, match=r"linen/train/good holds no pictures"):
        read_layout(folder)
    with pytest.raises(DataSetError, match=r"linen/test holds no pictures"):
        read_layout(folder, need_test=True)


def test_evaluation_needs_no_training_pictures(make_data_set):
    folder = make_data_set()
    for path in (folder / "canvas" / "train" / "good").iterdir():
        path.unlink()
    assert len(read_layout(folder, need_test=True).classes["canvas"].test) == 8


def test_an_anomaly_without_mask_is_named(make_data_set):
    folder = make_data_set()
    (folder / "denim/ground_truth/stain/002_mask.png").unlink()
    with pytest.raises(DataSetError, match=r"stain/002.png has no mask: expected .*002_mask.png"):
        read_layout(folder)


def test_tiles_of_one_strip_are_one_group_and_single_pictures_each_their_own():
    names = ["0001_000_04_0625.png", "0001_000_04_0881.png", "0002_000_04_0625.png", "c1r1e0n12.jpg", "007.png"]
    assert groups_of(map(Path, names)) == ["0001_000_04", "0001_000_04", "0002_000_04_0625", "c1r1e0n12", "007"]


def test_a_files_group_comes_from_the_files_beside_it(tmp_path):
    for name in ("a_1.png", "a_2.png", "b_1.png", "notes_1.txt"):
        (tmp_path / name).touch()
    assert [group_of(tmp_path / name) for name in ("a_1.png", "a_2.png", "b_1.png")] == ["a", "a", "b_1"]
