"""Annotated frames on disk: STYLE/good/*, STYLE/KIND/*, and masks NAME_mask*.png in a folder of their own or beside."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cras_core.dataset import GOOD
from inspection.errors import SettingsError
from inspection.pictures import PICTURE_SUFFIXES

_MASK = re.compile(r"(.+)_mask\d*")


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """kind: "good" or the defect folder's name. masks: at least one for a defect frame; together they mark it."""

    path: Path
    kind: str
    masks: tuple[Path, ...]


def find_annotated(folder: Path, *, masks: Path | None = None) -> dict[str, list[AnnotatedFrame]]:
    """Frames by style, in order of their names. `folder` holds the styles, or is a single style's.

    `masks`: where masks are looked for, folders in it included: flat, or in a folder named as the style; by default
    `folder` itself. Raises `SettingsError`: no frames, no good frames, defect frames without mask, two of one name.
    """
    for each in (folder, masks or folder):
        if not each.is_dir():
            raise SettingsError(f"{each} is not a folder: check the path")
    single = (folder / GOOD).is_dir()
    styles = {folder.resolve().name: folder} if single else {each.name: each for each in _folders(folder)}
    if not styles:
        raise SettingsError(f"{folder} holds no frames: expected STYLE/{GOOD}/* and STYLE/KIND/* in it")
    known = _Masks(masks or folder, styles=frozenset(styles), single=single)
    return {name: _frames_of(name, place, known) for name, place in styles.items()}


def _frames_of(style: str, folder: Path, masks: "_Masks") -> list[AnnotatedFrame]:
    frames = [
        AnnotatedFrame(path, kind.name, masks.of(style, path.stem))
        for kind in _folders(folder)
        for path in _pictures(kind)
        if not _MASK.fullmatch(path.stem)
    ]
    if not any(frame.kind == GOOD for frame in frames):
        raise SettingsError(f"style {style} has no good frames: put frames of normal fabric into {folder / GOOD}")
    bare = [frame.path for frame in frames if frame.kind != GOOD and not frame.masks]
    if bare:
        more = f" ({len(bare)} frames of {style} have none)" if len(bare) > 1 else ""
        raise SettingsError(f"{bare[0]} has no mask in {masks.folder}: expected {bare[0].stem}_mask.png{more}")
    name, times = Counter(frame.path.stem for frame in frames).most_common(1)[0]
    if times > 1:
        raise SettingsError(f"style {style} has {times} frames of the name {name}: give each its own name")
    return frames


class _Masks:
    """Masks by style and frame name; one that lies under no style's folder may belong to any."""

    def __init__(self, folder: Path, *, styles: frozenset[str], single: bool) -> None:
        self.folder = folder
        self._found: dict[tuple[str, str], list[Path]] = {}
        for path in sorted(folder.rglob("*")):
            match = _MASK.fullmatch(path.stem)
            if match and path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
                above = path.relative_to(folder).parts[:-1]
                style = "" if single else next((part for part in above if part in styles), "")
                self._found.setdefault((style, match[1]), []).append(path)

    def of(self, style: str, stem: str) -> tuple[Path, ...]:
        return tuple(self._found.get((style, stem)) or self._found.get(("", stem)) or ())


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__")))


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        each for each in folder.iterdir() if each.suffix.lower() in PICTURE_SUFFIXES and not each.name.startswith(".")
    )
