"""Pictures of a folder, or a single one, as if a camera had taken them: in the natural order of their names (2 before
10), each as high as it is, one laid after the other.

Following a folder means to wait for new files. A file is taken when it has stopped growing; one that cannot be read
is given some time, as its writer may not be done.
"""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

from ingest.shots import Shot, Source
from inspection.errors import ImageError, SourceError
from inspection.pictures import PICTURE_SUFFIXES, decode_picture, picture_size
from inspection.types import Pixels

log = logging.getLogger(__name__)

POLL_S = 0.1
PATIENCE_S = 2.0  # after its last change, an unreadable file is no longer waited for


class FolderSource(Source):
    """`path`: a folder or one picture. Raises `SourceError` for a folder without pictures, unless it is followed."""

    live = False

    def __init__(self, path: Path, *, mm_per_px: float, frame_lines: int, follow: bool = False) -> None:
        super().__init__()
        self._path = path
        self._mm_per_px = mm_per_px
        self._lines = frame_lines  # of the frame before, what an unreadable one is taken to have had
        self._is_folder = path.is_dir()
        self._follow = follow and self._is_folder
        self._position_mm = 0.0
        self._looks: dict[str, tuple[int, float]] = {}  # size of a file, and since when it has been that
        if not self._pictures() and not self._follow:
            raise SourceError(
                f"{path} holds no pictures ({' '.join(sorted(PICTURE_SUFFIXES))}): put some there, or set follow to "
                "wait for them"
            )

    def shots(self) -> Iterator[Shot]:
        done: set[str] = set()
        reachable = True
        while not self._closed.is_set():
            try:
                there = self._pictures()
            except SourceError as error:
                if not self._follow:
                    raise
                if reachable:
                    log.warning("%s; waiting for it", error)
                reachable = False
            else:
                reachable = True
                self.hear()
                done &= {path.name for path in there}  # files that were moved away are forgotten
                for path in there:
                    if self._closed.is_set():
                        return
                    if path.name in done:
                        continue
                    shot = self._read(path)
                    if shot is None:
                        break  # keeps the order: what sorts behind waits too
                    done.add(path.name)
                    yield shot
            if not self._follow:
                return
            self._closed.wait(POLL_S)

    def _pictures(self) -> list[Path]:
        if not self._is_folder:
            return [self._path]
        try:
            there = [path for path in self._path.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES]
        except OSError as error:
            raise SourceError(f"cannot list {self._path}: {error.strerror or error}") from error
        return sorted((path for path in there if not path.name.startswith(".")), key=_natural)

    def _read(self, path: Path) -> Shot | None:
        """The file as a shot; None when its writer may not be done, in a folder that is followed."""
        rested_s = self._rested_s(path) if self._follow else PATIENCE_S
        if rested_s < POLL_S:
            return None
        data = b""
        try:
            data = path.read_bytes()
            pixels = decode_picture(data, name=path.name)
        except (OSError, ImageError) as error:
            if rested_s < PATIENCE_S:
                return None
            why = f"{path.name}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
            log.warning("in %s: %s", path.parent, why)
            size = picture_size(data)
            shot = self._shot(path, None, lines=size[0] if size else self._lines, problem=f"unreadable: {why}")
        else:
            shot = self._shot(path, pixels, lines=pixels.shape[0], problem="")
        self._looks.pop(path.name, None)
        return shot

    def _rested_s(self, path: Path) -> float:
        """For how long, as far as this process saw, a file has not changed its size."""
        try:
            size = path.stat().st_size
        except OSError:
            size = -1  # gone since the folder was listed
        now = time.monotonic()
        before, since = self._looks.get(path.name, (None, now))
        self._looks[path.name] = (size, since if size == before else now)
        return now - self._looks[path.name][1]

    def _shot(self, path: Path, pixels: Pixels | None, *, lines: int, problem: str) -> Shot:
        shot = Shot(
            pixels=pixels,
            problem=problem,
            origin=path.name,
            captured_at_ns=time.time_ns(),
            position_mm=self._position_mm,
            length_mm=lines * self._mm_per_px,
        )
        self._lines = lines
        self._position_mm += shot.length_mm
        return shot


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Key of an order in which numbers count as numbers; every odd part is a number."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], path.name
