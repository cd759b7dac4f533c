"""CURVE keys as files: who a host is, and whom it lets in (RFC 26 CurveZMQ). Text in ZPL, as pyzmq writes certificates.

    KEYS_DIR/NAME.ROLE.secret   both halves of a key; stays on the host that NAME is
    KEYS_DIR/NAME.ROLE.public   its public half: a worker's is listed where ingestors are, and the reverse
    KEYS_DIR/NAME.ROLE.revoked  a public half that is let in no more

ROLE is worker or ingest. All files must be for their owner alone (0600 or 0400), and nobody else may write the folder:
who can add a file here can let himself in.
"""

import logging
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import zmq
import zmq.auth

from inspection.errors import SettingsError

log = logging.getLogger(__name__)

Role = Literal["worker", "ingest"]
ROLES: tuple[Role, ...] = ("worker", "ingest")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """One key of a folder. state: listed, or revoked; secret: whether its secret half lies here too."""

    name: str
    role: Role
    public: bytes  # Z85, 40 characters
    state: Literal["listed", "revoked"]
    secret: bool
    made: datetime


def new_key(folder: Path, name: str, role: Role) -> tuple[Path, Path]:
    """Makes a key: the paths of its secret and its public file. Raises `SettingsError` when the name was used."""
    if not _NAME.fullmatch(name):
        raise SettingsError(f"a key's name is 1 to 64 letters, digits, - and _, got {name!r}")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(f"the keys' folder {folder} cannot be made: {error.strerror}") from error
    _check_folder(folder)
    for path in (_path(folder, name, role, end) for end in ("secret", "public", "revoked")):
        if path.exists():
            raise SettingsError(f"{path} is there already: choose another name than {name}")
    public, secret = zmq.curve_keypair()
    paths = _path(folder, name, role, "secret"), _path(folder, name, role, "public")
    head = f"#   CURVE key of {role} {name}, made {datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}\n"
    _write(paths[0], f'{head}curve\n    public-key = "{public.decode()}"\n    secret-key = "{secret.decode()}"\n')
    _write(paths[1], f'{head}curve\n    public-key = "{public.decode()}"\n')
    return paths


def list_keys(folder: Path) -> list[KeyFile]:
    """All keys of a folder, by role and name. Raises `SettingsError`, also for a file that others may read."""
    _check_folder(folder)
    found = []
    for path in sorted(folder.iterdir()):
        name, role, end = _parts(path)
        if end in ("public", "revoked") and role is not None:
            public, _ = _read(path)
            found.append(
                KeyFile(
                    name=name,
                    role=role,
                    public=public,
                    state="listed" if end == "public" else "revoked",
                    secret=_path(folder, name, role, "secret").exists(),
                    made=datetime.fromtimestamp(path.stat().st_mtime, tz=UTC),
                )
            )
    return sorted(found, key=lambda key: (key.role, key.name))


def revoke_key(folder: Path, name: str) -> list[Path]:
    """Lets a key in no more: the files that now say so. Raises `SettingsError` when none of that name is listed."""
    _check_folder(folder)
    revoked = []
    for role in ROLES:
        listed = _path(folder, name, role, "public")
        if listed.exists():
            revoked.append(listed.replace(_path(folder, name, role, "revoked")))
    if not revoked:
        raise SettingsError(f"no key {name} is listed in {folder}: `loomwatch keys list` shows those that are")
    return revoked


def own_key(folder: Path, name: str, role: Role) -> tuple[bytes, bytes]:
    """Both halves, Z85. Raises `SettingsError`."""
    _check_folder(folder)
    path = _path(folder, name, role, "secret")
    public, secret = _read(path)
    if secret is None:
        raise SettingsError(f"{path} holds no secret key: copy the .secret file that `loomwatch keys new` made")
    return public, secret


def public_key(folder: Path, name: str, role: Role) -> bytes:
    """Z85. Raises `SettingsError`."""
    _check_folder(folder)
    return _read(_path(folder, name, role, "public"))[0]


class Listed:
    """The keys of one role that are listed, as the folder says now: a key is let in and kept out without a restart.

    While it runs, a file that cannot be used lets nobody in and is logged; at the start it raises `SettingsError`.
    """

    def __init__(self, folder: Path, role: Role) -> None:
        self._folder = folder
        self._role = role
        self._names = {key.public: key.name for key in list_keys(folder) if (key.role, key.state) == (role, "listed")}
        self._seen = self._look()

    def names(self) -> Mapping[bytes, str]:
        """Public key (Z85) to name."""
        if (seen := self._look()) != self._seen:
            self._seen = seen
            names: dict[bytes, str] = {}
            try:
                _check_folder(self._folder)
                for path in sorted(self._folder.glob(f"*.{self._role}.public")):
                    try:
                        names[_read(path)[0]] = _parts(path)[0]
                    except SettingsError as error:
                        log.error("a key is not let in: %s", error)
            except SettingsError as error:
                log.error("no key is let in: %s", error)
            self._names = names
        return self._names

    def _look(self) -> object:
        try:
            with os.scandir(self._folder) as entries:
                return self._folder.stat().st_mode, sorted(
                    (entry.name, status.st_mtime_ns, status.st_mode)
                    for entry in entries
                    if entry.name.endswith(f".{self._role}.public") and (status := entry.stat())
                )
        except OSError as error:
            return error.errno


def _path(folder: Path, name: str, role: Role, end: str) -> Path:
    return folder / f"{name}.{role}.{end}"


def _parts(path: Path) -> tuple[str, Role | None, str]:
    name, _, rest = path.name.partition(".")
    role, _, end = rest.partition(".")
    return name, next((each for each in ROLES if each == role), None), end


def _write(path: Path, text: str) -> None:
    """Never readable by others, not even for a moment."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error


def _read(path: Path) -> tuple[bytes, bytes | None]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise SettingsError(f"{path} has mode {mode:04o}, so that others may use it: chmod 600 {path}")
        public, secret = zmq.auth.load_certificate(path)
    except FileNotFoundError as error:
        raise SettingsError(
            f"there is no key file {path}: make it with `loomwatch keys new`, or copy it here"
        ) from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, IndexError) as error:
        raise SettingsError(f"{path} is no key file: {error}") from error
    for half in (public, secret):
        if half is not None and len(half) != 40:
            raise SettingsError(f"{path} is no key file: a key has 40 characters, got {len(half)}")
    return public, secret


def _check_folder(folder: Path) -> None:
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise SettingsError(f"the keys' folder {folder} cannot be used: {error.strerror}") from error
    if mode & 0o022:
        raise SettingsError(f"{folder} has mode {mode:04o}, so that others may add keys to it: chmod 700 {folder}")
