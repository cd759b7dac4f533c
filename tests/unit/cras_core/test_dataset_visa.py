"""VisA by its own split file: what it names is there, and what is wrong with it is one line."""

import pytest

from cras_core.dataset import read_layout
from cras_core.dataset_visa import SPLIT_FILE
from cras_core.errors import DataSetError

HEADER = "object,split,label,image,mask"


def images(name, kind, number):
    return f"{name}/Data/Images/{kind}/{number:03d}.JPG"


def mask(name, number):
    return f"{name}/Data/Masks/Anomaly/{number:03d}.png"


@pytest.fixture
def visa(tmp_path):
    """Two classes as VisA has them: 3 pictures to learn from, 1 good and 2 anomalous ones to test."""
    rows = [HEADER]
    for name in ("candle", "pcb1"):
        rows += [f"{name},train,normal,{images(name, 'Normal', number)}," for number in range(3)]
        rows += [f"{name},test,normal,{images(name, 'Normal', 3)},"]
        rows += [f"{name},test,anomaly,{images(name, 'Anomaly', n)},{mask(name, n)}" for n in range(2)]
    folder = tmp_path / "VisA"
    for row in rows[1:]:
        for place in row.split(",")[3:]:
            if place:
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                (folder / place).touch()
    write(folder, rows)
    return folder, rows


def write(folder, rows):
    (folder / SPLIT_FILE).parent.mkdir(exist_ok=True)
    (folder / SPLIT_FILE).write_text("\n".join(rows) + "\n")


def test_its_own_split_is_followed(visa):
    folder, _ = visa
    layout = read_layout(folder, need_test=True)
    assert (layout.kind, list(layout.classes)) == ("VisA", ["candle", "pcb1"])
    candle = layout.classes["candle"]
    assert [path.relative_to(folder).as_posix() for path in candle.train_good] == [
        images("candle", "Normal", number) for number in range(3)
    ]
    assert [each.kind for each in candle.test] == ["good", "anomaly", "anomaly"]
    assert [each.mask.relative_to(folder).as_posix() if each.mask else None for each in candle.test] == [
        None,
        mask("candle", 0),
        mask("candle", 1),
    ]
    assert "capsules" in layout.absent


def test_a_folder_around_it_and_one_class_of_it_are_read_too(visa):
    folder, _ = visa
    assert list(read_layout(folder.parent).classes) == ["candle", "pcb1"]
    assert list(read_layout(folder / "pcb1").classes) == ["pcb1"]


def test_without_its_split_file_that_file_is_named_from_wherever_it_is_read(visa):
    folder, _ = visa
    (folder / SPLIT_FILE).unlink()
    for place in (folder, folder.parent, folder / "candle"):
        with pytest.raises(DataSetError, match=r"VisA is VisA without its split file split_csv/1cls.csv: unpack"):
            read_layout(place)


def test_a_class_that_the_split_file_leaves_out_is_named(visa):
    folder, rows = visa
    write(folder, [row for row in rows if not row.startswith("pcb1")])
    with pytest.raises(DataSetError, match=r"1cls.csv names no pictures of pcb1"):
        read_layout(folder / "pcb1")


def test_a_byte_order_mark_and_spaces_do_no_harm(visa):
    folder, rows = visa
    (folder / SPLIT_FILE).write_text("\n".join(["object, split, label, image, mask", *rows[1:]]), encoding="utf-8-sig")
    assert list(read_layout(folder).classes) == ["candle", "pcb1"]


def test_files_that_do_not_exist_are_counted_and_the_first_named(visa):
    folder, _ = visa
    (folder / images("candle", "Normal", 1)).unlink()
    (folder / mask("pcb1", 1)).unlink()
    with pytest.raises(DataSetError, match=r"names 2 of 16 files that do not exist, the first is .*Normal/001.JPG"):
        read_layout(folder)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("candle,validation,normal,a.JPG,", "line 14: split must be train or test, got 'validation'"),
        ("candle,test,odd,a.JPG,", "line 14: label must be normal or anomaly, got 'odd'"),
        ("candle,test,normal,,", "line 14: image is empty"),
        (",test,normal,a.JPG,", "line 14: object is empty"),
        ("candle,train,anomaly,a.JPG,m.png", "line 14: a.JPG is an anomaly in training"),
        ("candle,test,anomaly,a.JPG,", "line 14: a.JPG is an anomaly without mask"),
        ("candle,test", "line 14: label must be normal or anomaly, got ''"),
    ],
)
def test_a_wrong_row_is_named(visa, row, words):
    folder, rows = visa
    write(folder, [*rows, row])
    with pytest.raises(DataSetError, match=words):
        read_layout(folder)


def test_a_missing_column_and_an_empty_file_are_named(visa):
    folder, rows = visa
    write(folder, ["object,split,image", *rows[1:]])
    with pytest.raises(DataSetError, match="has no column label, mask"):
        read_layout(folder)
    write(folder, [HEADER])
    with pytest.raises(DataSetError, match="names no pictures"):
        read_layout(folder)
    (folder / SPLIT_FILE).write_bytes(b"\xff\xfe\x00object")
    with pytest.raises(DataSetError, match="cannot read"):
        read_layout(folder)


def test_a_class_without_pictures_to_learn_from_or_to_test_is_named(visa):
    folder, rows = visa
    write(folder, [row for row in rows if not row.startswith("pcb1,train")])
    assert len(read_layout(folder, need_test=True).classes["pcb1"].test) == 3
    with pytest.raises(DataSetError, match="names no training pictures of pcb1"):
        read_layout(folder)
    write(folder, [row for row in rows if not row.startswith("pcb1,test")])
    with pytest.raises(DataSetError, match="names no test pictures of pcb1"):
        read_layout(folder, need_test=True)
