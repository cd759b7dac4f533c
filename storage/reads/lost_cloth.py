"""Cloth that passed and was not inspected: how much, at which camera, why."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from storage.database import Database
from storage.tables import ClothTotalRow, GapRow, LineRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LostCloth:
    """What a camera lost for one reason, the reason's details taken together; share: of all that it captured."""

    line: str
    camera: str
    reason: str  # a code of `inspection.types.REASONS`
    length_mm: float
    share: float
    gaps: int
    last_at: datetime


def lost_cloth(database: Database, *, since: datetime) -> list[LostCloth]:
    """What was captured since the beginning of that hour, the largest loss first."""
    hour = int(since.timestamp()) // 3600
    since = datetime.fromtimestamp(hour * 3600, UTC)
    gaps: list[Any] = []  # rows of what is asked for below
    captured: dict[tuple[str, str], float] = defaultdict(float)
    with database.reading() as session:
        for name in session.scalars(select(LineRow.name)).all():
            totals = session.execute(
                select(ClothTotalRow.camera, func.sum(ClothTotalRow.inspected_um + ClothTotalRow.gap_um))
                .where(ClothTotalRow.line == name, ClothTotalRow.span == 60, ClothTotalRow.start >= hour * 60)
                .group_by(ClothTotalRow.camera)
            )
            for camera, length_um in totals:
                captured[name, camera] = float(length_um) / 1000
            gaps += session.execute(
                select(
                    GapRow.line,
                    GapRow.camera,
                    GapRow.reason,
                    func.sum(GapRow.length_mm),
                    func.count(),
                    func.max(GapRow.captured_at),
                )
                .where(GapRow.line == name, GapRow.captured_at >= since)
                .group_by(GapRow.line, GapRow.camera, GapRow.reason)
            ).all()
    found: dict[tuple[str, str, str], list[tuple[float, int, datetime]]] = defaultdict(list)
    for line, camera, reason, length, count, last in gaps:
        found[line, camera, reason.partition(":")[0].strip()].append((length, count, last))
    lost = [
        LostCloth(
            line=line,
            camera=camera,
            reason=reason,
            length_mm=sum(length for length, _, _ in parts),
            share=_share(sum(length for length, _, _ in parts), captured[line, camera]),
            gaps=sum(count for _, count, _ in parts),
            last_at=max(last for _, _, last in parts),
        )
        for (line, camera, reason), parts in found.items()
    ]
    return sorted(lost, key=lambda each: -each.length_mm)


def _share(part: float, whole: float) -> float:
    return min(part / whole, 1.0) if whole > 0 else 0.0
