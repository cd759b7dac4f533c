"""Annotated frames to a data set of tiles in the MVTec AD layout: fabric only, split by whole frames.

A defect frame is certified nowhere but under its mask: tiles of it without mask pixels are no normal fabric for a test,
and are left out unless asked for.
"""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cras_core.dataset import GOOD
from ingest.edges import find_edges
from inspection.errors import ImageError, SettingsError
from inspection.pictures import read_picture
from inspection.tiling import tile_origins
from inspection.types import Pixels
from loomwatch.annotated import AnnotatedFrame, find_annotated


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSettings:
    """train_share: of each style's good frames. min_defect_px: a tile with fewer mask pixels, but some, is left out.
    keep_clean: tiles of defect frames without mask pixels go to test/good. Raises `SettingsError`."""

    tile_px: int = 256
    overlap_px: int = 0
    train_share: float = 0.7
    seed: int = 0
    min_defect_px: int = 1
    keep_clean: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.train_share <= 1:
            raise SettingsError(f"the share of frames to train on must be in (0, 1], got {self.train_share}")
        if self.min_defect_px < 1:
            raise SettingsError(f"a defect tile has at least 1 mask pixel, got {self.min_defect_px}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleCut:
    """What became of a style: numbers of frames and of tiles.

    test_defects: by kind. left_clean, left_small: tiles of defect frames without mask pixels, and with too few.
    frames_missed: defect frames of which no tile shows the defect. mask_px_outside: mask pixels beside the fabric.
    """

    frames_train: int
    frames_test: int
    frames_defect: int
    train_good: int
    test_good: int
    test_defects: dict[str, int]
    left_clean: int
    left_small: int
    frames_missed: tuple[str, ...]
    mask_px_outside: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def cut_data_set(
    frames: Path,
    out: Path,
    settings: CutSettings,
    *,
    masks: Path | None = None,
    progress: Callable[[float, str], None] = lambda fraction, name: None,
) -> dict[str, StyleCut]:
    """Writes the data set to `out`, a new folder that appears when it is whole. -> by style.

    `masks`: the folder to look for masks in, by default `frames` itself. Raises `SettingsError` (folders, options) and
    `ImageError` (a frame or mask cannot be read, holds no fabric or less than a tile, or they do not fit together).
    """
    if out.exists():
        raise SettingsError(f"{out} is there already: name another folder with --out, or remove it")
    styles = find_annotated(frames, masks=masks)
    total = sum(len(own) for own in styles.values())
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        found: dict[str, StyleCut] = {}
        done = 0
        for number, (name, own) in enumerate(styles.items()):
            cutter = _Cutter(temporary / name, settings)
            learned = _choose_train(own, settings, number=number)
            for frame in own:
                cutter.cut(frame, train=frame in learned)
                done += 1
                progress(done / total, frame.path.name)
            found[name] = cutter.result(own, learned)
        (temporary / "cut.json").write_text(
            json.dumps(
                {"settings": asdict(settings), "styles": {n: each.to_dict() for n, each in found.items()}}, indent=2
            )
        )
        temporary.chmod(0o755)
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return found


def _choose_train(frames: list[AnnotatedFrame], settings: CutSettings, *, number: int) -> set[AnnotatedFrame]:
    """Good frames to learn from: drawn by the seed, at least one, and not all of several unless the share is 1."""
    good = [frame for frame in frames if frame.kind == GOOD]
    most = len(good) if settings.train_share == 1 or len(good) == 1 else len(good) - 1
    count = min(max(1, round(settings.train_share * len(good))), most)
    order = np.random.default_rng([settings.seed, number]).permutation(len(good))
    return {good[index] for index in order[:count]}


class _Cutter:
    """Cuts the frames of one style and counts what becomes of their tiles."""

    def __init__(self, folder: Path, settings: CutSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._tiles: Counter[str] = Counter()  # by their folder, "clean" and "small" are left out
        self._missed: list[str] = []
        self._outside = 0

    def cut(self, frame: AnnotatedFrame, *, train: bool) -> None:
        pixels = read_picture(frame.path)
        mask = _join_masks(frame, pixels.shape[:2])
        edges = find_edges(pixels)
        if edges is None:
            raise ImageError(f"{frame.path}: no fabric found in the frame: remove it")
        left, right = edges
        self._outside += int(mask[:, :left].sum() + mask[:, right:].sum())
        tile_px, overlap_px = self._settings.tile_px, self._settings.overlap_px
        try:
            origins = tile_origins(pixels.shape[0], right - left, tile_px=tile_px, overlap_px=overlap_px)
        except ImageError as error:
            raise ImageError(f"{frame.path}: the fabric in columns {left} to {right}: {error}") from error
        shown = False
        for row, column in origins:
            area = np.s_[row : row + tile_px, left + column : left + column + tile_px]
            place = self._place(frame, int(mask[area].sum()), train=train)
            self._tiles[place] += 1
            shown = shown or place == f"test/{frame.kind}"
            if place in ("clean", "small"):
                continue
            name = tile_name(frame.path.stem, row, left + column, size=pixels.shape[:2], rows=origins[-1][0] > 0)
            _write(self._folder / place / f"{name}.png", pixels[area])
            if place not in ("train/good", "test/good"):
                truth = self._folder / "ground_truth" / frame.kind / f"{name}_mask.png"
                _write(truth, np.asarray(mask[area] * 255, np.uint8))
        if frame.kind != GOOD and not shown:
            self._missed.append(frame.path.name)

    def _place(self, frame: AnnotatedFrame, defect_px: int, *, train: bool) -> str:
        """The tile's folder in its class, or "clean" or "small"."""
        if frame.kind == GOOD:
            return "train/good" if train else "test/good"
        if defect_px == 0:
            return "test/good" if self._settings.keep_clean else "clean"
        return "small" if defect_px < self._settings.min_defect_px else f"test/{frame.kind}"

    def result(self, frames: list[AnnotatedFrame], learned: set[AnnotatedFrame]) -> StyleCut:
        good = sum(frame.kind == GOOD for frame in frames)
        kinds = sorted({frame.kind for frame in frames} - {GOOD})
        return StyleCut(
            frames_train=len(learned),
            frames_test=good - len(learned),
            frames_defect=len(frames) - good,
            train_good=self._tiles["train/good"],
            test_good=self._tiles["test/good"],
            test_defects={kind: self._tiles[f"test/{kind}"] for kind in kinds},
            left_clean=self._tiles["clean"],
            left_small=self._tiles["small"],
            frames_missed=tuple(self._missed),
            mask_px_outside=self._outside,
        )


def tile_name(stem: str, row: int, column: int, *, size: tuple[int, int], rows: bool) -> str:
    """NAME_X, X the tile's column in the frame in px; in frames several tiles high, row and column in one number.

    The last _NUMBER is all that differs between the tiles of a frame: `cras_core.dataset.group_of` rests on it.
    """
    digits = max(4, len(str(max(size))))
    place = f"{row:0{digits}d}{column:0{digits}d}" if rows else f"{column:0{digits}d}"
    return f"{stem}_{place}"


def _join_masks(frame: AnnotatedFrame, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W), what any of the frame's masks marks, everything above 0."""
    joined = np.zeros(size, np.bool_)
    for path in frame.masks:
        pixels = read_picture(path)
        marked = (pixels.max(axis=2) if pixels.ndim == 3 else pixels) > 0
        if marked.shape != size:
            raise ImageError(
                f"{path} is {marked.shape[1]} x {marked.shape[0]} px, its frame {frame.path} {size[1]} x {size[0]} px: "
                "give the mask of this frame"
            )
        joined |= marked
    if frame.kind == GOOD and joined.any():
        raise ImageError(
            f"{frame.path} is among the good frames, but {frame.masks[0]} marks a defect: move one of them"
        )
    if frame.kind != GOOD and not joined.any():
        raise ImageError(f"{frame.masks[0]} marks nothing, but {frame.path} is a defect frame: correct its mask")
    return joined


def _write(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    order = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, png = cv2.imencode(".png", order, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise ImageError(f"cannot encode {path.name} as PNG")
    with path.open("xb") as file:  # never over another tile
        file.write(png.tobytes())
