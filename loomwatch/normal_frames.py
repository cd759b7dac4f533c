"""The normal fabric of one style in a folder, whichever way it is laid out, as the method takes it.

- a data set in the MVTec AD layout, or one class of it: train/good, each picture one tile, as in training;
- a folder with good/ in it: the frames there, and never those beside it (STYLE/good, STYLE/defect);
- a folder of pictures: all of them.

Frames are cut at their own scale between the fabric's edges. A picture of exactly a tile is one, edges and all.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cras_core.dataset import GOOD, groups_of, read_layout
from cras_core.features import NormalSample, samples_of
from ingest.edges import find_edges
from inspection.errors import ImageError, SettingsError
from inspection.pictures import PICTURE_SUFFIXES, read_picture
from inspection.types import Pixels


def find_normal(data: Path, *, style: str, tile_px: int) -> list[NormalSample]:
    """The normal pictures of one style in `data`, named `style`, or else as their folder is.

    Raises `SettingsError` when there are none or of several styles; reading one raises `ImageError`.
    """
    if (data / GOOD).is_dir():
        return _frames(data / GOOD, style=style or _name(data), tile_px=tile_px)
    if pictures_in(data):
        return _frames(data, style=style or _name(data), tile_px=tile_px)
    layout = read_layout(data)
    classes = layout.classes
    if len(classes) > 1 and style not in classes:
        raise SettingsError(
            f"{data} holds {len(classes)} styles: choose one with --style, of {', '.join(classes)}, or give its folder"
        )
    chosen = style if style in classes else next(iter(classes))
    return samples_of(replace(layout, classes={style or chosen: classes[chosen]}))


def find_others(data: Path, *, styles: Collection[str]) -> list[NormalSample]:
    """The normal pictures of these styles in a data set of the MVTec AD layout. Raises `SettingsError`."""
    layout = read_layout(data)
    if missing := [style for style in styles if style not in layout.classes]:
        raise SettingsError(f"{data} holds no {', '.join(missing)}, which the bundle knows: give all of its styles")
    return samples_of(replace(layout, classes={style: layout.classes[style] for style in styles}))


def pictures_in(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )


def _frames(folder: Path, *, style: str, tile_px: int) -> list[NormalSample]:
    paths = pictures_in(folder)
    if not paths:
        raise SettingsError(f"{folder} holds no pictures: put normal frames of {style} there")
    return [
        NormalSample(style=style, group=group, name=str(path), read=partial(_read, path, tile_px=tile_px))
        for path, group in zip(paths, _groups(paths, tile_px=tile_px), strict=True)
    ]


def _groups(paths: Sequence[Path], *, tile_px: int) -> list[str]:
    """Each frame by itself; tiles by the strip that their names say they were cut from."""
    tiles = all(read_picture(path).shape[:2] == (tile_px, tile_px) for path in (paths[0], paths[-1]))
    return groups_of(paths) if tiles else [path.stem for path in paths]


def _read(path: Path, *, tile_px: int) -> Pixels:
    pixels = read_picture(path)
    if pixels.shape[:2] == (tile_px, tile_px):
        return pixels
    edges = find_edges(pixels)
    if edges is None:
        raise ImageError(f"{path}: no fabric found: remove it from the normal frames")
    return pixels[:, edges[0] : edges[1]]


def _name(folder: Path) -> str:
    return folder.resolve().name
