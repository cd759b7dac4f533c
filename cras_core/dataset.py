"""The MVTec AD layout: CLASS/train/good, CLASS/test/{good,DEFECT}, CLASS/ground_truth/DEFECT/NAME_mask.png.

Every class of a folder is one style of the one model.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cras_core.errors import DataSetError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
GOOD = "good"
_NUMBERED = re.compile(r"(.+)_\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPicture:
    """kind: "good" or the defect's folder name; mask: None for a good picture."""

    __test__ = False  # not a test case, whatever its name makes pytest think

    path: Path
    kind: str
    mask: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFolder:
    name: str
    train_good: tuple[Path, ...]
    test: tuple[TestPicture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    folder: Path
    classes: dict[str, ClassFolder]


def read_layout(folder: Path, *, need_test: bool = False) -> Layout:
    """Lists a data set. Raises `DataSetError` that names what is missing; `need_test` asks for test pictures too."""
    if not folder.is_dir():
        raise DataSetError(f"{folder} is not a folder: give one that holds CLASS/train/good")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise DataSetError(f"{folder} holds no class folder: expected CLASS/train/good in it")
    return Layout(folder=folder, classes={name: _read_class(folder / name, need_test=need_test) for name in names})


def _read_class(folder: Path, *, need_test: bool) -> ClassFolder:
    train, test = folder / "train" / GOOD, folder / "test"
    if need_test:
        found = _read_test(folder)
        if not found:
            raise DataSetError(f"{test} holds no pictures: put test pictures into good/ and a folder for each defect")
        return ClassFolder(name=folder.name, train_good=tuple(_pictures(train)), test=tuple(found))
    if not train.is_dir():
        raise DataSetError(f"class {folder.name} has no folder {train}: put its normal pictures there")
    good = _pictures(train)
    if not good:
        raise DataSetError(f"{train} holds no pictures: put normal pictures of {folder.name} there, or remove it")
    return ClassFolder(name=folder.name, train_good=tuple(good), test=tuple(_read_test(folder)))


def _read_test(folder: Path) -> list[TestPicture]:
    test = folder / "test"
    kinds = sorted(entry.name for entry in test.iterdir() if entry.is_dir()) if test.is_dir() else []
    found: list[TestPicture] = []
    for kind in kinds:
        for path in _pictures(test / kind):
            mask = None if kind == GOOD else _mask_of(folder / "ground_truth" / kind, path)
            found.append(TestPicture(path=path, kind=kind, mask=mask))
    return found


def _mask_of(folder: Path, path: Path) -> Path:
    for name in (f"{path.stem}_mask", path.stem):
        for suffix in PICTURE_SUFFIXES:
            if (mask := folder / f"{name}{suffix}").is_file():
                return mask
    raise DataSetError(f"{path} has no mask: expected {folder / (path.stem + '_mask.png')}")


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)


def group_of(path: Path) -> str:
    """What was captured together: the name without its last _NUMBER part, if several pictures of its folder share it.

    Tiles of one strip (`0001_000_04_0625`, `0001_000_04_0881`) are one group; pictures with names of their own are
    each their own group.
    """
    beside = _pictures(path.parent)
    return groups_of([path, *(other for other in beside if other.name != path.name)])[0]


def groups_of(paths: Iterable[Path]) -> list[str]:
    """`group_of` of each path, among these paths."""
    paths = list(paths)
    counts = Counter(map(_stem_group, paths))
    return [group if counts[group := _stem_group(path)] > 1 else path.stem for path in paths]


def _stem_group(path: Path) -> str:
    match = _NUMBERED.fullmatch(path.stem)
    return match[1] if match else path.stem
