"""What another threshold would have done on the cloth that was inspected last.

A higher one: exactly, from the scores of the stored defects. A lower one: from the score grids of the stored frames,
whose cells hold the highest score of 25 mm each; regions of touching cells count as one alarm, and nobody has seen
them. Only cloth that the model in charge inspected can be replayed: another's scores do not compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import cv2
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.types import Scores
from storage.database import Database
from storage.packed_scores import unpack_scores
from storage.tables import CameraRow, DefectRow, FrameRow, LineRow, ScoreTotalRow

FRAMES = 3000  # the latest of the style
DAYS = 7  # on which there are any
CHUNK = 500  # of numbers in one question


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """At one threshold: stored alarms that remain, by state, confirmed defects that would have been lost, and regions
    that would have been alarms besides."""

    threshold: float
    rejected: int
    unreviewed: int
    confirmed: int
    lost: tuple[int, ...]
    more: int
    metres: float

    @property
    def per_100m(self) -> float:
        """False alarms, everything that nobody confirmed counted as one: at most so many."""
        return 100 * (self.rejected + self.unreviewed + self.more) / self.metres if self.metres else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCloth:
    """defects: (id, score, state); grids: of frames, with the threshold each had."""

    metres: float
    frames: int
    defects: tuple[tuple[int, float, str], ...]
    grids: tuple[tuple[float, Scores], ...]

    def at(self, threshold: float) -> Replayed:
        kept = [state for _, score, state in self.defects if score > threshold]
        return Replayed(
            threshold=threshold,
            rejected=kept.count("rejected"),
            unreviewed=kept.count("unreviewed"),
            confirmed=kept.count("confirmed"),
            lost=tuple(number for number, score, state in self.defects if state == "confirmed" and score <= threshold),
            more=sum(_regions(grid, above=threshold, below=had) for had, grid in self.grids if threshold < had),
            metres=self.metres,
        )

    def threshold_for(self, per_100m: float, *, own: float, least: float, most: float) -> float:
        """The lowest threshold, in hundredths of `own`, that gives at most so many false alarms; the highest allowed
        where none does."""
        low, high = round(100 * least), round(100 * most)
        while low < high:  # falling in the threshold
            middle = (low + high) // 2
            low, high = (low, middle) if self.at(own * middle / 100).per_100m <= per_100m else (middle + 1, high)
        return own * low / 100


def last_cloth(database: Database, style: str, *, model: str) -> LastCloth:
    """The latest `FRAMES` of a style that the model inspected, of the last `DAYS` days on which it inspected any.
    Metres are of roll: cameras side by side count once."""
    rows: list[Any] = []
    defects: list[Any] = []
    with database.reading() as session:
        for day, lines in _days(session, style, model):
            rows += _of_day(session, style, model, day, lines, limit=FRAMES - len(rows))
            if len(rows) >= FRAMES:
                break
        numbers = [row.id for row in rows]
        for start in range(0, len(numbers), CHUNK):
            defects += session.execute(
                select(DefectRow.id, DefectRow.score, DefectRow.state).where(
                    DefectRow.frame_id.in_(numbers[start : start + CHUNK]), DefectRow.style == style
                )
            )
    cameras = len({row.camera for row in rows}) or 1
    grids = (
        (
            float(row.threshold),
            unpack_scores(row.grid, row.grid_rows * row.grid_columns).reshape(row.grid_rows, row.grid_columns),
        )
        for row in rows
    )
    return LastCloth(
        metres=sum(row.length_mm for row in rows) / cameras / 1000,
        frames=len(rows),
        defects=tuple((row.id, row.score, row.state) for row in defects),
        grids=tuple(grids),
    )


def _days(session: Session, style: str, model: str) -> list[tuple[int, list[str]]]:
    """The last days (since 1970, UTC) on which the model inspected the style, newest first, each with its lines. The
    totals tell them: among a year's frames, a rare style would be looked for one by one."""
    of_it = (
        ScoreTotalRow.line.in_(select(LineRow.name)),  # by name: the totals' key begins with line and camera
        ScoreTotalRow.camera.in_(select(CameraRow.name)),
        ScoreTotalRow.style == style,
        ScoreTotalRow.model == model,
    )
    lines: dict[int, list[str]] = {}
    for day, line in session.execute(select(ScoreTotalRow.day, ScoreTotalRow.line).where(*of_it).distinct()):
        lines.setdefault(day, []).append(line)
    return [(day, lines[day]) for day in sorted(lines, reverse=True)[:DAYS]]


def _of_day(session: Session, style: str, model: str, day: int, lines: Sequence[str], *, limit: int) -> list[Any]:
    start = datetime.fromtimestamp(0, UTC) + timedelta(days=day)
    found: list[Any] = []
    for line in lines:
        found += session.execute(
            select(
                FrameRow.id,
                FrameRow.camera,
                FrameRow.captured_at,
                FrameRow.length_mm,
                FrameRow.threshold,
                FrameRow.grid,
                FrameRow.grid_rows,
                FrameRow.grid_columns,
            )
            .where(
                FrameRow.line == line,
                FrameRow.captured_at >= start,
                FrameRow.captured_at < start + timedelta(days=1),
                FrameRow.style == style,
                FrameRow.model == model,
            )
            .order_by(FrameRow.captured_at.desc(), FrameRow.id.desc())
            .limit(limit)
        )
    return sorted(found, key=lambda row: (row.captured_at, row.id), reverse=True)[:limit]


def _regions(grid: Scores, *, above: float, below: float) -> int:
    """Regions of touching cells over `above` with nothing in them over `below`, which is stored as a defect already."""
    if grid.size == 0 or not float(grid.max()) > above:
        return 0
    count, labels = cv2.connectedComponents((grid > above).astype(np.uint8), connectivity=8)
    known = set(labels[grid > below].tolist())
    return count - 1 - len(known - {0})
