"""The supervisor: runs the services of one machine as processes of their own, restarts what dies, stops in order.

A service that ends with 0 has finished; one that ends with 2 soon after its first start has refused its settings and is
not started again (its last log line says why); anything else is a crash and is restarted with back-off, also a later 2:
the settings were good before, so it is something that passes, such as a database that is away. Children run in their
own sessions, so Ctrl+C reaches the supervisor alone, and they end with it should it be killed (`watch_parent`).
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inspection.errors import ServiceError

log = logging.getLogger(__name__)

BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S = 60.0  # a service that ran this long starts again without delay
PARENT = "LOOMWATCH_PARENT"
REFUSED = 2
ACTIVE = ("starting", "running", "waiting")  # states of a service that is not over


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What to run, with `environment` on top of ours. `stop_s`: patience before SIGKILL. `essential`: without it there
    is no point in running the others."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_s: float = 30.0
    essential: bool = True


def loomwatch(*arguments: str) -> tuple[str, ...]:
    """The command that runs one of loomwatch's own services."""
    return (sys.executable, "-m", "loomwatch", *arguments)


class _Running:
    """One service's process, watched by a thread of its own."""

    def __init__(self, service: Service, logs_dir: Path) -> None:
        self.service = service
        self.restarts = 0
        self.state = "starting"  # running, waiting, finished, refused, stopped
        self.log_file = logs_dir / f"{service.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{service.name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process and process.poll() is None else None

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopping.is_set():
                return None
            environment = {**os.environ, **self.service.environment, PARENT: str(os.getpid())}
            with self.log_file.open("ab") as output:
                self._process = subprocess.Popen(
                    self.service.command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    process_group=0,  # of the same session: Linux weighs processes within one (sched(7), autogroup)
                )
            self.state = "running"
            log.info("started %s, process %d", self.service.name, self._process.pid)
            return self._process

    def _watch(self) -> None:
        attempt = 0
        while True:
            started = time.monotonic()
            process = self._start()
            if process is None:
                break
            code = process.wait()
            if self._stopping.is_set():
                break
            lived_s = time.monotonic() - started
            if code == 0 or (code == REFUSED and self.restarts == 0 and lived_s < STEADY_S):
                self.state = "finished" if code == 0 else "refused"
                log.info("%s %s", self.service.name, self.state)
                return
            attempt = 0 if lived_s > STEADY_S else attempt
            wait_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
            attempt += 1
            self.restarts += 1
            self.state = "waiting"
            log.warning("%s ended with %d, started again in %.1f s", self.service.name, code, wait_s)
            if self._stopping.wait(wait_s):
                break
        self.state = "stopped"

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to its whole session when it does not end in time."""
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(self.service.stop_s)
            except subprocess.TimeoutExpired:
                log.error("%s did not stop in %.0f s and is killed", self.service.name, self.service.stop_s)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._thread.join()

    def reason(self) -> str:
        """The last line it logged."""
        with contextlib.suppress(OSError, IndexError):
            return self.log_file.read_text(errors="replace").strip().splitlines()[-1]
        return "it said nothing"


class Supervisor:
    """Runs services until it is left; they stop in the reverse order of their start."""

    def __init__(self, logs_dir: Path) -> None:
        self._logs_dir = logs_dir
        self._running: dict[str, _Running] = {}
        logs_dir.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def start(self, service: Service) -> None:
        """Starts a service; its output goes to LOGS/NAME.log. A finished one of the same name is replaced."""
        former = self._running.get(service.name)
        if former is not None and former.state in ACTIVE:
            raise ServiceError(f"service {service.name} is already running")
        self._running[service.name] = _Running(service, self._logs_dir)

    def stop(self, name: str) -> None:
        """Stops a service and waits for its end."""
        log.info("stopping %s", name)
        self._running[name].stop()

    def states(self) -> dict[str, str]:
        return {name: running.state for name, running in self._running.items()}

    def pid(self, name: str) -> int | None:
        return self._running[name].pid

    def restarts(self) -> dict[str, int]:
        return {name: running.restarts for name, running in self._running.items()}

    def reason(self, name: str) -> str:
        """The last line that a service logged."""
        return self._running[name].reason()

    def check(self) -> None:
        """Raises `ServiceError` with its reason when an essential service has refused its settings."""
        for name, running in self._running.items():
            if running.state == "refused" and running.service.essential:
                raise ServiceError(f"{name} does not start: {running.reason()} (log: {running.log_file})")


def watch_parent(stop: threading.Event) -> None:
    """In a supervised service: sets `stop` when the supervisor is gone, so that no process outlives it."""
    parent = int(os.environ.get(PARENT, "0"))
    if not parent:
        return

    def watch() -> None:
        while not stop.wait(1.0):
            if os.getppid() != parent:
                log.warning("the supervisor is gone, stopping")
                stop.set()

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
