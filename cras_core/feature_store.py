"""Where cached features lie, in half precision: in memory, or mapped from a file when they outgrow it."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cras_core import team
from cras_core.checkpoint import replace_file
from cras_core.errors import BackboneError, DataSetError, StaleCheckpointError

Vectors = NDArray[np.float16]
Extract = Callable[[], Tensor]

FEATURES = "features.f16"
FACTS = "features.json"


class MemoryStore:
    """Grows by blocks in memory; past the limit everything goes to a temporary file, mapped back at the end."""

    def __init__(self, size: tuple[int, int], *, in_memory_bytes: int) -> None:
        self._size = size
        self._limit = in_memory_bytes
        self._blocks: list[Vectors] = []
        self._file: IO[bytes] | None = None

    def add(self, count: int, extract: Extract) -> None:
        self._blocks.append(to_half(extract()))
        if sum(block.nbytes for block in self._blocks) > self._limit:
            self._spill()

    def finish(self, digest: str) -> Vectors:
        """(N, P, D)."""
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
            raise _no_room(tempfile.gettempdir(), error, "or set TMPDIR to a larger folder") from error
        self._blocks.clear()


class FileStore:
    """A file in the training folder that all its processes write their blocks to. One that is there already, whole and
    of the same tiles, is used as it is. size: (P, D); made_by: what else the vectors depend on."""

    def __init__(
        self, size: tuple[int, int], folder: Path, *, made_by: Mapping[str, Any], in_memory_bytes: int
    ) -> None:
        self._size = size
        self._folder = folder
        self._made_by = dict(made_by)
        self._limit = in_memory_bytes
        self._tiles = 0
        self._turn = 0
        self._kept = self._read_facts()
        team.wait()
        if self._kept is None:
            with _writing(self._folder):
                self._file = os.open(folder / FEATURES, os.O_RDWR | os.O_CREAT, 0o644)

    def add(self, count: int, extract: Extract) -> None:
        mine = self._turn % team.size() == team.rank()
        if self._kept is None and mine:
            data = to_half(extract()).tobytes()
            with _writing(self._folder):
                _write_at(self._file, data, self._tiles * self._bytes_a_tile)
        self._turn += 1
        self._tiles += count

    def finish(self, digest: str) -> Vectors:
        """(N, P, D). Raises `StaleCheckpointError` when the folder's are those of other tiles."""
        facts = self._made_by | {"tiles": digest}
        if self._kept is not None and self._kept != facts:
            raise StaleCheckpointError(
                f"{self._folder} was begun with other pictures, or another backbone: "
                "resume it with the same, or remove it to start anew"
            )
        if self._kept is None:
            with _writing(self._folder):
                os.fsync(self._file)
                os.close(self._file)
            team.wait()
            if team.rank() == 0:
                replace_file(self._folder / FACTS, json.dumps(facts, indent=2).encode())
            team.wait()
        shape = (self._tiles, *self._size)
        try:
            mapped: Vectors = np.memmap(self._folder / FEATURES, np.float16, mode="r", shape=shape)
        except (OSError, ValueError) as error:
            raise StaleCheckpointError(
                f"{self._folder / FEATURES} is damaged: remove {self._folder} to start anew"
            ) from error
        # several processes on one machine share the mapped file's pages
        return np.array(mapped) if mapped.nbytes <= self._limit and team.size() == 1 else mapped

    @property
    def _bytes_a_tile(self) -> int:
        return 2 * self._size[0] * self._size[1]

    def _read_facts(self) -> dict[str, Any] | None:
        path = self._folder / FACTS
        if not path.is_file():
            return None
        try:
            facts: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise StaleCheckpointError(f"{path} is damaged: remove {self._folder} to start anew") from error
        return facts


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turns a full disk into one line."""
    try:
        yield
    except OSError as error:
        raise _no_room(str(folder), error, "or write the bundle to a larger disk (--out)") from error


def to_half(vectors: Tensor) -> Vectors:
    """Raises `BackboneError` for features that are no numbers, or that half precision cannot hold."""
    if bool(torch.isnan(vectors).any()):
        raise BackboneError(
            "the backbone gives features that are not numbers (NaN): its weights are damaged or foreign"
        )
    half = vectors.half()
    if not bool(torch.isfinite(half).all()):
        raise BackboneError("the backbone's features do not fit half precision: use other levels or another backbone")
    return half.cpu().numpy()


def _write_at(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _no_room(place: str, error: OSError, way_out: str) -> DataSetError:
    return DataSetError(f"cannot keep the features in {place} ({error.strerror}): make room there, {way_out}")
