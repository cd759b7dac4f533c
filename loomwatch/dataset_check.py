"""What a data set is and what is wrong with it: every class is looked at, one that fails does not hide the next."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cras_core.dataset import GOOD, KNOWN, ClassFolder, find_classes
from cras_core.errors import DataSetError, PictureError
from cras_core.pictures import picture_size

LEAST_TRAIN = 2  # pictures: one to learn from, one to set a threshold with


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedClass:
    """defects: test pictures by kind; sizes: "W x H", the commonest first; problems: one line each; missing: what
    evaluate would need and training does not, one line each, which is no problem in itself."""

    name: str
    train: int
    test_good: int
    defects: dict[str, int]
    sizes: tuple[str, ...]
    problems: tuple[str, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedDataSet:
    """absent: classes that the published data set has and this folder has not, which is no problem in itself."""

    folder: Path
    kind: str
    absent: tuple[str, ...]
    classes: tuple[CheckedClass, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(problem for each in self.classes for problem in each.problems)


def check_data_set(folder: Path) -> CheckedDataSet:
    """Reads every class's lists and every picture's header. Raises `DataSetError` when there is no data set at all."""
    found = find_classes(folder)
    classes = []
    for name, read in found.readers.items():
        try:
            classes.append(_check(read(False)))
        except DataSetError as error:
            classes.append(CheckedClass(name=name, train=0, test_good=0, defects={}, sizes=(), problems=(str(error),)))
    absent = tuple(name for name in KNOWN.get(found.kind, "").split() if name not in found.readers)
    return CheckedDataSet(folder=found.folder, kind=found.kind, absent=absent, classes=tuple(classes))


def _check(each: ClassFolder) -> CheckedClass:
    problems: list[str] = []
    if len(each.train_good) < LEAST_TRAIN:
        problems.append(
            f"class {each.name} has {len(each.train_good)} picture to learn from: give at least {LEAST_TRAIN}"
        )
    sizes: dict[Path, tuple[int, int]] = {}
    refused: list[str] = []
    masks = {picture.mask: picture.path for picture in each.test if picture.mask is not None}
    pictures = [*each.train_good, *(picture.path for picture in each.test)]
    for path in (*pictures, *masks):
        try:
            sizes[path] = picture_size(path)
        except PictureError as error:
            refused.append(str(error))
    if refused:
        problems.append(f"{refused[0]} (files of {each.name} that cannot be used: {len(refused)})")
    other = [mask for mask, path in masks.items() if {mask, path} <= sizes.keys() and sizes[mask] != sizes[path]]
    if other:
        problems.append(f"{other[0]} has another size than its picture ({len(other)} of the masks of {each.name})")
    if each.spare_masks:
        count = len(each.spare_masks)
        problems.append(f"{each.spare_masks[0]} is of no test picture ({count} of the masks of {each.name})")
    kinds = Counter(picture.kind for picture in each.test)
    return CheckedClass(
        name=each.name,
        train=len(each.train_good),
        test_good=kinds.pop(GOOD, 0),
        defects=dict(sorted(kinds.items())),
        sizes=tuple(
            f"{width} x {height}"
            for (width, height), _ in Counter(sizes[path] for path in pictures if path in sizes).most_common()
        ),
        problems=tuple(problems),
        missing=tuple(_missing(each)),
    )


def _missing(each: ClassFolder) -> Iterator[str]:
    defects = [picture for picture in each.test if picture.kind != GOOD]
    if not each.test:
        yield f"class {each.name} has no test pictures: it can be learned, not evaluated"
    elif not defects:
        yield f"class {each.name} has no test pictures with defects: evaluate counts its false alarms alone"
    elif len(defects) == len(each.test):
        yield f"class {each.name} has no normal test pictures (test/{GOOD}): its image figures stay empty"
    if any(picture.mask is None for picture in defects):
        yield f"class {each.name} has no masks: its pixel figures stay empty"
