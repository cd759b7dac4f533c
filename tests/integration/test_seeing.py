"""What can be seen of a running line: the metrics and readiness of ingestor and worker over HTTP, and both of their
figures in Redis, where the ingestor's come by way of the worker."""

import http.client
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from inference_worker.worker import Worker
from ingest.service import run_ingest
from inspection.settings import CameraSettings, IngestSettings, StoreSettings, WorkerSettings, load
from loomwatch.status import as_json, read_status, show_status
from storage.live import Live
from tests.ports import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.integration


@contextmanager
def running(service, *arguments, stop: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=service, args=arguments)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def ready(port: int) -> tuple[int, list[str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["problems"]
    except OSError:
        return 0, []
    finally:
        connection.close()


def metrics(port: int) -> dict[str, float]:
    """By name, and by name and reason where there is one; of one camera."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    families = text_string_to_metric_families(connection.getresponse().read().decode())
    connection.close()
    samples = [sample for family in families for sample in family.samples]
    return {sample.name + sample.labels.get("reason", ""): sample.value for sample in samples}


def test_a_line_can_be_seen(tmp_path: Path, sqlite_url: str, redis_url: str) -> None:
    source = "sim://plain?seed=7&width_mm=96&margin_mm=8&speed_m_min=60"
    camera = CameraSettings(name="left", source=source, mm_per_px=0.5, frame_lines=64)
    endpoint, ingest_port, worker_port = f"ipc://{tmp_path / 'i.ipc'}", free_port(), free_port()
    settings = load(
        IngestSettings,
        name="host-1",
        cameras=[camera],
        endpoint=endpoint,
        spool_dir=tmp_path / "spool",
        tile_px=64,
        monitor_port=ingest_port,
        drain_s=5.0,
    )
    store = load(
        StoreSettings,
        data_dir=tmp_path,
        database_url=sqlite_url,
        redis_url=redis_url,
        pictures_url=str(tmp_path / "pictures"),
    )
    live, halt, quit_worker = Live(redis_url), threading.Event(), threading.Event()
    work = load(WorkerSettings, name="gpu-1", ingestors=endpoint, constant_ms=1, monitor_port=worker_port)
    with running(run_ingest, settings, halt, stop=halt):
        wait_for(lambda: ready(ingest_port) == (503, ["no worker is connected"]))
        worker = Worker(store, work, quit_worker)
        with running(worker.run, stop=quit_worker):
            wait_for(lambda: ready(ingest_port) == (200, []))
            wait_for(lambda: ready(worker_port) == (200, []))
            wait_for(lambda: metrics(worker_port)["loomwatch_worker_frames_inspected_total"] >= 5)
            wait_for(lambda: live.ingestors() and live.ingestors()[0].state.cameras[0].captured >= 5)
            wait_for(lambda: live.workers() and live.workers()[0].frames >= 5)
            seen = metrics(ingest_port)
            assert seen["loomwatch_ingest_frames_captured_total"] >= 5
            assert seen["loomwatch_ingest_workers"] == 1
            assert seen["loomwatch_ingest_camera_up"] == 1
            assert seen["loomwatch_ingest_speed_meters_per_second"] > 0
            told = metrics(worker_port)
            assert told["loomwatch_worker_frame_latency_seconds_count"] >= 5
            assert told["loomwatch_worker_ingestors"] == 1
            status = read_status(live)
            (shown,) = as_json(status)["cameras"]
            assert (shown["camera"], shown["ingest"], shown["state"]) == ("left", "host-1", "running")
            assert shown["frames_per_s"] > 0
            (worker_figures,) = as_json(status)["workers"]
            assert (worker_figures["name"], worker_figures["model"]) == ("gpu-1", "constant")
            console = Console(width=200, record=True, file=io.StringIO())
            console.print(show_status(status))
            words = console.export_text()
            assert "left" in words
            assert "running" in words
            assert "gpu-1" in words
            assert "constant" in words
        wait_for(lambda: ready(ingest_port) == (503, ["no worker is connected"]))
