"""What a worker counts: metrics for Prometheus (docs/metrics.md), and the last minute for the screens."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
from prometheus_client import Counter, Histogram
from prometheus_client.core import Metric

from inspection.types import FrameReport, Gap

WINDOW_S = 60.0
MOST = 4096  # frames in the window
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300)  # buckets
BY_CAMERA = ("line", "camera")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """The last minute; all 0 without a frame in it. Latency is from capture to commit."""

    frames: int = 0  # since the start
    frames_per_s: float = 0.0
    tiles_per_s: float = 0.0
    latency_ms: float = 0.0  # the last frame's
    latency_p50_ms: float = 0.0
    latency_p95_ms: float = 0.0
    score_ms: float = 0.0
    store_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class _Frame:
    at: float
    tiles: int
    latency_ms: float
    score_ms: float
    store_ms: float


class Figures:
    """One worker's. The worker's thread counts, any thread reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[_Frame] = deque(maxlen=MOST)
        self._inspected = 0
        self.frames = _counter("frames_inspected", "Frames inspected and stored.", BY_CAMERA)
        self.tiles = _counter("tiles_inspected", "Tiles of these frames.", BY_CAMERA)
        self.regions = _counter("regions_found", "Regions over the threshold in these frames.", BY_CAMERA)
        self.gaps = _counter("gaps_stored", "Gaps received or made, and stored.", (*BY_CAMERA, "reason"))
        self.store_retries = _counter("store_retries", "Times that storing failed and was tried again.")
        self.latency = _histogram("frame_latency_seconds", "From a frame's capture to its commit.")
        self.score = _histogram("frame_score_seconds", "To score a frame, from when it was taken in hand.")
        self.store = _histogram("frame_store_seconds", "From a frame's scores to its commit.")

    def inspected(self, report: FrameReport, *, stored_at_ns: int) -> None:
        header, tiles = report.header, len(report.tile_scores)
        frame = _Frame(
            at=time.monotonic(),
            tiles=tiles,
            latency_ms=_between_ms(header.captured_at_ns, stored_at_ns),
            score_ms=_between_ms(report.received_at_ns, report.scored_at_ns),
            store_ms=_between_ms(report.scored_at_ns, stored_at_ns),
        )
        with self._lock:
            self._recent.append(frame)
            self._inspected += 1
        labels = header.line, header.camera
        self.frames.labels(*labels).inc()
        self.tiles.labels(*labels).inc(tiles)
        self.regions.labels(*labels).inc(len(report.defects))
        self.latency.observe(frame.latency_ms / 1000)
        self.score.observe(frame.score_ms / 1000)
        self.store.observe(frame.store_ms / 1000)

    def gap(self, gap: Gap) -> None:
        self.gaps.labels(gap.line, gap.camera, gap.reason.partition(":")[0]).inc()

    def recent(self) -> Recent:
        now = time.monotonic()
        with self._lock:
            while self._recent and now - self._recent[0].at > WINDOW_S:
                self._recent.popleft()
            frames, inspected = list(self._recent), self._inspected
        if not frames:
            return Recent(frames=inspected)
        span_s = now - frames[0].at
        p50, p95 = np.percentile([frame.latency_ms for frame in frames], [50, 95])
        return Recent(
            frames=inspected,
            frames_per_s=(len(frames) - 1) / span_s if span_s > 0 else 0.0,
            tiles_per_s=sum(frame.tiles for frame in frames[1:]) / span_s if span_s > 0 else 0.0,
            latency_ms=frames[-1].latency_ms,
            latency_p50_ms=float(p50),
            latency_p95_ms=float(p95),
            score_ms=median(frame.score_ms for frame in frames),
            store_ms=median(frame.store_ms for frame in frames),
        )

    def collect(self) -> Iterator[Metric]:
        for each in (self.frames, self.tiles, self.regions, self.gaps, self.store_retries):
            yield from each.collect()
        for histogram in (self.latency, self.score, self.store):
            yield from histogram.collect()


def _between_ms(start_ns: int, end_ns: int) -> float:
    return max(0.0, (end_ns - start_ns) / 1e6)  # two hosts' clocks


def _counter(name: str, about: str, labels: tuple[str, ...] = ()) -> Counter:
    return Counter(f"loomwatch_worker_{name}", about, labels, registry=None)


def _histogram(name: str, about: str) -> Histogram:
    return Histogram(f"loomwatch_worker_{name}", about, buckets=SECONDS, registry=None)
