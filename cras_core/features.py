"""Training samples to cached embedded vectors: the backbone is frozen, so it sees every tile once."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cras_core.backbone import Backbone
from cras_core.config import CrasConfig
from cras_core.dataset import Layout, groups_of
from cras_core.embedding import Embedding
from cras_core.errors import BackboneError, DataSetError
from cras_core.pictures import (
    CutPicture,
    Pixels,
    as_rgb,
    cut_to_tiles,
    decode_picture,
    read_picture,
    resize_to_tile,
)

IN_MEMORY_BYTES = 1_500_000_000
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

    def cut(self, *, tile_px: int) -> CutPicture:
        """The picture as tiles. Raises `PictureError`."""
        pixels = as_rgb(self.read(), name=self.name)
        if self.fit == "resize":
            return CutPicture(tiles=resize_to_tile(pixels, tile_px=tile_px), columns=1, length_px=tile_px)
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
            self.grid_px = self.backbone(blank)[0].shape[-1]
        self.positions, self.dim = self.grid_px**2, self.embedding.dim

    @torch.inference_mode()
    def extract(self, tiles: Pixels) -> Tensor:
        pictures = torch.tensor(tiles, device=self.device).permute(0, 3, 1, 2)  # a copy, channels last
        vectors: Tensor = self.embedding(self.backbone(pictures))
        return vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Cached vectors of all tiles, half precision, in memory or (when large) in a file that goes with this object.

    vectors: (N, P, D); styles: names, sorted; style_of: (N,) index of each tile's style; groups: (N,) group names;
    pictures: (N,) number of the picture a tile was cut from; places: (N, 2) its row and column among that picture's
    tiles; metres: (N,) its share of the picture's length along the roll.
    """

    vectors: NDArray[np.float16]
    styles: tuple[str, ...]
    style_of: NDArray[np.int64]
    groups: tuple[str, ...]
    pictures: NDArray[np.int64]
    places: NDArray[np.int64]
    metres: NDArray[np.float64]
    device: torch.device

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, tiles: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """(n, P, D) float32 on the device."""
        return torch.from_numpy(self.vectors[np.asarray(tiles, np.int64)]).to(self.device).float()

    def of_style(self, index: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.style_of == index)


def extract_features(
    samples: Sequence[NormalSample],
    extractor: Extractor,
    config: CrasConfig,
    *,
    progress: Callable[[float], None],
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Features:
    """Every sample through the backbone, once.

    Raises `DataSetError` without samples, `PictureError` for a bad one, `BackboneError` for features out of range.
    """
    if not samples:
        raise DataSetError("there is no normal picture to learn from: give at least one style with pictures")
    for sample in samples:
        if not sample.style:
            raise DataSetError(f"{sample.name} has no style: name one")
    styles = sorted({sample.style for sample in samples})
    store = _Store((extractor.positions, extractor.dim), in_memory_bytes=in_memory_bytes)
    owners: list[int] = []
    places: list[tuple[int, int]] = []
    metres: list[float] = []
    waiting: list[Pixels] = []
    for number, sample in enumerate(samples):
        cut = sample.cut(tile_px=config.tile_px)
        count = len(cut.tiles)
        owners += [number] * count
        places += [divmod(index, cut.columns) for index in range(count)]
        metres += [cut.length_px * config.mm_per_px / 1000 / count] * count
        waiting.extend(cut.tiles)
        while len(waiting) >= EXTRACT_BATCH or (waiting and number == len(samples) - 1):
            store.add(extractor.extract(np.stack(waiting[:EXTRACT_BATCH])))
            del waiting[:EXTRACT_BATCH]
        progress((number + 1) / len(samples))
    return Features(
        vectors=store.finish(),
        styles=tuple(styles),
        style_of=np.asarray([styles.index(samples[owner].style) for owner in owners]),
        groups=tuple(samples[owner].group for owner in owners),
        pictures=np.asarray(owners),
        places=np.asarray(places),
        metres=np.asarray(metres),
        device=extractor.device,
    )


class _Store:
    """Grows by blocks in memory; past the limit everything goes to a temporary file, mapped back at the end."""

    def __init__(self, size: tuple[int, int], *, in_memory_bytes: int) -> None:
        self._size = size
        self._limit = in_memory_bytes
        self._blocks: list[NDArray[np.float16]] = []
        self._file: IO[bytes] | None = None

    def add(self, vectors: Tensor) -> None:
        half = vectors.half()
        if not bool(torch.isfinite(half).all()):
            raise BackboneError(
                "the backbone's features do not fit half precision: use other levels or another backbone"
            )
        self._blocks.append(half.cpu().numpy())
        if sum(block.nbytes for block in self._blocks) > self._limit:
            self._spill()

    def finish(self) -> NDArray[np.float16]:
        if self._file is None:
            return np.concatenate(self._blocks)
        self._spill()
        with self._file:  # the mapping keeps the file's content until it goes itself
            self._file.flush()
            return np.memmap(self._file, np.float16, mode="r").reshape(-1, *self._size)

    def _spill(self) -> None:
        try:
            self._file = self._file or tempfile.TemporaryFile(prefix="features-")  # noqa: SIM115 - lives on in finish()
            for block in self._blocks:
                self._file.write(block.data)
        except OSError as error:
            raise DataSetError(
                f"cannot keep the features in {tempfile.gettempdir()} ({error.strerror}): "
                "make room there, or set TMPDIR to a larger folder"
            ) from error
        self._blocks.clear()
