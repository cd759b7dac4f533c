"""The supervisor, with real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from inspection.errors import ServiceError
from loomwatch.supervisor import Service, Supervisor
from tests.waiting import wait_for

SLEEPER = "import time\nprint('up', flush=True)\nwhile True: time.sleep(0.05)"


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_killed_service_is_started_again_and_none_is_left_behind(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(Service(name="worker", command=python(SLEEPER)))
        wait_for(lambda: supervisor.pid("worker"))
        first = supervisor.pid("worker")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: supervisor.pid("worker") not in (None, first))
        assert supervisor.restarts() == {"worker": 1}
        second = supervisor.pid("worker")
    assert not psutil.pid_exists(second)
    assert supervisor.states() == {"worker": "stopped"}


def test_services_are_weighed_against_each_other_and_not_by_session(tmp_path: Path) -> None:
    """Linux weighs sessions alike, whatever the processes within lower themselves by."""
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(Service(name="worker", command=python(SLEEPER)))
        wait_for(lambda: supervisor.pid("worker"))
        pid = supervisor.pid("worker")
        assert pid is not None
        assert os.getsid(pid) == os.getsid(0)
        assert os.getpgid(pid) == pid  # Ctrl+C is the supervisor's


def test_a_service_that_finishes_is_not_started_again(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(Service(name="ingest", command=python("pass")))
        wait_for(lambda: supervisor.states()["ingest"] == "finished")
        supervisor.check()
        supervisor.start(Service(name="ingest", command=python("pass")))  # the next roll's
        wait_for(lambda: supervisor.states()["ingest"] == "finished")
    assert supervisor.restarts() == {"ingest": 0}


def test_a_refused_setting_is_told_with_its_reason_and_not_tried_for_ever(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(Service(name="ingest", command=python("print('no such camera'); raise SystemExit(2)")))
        wait_for(lambda: supervisor.states()["ingest"] == "refused")
        with pytest.raises(ServiceError, match="ingest does not start: no such camera"):
            supervisor.check()


def test_a_service_that_ran_before_is_started_again_even_when_it_refuses(tmp_path: Path) -> None:
    """A worker that is killed while its database is away must not wait for a hand."""
    died = tmp_path / "died"
    code = f"""
import os, pathlib, sys, time
died = pathlib.Path({str(died)!r})
if not died.exists():
    died.touch()
    os.kill(os.getpid(), 9)
if len(died.read_text()) < 2:
    died.write_text(died.read_text() + "x")
    sys.exit(2)
print("up", flush=True)
while True:
    time.sleep(0.05)
"""
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(Service(name="worker", command=python(code)))
        wait_for(lambda: supervisor.restarts() == {"worker": 3} and supervisor.states() == {"worker": "running"})
        supervisor.check()


def test_services_stop_in_the_reverse_order_of_their_start(tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        f"def stop(*_): open({str(order)!r}, 'a').write(sys.argv[1] + ' '); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "open(sys.argv[2], 'w').close()\n"
        "while True: time.sleep(0.02)"
    )
    with Supervisor(tmp_path) as supervisor:
        for name in ("worker", "dashboard", "ingest"):
            supervisor.start(Service(name=name, command=(*python(code), name, str(tmp_path / name))))
        wait_for(lambda: all((tmp_path / name).exists() for name in ("worker", "dashboard", "ingest")))
    assert order.read_text().split() == ["ingest", "dashboard", "worker"]


def test_a_service_deaf_to_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(child)!r}, 'w').write(str(child.pid))\n"
        "while True: time.sleep(0.02)"
    )
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(Service(name="deaf", command=python(code), stop_s=0.5))
        wait_for(lambda: child.exists() and child.read_text())
    pid = int(child.read_text())
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_service_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    service = (
        "import threading; from loomwatch.supervisor import watch_parent\n"
        "stop = threading.Event(); watch_parent(stop)\n"
        f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "stop.wait()"
    )
    supervisor = (
        "import sys, time; from pathlib import Path\n"
        "from loomwatch.supervisor import Service, Supervisor\n"
        f"with Supervisor(Path({str(tmp_path)!r})) as supervisor:\n"
        f"    supervisor.start(Service(name='s', command=(sys.executable, '-c', {service!r})))\n"
        "    time.sleep(600)"
    )
    process = subprocess.Popen(python(supervisor))
    try:
        pid_file = tmp_path / "pid"
        wait_for(lambda: pid_file.exists() and pid_file.read_text())
    finally:
        process.kill()
        process.wait()
    pid = int(pid_file.read_text())
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
