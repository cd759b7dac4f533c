"""The dashboard as a process: port, flags, settings, end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from dashboard.served import NICENESS
from dashboard.service import check_port, command, environment, run_dashboard
from inspection.errors import ServiceError
from inspection.settings import DashboardSettings, StoreSettings, load
from storage.database import upgrade
from tests.ports import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.integration

SERVE = """
import sys
from dashboard.service import run_dashboard
from inspection.settings import DashboardSettings, StoreSettings, load
run_dashboard(load(DashboardSettings, port=int(sys.argv[1])), load(StoreSettings, data_dir=sys.argv[2]))
"""


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def served(port: int, folder: Path, *, monitor_port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "LOOMWATCH_DASHBOARD_MONITOR_PORT": str(monitor_port)}
    arguments = [sys.executable, "-c", SERVE, str(port), str(folder)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=environment)
    try:
        wait_for(lambda: answers(port))
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_port_in_use_is_told_with_the_setting_to_change(store: StoreSettings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"port {port} on 127.0.0.1 is in use.*LOOMWATCH_DASHBOARD_PORT"):
            check_port("127.0.0.1", port, patience_s=0)


def test_an_address_of_another_machine_is_told(store: StoreSettings) -> None:
    with pytest.raises(ServiceError, match=r"cannot listen on 192\.0\.2\.1.*LOOMWATCH_DASHBOARD_HOST"):
        check_port("192.0.2.1", 8501)


def test_a_free_port_is_fine() -> None:
    check_port("127.0.0.1", free_port())


def test_streamlit_listens_where_told_and_reports_to_nobody() -> None:
    flags = command(load(DashboardSettings, host="127.0.0.1", port=8600))
    assert "--server.address=127.0.0.1" in flags
    assert "--server.port=8600" in flags
    assert "--server.headless=true" in flags
    assert "--browser.gatherUsageStats=false" in flags
    assert "--client.showErrorDetails=none" in flags
    assert "--server.maxUploadSize=30" in flags, "as much as the page Samples takes"


def test_settings_given_as_arguments_reach_the_pages(tmp_path: Path, store: StoreSettings) -> None:
    given = load(StoreSettings, data_dir=tmp_path / "other", redis_url="redis://somewhere:1/0")
    passed = environment(load(DashboardSettings, refresh_s=2.5), given)
    assert passed["LOOMWATCH_DATA_DIR"] == str(tmp_path / "other")
    assert passed["LOOMWATCH_REDIS_URL"] == "redis://somewhere:1/0"
    assert passed["LOOMWATCH_DASHBOARD_REFRESH_S"] == "2.5"


def test_it_serves_until_it_is_told_to_stop_and_leaves_nothing_behind(tmp_path: Path) -> None:
    port = free_port()
    with served(port, tmp_path) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        assert [child.nice() for child in children] == [min(os.nice(0) + NICENESS, 19)]  # the line goes first
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        wait_for(lambda: not any(child.is_running() for child in children))
        check_port("127.0.0.1", port)


def test_it_is_ready_when_its_pages_and_its_database_are_there(tmp_path: Path) -> None:
    port, monitor_port = free_port(), free_port()
    store = load(StoreSettings, data_dir=tmp_path, database_url="")
    with served(port, tmp_path, monitor_port=monitor_port):
        wait_for(lambda: "the file is gone" in readiness(monitor_port)[1])
        assert readiness(monitor_port)[0] == 503
        upgrade(store.database)
        wait_for(lambda: readiness(monitor_port)[0] == 200)


def readiness(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_a_killed_service_takes_its_server_along(tmp_path: Path) -> None:
    port = free_port()
    with served(port, tmp_path) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not any(child.is_running() for child in children))


def test_it_stops_by_event_in_another_thread(tmp_path: Path, store: StoreSettings) -> None:
    port, stop = free_port(), threading.Event()
    thread = threading.Thread(target=run_dashboard, args=(load(DashboardSettings, port=port), store, stop))
    thread.start()
    try:
        wait_for(lambda: answers(port))
    finally:
        stop.set()
        thread.join()
    assert not answers(port)
