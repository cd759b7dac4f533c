"""The figures of a run: what the cameras captured, what was inspected, what was found, how fast.

`captured` is the ingestors' own count, `inspected` and `gap` are sums of what was stored; all are camera metres, that
is summed over the cameras of a line.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import func, select

from storage.database import Database
from storage.rolls import in_roll, list_rolls
from storage.tables import CaptureRow, DefectRow, FragmentRow, FrameRow, GapRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of everything captured since a time. Lengths in mm, latencies (captured -> stored) in ms."""

    frames: int
    gaps: int
    tiles: int
    defects: int
    captured_mm: float
    inspected_mm: float
    gap_mm: float
    tiles_per_s: float
    latency_p50_ms: float
    latency_p95_ms: float

    @property
    def coverage_pct(self) -> float:
        """Inspected of captured; 100 before anything was captured."""
        return 100.0 * self.inspected_mm / self.captured_mm if self.captured_mm > 0 else 100.0


def figures_since(database: Database, start: datetime, *, latest: int | None = None) -> Figures:
    """Figures of everything captured from `start` on; latencies of the `latest` frames, None: of all."""
    since = FrameRow.captured_at >= start
    with database.reading() as session:
        frames, tiles, inspected_mm, first, last = session.execute(
            select(
                func.count(),
                func.coalesce(func.sum(FrameRow.tiles), 0),
                func.coalesce(func.sum(FrameRow.length_mm), 0.0),
                func.min(FrameRow.captured_at),
                func.max(FrameRow.stored_at),
            ).where(since)
        ).one()
        latencies = session.scalars(
            select(FrameRow.latency_ms).where(since).order_by(FrameRow.id.desc()).limit(latest)
        ).all()
        gaps, gap_mm = session.execute(
            select(func.count(), func.coalesce(func.sum(GapRow.length_mm), 0.0)).where(GapRow.captured_at >= start)
        ).one()
        captured_mm = session.scalar(
            select(func.coalesce(func.sum(CaptureRow.captured_mm), 0.0)).where(CaptureRow.started_at >= start)
        )
        defects = session.scalar(select(func.count()).select_from(DefectRow).where(DefectRow.captured_at >= start))
    span_s = (last - first).total_seconds() if frames else 0.0
    p50, p95 = np.percentile(latencies, [50, 95]) if latencies else (0.0, 0.0)
    return Figures(
        frames=frames,
        gaps=gaps,
        tiles=tiles,
        defects=defects or 0,
        captured_mm=captured_mm or 0.0,
        inspected_mm=inspected_mm,
        gap_mm=gap_mm,
        tiles_per_s=tiles / span_s if span_s > 0 else 0.0,
        latency_p50_ms=float(p50),
        latency_p95_ms=float(p95),
    )


def as_json(database: Database, start: datetime) -> dict[str, Any]:
    """The figures as `loomwatch demo --json` writes them."""
    figures = figures_since(database, start)
    return {
        "frames": figures.frames,
        "gaps": figures.gaps,
        "tiles": figures.tiles,
        "defects": figures.defects,
        "captured_m": round(figures.captured_mm / 1000, 6),
        "inspected_m": round(figures.inspected_mm / 1000, 6),
        "gap_m": round(figures.gap_mm / 1000, 6),
        "coverage_pct": round(figures.coverage_pct, 3),
        "tiles_per_s": round(figures.tiles_per_s, 3),
        "latency_p50_ms": round(figures.latency_p50_ms, 1),
        "latency_p95_ms": round(figures.latency_p95_ms, 1),
        "rolls": rolls_json(database, start),
    }


def rolls_json(database: Database, start: datetime) -> list[dict[str, Any]]:
    """The rolls that ran since `start`, oldest first, with every defect's place."""
    found = []
    for roll in sorted(list_rolls(database), key=lambda roll: roll.opened_at):
        with database.reading() as session:
            frames = session.execute(
                select(FrameRow.tiles, FrameRow.length_mm).where(in_roll(roll, FrameRow), FrameRow.captured_at >= start)
            ).all()
            gap_mm = session.scalar(
                select(func.coalesce(func.sum(GapRow.length_mm), 0.0)).where(
                    in_roll(roll, GapRow), GapRow.captured_at >= start
                )
            )
            defects = session.execute(
                select(DefectRow, FragmentRow, FrameRow.origin)
                .join(
                    FragmentRow,
                    (FragmentRow.frame_id == DefectRow.frame_id) & (FragmentRow.number == DefectRow.fragment),
                )
                .join(FrameRow, FrameRow.id == DefectRow.frame_id)
                .where(in_roll(roll, DefectRow), DefectRow.captured_at >= start)
                .order_by(DefectRow.id)
            ).all()
        if not frames and not gap_mm:
            continue
        inspected_mm = sum(frame.length_mm for frame in frames)
        whole_mm = inspected_mm + (gap_mm or 0.0)
        found.append(
            {
                "name": roll.name,
                "line": roll.line,
                "style": roll.style,
                "frames": len(frames),
                "tiles": sum(frame.tiles for frame in frames),
                "inspected_m": round(inspected_mm / 1000, 6),
                "gap_m": round((gap_mm or 0.0) / 1000, 6),
                "coverage_pct": round(100 * inspected_mm / whole_mm, 3) if whole_mm else 100.0,
                "defects": len(defects),
                "defect_list": [_defect_json(defect, peak, origin) for defect, peak, origin in defects],
            }
        )
    return found


def _defect_json(defect: DefectRow, peak: FragmentRow, origin: str) -> dict[str, Any]:
    """`file` and `box_px` are of its strongest fragment."""
    return {
        "id": defect.id,
        "camera": defect.camera,
        "file": origin,
        "box_px": [peak.x0_px, peak.y0_px, peak.x1_px, peak.y1_px],
        "box_mm": [round(value, 3) for value in (defect.x0_mm, defect.y0_mm, defect.x1_mm, defect.y1_mm)],
        "area_mm2": round(defect.area_mm2, 3),
        "geometry": defect.geometry,
        "size_mm": round(defect.size_mm, 3),
        "fragments": defect.fragments,
        "score": defect.score,
        "threshold": defect.threshold,
    }
