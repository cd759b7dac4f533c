"""What a defect consists of, piece by piece, and which others look like it."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, func, select

from storage.database import Database
from storage.reads.defects import DefectItem, items_of
from storage.tables import DefectRow, FragmentRow

COMPARED = 20_000  # the latest numbers of defects that are searched for similar ones
MOST_PIECES = 60  # that are shown to choose from


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one frame shows of a defect. key: (frame, number). Places on the line's counter."""

    key: tuple[int, int]
    camera: str
    captured_at: datetime
    y0_mm: float
    y1_mm: float
    x0_mm: float
    x1_mm: float
    strength: float
    crop: str


def pieces_of(database: Database, defect_id: int) -> list[Piece]:
    """Along the roll, `MOST_PIECES` at most."""
    with database.reading() as session:
        rows = session.scalars(
            select(FragmentRow)
            .where(FragmentRow.defect_id == defect_id)
            .order_by(FragmentRow.y0_mm, FragmentRow.x0_mm)
            .limit(MOST_PIECES)
        )
        return [
            Piece(
                key=(row.frame_id, row.number),
                camera=row.camera,
                captured_at=row.captured_at,
                y0_mm=row.y0_mm,
                y1_mm=row.y1_mm,
                x0_mm=row.x0_mm,
                x1_mm=row.x1_mm,
                strength=row.score / row.threshold if row.threshold > 0 else row.score,
                crop=row.crop,
            )
            for row in rows
        ]


def similar_defects(database: Database, defect_id: int, *, limit: int) -> list[tuple[DefectItem, float]]:
    """The defects most like this one by their strongest pieces' likeness (`inspection.likeness`), nearest first,
    with the cosine of the angle between the two; none when its own was not kept. Searched are the latest `COMPARED`."""
    peak = and_(FragmentRow.frame_id == DefectRow.frame_id, FragmentRow.number == DefectRow.fragment)
    with database.reading() as session:
        own = session.scalar(select(FragmentRow.likeness).join(DefectRow, peak).where(DefectRow.id == defect_id))
        if not own:
            return []
        newest = session.scalar(select(func.max(DefectRow.id))) or 0
        rows = session.execute(
            select(DefectRow.id, FragmentRow.likeness)
            .join(FragmentRow, peak)
            .where(FragmentRow.likeness.is_not(None), DefectRow.id != defect_id, DefectRow.id > newest - COMPARED)
            .order_by(DefectRow.id.desc())
        ).all()
        rows = [row for row in rows if len(row.likeness) == len(own)]
        if not rows:
            return []
        cosines = _vectors([row.likeness for row in rows]) @ _vectors([own])[0]
        best = np.argsort(-cosines, kind="stable")[:limit]
        nearest = {int(rows[index].id): float(cosines[index]) for index in best}
        items = {item.id: item for item in items_of(session, list(nearest))}
    return [(items[number], cosine) for number, cosine in nearest.items() if number in items]


def _vectors(stored: list[bytes]) -> NDArray[np.float32]:
    """(N, D), each of length 1."""
    vectors = np.frombuffer(b"".join(stored), "<f2").astype(np.float32).reshape(len(stored), -1)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-6), np.float32)
