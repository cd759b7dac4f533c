"""Training samples to cached embedded vectors: the backbone is frozen, so it sees every tile once."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cras_core.backbone import Backbone
from cras_core.checkpoint import TrainingFolder
from cras_core.config import CrasConfig
from cras_core.dataset import Layout, groups_of
from cras_core.embedding import Embedding
from cras_core.errors import ConfigError, DataSetError
from cras_core.feature_store import FileStore, MemoryStore
from cras_core.pictures import (
    CutPicture,
    Pixels,
    as_rgb,
    cut_to_tiles,
    decode_picture,
    read_picture,
    resize_to_tile,
)

IN_MEMORY_BYTES = 2_000_000_000
EXTRACT_BATCH = 16  # tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalSample:
    """One picture of normal fabric.

    group: what was captured together (a strip, a roll); calibration never splits one. read: gives (H, W[, 1 or 3])
    uint8 pixels when asked. fit: "cut" takes the picture at its own scale, in tiles; "resize" makes the whole picture
    one tile, which is how data sets in the MVTec AD layout are used.
    """

    style: str
    group: str
    name: str
    read: Callable[[], Pixels]
    fit: Literal["cut", "resize"] = "cut"

    @classmethod
    def from_file(cls, path: Path, *, style: str, group: str, fit: Literal["cut", "resize"] = "cut") -> Self:
        return cls(style=style, group=group, name=str(path), read=lambda: read_picture(path), fit=fit)

    @classmethod
    def from_bytes(
        cls, data: bytes, *, style: str, group: str, name: str, fit: Literal["cut", "resize"] = "cut"
    ) -> Self:
        """From a picture file's content, such as a PNG."""
        return cls(style=style, group=group, name=name, read=lambda: decode_picture(data, name=name), fit=fit)

    @classmethod
    def from_pixels(
        cls, pixels: Pixels, *, style: str, group: str, name: str = "a sample", fit: Literal["cut", "resize"] = "cut"
    ) -> Self:
        """From an array. Raises `PictureError` at once when it is not (H, W[, 1 or 3]) uint8."""
        rgb = as_rgb(pixels, name=name)
        return cls(style=style, group=group, name=name, read=lambda: rgb, fit=fit)

    def cut(self, *, tile_px: int, resize_px: int = 0) -> CutPicture:
        """The picture as tiles; `resize_px` as in `pictures.resize_to_tile`. Raises `PictureError`."""
        pixels = as_rgb(self.read(), name=self.name)
        if self.fit == "resize":
            return CutPicture(
                tiles=resize_to_tile(pixels, tile_px=tile_px, resize_px=resize_px), columns=1, length_px=tile_px
            )
        return cut_to_tiles(pixels, tile_px=tile_px, name=self.name)


def samples_of(layout: Layout) -> list[NormalSample]:
    """The normal training pictures of every class, each resized to a tile."""
    return [
        NormalSample.from_file(path, style=name, group=group, fit="resize")
        for name, folder in layout.classes.items()
        for path, group in zip(folder.train_good, groups_of(folder.train_good), strict=True)
    ]


