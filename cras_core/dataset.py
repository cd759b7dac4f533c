"""Data sets: MVTec AD and whatever has its layout (MPDD, ITDD, ITD, your own), and VisA with its own split file.

The layout: CLASS/train/good, CLASS/test/{good,DEFECT}, CLASS/ground_truth/DEFECT/NAME_mask.png. Every class of a folder
is one style of the one model. docs/datasets.md tells what is recognized.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cras_core.dataset_visa import SPLIT_FILE, Row, read_rows
from cras_core.errors import DataSetError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
GOOD = "good"
ANOMALY = "anomaly"  # VisA names no kinds of defects
OWN = "MVTec AD layout"
KNOWN = {  # which classes each published data set has
    "MVTec AD": "bottle cable capsule carpet grid hazelnut leather metal_nut pill screw tile toothbrush transistor "
    "wood zipper",
    "VisA": "candle capsules cashew chewinggum fryum macaroni1 macaroni2 pcb1 pcb2 pcb3 pcb4 pipe_fryum",
    "MPDD": "bracket_black bracket_brown bracket_white connector metal_plate tubes",
    "ITDD": "cotton_fabric dyed_fabric hemp_fabric plaid_fabric",
    "ITD": "type1cam1 type2cam2 type3cam1 type4cam2 type5cam2 type6cam2 type7cam2 type8cam1 type9cam2 type10cam2",
}
MASKLESS = frozenset({"ITD"})  # published without masks
_NUMBERED = re.compile(r"(.+)_\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPicture:
    """kind: "good" or the defect's folder name; mask: None for a good picture, and in data sets that have no masks."""

    __test__ = False  # not a test case, whatever its name makes pytest think

    path: Path
    kind: str
    mask: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFolder:
    """spare_masks: those that are of no test picture."""

    name: str
    train_good: tuple[Path, ...]
    test: tuple[TestPicture, ...]
    spare_masks: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """kind: a name of `KNOWN`, or `OWN` for other classes in the same layout."""

    folder: Path
    classes: dict[str, ClassFolder]
    kind: str = OWN

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes that the published data set has and this folder has not."""
        return tuple(name for name in KNOWN.get(self.kind, "").split() if name not in self.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a folder turned out to be, before any class is read. readers: by class, `reader(need_test)`."""

    folder: Path
    kind: str
    readers: Mapping[str, Callable[[bool], ClassFolder]]


def read_layout(folder: Path, *, need_test: bool = False) -> Layout:
    """Lists a data set: its folder, a folder around it, or a single class folder.

    `need_test` asks for test pictures instead of training pictures. Raises `DataSetError` that names what is missing.
    """
    found = find_classes(folder)
    classes = {name: read(need_test) for name, read in found.readers.items()}
    return Layout(folder=found.folder, classes=classes, kind=found.kind)


def find_classes(folder: Path) -> Found:
    """Recognizes a data set and its classes. Raises `DataSetError` when there are none, or a split file is wrong."""
    if not folder.is_dir():
        raise DataSetError(f"{folder} is not a folder: give one that holds CLASS/train/good")
    if (folder / SPLIT_FILE).is_file():
        return _find_visa(folder)
    if _is_class(folder):
        return _find_folders(folder, [folder])
    if (folder.parent / SPLIT_FILE).is_file():
        whole = _find_visa(folder.parent)
        if reader := whole.readers.get(folder.name):
            return Found(folder=whole.folder, kind=whole.kind, readers={folder.name: reader})
        if _is_visa_class(folder):
            raise DataSetError(f"{folder.parent / SPLIT_FILE} names no pictures of {folder.name}: give another class")
    if _is_visa_class(folder):
        raise _no_split(folder.parent)
    inside = _folders(folder)
    if not inside:
        raise DataSetError(f"{folder} holds no class folder: expected CLASS/train/good in it")
    only = inside[0]
    if (
        len(inside) == 1
        and not _is_class(only)
        and ((only / SPLIT_FILE).is_file() or any(_is_class(each) or _is_visa_class(each) for each in _folders(only)))
    ):
        return find_classes(only)
    if any(map(_is_visa_class, inside)):
        raise _no_split(folder)
    return _find_folders(folder, inside)


def _is_class(folder: Path) -> bool:
    return (folder / "train").is_dir() or (folder / "test").is_dir()


def _is_visa_class(folder: Path) -> bool:
    return (folder / "Data" / "Images").is_dir() and not _is_class(folder)


