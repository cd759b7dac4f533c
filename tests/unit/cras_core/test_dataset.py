"""The MVTec AD layout: what is there, and what is missing, named."""

import os
import shutil
from pathlib import Path

import pytest

from cras_core.dataset import KNOWN, OWN, group_of, groups_of, read_layout
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


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def fill(folder: Path, names: str) -> Path:
    """The folders of a published data set in the MVTec AD layout, with empty files."""
    for name in names.split():
        touch(folder / name / "train/good/000.png")
        touch(folder / name / "test/good/000.png")
        touch(folder / name / "test/hole/000.png")
        touch(folder / name / "ground_truth/hole/000_mask.png")
    (folder / "license.txt").touch()
    return folder


@pytest.mark.parametrize("kind", [kind for kind in KNOWN if kind != "VisA"])
def test_published_data_sets_are_recognized_by_their_classes_and_what_is_absent_named(tmp_path, kind):
    folder = fill(tmp_path / "data", KNOWN[kind])
    layout = read_layout(folder, need_test=True)
    assert (layout.kind, layout.absent) == (kind, ())
    assert sorted(layout.classes) == sorted(KNOWN[kind].split())
    gone = KNOWN[kind].split()[1]
    shutil.rmtree(folder / gone)
    assert (read_layout(folder).kind, read_layout(folder).absent) == (kind, (gone,))
    fill(folder, "linen")
    assert (read_layout(folder).kind, read_layout(folder).absent) == (OWN, ())


def test_itd_has_no_masks_and_needs_none_where_others_do(tmp_path):
    for folder in (fill(tmp_path / "itd", "type1cam1 type2cam2"), fill(tmp_path / "mpdd", "tubes")):
        for each in folder.glob("*/ground_truth"):
            shutil.rmtree(each)
    layout = read_layout(tmp_path / "itd", need_test=True)
    assert [(each.kind, each.mask) for each in layout.classes["type1cam1"].test] == [("good", None), ("hole", None)]
    with pytest.raises(DataSetError, match=r"tubes/test/hole/000.png has no mask"):
        read_layout(tmp_path / "mpdd", need_test=True)


def test_a_folder_around_the_data_set_and_a_single_class_are_read_too(make_data_set, tmp_path):
    folder = make_data_set()
    (tmp_path / "outer").mkdir()
    folder = folder.rename(tmp_path / "outer" / "data")
    (tmp_path / "outer" / "__MACOSX").mkdir()
    layout = read_layout(tmp_path / "outer")
    assert (layout.folder, list(layout.classes)) == (folder, ["canvas", "denim"])
    single = read_layout(folder / "denim")
    assert list(single.classes) == ["denim"]
    assert single.classes["denim"] == layout.classes["denim"]
    shutil.rmtree(folder / "denim/train/good")
    with pytest.raises(DataSetError, match=r"class denim has no folder .*denim/train/good"):
        read_layout(folder / "denim")


def test_a_data_set_of_a_single_class_keeps_that_classes_name(make_data_set):
    folder = make_data_set()
    shutil.rmtree(folder / "canvas")
    assert list(read_layout(folder).classes) == ["denim"]


@pytest.mark.parametrize("place", ["train/stain/000.png", "train/000.png"])
def test_training_pictures_besides_the_good_ones_are_refused(make_data_set, place):
    folder = make_data_set()
    touch(folder / "denim" / place)
    with pytest.raises(DataSetError, match=rf"denim/{place} is in train besides good/"):
        read_layout(folder)


def test_a_loose_test_picture_is_refused(make_data_set):
    folder = make_data_set()
    touch(folder / "denim/test/000.png")
    with pytest.raises(DataSetError, match=r"denim/test/000.png is loose in test"):
        read_layout(folder)


def test_missing_masks_are_counted(make_data_set):
    folder = make_data_set()
    shutil.rmtree(folder / "canvas/ground_truth")
    with pytest.raises(DataSetError, match=r"stain/000.png has no mask: .*\(4 pictures of this class have none\)"):
        read_layout(folder)


def test_hidden_files_are_no_pictures(make_data_set):
    folder = make_data_set()
    touch(folder / "canvas/train/good/._000.png")
    assert len(read_layout(folder).classes["canvas"].train_good) == 4


def test_a_class_whose_name_is_no_text_is_refused(make_data_set):
    folder = make_data_set()
    (folder / "denim").rename(folder / os.fsdecode(b"d\xffnim"))
    with pytest.raises(DataSetError, match="nim has a name that is not UTF-8: rename it"):
        read_layout(folder)
