"""A promotion and a roll back in the middle of full load: what they cost in latency, and that no frame is lost.

Both models are the same bundle under two names, so that every difference is the swap's. The candidate is loaded, warmed
and given its runtime while frames are inspected; that, too, counts as the swap.
"""

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from inspection.errors import ServiceError
from loomwatch.bench import BenchLine
from loomwatch.bench_pipeline import Figure, ScorerAlone, at_most, result
from storage import registry
from storage.tables import FrameRow

WORKERS = ("worker-1", "worker-2")
FOLLOW_S = 120.0  # that a promotion may take to load on a busy machine
AFTER_S = 2.0  # behind the last worker's swap, that still counts as it
TWICE = 2.0


@dataclass(slots=True)
class Swap:
    """began: when it was asked for; ended: when the last worker followed and `AFTER_S` more; took_s: until it did."""

    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime = field(default_factory=lambda: datetime.now(UTC))
    took_s: float = 0.0


def time_swap(
    bundle: Path, *, seconds: float, style: str, runtime: str, width_mm: float, workers: int
) -> dict[str, Any]:
    """`seconds` before, between and behind the two swaps."""
    from cras_core.bundle import load_model, read_manifest, save_bundle

    alone = ScorerAlone(bundle, style=style, runtime=runtime, width_mm=width_mm)
    swaps: list[Swap] = []
    with BenchLine() as line:
        database, models_dir = line.database, line.store.models_dir
        first = registry.import_bundle(database, bundle, models_dir, source="imported", by="bench")
        copy = line.store.data_dir / "copy"
        manifest = read_manifest(bundle)
        other = f"{first.name}-2"
        save_bundle(load_model(bundle), copy, name=other, provenance=manifest["provenance"], metrics={})
        registry.import_bundle(database, copy, models_dir, source="imported", by="bench")
        registry.promote(database, first.name, by="bench")
        names = WORKERS[:workers]
        for name in names:
            line.start_worker(name, {"LOOMWATCH_WORKER_RUNTIME": runtime})

        def swap(act: str) -> None:
            swaps.append(Swap())
            if act == "promote":
                registry.promote(database, other, by="bench")
            else:
                registry.rollback(database, by="bench")
            swaps[-1].took_s = _wait(line)
            time.sleep(AFTER_S)
            swaps[-1].ended = datetime.now(UTC)

        line.start_camera(alone.camera(speed_m_min=0), tile_px=alone.tile_px, frame_mb=alone.frame_mb)
        line.watch(
            ("ingest", *names),
            seconds=3 * seconds,
            warm_s=min(5.0, seconds / 4),
            acts=((seconds, lambda: swap("promote")), (2 * seconds, lambda: swap("roll back"))),
        )
        account = line.account()
        with database.reading() as session:
            rows = session.execute(
                select(FrameRow.captured_at, FrameRow.latency_ms, FrameRow.model).where(
                    FrameRow.captured_at >= line.began
                )
            ).all()
    usual, ratios = _p99([ms for at, ms, _ in rows if not any(each.began <= at <= each.ended for each in swaps)]), []
    found = []
    for name, each in zip(("promotion", "roll back"), swaps, strict=True):
        p99 = _p99([ms for at, ms, _ in rows if each.began <= at <= each.ended])
        ratios.append(p99 / usual if usual else 0.0)
        found += [
            Figure(name=f"p99 latency during the {name}", value=p99, unit="ms", target="", good=True),
            at_most(f"p99 latency during the {name} by the usual", ratios[-1], "times", TWICE),
        ]
    figures = [
        Figure(name="frames", value=float(len(rows)), unit="", target="", good=True),
        Figure(name="usual p99 latency", value=usual, unit="ms", target="", good=True),
        *found,
        Figure(name="every worker follows the promotion", value=swaps[0].took_s, unit="s", target="", good=True),
        at_most("every worker follows the roll back", swaps[1].took_s, "s", 5.0),
        Figure(
            name="models that inspected", value=len({m for _, _, m in rows}), unit="", target=">= 2",
            good=len({m for _, _, m in rows}) == 2,
        ),
        at_most("neither inspected nor a gap", account.missing, "frames", 0),
        at_most("gaps", sum(account.gaps.values()), "frames", 0),
        at_most("stored twice", account.twice, "frames", 0),
    ]  # fmt: skip
    return result(figures, seconds=seconds, account=asdict(account))


def _wait(line: BenchLine) -> float:
    """Seconds until every worker runs what is in force, as they tell once a second."""
    force = registry.in_force(line.database)
    wanted, started = force.act if force else 0, time.monotonic()
    while not all(worker.act >= wanted for worker in line.live.workers()):
        line.supervisor.check()
        if time.monotonic() - started > FOLLOW_S:
            raise ServiceError(f"a worker does not follow after {FOLLOW_S:.0f} s: look at its log")
        time.sleep(0.05)
    return time.monotonic() - started


def _p99(latencies: list[float]) -> float:
    return float(np.percentile(latencies, 99)) if latencies else 0.0
