"""Tells once a second how the worker is, and how the ingestors are that it is connected to: they have no Redis of their
own. A thread of its own, so that a frame that takes long leaves no worker looking dead."""

import logging
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from inference_worker.figures import Figures
from inference_worker.inspect import Models
from inference_worker.receiver import Receiver
from storage.database import Database
from storage.live import Live, LiveIngest, LiveWorker, ServiceState

log = logging.getLogger(__name__)

TELL_S = 1.0


class Slot(Protocol):
    """Where the running model is: `slot.ModelSlot` or `constant.ConstantSlot`."""

    problem: str

    def scorer(self) -> Models | None: ...
    def wait(self, timeout_s: float) -> None: ...


class Teller:
    """Use with `with`; the worker sets `slot`, `running` and `receiver` as it gets them."""

    def __init__(self, name: str, *, live: Live, database: Database, figures: Figures) -> None:
        self.slot: Slot | None = None
        self.running: Models | None = None
        self.receiver: Receiver | None = None
        self._name = name
        self._live = live
        self._database = database
        self._figures = figures
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def problems(self) -> list[str]:
        """What keeps the worker from inspecting. A promoted model that does not load is none while another runs."""
        found = []
        if self.running is None:
            found.append(self._model_problem() or "no model is loaded yet")
        elif self.receiver is not None and not self.receiver.connected:
            found.append("no ingestor is connected")
        if problem := self._database.problem():
            found.append(problem)
        return found

    def collect(self) -> Iterator[Metric]:
        """The metrics of docs/metrics.md."""
        yield from self._figures.collect()
        running, receiver = self.running, self.receiver
        model = InfoMetricFamily("loomwatch_worker_model", "The running model and its runtime.")
        if running is not None:
            model.add_metric((), {"model": running.name, "runtime": running.runtime_name})
        yield model
        yield GaugeMetricFamily(
            "loomwatch_worker_ingestors", "Ingestors connected.", value=receiver.connected if receiver else 0
        )
        yield CounterMetricFamily(
            "loomwatch_worker_messages_malformed",
            "Messages of ingestors that were dropped.",
            value=receiver.malformed if receiver else 0,
        )
        yield CounterMetricFamily(
            "loomwatch_worker_connections_cut",
            "Connections shut down for what they sent.",
            value=receiver.cut if receiver else 0,
        )

    def _run(self) -> None:
        while True:
            try:
                self._tell()
            except Exception:  # the thread's outermost: the line goes on without live figures
                log.exception("live figures are not told")
            if self._stop.wait(TELL_S):
                return

    def _tell(self) -> None:
        running, problem, now_ns = self.running, self._model_problem(), time.time_ns()
        state = "waiting" if running is None else "problem" if problem else "running"
        detail = problem or (f"{running.name} by {running.runtime_name}" if running else "")
        self._live.publish_service(
            ServiceState(name=self._name, kind="worker", state=state, detail=detail, at_ns=now_ns)
        )
        recent = self._figures.recent()
        self._live.publish_worker(
            LiveWorker(
                name=self._name,
                state=state,
                model=running.name if running else "",
                runtime=running.runtime_name if running else "",
                act=running.act if running else 0,
                frames=recent.frames,
                frames_per_s=recent.frames_per_s,
                tiles_per_s=recent.tiles_per_s,
                latency_p50_ms=recent.latency_p50_ms,
                latency_p95_ms=recent.latency_p95_ms,
                score_ms=recent.score_ms,
                store_ms=recent.store_ms,
                ingestors=self.receiver.connected if self.receiver else 0,
                at_ns=now_ns,
            )
        )
        for ingest in self.receiver.states() if self.receiver else []:
            cameras = ingest.cameras
            self._live.publish_ingest(LiveIngest(state=ingest, at_ns=now_ns), part=cameras[0].camera if cameras else "")

    def _model_problem(self) -> str:
        return self.slot.problem if self.slot is not None else ""