def _no_split(folder: Path) -> DataSetError:
    return DataSetError(
        f"{folder} is VisA without its split file {SPLIT_FILE}: unpack the data set again, with that file"
    )


def _find_folders(folder: Path, classes: list[Path]) -> Found:
    names = {each.resolve().name: each for each in classes}
    if odd := next((name for name in names if any(map(_is_half, name))), None):
        raise DataSetError(f"{names[odd]} has a name that is not UTF-8: rename it, a class's name is its style's")
    kind = next((kind for kind, known in KNOWN.items() if names.keys() <= set(known.split())), OWN)
    readers = {name: partial(_read_class, name, each, kind in MASKLESS) for name, each in names.items()}
    return Found(folder=folder, kind=kind, readers=readers)


def _is_half(character: str) -> bool:
    """Whether it stands for a byte that is no text (os.fsdecode)."""
    return "\ud800" <= character <= "\udfff"


def _find_visa(folder: Path) -> Found:
    rows = read_rows(folder)
    names = sorted({row.name for row in rows})
    readers = {name: partial(_read_visa, name, folder, [row for row in rows if row.name == name]) for name in names}
    return Found(folder=folder, kind="VisA", readers=readers)


def _read_visa(name: str, folder: Path, rows: list[Row], need_test: bool) -> ClassFolder:
    train = tuple(row.image for row in rows if row.train)
    test = tuple(
        TestPicture(path=row.image, kind=GOOD if row.mask is None else ANOMALY, mask=row.mask)
        for row in rows
        if not row.train
    )
    if not (test if need_test else train):
        raise DataSetError(f"{folder / SPLIT_FILE} names no {'test' if need_test else 'training'} pictures of {name}")
    return ClassFolder(name=name, train_good=train, test=test)


def _read_class(name: str, folder: Path, maskless: bool, need_test: bool) -> ClassFolder:
    train, test = folder / "train" / GOOD, folder / "test"
    strays = [_pictures(path) for path in (folder / "train", *_folders(folder / "train")) if path != train]
    if stray := next((each[0] for each in strays if each), None):
        raise DataSetError(f"{stray} is in train besides {GOOD}/: training takes normal pictures only, move it away")
    if need_test:
        found = _read_test(folder, maskless=maskless)
        if not found:
            raise DataSetError(f"{test} holds no pictures: put test pictures into good/ and a folder for each defect")
        return ClassFolder(name=name, train_good=tuple(_pictures(train)), test=tuple(found))
    if not train.is_dir():
        raise DataSetError(f"class {name} has no folder {train}: put its normal pictures there")
    good = _pictures(train)
    if not good:
        raise DataSetError(f"{train} holds no pictures: put normal pictures of {name} there, or remove it")
    tests = tuple(_read_test(folder, maskless=maskless))
    return ClassFolder(
        name=name, train_good=tuple(good), test=tests, spare_masks=_spare_masks(folder / "ground_truth", tests)
    )


def _read_test(folder: Path, *, maskless: bool) -> list[TestPicture]:
    test, truth = folder / "test", folder / "ground_truth"
    if loose := _pictures(test):
        raise DataSetError(f"{loose[0]} is loose in test: put it into {GOOD}/ or its defect's folder")
    without = maskless and not truth.is_dir()
    found: list[TestPicture] = []
    bare: list[str] = []
    for kind in (each.name for each in _folders(test)):
        for path in _pictures(test / kind):
            masked = kind != GOOD and not without
            mask = _mask_of(truth / kind, path) if masked else None
            if masked and mask is None:
                bare.append(f"{path} has no mask: expected {truth / kind / (path.stem + '_mask.png')}")
            found.append(TestPicture(path=path, kind=kind, mask=mask))
    if bare:
        raise DataSetError(bare[0] + (f" ({len(bare)} pictures of this class have none)" if len(bare) > 1 else ""))
    return found


def _spare_masks(truth: Path, tests: tuple[TestPicture, ...]) -> tuple[Path, ...]:
    """Normal pictures have empty masks in some data sets; those are no spare ones."""
    used = {each.mask for each in tests}
    masks = (path for kind in _folders(truth) if kind.name != GOOD for path in _pictures(kind))
    return tuple(path for path in masks if path not in used)


def _mask_of(folder: Path, path: Path) -> Path | None:
    names = (f"{stem}{suffix}" for stem in (f"{path.stem}_mask", path.stem) for suffix in PICTURE_SUFFIXES)
    return next((mask for name in names if (mask := folder / name).is_file()), None)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


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
