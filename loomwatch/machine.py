"""A whole line on one machine: the private Redis, and under the supervisor worker, trainer, alarms, dashboard
and cameras."""

import json
import socket
import threading
from collections.abc import Sequence
from contextlib import ExitStack

from inspection.endpoints import default_endpoint
from inspection.errors import ServiceError
from inspection.line_setup import LineSetup
from inspection.settings import CameraSettings, DashboardSettings, StoreSettings
from loomwatch.doctor import port_is_free
from loomwatch.supervisor import ACTIVE, Service, Supervisor, loomwatch
from storage.live import Live
from storage.redis_server import start_private_redis

INGEST, RECORDING = "ingest", "golden-roll"  # names of services


class Machine:
    """Starts everything on entering; on leaving stops cameras first, then what they feed, Redis last.

    each: cameras that run in a process each; none: all of the settings' in one. monitor_port: of the first of these
    processes, each next one has the next; 0: none.
    try_runtimes: False for a run of minutes, where a worker's search for its fastest runtime costs more than it gives.
    """

    def __init__(
        self, store: StoreSettings, *, dashboard: DashboardSettings | None, cameras: bool, try_runtimes: bool = True,
        each: Sequence[CameraSettings] = (), monitor_port: int = 0,
    ) -> None:  # fmt: skip
        self._store = store
        self._dashboard = dashboard
        self._cameras = cameras
        self._each = tuple(each)
        self._monitor_port = monitor_port
        self._try_runtimes = try_runtimes
        self._stack = ExitStack()
        self.supervisor = Supervisor(store.logs_dir)
        self.address = f"http://{dashboard.host}:{dashboard.port}" if dashboard else ""

    def __enter__(self) -> "Machine":
        dashboard = self._dashboard
        if dashboard and not port_is_free(dashboard.host, dashboard.port):
            raise ServiceError(
                f"port {dashboard.port} on {dashboard.host} is in use: stop what listens there, "
                "or set LOOMWATCH_DASHBOARD_PORT to another"
            )
        with ExitStack() as stack:
            redis_url = self._store.redis_url
            if not redis_url:
                redis = start_private_redis(self._store.data_dir, self._store.logs_dir / "redis.log")
                stack.callback(redis.stop)
                redis_url = redis.url
            self._redis_url = redis_url
            stack.enter_context(self.supervisor)
            self._start_services()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _stores(self) -> dict[str, str]:
        return {
            "LOOMWATCH_DATA_DIR": str(self._store.data_dir),
            "LOOMWATCH_DATABASE_URL": self._store.database,
            "LOOMWATCH_REDIS_URL": self._redis_url,
            "LOOMWATCH_PICTURES_URL": self._store.pictures,
        }

    def _start_services(self) -> None:
        store, shared = self._store, self._stores()
        endpoints = [default_endpoint(store.data_dir, camera=camera.name) for camera in self._each]
        ingestors = ",".join(endpoints or [default_endpoint(store.data_dir)])
        worker = {**shared, "LOOMWATCH_WORKER_INGESTORS": ingestors, "LOOMWATCH_WORKER_NAME": "worker-1"}
        if not self._try_runtimes:
            worker["LOOMWATCH_WORKER_RUNTIME"] = "torch-float32"
        self.supervisor.start(Service(name="trainer", command=loomwatch("trainer"), environment=shared))
        self.supervisor.start(Service(name="alarms", command=loomwatch("alarms", "run"), environment=shared))
        if self._dashboard:
            dashboard = {
                **shared,
                "LOOMWATCH_DASHBOARD_HOST": self._dashboard.host,
                "LOOMWATCH_DASHBOARD_PORT": str(self._dashboard.port),
            }
            self.supervisor.start(Service(name="dashboard", command=loomwatch("dashboard"), environment=dashboard))
        self.supervisor.start(Service(name="worker", command=loomwatch("worker"), environment=worker))
        for number, camera in enumerate(self._each):
            port = self._monitor_port + number if self._monitor_port else 0
            environment = {
                "LOOMWATCH_INGEST_CAMERAS": json.dumps([camera.model_dump()]),
                "LOOMWATCH_INGEST_MONITOR_PORT": str(port),
            }
            self._start_ingest(environment, camera=camera.name)
        if self._cameras and not self._each:
            self._start_ingest({})

    def _start_ingest(self, environment: dict[str, str], *, camera: str = "", essential: bool = True) -> None:
        """One process; `camera`: the only one in it, which then has an address and a spool of its own."""
        place = {
            "LOOMWATCH_INGEST_ENDPOINT": default_endpoint(self._store.data_dir, camera=camera),
            "LOOMWATCH_INGEST_SPOOL_DIR": str(self._store.data_dir / (f"spool-{camera}" if camera else "spool")),
        }
        name = f"{INGEST}-{camera}" if camera else INGEST
        place["LOOMWATCH_INGEST_NAME"] = name
        self.supervisor.start(
            Service(
                name=name,
                command=loomwatch("ingest"),
                environment={**place, **environment},
                stop_s=60.0,
                essential=essential,
            )
        )

    @property
    def redis_url(self) -> str:
        return self._redis_url

    def start_set_up(self, setup: LineSetup) -> None:
        """The camera that was set on the page Set up. What it refuses is told there, and stops nothing else."""
        cameras = [] if setup.camera is None else [setup.camera.model_dump()]
        environment = {
            "LOOMWATCH_INGEST_LINE": setup.line,
            "LOOMWATCH_INGEST_CAMERAS": json.dumps(cameras),
            "LOOMWATCH_INGEST_TILE_PX": str(setup.tile_px),
        }
        self._start_ingest(environment, essential=False)

    def start_recording(self, capture_id: int) -> None:
        """A golden roll, from the camera of a line that does not run yet."""
        command = loomwatch("samples", "record", str(capture_id))
        self.supervisor.start(Service(name=RECORDING, command=command, environment=self._stores(), essential=False))

    def run_cameras(self, cameras: Sequence[CameraSettings], *, line: str, tile_px: int, stop: threading.Event) -> None:
        """Runs cameras until their sources end and all is inspected, or in order to their stop."""
        self._start_ingest(
            {
                "LOOMWATCH_INGEST_LINE": line,
                "LOOMWATCH_INGEST_CAMERAS": json.dumps([camera.model_dump() for camera in cameras]),
                "LOOMWATCH_INGEST_TILE_PX": str(tile_px),
            }
        )
        while self.supervisor.states()[INGEST] in ACTIVE:
            if stop.wait(0.2):
                self.supervisor.stop(INGEST)

    def check(self) -> None:
        """Raises `ServiceError` when a service has refused its settings."""
        self.supervisor.check()

    def wait_for_dashboard(self, stop: threading.Event) -> None:
        """Returns when somebody who follows a link to it finds it there, or when stopped. Raises `ServiceError`."""
        dashboard = self._dashboard
        while dashboard and not stop.is_set():
            self.check()
            try:
                socket.create_connection((dashboard.host, dashboard.port), timeout=1.0).close()
                return
            except OSError:
                stop.wait(0.2)

    def wait_for_worker(self, stop: threading.Event) -> None:
        """Returns when the worker runs a model, so that a camera starts with someone to inspect, or when stopped."""
        live = Live(self._redis_url)
        while not stop.is_set():
            if any(service.kind == "worker" and service.state == "running" for service in live.services()):
                return
            stop.wait(0.2)
