"""How each camera does: its latest record, and means over its recent frames."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inspection.types import warnings_of
from storage.database import Database
from storage.reads.review_state import strength_of
from storage.tables import CameraRow, CaptureRow, FragmentRow, FrameRow, GapRow

RECENT_FRAMES = 60  # what the live figures of a camera rest on
RECENT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFigures:
    """What the database knows of one camera: its latest record, and means over its recent frames."""

    line: str
    camera: str
    captured_at: datetime  # of the latest frame or gap
    heard_at: datetime  # when that was stored
    ended: bool  # the camera said that it has captured everything
    position_mm: float  # end of the latest record
    speed_m_min: float  # 0 when standing still or unknown
    latency_ms: float  # median, captured -> stored; 0 before the first inspected frame
    tiles_per_s: float
    inspected_mm: float  # of the last 10 minutes of this session
    gap_mm: float
    gap_reason: str  # of the latest gap in these minutes, "" when there was none
    model: str  # of the latest frame, "" before the first
    style: str
    score: float
    threshold: float
    warnings: tuple[str, ...]  # of the latest frame: codes of `inspection.types.WARNINGS`, optionally ": detail"

    @property
    def coverage(self) -> float:
        """Inspected share of what was captured, 0 to 1; 0 while nothing was captured."""
        captured = self.inspected_mm + self.gap_mm
        return self.inspected_mm / captured if captured > 0 else 0.0


def camera_figures(database: Database) -> list[CameraFigures]:
    """One entry a camera that ever delivered something, by line and name."""
    with database.reading() as session:
        cameras = session.execute(select(CameraRow.line, CameraRow.name).order_by(CameraRow.line, CameraRow.name)).all()
        found = [_camera_figures(session, line, camera) for line, camera in cameras]
    return [figures for figures in found if figures is not None]


def _camera_figures(session: Session, line: str, camera: str) -> CameraFigures | None:
    frames = session.execute(
        select(
            FrameRow.session,
            FrameRow.captured_at,
            FrameRow.stored_at,
            FrameRow.position_mm,
            FrameRow.length_mm,
            FrameRow.latency_ms,
            FrameRow.tiles,
            FrameRow.model,
            FrameRow.style,
            FrameRow.score_max,
            FrameRow.threshold,
            FrameRow.quality_flags,
        )
        .where(FrameRow.line == line, FrameRow.camera == camera)
        .order_by(FrameRow.captured_at.desc(), FrameRow.id.desc())
        .limit(RECENT_FRAMES)
    ).all()
    gap = session.execute(
        select(
            GapRow.session,
            GapRow.captured_at,
            GapRow.stored_at,
            GapRow.position_mm,
            GapRow.length_mm,
            GapRow.reason,
        )
        .where(GapRow.line == line, GapRow.camera == camera)
        .order_by(GapRow.captured_at.desc(), GapRow.id.desc())
        .limit(1)
    ).first()
    latest = max(
        (row for row in (frames[0] if frames else None, gap) if row), key=lambda row: row.captured_at, default=None
    )
    if latest is None:
        return None
    since = latest.captured_at - RECENT
    frames = [row for row in frames if row.session == latest.session]
    inspected_mm, gap_mm = (
        session.scalar(
            select(func.coalesce(func.sum(table.length_mm), 0.0)).where(
                table.line == line,
                table.captured_at >= since,
                table.camera == camera,
                table.session == latest.session,
            )
        )
        or 0.0
        for table in (FrameRow, GapRow)
    )
    ended = session.scalar(
        select(CaptureRow.ended).where(CaptureRow.camera == camera, CaptureRow.session == latest.session)
    )
    return CameraFigures(
        line=line,
        camera=camera,
        captured_at=latest.captured_at,
        heard_at=latest.stored_at,
        ended=bool(ended),
        position_mm=latest.position_mm + latest.length_mm,
        speed_m_min=_speed_m_min(frames),
        latency_ms=statistics.median(row.latency_ms for row in frames) if frames else 0.0,
        tiles_per_s=_tiles_per_s(frames),
        inspected_mm=inspected_mm,
        gap_mm=gap_mm,
        gap_reason=gap.reason if gap and gap.session == latest.session and gap.captured_at >= since else "",
        model=frames[0].model if frames else "",
        style=frames[0].style if frames else "",
        score=frames[0].score_max if frames else 0.0,
        threshold=frames[0].threshold if frames else 0.0,
        warnings=warnings_of(frames[0].quality_flags) if frames else (),
    )


def _speed_m_min(frames: Sequence[Any]) -> float:
    """From the oldest to the newest of some frames of one session, newest first."""
    if len(frames) < 2:
        return 0.0
    seconds = (frames[0].captured_at - frames[-1].captured_at).total_seconds()
    moved_mm = frames[0].position_mm - frames[-1].position_mm
    return max(0.0, moved_mm / 1000 / seconds * 60) if seconds > 0 else 0.0


def _tiles_per_s(frames: Sequence[Any]) -> float:
    if len(frames) < 2:
        return 0.0
    times = [row.stored_at for row in frames]
    seconds = (max(times) - min(times)).total_seconds()
    return sum(row.tiles for row in frames[:-1]) / seconds if seconds > 0 else 0.0


def score_trend(database: Database, *, line: str, camera: str, frames: int = RECENT_FRAMES) -> pd.DataFrame:
    """The latest frames' highest score in units of their threshold: captured_at, position_mm, strength, defects."""
    count = select(func.count(FragmentRow.number)).where(FragmentRow.frame_id == FrameRow.id).scalar_subquery()
    with database.reading() as session:
        rows = session.execute(
            select(
                FrameRow.captured_at, FrameRow.position_mm, strength_of(FrameRow.score_max, FrameRow.threshold), count
            )
            .where(FrameRow.line == line, FrameRow.camera == camera)
            .order_by(FrameRow.captured_at.desc(), FrameRow.id.desc())
            .limit(frames)
        ).all()
    table = pd.DataFrame([tuple(row) for row in rows], columns=["captured_at", "position_mm", "strength", "defects"])
    table = table.astype({"position_mm": float, "strength": float, "defects": int})
    return table.iloc[::-1].reset_index(drop=True)