class Extractor:
    """Backbone and embedding together: (n, T, T, 3) uint8 tiles -> vectors (n, P, D) float32."""

    def __init__(self, backbone: Backbone, config: CrasConfig, *, device: torch.device) -> None:
        chosen = backbone.embedding_dim if config.embedding_dim is None else config.embedding_dim
        self.backbone = backbone.to(device).to(memory_format=torch.channels_last)
        self.embedding = Embedding(
            channels=backbone.channels, embedding_dim=chosen, neighbourhood=config.neighbourhood
        ).to(device)
        self.device = device
        with torch.inference_mode():
            blank = torch.zeros(1, 3, config.tile_px, config.tile_px, dtype=torch.uint8, device=device)
            self.grids_px = tuple(level.shape[-1] for level in self.backbone(blank))  # a level
        self.grid_px = self.grids_px[0]
        if config.neighbourhood > (most := max(3, self.grid_px)):
            raise ConfigError(
                f"neighbourhood must be at most {most} where a tile has {self.grid_px} x {self.grid_px} vectors, "
                f"got {config.neighbourhood}"
            )
        self.positions, self.dim = self.grid_px**2, self.embedding.dim

    @torch.inference_mode()
    def extract(self, tiles: Pixels) -> Tensor:
        pictures = torch.tensor(tiles, device=self.device).permute(0, 3, 1, 2)  # a copy, channels last
        vectors: Tensor = self.embedding(self.backbone(pictures))
        return vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Cached vectors of all tiles, half precision, in memory or (when large) mapped from a file.

    vectors: (N, P, D); styles: names, sorted; style_of: (N,) index of each tile's style; groups: (N,) group names;
    pictures: (N,) number of the picture a tile was cut from; places: (N, 2) its row and column among that picture's
    tiles; metres: (N,) its share of the picture's length along the roll; digest: sha256 of the tiles' pixels, styles
    and groups.
    """

    vectors: NDArray[np.float16]
    styles: tuple[str, ...]
    style_of: NDArray[np.int64]
    groups: tuple[str, ...]
    pictures: NDArray[np.int64]
    places: NDArray[np.int64]
    metres: NDArray[np.float64]
    device: torch.device
    digest: str = ""

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, tiles: Sequence[int] | NDArray[np.int64], places: NDArray[np.int64] | None = None) -> Tensor:
        """(n, P, D) float32 on the device; with `places` (n, K) those positions of each tile alone, (n, K, D)."""
        chosen = np.asarray(tiles, np.int64)
        vectors = self.vectors[chosen] if places is None else self.vectors[chosen[:, None], places]
        return torch.from_numpy(vectors).to(self.device).float()

    def of_style(self, index: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.style_of == index)


def extract_features(
    samples: Sequence[NormalSample],
    extractor: Extractor,
    config: CrasConfig,
    *,
    progress: Callable[[float], None],
    in_memory_bytes: int = IN_MEMORY_BYTES,
    folder: TrainingFolder | None = None,
) -> Features:
    """Every sample through the backbone, once. Past `in_memory_bytes` the vectors are mapped from a file.

    With a training folder they are kept in it, and taken from there when they are those of these samples; several
    processes need one, and each extracts its share.

    Raises `DataSetError` without samples, `PictureError` for a bad one, `BackboneError` for features out of range,
    `CheckpointError` when the folder's are those of other samples.
    """
    if not samples:
        raise DataSetError("there is no normal picture to learn from: give at least one style with pictures")
    for sample in samples:
        if not sample.style:
            raise DataSetError(f"{sample.name} has no style: name one")
    styles = sorted({sample.style for sample in samples})
    size = (extractor.positions, extractor.dim)
    store: MemoryStore | FileStore
    if folder is None:
        store = MemoryStore(size, in_memory_bytes=in_memory_bytes)
    else:
        made_by = {"backbone": extractor.backbone.sha256, "config": _extraction(config), "positions_dim": list(size)}
        store = FileStore(size, folder.path, made_by=made_by, in_memory_bytes=in_memory_bytes)
    owners: list[int] = []
    places: list[tuple[int, int]] = []
    metres: list[float] = []
    waiting: list[Pixels] = []
    digest = hashlib.sha256()
    for number, sample in enumerate(samples):
        cut = sample.cut(tile_px=config.tile_px, resize_px=config.resize_px)
        count = len(cut.tiles)
        digest.update(json.dumps([sample.style, sample.group, count, cut.columns, cut.length_px]).encode())
        digest.update(cut.tiles.tobytes())
        owners += [number] * count
        places += [divmod(index, cut.columns) for index in range(count)]
        metres += [cut.length_px * config.mm_per_px / 1000 / count] * count
        waiting.extend(cut.tiles)
        while len(waiting) >= EXTRACT_BATCH or (waiting and number == len(samples) - 1):
            batch = waiting[:EXTRACT_BATCH]
            store.add(len(batch), partial(extractor.extract, np.stack(batch)))
            del waiting[:EXTRACT_BATCH]
        progress((number + 1) / len(samples))
    return Features(
        vectors=store.finish(digest.hexdigest()),
        styles=tuple(styles),
        style_of=np.asarray([styles.index(samples[owner].style) for owner in owners]),
        groups=tuple(samples[owner].group for owner in owners),
        pictures=np.asarray(owners),
        places=np.asarray(places),
        metres=np.asarray(metres),
        device=extractor.device,
        digest=digest.hexdigest(),
    )


def _extraction(config: CrasConfig) -> dict[str, Any]:
    names = ("backbone", "tile_px", "resize_px", "levels", "neighbourhood", "embedding_dim")
    return {name: value for name, value in config.to_dict().items() if name in names}
