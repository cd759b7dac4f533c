"""Live figures, in Redis: each camera's last picture and speed, each service's state and counts. Nothing here is kept.

An entry expires by itself when nobody renews it, so a screen never shows a dead camera as alive. Writing never holds
the line: it answers False at once while Redis is away, and tries again after `RETRY_S`.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import redis

from inspection.errors import StorageError
from inspection.states import IngestState
from storage.redis_client import connect, errors_explained, place

logger = logging.getLogger(__name__)

CAMERA_TTL_S = INGEST_TTL_S = 30
STRIP_TTL_S = 300
STRIP_PIECES = 24  # a camera, the newest
SERVICE_TTL_S = 10
PUBLISH_S = 0.5  # a publisher waits no longer for Redis
RETRY_S = 2.0
_PREFIX = "loomwatch:live"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCamera:
    """What a camera's last inspected frame looked like. `overlay_jpeg`: the frame with its heat, PNG or JPEG."""

    line: str
    camera: str
    overlay_jpeg: bytes
    position_mm: float
    speed_m_min: float
    latency_ms: float
    tiles_per_s: float
    score: float
    threshold: float
    model: str
    at_ns: int
    warnings: tuple[str, ...] = ()  # codes of `inspection.types.WARNINGS`, optionally ": detail"


@dataclass(frozen=True, slots=True, kw_only=True)
class StripPiece:
    """A frame of a camera in small, heat and outlines on it, for the picture of the cloth as it runs.

    Rows along the roll from `position_mm` on the camera's counter, columns across it, x in mm from the left edge.
    """

    line: str
    camera: str
    captured_at_ns: int
    position_mm: float
    length_mm: float
    x0_mm: float
    x1_mm: float
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveIngest:
    """How an ingest process is, as it told a worker at `at_ns` by the worker's clock."""

    state: IngestState
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWorker:
    """How a worker is. Rates and latencies are of the last minute; latency is from capture to commit."""

    name: str
    state: str  # as its `ServiceState`: waiting, running or problem
    model: str  # "" while it waits for one
    runtime: str
    frames: int  # since its start
    frames_per_s: float
    tiles_per_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    score_ms: float  # median, to score a frame
    store_ms: float  # median, to write it
    ingestors: int  # connected
    at_ns: int
    act: int = 0  # number of the promotion or roll back that it follows


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """A service's own word on how it is; `kind` is worker, trainer, alarms or supervisor."""

    name: str
    kind: str
    state: str
    detail: str
    at_ns: int


def supervisor_name() -> str:
    """What this machine's supervisor is called: others of the plant may share the Redis."""
    return f"up on {socket.gethostname()}"


