"""The whole line measured, each figure beside its target. Scoring is a constant in two runs, so that everything around
it is measured; with a bundle three more runs compare the line with the model alone.

1. constant     a 2 m line at 0.2 mm/px as fast as it goes: pixels a second, ingest's CPU, memory
2. real         tiles a second beside the model alone, the two in turn
3. half         the same at half of that speed: latency beside the time of scoring one frame
4. kills        the constant again with two workers, one killed every minute: nothing lost, nothing twice
5. swap         the real scorer at full speed, a promotion and a roll back in the middle (`bench_swap`)
"""

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inspection.settings import CameraSettings
from inspection.tiling import cut_image
from loomwatch.bench import BenchLine, Watched
from storage import registry

MPX_S = 50.0  # 2 m wide, 0.2 mm/px, 60 m/min
LINES = 1024
BATCH = 32  # as a worker's default
ALONE_S = 3.0  # of scoring alone, each turn: no longer than an ingestor waits for a worker
TURNS = 6
FLAT_SHARE = 0.05  # of its memory, that a process may have grown by between the second and the last third of a run
CONSTANT = {"LOOMWATCH_WORKER_CONSTANT_MS": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`good`: whether it meets the target."""

    name: str
    value: float
    unit: str
    target: str
    good: bool


def time_constant(*, seconds: float, width_mm: float = 2000.0, mm_per_px: float = 0.2) -> dict[str, Any]:
    """Run 1."""
    camera = _camera(width_mm=width_mm, mm_per_px=mm_per_px)
    with BenchLine() as line:
        line.start_worker("worker-1", CONSTANT)
        line.start_camera(camera, tile_px=256, frame_mb=3 * _mpx(width_mm, mm_per_px))
        watched, frames_per_s = line.watch(("ingest", "worker-1"), seconds=seconds, warm_s=min(10.0, seconds / 4))
        account, latencies = line.account(), line.latencies_ms()
    mpx_s = frames_per_s * _mpx(width_mm, mm_per_px)
    cores = {name: each.cpu_s / seconds / max(mpx_s, 1e-9) * MPX_S for name, each in watched.items()}
    figures = [
        Figure(name="captured to committed", value=mpx_s, unit="Mpx/s", target=f">= {MPX_S:g}", good=mpx_s >= MPX_S),
        at_most("ingest's CPU at 50 Mpx/s", cores["ingest"], "cores", 1.0),
        Figure(name="worker's CPU at 50 Mpx/s", value=cores["worker-1"], unit="cores", target="", good=True),
        *(_flat(name, each) for name, each in watched.items()),
        at_most("neither inspected nor a gap", account.missing, "frames", 0),
        at_most("stored twice", account.twice, "frames", 0),
    ]
    return result(figures, seconds=seconds, account=asdict(account), latency_p95_ms=_p95(latencies))


def time_real(bundle: Path, *, seconds: float, style: str, runtime: str, width_mm: float) -> dict[str, Any]:
    """Runs 2 and 3. The line at full speed and the model alone take turns, the line standing still meanwhile: machines
    shared with others change their speed within minutes."""
    alone = ScorerAlone(bundle, style=style, runtime=runtime, width_mm=width_mm)
    names = ("ingest", "worker-1")
    alone_tiles_per_s: list[float] = []
    rates: list[float] = []
    watched = {name: Watched() for name in names}
    with BenchLine() as line:
        model = registry.import_bundle(line.database, bundle, line.store.models_dir, source="imported", by="bench")
        registry.promote(line.database, model.name, by="bench")
        line.start_worker("worker-1", {"LOOMWATCH_WORKER_RUNTIME": runtime})
        line.start_camera(alone.camera(speed_m_min=0), tile_px=alone.tile_px, frame_mb=alone.frame_mb)
        line.wait_for_runtime("worker-1", runtime)
        for _ in range(TURNS):
            with line.standing(names):
                alone_tiles_per_s.append(alone.tiles_per_s(ALONE_S))
            rates.append(line.frames_per_s(seconds / TURNS, watched))
        full = line.stop_camera()
        frames_per_s = statistics.median(rates)
        speed_m_min = frames_per_s / 2 * LINES * alone.mm_per_px / 1000 * 60
        line.start_camera(alone.camera(speed_m_min=speed_m_min), tile_px=alone.tile_px, frame_mb=alone.frame_mb)
        line.watch(names, seconds=max(seconds, 20 / frames_per_s), warm_s=min(5.0, seconds / 4))
        latencies, half = line.latencies_ms(), line.account()
    frame_ms = alone.tiles_a_frame / statistics.median(alone_tiles_per_s) * 1000
    tiles_per_s = [rate * alone.tiles_a_frame for rate in rates]
    share = statistics.median(each / by for each, by in zip(tiles_per_s, alone_tiles_per_s, strict=True))
    ratio = _p95(latencies) / frame_ms
    figures = [
        Figure(name="the line", value=statistics.median(tiles_per_s), unit="tiles/s", target="", good=True),
        Figure(
            name="the model alone", value=statistics.median(alone_tiles_per_s), unit="tiles/s", target="", good=True
        ),
        Figure(name="the line's share of it", value=share * 100, unit="%", target=">= 90", good=share >= 0.9),
        Figure(name="p95 latency at half speed", value=_p95(latencies), unit="ms", target="", good=True),
        Figure(name="scoring one frame", value=frame_ms, unit="ms", target="", good=True),
        at_most("p95 latency by scoring one frame", ratio, "times", 3.0),
        at_most("neither inspected nor a gap", full.missing + half.missing, "frames", 0),
        at_most("stored twice", half.twice, "frames", 0),
    ]
    return result(
        figures,
        seconds=seconds,
        account=asdict(half),
        full_speed=asdict(full),
        line_tiles_per_s=tiles_per_s,
        alone_tiles_per_s=alone_tiles_per_s,
        frames_at_half_speed=len(latencies),
        cpu_cores={name: each.cpu_s / seconds for name, each in watched.items()},
    )


def time_kills(
    *, seconds: float, kill_every_s: float, width_mm: float = 2000.0, mm_per_px: float = 0.2
) -> dict[str, Any]:
    """Run 4."""
    with BenchLine() as line:
        for name in ("worker-1", "worker-2"):
            line.start_worker(name, CONSTANT)
        line.start_camera(
            _camera(width_mm=width_mm, mm_per_px=mm_per_px), tile_px=256, frame_mb=3 * _mpx(width_mm, mm_per_px)
        )
        watched, frames_per_s = line.watch(
            ("ingest", "worker-1", "worker-2"),
            seconds=seconds,
            warm_s=min(10.0, seconds / 4),
            kill_every_s=kill_every_s,
        )
        account, killed = line.account(), line.killed
    mpx_s = frames_per_s * _mpx(width_mm, mm_per_px)
    figures = [
        Figure(name="workers killed", value=killed, unit="times", target=">= 1", good=killed >= 1),
        Figure(name="captured to committed", value=mpx_s, unit="Mpx/s", target="", good=True),
        at_most("neither inspected nor a gap", account.missing, "frames", 0),
        at_most("gaps", sum(account.gaps.values()), "frames", 0),
        at_most("stored twice", account.twice, "frames", 0),
        *(_flat(name, each) for name, each in watched.items()),
    ]
    return result(figures, seconds=seconds, account=asdict(account))


class ScorerAlone:
    """The bundle without a line: one frame's tiles, scored as a worker scores them."""

    def __init__(self, bundle: Path, *, style: str, runtime: str, width_mm: float) -> None:
        from cras_core.bundle import load_bundle
        from cras_core.device import pick_device
        from ingest.edges import find_edges
        from ingest.simulator import normal_frames
        from loomwatch.commands_export import scoring_by

        self._bundle, self._runtime, self._style, self._width_mm = bundle, runtime, style, width_mm
        self._scoring_by = scoring_by
        self._scorer = load_bundle(bundle, device=pick_device("auto"))
        self.tile_px, self.mm_per_px = self._scorer.tile_px, self._scorer.mm_per_px
        (frame,) = normal_frames(
            style,
            seed=1,
            length_m=LINES * self.mm_per_px / 1000,
            frame_lines=LINES,
            width_mm=width_mm,
            mm_per_px=self.mm_per_px,
        )[:1]
        left, right = find_edges(frame) or (0, frame.shape[1])
        self._tiles = cut_image(frame[:, left:right], tile_px=self.tile_px, overlap_px=0)
        self.tiles_a_frame = len(self._tiles)
        self.frame_mb = self._tiles.nbytes / 1e6

    def camera(self, *, speed_m_min: float, defects_per_m: float = 0.0) -> CameraSettings:
        return _camera(
            width_mm=self._width_mm,
            mm_per_px=self.mm_per_px,
            style=self._style,
            speed_m_min=speed_m_min,
            defects_per_m=defects_per_m,
        )

    def tiles_per_s(self, seconds: float) -> float:
        """Of the median frame."""
        with self._scoring_by(self._scorer, self._bundle, self._runtime):
            spent: list[float] = []
            self._score()
            ends = time.monotonic() + seconds
            while len(spent) < 3 or time.monotonic() < ends:
                started = time.perf_counter()
                self._score()
                spent.append(time.perf_counter() - started)
        return self.tiles_a_frame / statistics.median(spent)

    def _score(self) -> None:
        for start in range(0, self.tiles_a_frame, BATCH):
            self._scorer.score(self._tiles[start : start + BATCH], style="")


def _camera(
    *, width_mm: float, mm_per_px: float, style: str = "plain", speed_m_min: float = 0.0, defects_per_m: float = 0.0
) -> CameraSettings:
    source = (
        f"sim://{style}?width_mm={width_mm:g}&speed_m_min={speed_m_min:.9g}&defects_per_m={defects_per_m:g}"
        "&margin_mm=10&seed=1"
    )
    return CameraSettings(
        name="camera-1", source=source, mm_per_px=mm_per_px, frame_lines=LINES, max_speed_m_min=10_000
    )


def _mpx(width_mm: float, mm_per_px: float) -> float:
    """Of a frame, in millions of pixels."""
    return round(width_mm / mm_per_px) * LINES / 1e6


def _p95(latencies: list[float]) -> float:
    return float(np.percentile(latencies, 95)) if latencies else 0.0


def at_most(name: str, value: float, unit: str, most: float) -> Figure:
    return Figure(name=name, value=value, unit=unit, target=f"<= {most:g}", good=value <= most)


def at_least(name: str, value: float, unit: str, least: float) -> Figure:
    return Figure(name=name, value=value, unit=unit, target=f">= {least:g}", good=value >= least)


def _flat(name: str, watched: Watched) -> Figure:
    most = max(FLAT_SHARE * watched.highest_mb, 5.0)
    words = f"{name}'s memory, {watched.highest_mb:.0f} MB at most, grew by"
    return Figure(
        name=words, value=watched.growth_mb, unit="MB", target=f"<= {most:.0f}", good=watched.growth_mb <= most
    )


def result(figures: list[Figure], **more: Any) -> dict[str, Any]:
    return {"figures": [asdict(figure) for figure in figures], **more}
