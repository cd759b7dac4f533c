"""`loomwatch status`: what every camera, ingest process, worker and other service tells of itself at this moment."""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from inspection.states import CameraState
from storage.live import Live, LiveIngest, LiveWorker, ServiceState
from storage.reads.gap_words import reason_in_words, warning_in_words

OLD_S = 5.0  # silent for longer: what is shown may be over


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """As Redis has it; `at_ns` is when it was asked."""

    ingestors: list[LiveIngest]
    workers: list[LiveWorker]
    services: list[ServiceState]
    at_ns: int


def read_status(live: Live) -> Status:
    """Raises `StorageError` when Redis does not answer."""
    return Status(ingestors=live.ingestors(), workers=live.workers(), services=live.services(), at_ns=time.time_ns())


def as_json(status: Status) -> dict[str, Any]:
    """The same figures under the names of `inspection.states` and `storage.live`, with ages in seconds."""
    return {
        "cameras": [
            {
                **dataclasses.asdict(camera),
                "dropped": camera.dropped,
                "ingest": ingest.state.name,
                "line": ingest.state.line,
                "credit": ingest.state.credit,
                "spool_share": ingest.state.spool_share,
                "age_s": _age_s(status, ingest.at_ns),
            }
            for ingest, camera in _cameras(status)
        ],
        "ingest": [
            {key: value for key, value in dataclasses.asdict(each.state).items() if key != "cameras"}
            | {"spool_share": each.state.spool_share, "age_s": _age_s(status, each.at_ns)}
            for each in _processes(status)
        ],
        "workers": [_with_age(status, worker) for worker in status.workers],
        "services": [_with_age(status, service) for service in status.services],
    }


def show_status(status: Status) -> RenderableType:
    """Tables for a terminal."""
    parts: list[RenderableType] = []
    if status.ingestors:
        parts += [_camera_table(status), Text(), _ingest_table(status)]
    else:
        parts.append(Text("no ingest process is heard of: does it run, and is a worker connected to it?", "yellow"))
    parts.append(Text())
    if status.workers:
        parts.append(_worker_table(status))
    else:
        parts.append(Text("no worker is heard of: start one (loomwatch worker)", "yellow"))
    others = [service for service in status.services if service.kind != "worker"]
    if others:
        parts += [Text(), _service_table(status, others)]
    for _, camera in _cameras(status):
        parts += [Text(f"{camera.camera}: {warning_in_words(warning)}", "yellow") for warning in camera.warnings]
        gaps = sorted(camera.gaps.items(), key=lambda item: -item[1])
        if gaps:
            told = "; ".join(f"{count} because {reason_in_words(reason)}" for reason, count in gaps[:4])
            parts.append(Text(f"{camera.camera}: gaps {told}", "dim"))
    return Group(*parts)


def _camera_table(status: Status) -> Table:
    table = _table("camera", "", ">frames/s", ">Mpx/s", ">m/min", ">position m", ">credit", ">waiting", ">spool",
                   ">gaps", ">dropped", ">reconnects", "warnings")  # fmt: skip
    for ingest, camera in _cameras(status):
        state = ingest.state
        table.add_row(
            camera.camera,
            _state(camera.state, _age_s(status, ingest.at_ns), good=("running", "ended")),
            f"{camera.frames_per_s:.1f}",
            f"{camera.pixels_per_s / 1e6:.1f}",
            f"{camera.speed_m_min:.1f}",
            f"{camera.position_mm / 1000:.2f}",
            str(state.credit),
            str(camera.waiting),
            _loud(f"{state.spool_share:.0%}", loud=state.spool_share > 0.5),
            _loud(str(sum(camera.gaps.values())), loud=bool(camera.gaps)),
            _loud(str(camera.dropped), loud=camera.dropped > 0),
            str(camera.reconnects),
            Text(", ".join(warning.partition(":")[0] for warning in camera.warnings), "yellow"),
        )
    return table


def _ingest_table(status: Status) -> Table:
    table = _table("ingest", "", "line", ">workers", ">with workers", ">in memory MB", ">on disk MB", ">sent",
                   ">taken back", ">given up", ">malformed", ">cut", ">refused")  # fmt: skip
    for each in _processes(status):
        state = each.state
        table.add_row(
            state.name,
            _state("running", _age_s(status, each.at_ns), good=("running",)),
            state.line,
            str(state.workers),
            str(state.leased),
            f"{state.memory_bytes / 1e6:.0f} of {state.memory_limit_bytes / 1e6:.0f}",
            f"{state.disk_bytes / 1e6:.0f} of {state.disk_limit_bytes / 1e6:.0f}",
            str(state.sent),
            str(state.taken_back),
            *(
                _loud(str(count), loud=count > 0)
                for count in (state.given_up, state.malformed, state.cut, state.refused)
            ),
        )
    return table


def _worker_table(status: Status) -> Table:
    table = _table("worker", "", "model", "runtime", ">frames/s", ">tiles/s", ">latency ms", ">p95 ms", ">scoring ms",
                   ">storing ms", ">ingestors")  # fmt: skip
    for worker in status.workers:
        table.add_row(
            worker.name,
            _state(worker.state, _age_s(status, worker.at_ns), good=("running",)),
            worker.model,
            worker.runtime,
            f"{worker.frames_per_s:.2f}",
            f"{worker.tiles_per_s:.0f}",
            f"{worker.latency_p50_ms:.0f}",
            f"{worker.latency_p95_ms:.0f}",
            f"{worker.score_ms:.0f}",
            f"{worker.store_ms:.0f}",
            _loud(str(worker.ingestors), loud=worker.ingestors == 0),
        )
    return table


def _service_table(status: Status, services: list[ServiceState]) -> Table:
    table = _table("service", "", "", "")
    for service in services:
        state = _state(service.state, _age_s(status, service.at_ns), good=("waiting", "training", "running"))
        table.add_row(service.name, service.kind, state, service.detail)
    return table


def _cameras(status: Status) -> list[tuple[LiveIngest, CameraState]]:
    return [(each, camera) for each in status.ingestors for camera in each.state.cameras]


def _processes(status: Status) -> list[LiveIngest]:
    """One of each name: a process of many cameras tells its state in parts."""
    return list({each.state.name: each for each in status.ingestors}.values())


def _with_age(status: Status, entry: LiveWorker | ServiceState) -> dict[str, Any]:
    return dataclasses.asdict(entry) | {"age_s": _age_s(status, entry.at_ns)}


def _age_s(status: Status, at_ns: int) -> float:
    return round(max(status.at_ns - at_ns, 0) / 1e9, 1)


def _table(*columns: str) -> Table:
    """Columns that begin with > hold numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left")
    return table


def _state(state: str, age_s: float, *, good: tuple[str, ...]) -> Text:
    if age_s > OLD_S:
        return Text(f"silent for {age_s:.0f} s", "bold red")
    return Text(state, "green" if state in good else "bold yellow")


def _loud(text: str, *, loud: bool) -> Text:
    return Text(text, "bold yellow" if loud else "")
