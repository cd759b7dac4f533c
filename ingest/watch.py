"""What an ingestor tells of itself: one state, put together once a second by the sender, and told three ways: to the
workers (from where the screens have it), to Prometheus, and as what keeps it from its work."""

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ingest.admission import Admission
from ingest.spool import Spool
from ingest.tally import Tally
from inspection.states import CameraState, IngestState


class Link(Protocol):
    """The counters of `ingest.sender.Sender`."""

    @property
    def workers(self) -> int: ...
    @property
    def credit(self) -> int: ...
    @property
    def leased(self) -> int: ...
    @property
    def sent(self) -> int: ...
    @property
    def taken_back(self) -> int: ...
    @property
    def given_up(self) -> int: ...
    @property
    def cut(self) -> int: ...

    malformed: int


class Watch:
    """One process's. `look` is called by the sender's thread, the rest by any."""

    def __init__(self, name: str, *, line: str, spool: Spool, admission: Admission | None = None) -> None:
        self._name, self._line = name, line
        self._spool = spool
        self._admission = admission
        self._tallies: list[Tally] = []
        self.state: IngestState | None = None  # as of the last look

    def add(self, tally: Tally) -> None:
        """Before the first look that shall show it."""
        self._tallies.append(tally)

    def look(self, link: Link) -> IngestState:
        figures = self._spool.figures
        self.state = IngestState(
            name=self._name,
            line=self._line,
            cameras=tuple(
                self._camera(tally, figures.gaps_of(tally.camera), figures.waiting) for tally in self._tallies
            ),
            workers=link.workers,
            credit=link.credit,
            leased=link.leased,
            waiting=figures.records,
            memory_bytes=figures.memory_bytes,
            memory_limit_bytes=figures.memory_limit_bytes,
            disk_bytes=figures.disk_bytes,
            disk_limit_bytes=figures.disk_limit_bytes,
            sent=link.sent,
            taken_back=link.taken_back,
            given_up=link.given_up,
            malformed=link.malformed,
            cut=link.cut,
            refused=self._admission.refused if self._admission is not None else 0,
        )
        return self.state

    def problems(self) -> list[str]:
        state = self.state
        if state is None:
            return ["it starts"]
        away = [camera.camera for camera in state.cameras if camera.state == "away"]
        found = []
        if away and len(away) == len(state.cameras):
            found.append(f"no camera is open: {', '.join(away)} away")
        if not state.workers:
            found.append("no worker is connected")
        return found

    def collect(self) -> Iterator[Metric]:
        """The metrics of docs/metrics.md."""
        state = self.state
        if state is None:
            return
        by_camera = ("line", "camera")
        frames = _counter("frames_captured", "Frames and gaps that passed a camera.", by_camera)
        metres = _counter("captured_meters", "Cloth that passed a camera.", by_camera)
        gaps = _counter("gaps", "Frames that became gaps, and gaps as such.", (*by_camera, "reason"))
        reconnects = _counter("reconnects", "Times that a lost camera was opened again.", by_camera)
        up = _gauge("camera_up", "1 while the camera is open, or has ended in order; 0 while it is away.", by_camera)
        position = _gauge("position_meters", "Where the camera's last frame ends, on its counter.", by_camera)
        speed = _gauge("speed_meters_per_second", "Cloth that passed in the last ten seconds.", by_camera)
        pixels = _gauge("pixels_per_second", "Pixels captured in the last ten seconds.", by_camera)
        waiting = _gauge("spool_records", "Records of a camera that wait or are with workers.", by_camera)
        silent = _gauge("camera_silent_seconds", "Since the camera's last sign of life.", by_camera)
        warnings = _gauge("camera_warnings", "Warnings of the camera's last frame.", by_camera)
        for camera in state.cameras:
            labels = (state.line, camera.camera)
            frames.add_metric(labels, camera.captured)
            metres.add_metric(labels, camera.captured_mm / 1000)
            for reason, count in sorted(camera.gaps.items()):
                gaps.add_metric((*labels, reason), count)
            reconnects.add_metric(labels, camera.reconnects)
            up.add_metric(labels, camera.state != "away")
            position.add_metric(labels, camera.position_mm / 1000)
            speed.add_metric(labels, camera.speed_m_min / 60)
            pixels.add_metric(labels, camera.pixels_per_s)
            waiting.add_metric(labels, camera.waiting)
            silent.add_metric(labels, camera.silent_s)
            warnings.add_metric(labels, len(camera.warnings))
        yield from (frames, metres, gaps, reconnects, up, position, speed, pixels, waiting, silent, warnings)
        yield from _link_metrics(state)

    def _camera(self, tally: Tally, gaps: dict[str, int], waiting: dict[str, int]) -> CameraState:
        counted = tally.count()
        return CameraState(
            camera=tally.camera,
            state=counted.state,
            position_mm=counted.position_mm,
            speed_m_min=counted.speed_m_min,
            frames_per_s=counted.frames_per_s,
            pixels_per_s=counted.pixels_per_s,
            captured=counted.captured,
            captured_mm=counted.captured_mm,
            gaps=gaps,
            waiting=waiting.get(tally.camera, 0),
            reconnects=counted.reconnects,
            warnings=counted.warnings,
            silent_s=counted.silent_s,
        )


def _link_metrics(state: IngestState) -> Iterator[Metric]:
    size = _gauge("spool_bytes", "Pixels that wait or are with workers.", ("place",))
    limit = _gauge("spool_limit_bytes", "How much the spool may hold.", ("place",))
    for place, used, most in (
        ("memory", state.memory_bytes, state.memory_limit_bytes),
        ("disk", state.disk_bytes, state.disk_limit_bytes),
    ):
        size.add_metric((place,), used)
        limit.add_metric((place,), most)
    yield from (size, limit)
    for name, about, value in (
        ("workers", "Workers connected.", state.workers),
        ("credit_records", "Records that workers ask for and that are not there yet.", state.credit),
        ("leased_records", "Records with workers.", state.leased),
    ):
        yield _gauge(name, about, value=value)
    for name, about, value in (
        ("records_sent", "Records sent to workers, resends included.", state.sent),
        ("records_taken_back", "Records whose worker did not finish them.", state.taken_back),
        ("frames_given_up", "Frames that became gaps because every worker that tried them died.", state.given_up),
        ("messages_malformed", "Messages of workers that were dropped.", state.malformed),
        ("connections_cut", "Connections shut down for what they sent, or for a revoked key.", state.cut),
        ("keys_refused", "Handshakes with a key that is not listed.", state.refused),
    ):
        yield _counter(name, about, value=value)


def _counter(
    name: str, about: str, labels: tuple[str, ...] | None = None, value: float | None = None
) -> CounterMetricFamily:
    return CounterMetricFamily(f"loomwatch_ingest_{name}", about, labels=labels, value=value)


def _gauge(
    name: str, about: str, labels: tuple[str, ...] | None = None, value: float | None = None
) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"loomwatch_ingest_{name}", about, labels=labels, value=value)
