"""What watches a service over HTTP: `/metrics` for Prometheus, `/health` (200 while the process answers) and `/ready`
(200, or 503 with what is wrong, as JSON).

A taken port never stops a line: it is told of and tried again. The checks behind `/ready` run in a thread of their own,
so that neither a database that does not answer nor a scraper that asks too often holds anything up.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

LOOK_S = 1.0  # between checks
BIND_S = 5.0  # between tries of a taken port
LATE_S = 20.0  # a check that takes longer counts as a problem
REQUEST_S = 5.0  # for a client to say what it wants
MOST_REQUESTS = 16  # at once


class Monitor(Collector):
    """Use with `with`. port 0: nothing listens.

    problems: what keeps the service from its work, [] when it is ready; may take its time. collect: its metrics.
    """

    def __init__(
        self, service: str, *, host: str, port: int, problems: Callable[[], Sequence[str]],
        collect: Callable[[], Iterable[Metric]] = tuple,
    ) -> None:  # fmt: skip
        self._service = service
        self._place = host, port
        self._ask = problems
        self._collect_more = collect
        self._problems: tuple[str, ...] = ("it starts",)
        self._looked_at = time.monotonic()
        self._told_taken = False
        self._server: _Server | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def __enter__(self) -> Self:
        if self._place[1]:
            self._bind()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong at the last look."""
        late_s = time.monotonic() - self._looked_at
        late = (f"its checks have not come back for {late_s:.0f} s",) if late_s > LATE_S else ()
        return self._problems + late

    def collect(self) -> Iterable[Metric]:
        build = InfoMetricFamily("loomwatch_build", "Version of the running program.")
        build.add_metric((), {"service": self._service, "version": version("loomwatch")})
        yield build
        yield GaugeMetricFamily(
            "loomwatch_ready", "1 while /ready answers 200, else 0.", value=float(not self.problems)
        )
        yield from self._collect_more()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        match path.partition("?")[0]:
            case "/metrics":
                return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
            case "/health":
                return 200, "application/json", _json({"service": self._service})
            case "/ready":
                problems = self.problems
                body = {"service": self._service, "ready": not problems, "problems": problems}
                return 503 if problems else 200, "application/json", _json(body)
        return 404, "text/plain", b"there is /metrics, /health and /ready\n"

    def _run(self) -> None:
        tried_at = time.monotonic()
        while True:
            try:
                self._problems = tuple(self._ask())
            except Exception as error:  # the thread's outermost: a check that fails is a problem, not the end
                log.exception("a check failed")
                self._problems = (f"a check failed: {error}",)
            self._looked_at = time.monotonic()
            if self._stop.wait(LOOK_S):
                return
            if self._server is None and time.monotonic() - tried_at > BIND_S:
                tried_at = time.monotonic()
                self._bind()

    def _bind(self) -> None:
        host, port = self._place
        try:
            self._server = _Server(host, port, self.answer)
        except OSError as error:
            if not self._told_taken:
                self._told_taken = True
                log.warning(
                    "cannot listen at %s:%d for /metrics, /health and /ready: %s; set LOOMWATCH_%s_MONITOR_PORT to "
                    "another, 0 for none; tried again", host, port, error.strerror or error, self._service.upper(),
                )  # fmt: skip
            return
        threading.Thread(target=self._server.serve_forever, name="monitor-http", daemon=True).start()
        log.info("metrics at http://%s:%d/metrics", host, port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, answer: Callable[[str], tuple[int, str, bytes]]) -> None:
        self.address_family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.answer = answer
        self._free = threading.BoundedSemaphore(MOST_REQUESTS)
        super().__init__(place, _Handler)  # type: ignore[arg-type]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request of %s broke off", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_S

    def do_GET(self) -> None:
        status, kind, body = self.server.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """A request a second is no news."""


def _json(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
