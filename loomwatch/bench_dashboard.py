"""What people in front of the dashboard cost a running line, and whether the dashboard lasts.

1. memory   a slow line and viewers on the page Line for hours: resident memory of the dashboard's server, flat or not
2. load     the line as fast as it goes, with nobody looking, with viewers and reviewers, and with nobody again

How long people wait for the pages is measured by `bench_pages`.

The viewers (`bench_viewers`) run in this process; their own CPU is told, since on a mill's network it is elsewhere.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from inspection.errors import ServiceError
from inspection.settings import DashboardSettings, load
from loomwatch.bench import LINE, BenchLine, Watched, signed_in
from loomwatch.bench_pipeline import FLAT_SHARE, Figure, ScorerAlone, at_most, result
from loomwatch.bench_viewers import Viewer
from storage import registry, rolls
from storage.accounts.roles import Role

BY = "bench"
DEFECTS_PER_M = 2.0
ROLL_S = 900.0  # a roll of the memory's run
SAMPLE_S = 10.0
REVIEW_S = 12.0  # between two verdicts of a reviewer: 300 an hour
MOST_DROP = 5.0  # % of the line's speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the dashboard's server."""

    at_s: float
    rss_mb: float
    cpu_s: float
    runs: int  # of pages and their parts, by all viewers
    pictures: int


class WatchedLine:
    """A line with its dashboard and accounts. Use with `with`."""

    def __init__(self, bundle: Path, *, style: str, runtime: str, width_mm: float, port: int) -> None:
        self.alone = ScorerAlone(bundle, style=style, runtime=runtime, width_mm=width_mm)
        self._bundle, self._style, self._runtime = bundle, style, runtime
        self._settings = load(DashboardSettings, port=port)
        self._stack = ExitStack()

    def __enter__(self) -> "WatchedLine":
        with ExitStack() as stack:
            self.line = stack.enter_context(BenchLine())
            line = self.line
            model = registry.import_bundle(line.database, self._bundle, line.store.models_dir, source="imported", by=BY)
            registry.promote(line.database, model.name, by=BY)
            roles: tuple[Role, ...] = ("viewer", "operator")
            self._cookies = {role: "=".join(signed_in(line.database, self._settings, role)) for role in roles}
            line.start_dashboard(self._settings)
            line.start_worker("worker-1", {"LOOMWATCH_WORKER_RUNTIME": self._runtime})
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_camera(self, *, speed_m_min: float) -> None:
        self.open_roll()
        camera = self.alone.camera(speed_m_min=speed_m_min, defects_per_m=DEFECTS_PER_M)
        self.line.start_camera(camera, tile_px=self.alone.tile_px, frame_mb=self.alone.frame_mb)
        self.line.wait_for_frame()

    def open_roll(self) -> None:
        """The next one."""
        if any(roll.closed_at is None and not roll.automatic for roll in rolls.list_rolls(self.line.database)):
            rolls.close_roll(self.line.database, line=LINE, by=BY)
        number = len(rolls.list_rolls(self.line.database))
        rolls.open_roll(self.line.database, line=LINE, name=f"R-{number + 1}", style=self._style, by=BY)

    @contextmanager
    def people(self, *, viewers: int, reviewers: int = 0) -> Iterator[list[Viewer]]:
        address = f"http://{self._settings.host}:{self._settings.port}"
        with ExitStack() as stack:
            yield [
                *(stack.enter_context(Viewer(address, cookie=self._cookies["viewer"])) for _ in range(viewers)),
                *(
                    stack.enter_context(
                        Viewer(
                            address,
                            cookie=self._cookies["operator"],
                            page="review",
                            act="Confirm defect",
                            act_every_s=REVIEW_S,
                        )
                    )
                    for _ in range(reviewers)
                ),
            ]

    def server(self) -> psutil.Process:
        """Streamlit's process, whose parent checks on it."""
        pid = self.line.supervisor.pid("dashboard")
        children = psutil.Process(pid).children() if pid else []
        if not children:
            raise ServiceError("the dashboard has no server process: look at its log")
        return children[0]


