"""The dashboard as a service: checks its port, starts Streamlit with the right flags, and ends it in order."""

import errno
import http.client
import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from dashboard.theme import STREAMLIT_THEME
from inspection.errors import LoomwatchError, ServiceError
from inspection.monitor import Monitor
from inspection.settings import DashboardSettings, StoreSettings
from storage.accounts.users import count_users
from storage.database import Database, open_database
from storage.sample_upload import MOST_BYTES

logger = logging.getLogger(__name__)

APP = Path(__file__).parent / "asgi.py"
PORT_PATIENCE_S = 3.0
ANSWER_S = 3.0
PATIENCE_S = 8.0  # for Streamlit to end after it was asked to


def run_dashboard(settings: DashboardSettings, store: StoreSettings, stop: threading.Event | None = None) -> None:
    """Serves the screens until SIGTERM, SIGINT or `stop`.

    Raises `ServiceError` when the port is taken or the address is not this machine's, and when Streamlit ends by
    itself. Signals are watched when called in the main thread.
    """
    check_port(settings.host, settings.port)
    refuse_open_house(settings, store)
    _tell_without_accounts(store)
    ended = stop or threading.Event()
    database = Database(store.database)
    former = _watch_signals(ended)
    monitor = Monitor(
        "dashboard",
        host=settings.monitor_host,
        port=settings.monitor_port,
        problems=lambda: problems(settings, database),
    )
    child = subprocess.Popen(command(settings), env=environment(settings, store))
    logger.info("dashboard at http://%s:%d", settings.host, settings.port)
    try:
        with monitor:
            _wait(child, ended)
    finally:
        _end(child)
        for number, handler in former.items():
            signal.signal(number, handler)
    logger.info("dashboard stopped")


def refuse_open_house(settings: DashboardSettings, store: StoreSettings) -> None:
    """Raises `ServiceError` where others than this machine could reach a dashboard that nobody can sign in to yet: the
    first account is made before the first stranger can ask. With the company's sign-in no stranger gets one."""
    if settings.oidc_issuer or _is_loopback(settings.host):
        return
    with open_database(store.database) as database:
        if count_users(database) == 0:
            raise ServiceError(
                f"the dashboard on {settings.host} has no account yet, and others could reach it: make one first with "
                "loomwatch users add NAME --role admin, or keep it on 127.0.0.1 (LOOMWATCH_DASHBOARD_HOST)"
            )


def _tell_without_accounts(store: StoreSettings) -> None:
    with suppress(LoomwatchError), open_database(store.database) as database:  # the pages say what is wrong with it
        if count_users(database) == 0:
            logger.warning("nobody can sign in yet: loomwatch users add NAME --role admin")


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def problems(settings: DashboardSettings, database: Database) -> list[str]:
    """What keeps the screens from being seen: Streamlit, or the database behind them."""
    found = []
    if problem := answer_problem(settings):
        found.append(f"Streamlit does not answer: {problem}")
    if problem := database.problem():
        found.append(problem)
    return found


def answer_problem(settings: DashboardSettings) -> str | None:
    """Why Streamlit does not answer, None when it does."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    try:
        with urllib.request.urlopen(f"http://{host}:{settings.port}/_stcore/health", timeout=ANSWER_S):
            return None
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def _wait(child: subprocess.Popen[bytes], ended: threading.Event) -> None:
    while not ended.wait(0.2):
        # Ctrl+C on a terminal reaches both processes, and this one may notice the other's end first
        if (code := child.poll()) is not None and not ended.wait(1.0):
            raise ServiceError(f"the dashboard ended by itself with code {code}: its log above says why")


def check_port(host: str, port: int, *, patience_s: float = PORT_PATIENCE_S) -> None:
    """Raises `ServiceError` when nothing can listen there; a port in use is given a moment to come free, as after a
    restart."""
    deadline = time.monotonic() + patience_s
    while (error := _try_port(host, port)) is not None:
        if error.errno != errno.EADDRINUSE:
            break
        if time.monotonic() >= deadline:
            raise ServiceError(
                f"port {port} on {host} is in use: stop the program that holds it, or choose another port "
                "(LOOMWATCH_DASHBOARD_PORT)"
            ) from error
        time.sleep(0.2)
    if error is None:
        return
    if error.errno == errno.EACCES:
        raise ServiceError(
            f"port {port} needs administrator's rights: choose one above 1023 (LOOMWATCH_DASHBOARD_PORT)"
        ) from error
    raise ServiceError(
        f"cannot listen on {host}: {error.strerror or error}: name an address of this machine "
        "(LOOMWATCH_DASHBOARD_HOST)"
    ) from error


def _try_port(host: str, port: int) -> OSError | None:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def command(settings: DashboardSettings) -> list[str]:
    """Streamlit without its own habits: no browser, no telemetry, no file watching, no traceback on the page."""
    flags = {
        "server.address": settings.host,
        "server.port": str(settings.port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": settings.host,
        "server.maxUploadSize": str(MOST_BYTES // 2**20),
        "runner.magicEnabled": "false",
        "runner.postScriptGC": "false",  # after each drawing, over all that is there: see `dashboard.collection`
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.level": "warning",
        **STREAMLIT_THEME,
    }
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    return [sys.executable, "-m", "dashboard.served", str(os.getpid()), "run", str(APP), *arguments]


def environment(settings: DashboardSettings, store: StoreSettings) -> dict[str, str]:
    """This process's, with the settings as they are here, arguments included, so that the pages read the same."""
    given = {
        "LOOMWATCH_DATA_DIR": str(store.data_dir),
        "LOOMWATCH_DATABASE_URL": store.database_url,
        "LOOMWATCH_REDIS_URL": store.redis_url,
        "LOOMWATCH_PICTURES_URL": store.pictures_url,
        "LOOMWATCH_LOG_LEVEL": store.log_level,
        "LOOMWATCH_DASHBOARD_HOST": settings.host,
        "LOOMWATCH_DASHBOARD_PORT": str(settings.port),
        "LOOMWATCH_DASHBOARD_REFRESH_S": str(settings.refresh_s),
        "LOOMWATCH_DASHBOARD_SESSION_IDLE_H": str(settings.session_idle_h),
        "LOOMWATCH_DASHBOARD_SESSION_H": str(settings.session_h),
    }
    # Streamlit runs each page in a thread of its own; freed memory would be kept apart for every one of them
    kept_together = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    return {**kept_together, **os.environ, **given, "PYTHONUNBUFFERED": "1"}


def _watch_signals(ended: threading.Event) -> dict[int, Any]:
    """Former handlers by signal, to be put back; none when not in the main thread, which alone may set them."""
    if threading.current_thread() is not threading.main_thread():
        return {}

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    return {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        logger.warning("the dashboard did not end within %.0f s and is killed", PATIENCE_S)
        child.kill()
        child.wait()
