"""VisA's own split file, `split_csv/1cls.csv`: which picture is for training, which for testing, and where its mask is.

Columns object, split (train or test), label (normal or anomaly), image, mask; paths are relative to the data set.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from cras_core.errors import DataSetError

SPLIT_FILE = Path("split_csv/1cls.csv")
COLUMNS = ("object", "split", "label", "image", "mask")
_WORDS = {"split": ("train", "test"), "label": ("normal", "anomaly")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One picture. mask: None for a normal one."""

    name: str
    train: bool
    image: Path
    mask: Path | None


def read_rows(folder: Path) -> list[Row]:
    """Every row of the split file, its files checked to be there.

    Raises `DataSetError`: the file cannot be read, lacks a column, holds another word than those above, an anomaly in
    training or without mask, or names files that do not exist (the first is named, and how many there are).
    """
    path = folder / SPLIT_FILE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataSetError(f"{path} has no column {', '.join(missing)}: it needs {','.join(COLUMNS)}")
            rows = [_row(cells, folder, f"{path} line {reader.line_num}") for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataSetError(f"cannot read {path} ({error}): unpack the data set again") from error
    if not rows:
        raise DataSetError(f"{path} names no pictures: unpack the data set again")
    wanted = [each for row in rows for each in (row.image, row.mask) if each is not None]
    away = [each for each in wanted if not each.is_file()]
    if away:
        raise DataSetError(
            f"{path} names {len(away)} of {len(wanted)} files that do not exist, the first is {away[0]}: "
            "unpack the data set again, or remove their rows"
        )
    return rows


def _row(cells: dict[str, str | None], folder: Path, where: str) -> Row:
    values = {name: (cells.get(name) or "").strip() for name in COLUMNS}
    for name, words in _WORDS.items():
        if values[name] not in words:
            raise DataSetError(f"{where}: {name} must be {' or '.join(words)}, got {values[name]!r}")
    for name in ("object", "image"):
        if not values[name]:
            raise DataSetError(f"{where}: {name} is empty: every row names a class and a picture")
    train, normal = values["split"] == "train", values["label"] == "normal"
    if train and not normal:
        raise DataSetError(f"{where}: {values['image']} is an anomaly in training: training takes normal pictures only")
    if not normal and not values["mask"]:
        raise DataSetError(f"{where}: {values['image']} is an anomaly without mask: name its mask")
    mask = None if normal else folder / values["mask"]
    return Row(name=values["object"], train=train, image=folder / values["image"], mask=mask)
