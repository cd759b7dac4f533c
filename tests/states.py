"""What ingestors and workers tell of themselves, for tests: all quiet but for what is given."""

from typing import Any

from inspection.states import CameraState, IngestState
from storage.live import LiveWorker


def camera_state(camera: str = "camera-1", **given: Any) -> CameraState:
    quiet: dict[str, Any] = {
        "state": "running",
        "position_mm": 0.0,
        "speed_m_min": 0.0,
        "frames_per_s": 0.0,
        "pixels_per_s": 0.0,
        "captured": 0,
        "captured_mm": 0.0,
        "gaps": {},
        "waiting": 0,
        "reconnects": 0,
        "warnings": (),
    }
    return CameraState(camera=camera, **(quiet | given))


def ingest_state(**given: Any) -> IngestState:
    counts = (
        "workers", "credit", "leased", "waiting", "memory_bytes", "memory_limit_bytes", "disk_bytes",
        "disk_limit_bytes", "sent", "taken_back", "given_up", "malformed", "cut", "refused",
    )  # fmt: skip
    quiet: dict[str, Any] = {"name": "ingest", "line": "line-1", "cameras": (), **dict.fromkeys(counts, 0)}
    return IngestState(**(quiet | given))


def live_worker(**given: Any) -> LiveWorker:
    quiet: dict[str, Any] = {
        "name": "worker-1",
        "state": "running",
        "model": "plain",
        "runtime": "openvino-bf16",
        "frames": 10,
        "frames_per_s": 4.9,
        "tiles_per_s": 98.0,
        "latency_p50_ms": 210.0,
        "latency_p95_ms": 300.0,
        "score_ms": 150.0,
        "store_ms": 12.0,
        "ingestors": 1,
        "at_ns": 1,
    }
    return LiveWorker(**(quiet | given))
