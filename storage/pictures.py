"""The picture store: crops, heat and samples by key in an fsspec folder: local disk by default, S3 or others by URL.

Rows hold keys; a key is a relative path (`defects/LINE/CAMERA/SESSION/SEQUENCE/0.png`). A picture that exists is whole:
locally it is written aside and renamed, and object stores show an object only when it is complete.
"""

import contextlib
import hashlib
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from inspection.errors import StorageAwayError, StorageError

logger = logging.getLogger(__name__)

MAX_NAME = 120  # file systems take 255 bytes

T = TypeVar("T")


def picture_key(*parts: str) -> str:
    """A key from names that may hold any character and have any length: none can leave the store."""
    return "/".join(_quoted(part) for part in parts)


def _quoted(name: str) -> str:
    if name in ("", ".", ".."):
        return name.replace(".", "%2E") or "%"
    quoted = quote(name, safe="")
    if len(quoted) <= MAX_NAME:
        return quoted
    return f"{quoted[: MAX_NAME - 33]}~{hashlib.sha256(name.encode()).hexdigest()[:32]}"


class PictureStore:
    """A folder of pictures, named by a path or an fsspec URL (`s3://BUCKET/FOLDER`). Shared by threads."""

    def __init__(self, url: str) -> None:
        """Raises `StorageError` when there is no driver for the URL."""
        self.url = url
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise StorageError(
                f"picture store {url} cannot be used: {error}: install its driver or name a folder"
            ) from error
        self._local = isinstance(self._fs, LocalFileSystem)
        self.folder = self._root if self._local else ""  # on this machine, "" elsewhere

    def put(self, key: str, data: bytes) -> None:
        """Keeps `data` under `key`, in place of what was there. Raises `StorageError`."""
        path = self._path(key)
        self._explained(key, lambda: self._put_local(Path(path), data) if self._local else self._put(path, data))

    def put_all(self, pictures: Mapping[str, bytes]) -> dict[str, str]:
        """Keeps many, on an object store at once; why some could not be kept, by key."""
        if not self._local and len(pictures) > 1:
            try:
                self._explained("", lambda: self._fs.pipe({self._path(key): data for key, data in pictures.items()}))
                return {}
            except StorageError as error:
                logger.debug("not all pictures went at once, now one by one: %s", error)
        failed = {}
        for key, data in pictures.items():
            try:
                self.put(key, data)
            except StorageError as error:
                failed[key] = str(error)
        return failed

    def get(self, key: str) -> bytes:
        """Raises `StorageError` when there is no such picture or the store does not answer."""
        path = self._path(key)
        data: bytes = self._explained(key, lambda: self._fs.cat_file(path))
        return data

    def head(self, key: str, size: int) -> bytes:
        """The first bytes of a picture, enough for its header. Raises `StorageError` as `get` does."""
        path = self._path(key)
        data: bytes = self._explained(key, lambda: self._fs.cat_file(path, start=0, end=size))
        return data

    def keys_in(self, folder: str) -> list[str]:
        """Keys right in a folder of the store, none when there is no such folder. Raises `StorageError`."""
        path = self._path(folder)
        try:
            found = self._explained(folder, lambda: self._fs.ls(path, detail=False, refresh=True))
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return []
            raise
        names = (str(each).rstrip("/").rpartition("/")[2] for each in found)
        return sorted(f"{folder}/{name}" for name in names if not name.startswith("."))

    def exists(self, key: str) -> bool:
        """Raises `StorageError` when the store does not answer."""
        path = self._path(key)
        return bool(self._explained(key, lambda: self._fs.exists(path)))

    def delete(self, key: str) -> None:
        """Removes a picture; one that is gone already is no error. Raises `StorageError`."""
        path = self._path(key)
        try:
            self._explained(key, lambda: self._fs.rm_file(path))
        except StorageError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise

    def delete_all(self, keys: Iterable[str]) -> list[str]:
        """Removes pictures and the folders that they leave empty; the keys of those that could not be removed."""
        left, folders = [], set()
        for key in keys:
            try:
                self.delete(key)
                folders.add(key.rpartition("/")[0])
            except StorageError as error:
                logger.debug("%s", error)
                left.append(key)
        if self._local:
            for folder in folders:
                with contextlib.suppress(OSError):  # others lie in it still
                    Path(self._path(folder)).rmdir()
        return left

    def _path(self, key: str) -> str:
        if not key or any(part in ("", ".", "..") for part in key.split("/")) or "\\" in key or "\0" in key:
            raise StorageError(f"not a key of the picture store: {key!r}")
        return f"{self._root.rstrip('/')}/{key}"

    def _put(self, path: str, data: bytes) -> None:
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(path, data)

    def _put_local(self, path: Path, data: bytes) -> None:
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            try:
                aside.write_bytes(data)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                aside.write_bytes(data)
            os.replace(aside, path)  # noqa: PTH105 - says what it does
        except OSError:
            aside.unlink(missing_ok=True)
            raise

    def _explained(self, key: str, act: Callable[[], T]) -> T:
        try:
            return act()
        except FileNotFoundError as error:
            raise StorageError(f"picture store {self.url} has no picture {key}") from error
        except Exception as error:  # each fsspec driver has its own errors; one line for all of them
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise StorageAwayError(f"picture store {self.url}: {key}: {reason.splitlines()[0]}") from error
