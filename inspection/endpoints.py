"""Addresses: where an ingestor listens when none is set, and which ones other machines can reach."""

import hashlib
import ipaddress
import re
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from inspection.errors import SettingsError

INGEST_SOCKET = "ingest.ipc"
REDIS_SOCKET = "redis.sock"
MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS
INGEST_KEY = "ingest"  # name of an ingestor's key where an address names none

_TCP = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^\[\]:/#\s]+):(?P<port>\d+|\*)")


class Endpoint(NamedTuple):
    """An ingestor's address as a worker is told it: a ZeroMQ address, for tcp optionally `#NAME` of its key.

    host: name or address of a tcp one, without brackets; "" for others.
    """

    address: str  # without the key's name
    host: str
    port: str
    key: str


def socket_path(folder: Path, name: str) -> Path:
    """A path for a unix socket: in `folder` when short enough, else in a temporary folder of its own."""
    path = folder / "run" / name
    if len(str(path).encode()) > MAX_SOCKET_PATH:
        digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"loomwatch-{digest}" / name
    return path


def default_endpoint(data_dir: Path, *, camera: str = "") -> str:
    """The `ipc://` address of the ingestor of a data folder, or of one camera's own; its folder is made."""
    path = socket_path(data_dir, f"ingest-{camera}.ipc" if camera else INGEST_SOCKET)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return f"ipc://{path}"


def parse_endpoint(text: str) -> Endpoint:
    """Raises `SettingsError` for a tcp address without a host or a port; other kinds are ZeroMQ's to judge."""
    if not text.startswith("tcp://"):
        return Endpoint(text, "", "", "")
    address, _, key = text.partition("#")
    found = _TCP.fullmatch(address)
    if found is None:
        raise SettingsError(f"{text} is no address: write tcp://HOST:PORT, or ipc:///PATH")
    return Endpoint(address, found["host"].strip("[]"), found["port"], key or INGEST_KEY)


def is_this_machine(host: str) -> bool:
    """Whether only programs of this machine can be at, or reach, `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name may lead anywhere, and so does `*`


def refuse_plain(endpoint: Endpoint, *, keys: bool, allow_plain_tcp: bool, prefix: str) -> None:
    """Raises `SettingsError` for an unencrypted address that leaves this machine; `prefix` is of the settings."""
    if endpoint.host and not keys and not allow_plain_tcp and not is_this_machine(endpoint.host):
        raise SettingsError(
            f"{endpoint.address} is plain tcp, which anyone on the network can read and take frames from: make keys "
            f"with `loomwatch keys new` and set {prefix}KEYS_DIR, or set {prefix}ALLOW_PLAIN_TCP=true if that is meant"
        )


def without_password(url: str) -> str:
    """An address for logs and screens."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}").geturl()
