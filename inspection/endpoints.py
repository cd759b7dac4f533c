"""Where an ingestor listens when no address is set: a socket file of its data folder."""

import hashlib
import tempfile
from pathlib import Path

INGEST_SOCKET = "ingest.ipc"
REDIS_SOCKET = "redis.sock"
MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


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