def watch_memory(
    line: WatchedLine,
    *,
    seconds: float,
    viewers: int,
    speed_m_min: float,
    tell: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Run 1. tell: what is known so far, after each sample."""
    line.start_camera(speed_m_min=speed_m_min)
    samples: list[Sample] = []
    with line.people(viewers=viewers) as people:
        started = roll_since = time.monotonic()
        while (now := time.monotonic()) - started < seconds:
            line.line.supervisor.check()
            if now - roll_since >= ROLL_S:
                line.open_roll()
                roll_since = now
            samples.append(_look(line.server(), people, at_s=now - started))
            tell(_memory(samples, people, seconds=seconds))
            time.sleep(SAMPLE_S)
    return _memory(samples, people, seconds=seconds)


def _look(server: psutil.Process, people: Sequence[Viewer], *, at_s: float) -> Sample:
    times = server.cpu_times()
    return Sample(
        at_s=round(at_s, 1),
        rss_mb=round(server.memory_info().rss / 1e6, 2),
        cpu_s=round(times.user + times.system, 2),
        runs=sum(viewer.runs for viewer in people),
        pictures=sum(viewer.pictures for viewer in people),
    )


def _memory(samples: Sequence[Sample], people: Sequence[Viewer], *, seconds: float) -> dict[str, Any]:
    watched = Watched(rss_mb=[(sample.at_s, sample.rss_mb) for sample in samples])
    first, last = samples[0], samples[-1]
    hours = max(last.at_s - first.at_s, 1e-9) / 3600
    most = max(FLAT_SHARE * watched.highest_mb, 5.0)
    figures = [
        Figure(name="dashboard's memory, at most", value=watched.highest_mb, unit="MB", target="", good=True),
        at_most("from the second to the last third it grew by", watched.growth_mb, "MB", round(most, 1)),
        Figure(
            name="dashboard's CPU", value=(last.cpu_s - first.cpu_s) / hours / 3600, unit="cores", target="", good=True
        ),
        _alive(people),
    ]
    return result(figures, seconds=seconds, samples=[asdict(sample) for sample in samples])


def time_load(line: WatchedLine, *, seconds: float, viewers: int, reviewers: int) -> dict[str, Any]:
    """Run 2: three times `seconds`."""
    line.start_camera(speed_m_min=0.0)
    before = _frames_per_s(line, seconds)
    server, own = line.server(), psutil.Process(os.getpid())
    with line.people(viewers=viewers, reviewers=reviewers) as people:
        time.sleep(min(10.0, seconds / 4))  # they have opened their pages
        spent = [_cpu_s(server), _cpu_s(own)]
        runs = sum(viewer.runs for viewer in people)
        watched = _frames_per_s(line, seconds)
        spent = [_cpu_s(each) - earlier for each, earlier in zip((server, own), spent, strict=True)]
        runs = sum(viewer.runs for viewer in people) - runs
    time.sleep(min(10.0, seconds / 4))
    after = _frames_per_s(line, seconds)
    alone = (before + after) / 2
    figures = [
        Figure(name="frames, nobody looking", value=alone, unit="frames/s", target="", good=True),
        Figure(name="frames, people looking", value=watched, unit="frames/s", target="", good=True),
        at_most("the line's speed dropped by", (1 - watched / alone) * 100, "%", MOST_DROP),
        Figure(name="dashboard's CPU", value=spent[0] / seconds, unit="cores", target="", good=True),
        Figure(name="viewers' own CPU", value=spent[1] / seconds, unit="cores", target="", good=True),
        Figure(name="parts of pages drawn", value=runs / seconds, unit="a second", target="", good=True),
        _alive(people),
    ]
    acts = sum(viewer.acts for viewer in people)
    return result(figures, seconds=seconds, frames_per_s=[before, watched, after], verdicts=acts)


def _alive(people: Sequence[Viewer]) -> Figure:
    return at_most("viewers that lost the dashboard", sum(bool(viewer.problem) for viewer in people), "", 0)


def _frames_per_s(line: WatchedLine, seconds: float) -> float:
    began, before = time.monotonic(), line.line.frames()
    time.sleep(seconds)
    line.line.supervisor.check()
    return (line.line.frames() - before) / (time.monotonic() - began)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