class Live:
    """Publishes and reads live figures. Shared by threads; connects when first used."""

    def __init__(self, redis_url: str, *, retry_s: float = RETRY_S) -> None:
        """Raises `StorageError` for a wrong URL only."""
        self._url = redis_url
        self._publisher = connect(redis_url, timeout_s=PUBLISH_S)
        self._reader = connect(redis_url)
        self._retry_s = retry_s
        self._away_until = 0.0
        self._away = False

    def close(self) -> None:
        self._publisher.close()
        self._reader.close()

    def publish_camera(self, camera: LiveCamera) -> bool:
        """False when Redis does not answer."""
        return self._publish("cameras", f"{camera.line}\0{camera.camera}", camera, ttl_s=CAMERA_TTL_S)

    def publish_strip(self, piece: StripPiece) -> bool:
        """False when Redis does not answer. The newest `STRIP_PIECES` stay, each frame once, whoever inspected it."""
        key, at = _strip_key(piece.line, piece.camera), piece.captured_at_ns

        def write(pipeline: Any) -> None:
            pipeline.zremrangebyscore(key, at, at)
            pipeline.zadd(key, {msgspec.msgpack.encode(piece): at})
            pipeline.zremrangebyrank(key, 0, -STRIP_PIECES - 1)
            pipeline.expire(key, STRIP_TTL_S)

        return self._send(write)

    def strip(self, line: str, camera: str) -> list[StripPiece]:
        """The newest frames of a camera in small, in the order of their capture. Raises `StorageError`."""
        with errors_explained(self._url):
            values: Any = self._reader.zrange(_strip_key(line, camera), 0, -1)
        return self._decode(values, StripPiece)

    def publish_service(self, service: ServiceState) -> bool:
        """False when Redis does not answer. A service renews its state every second or two."""
        return self._publish("services", f"{service.kind}\0{service.name}", service, ttl_s=SERVICE_TTL_S)

    def publish_ingest(self, ingest: LiveIngest, *, part: str) -> bool:
        """False when Redis does not answer. `part`: names those of the process's cameras that are in it."""
        return self._publish("ingest", f"{ingest.state.name}\0{part}", ingest, ttl_s=INGEST_TTL_S)

    def publish_worker(self, worker: LiveWorker) -> bool:
        """False when Redis does not answer."""
        return self._publish("workers", worker.name, worker, ttl_s=SERVICE_TTL_S)

    def ingestors(self) -> list[LiveIngest]:
        """Those heard of in the last `INGEST_TTL_S`, by name; one of many cameras in several parts. Raises
        `StorageError`."""
        found = self._read("ingest", LiveIngest)
        return sorted(found, key=lambda each: (each.state.name, [camera.camera for camera in each.state.cameras]))

    def workers(self) -> list[LiveWorker]:
        """Those seen in the last `SERVICE_TTL_S`, by name. Raises `StorageError`."""
        return sorted(self._read("workers", LiveWorker), key=lambda worker: worker.name)

    def cameras(self) -> list[LiveCamera]:
        """The cameras seen in the last `CAMERA_TTL_S`, by line and name. Raises `StorageError`."""
        return sorted(self._read("cameras", LiveCamera), key=lambda camera: (camera.line, camera.camera))

    def services(self) -> list[ServiceState]:
        """The services seen in the last `SERVICE_TTL_S`, by kind and name. Raises `StorageError`."""
        return sorted(self._read("services", ServiceState), key=lambda service: (service.kind, service.name))

    def _publish(self, kind: str, name: str, entry: Any, *, ttl_s: int) -> bool:
        index, now = f"{_PREFIX}:{kind}", time.time()

        def write(pipeline: Any) -> None:
            pipeline.set(f"{index}:{name}", msgspec.msgpack.encode(entry), ex=ttl_s)
            pipeline.zadd(index, {name: now + ttl_s})  # the index: what to look for, and until when
            pipeline.zremrangebyscore(index, "-inf", now - ttl_s)

        return self._send(write)

    def _send(self, write: Callable[[Any], None]) -> bool:
        if time.monotonic() < self._away_until:
            return False
        try:
            with self._publisher.pipeline(transaction=False) as pipeline:
                write(pipeline)
                pipeline.execute()
        except redis.RedisError as error:
            self._away_until = time.monotonic() + self._retry_s
            if not self._away:
                self._away = True
                logger.warning("Redis at %s is away, live figures stand still: %s", place(self._url), error)
            return False
        if self._away:
            self._away = False
            logger.info("Redis at %s is back", place(self._url))
        return True

    def _read(self, kind: str, entry_type: type[T]) -> list[T]:
        index = f"{_PREFIX}:{kind}"
        with errors_explained(self._url):
            names: Any = self._reader.zrange(index, 0, -1)
            if not names:
                return []
            values: Any = self._reader.mget([index.encode() + b":" + name for name in names])
        return self._decode(values, entry_type)

    def _decode(self, values: Iterable[bytes | None], entry_type: type[T]) -> list[T]:
        try:
            return [msgspec.msgpack.decode(value, type=entry_type) for value in values if value is not None]
        except msgspec.MsgspecError as error:
            raise StorageError(
                f"live figures in Redis at {place(self._url)} are of another loomwatch: use one version everywhere"
            ) from error


def _strip_key(line: str, camera: str) -> str:
    return f"{_PREFIX}:strips:{line}\0{camera}"
