"""The regression set: defects that staff confirmed, with the cloth around them. A model that misses one of them again
has become worse. Nothing of it is ever learned from."""

from dataclasses import dataclass

from sqlalchemy import and_, select

from storage.database import Database
from storage.tables import DefectRow, FragmentRow, FrameRow

MOST = 2000  # the latest ones


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDefect:
    """crop: key of the cloth around it; box_px: x0, x1, y0, y1 on the fabric of its frame, which is `fabric_px`
    columns and rows; mask: of the box, 1-bit PNG."""

    id: int
    style: str
    crop: str
    box_px: tuple[int, int, int, int]
    fabric_px: tuple[int, int]
    mask: bytes
    mm_per_px: float

    def corner_px(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Row and column of its box in a crop of this shape, which was cut around the box inside the fabric."""
        x0, x1, y0, y1 = self.box_px
        return y0 - _start(y0, y1, self.fabric_px[1], shape[0]), x0 - _start(x0, x1, self.fabric_px[0], shape[1])


def regression_set(database: Database) -> list[KnownDefect]:
    """Confirmed defects whose picture was kept, by style, the latest first."""
    with database.reading() as session:
        rows = session.execute(
            select(DefectRow, FragmentRow, FrameRow)
            .join(
                FragmentRow, and_(FragmentRow.frame_id == DefectRow.frame_id, FragmentRow.number == DefectRow.fragment)
            )
            .join(FrameRow, FrameRow.id == DefectRow.frame_id)
            .where(DefectRow.state == "confirmed", FragmentRow.crop != "")
            .order_by(DefectRow.id.desc())
            .limit(MOST)
        ).all()
    found = []
    for defect, peak, frame in rows:
        left_px = peak.x0_px - round((peak.x0_mm - frame.x_offset_mm) / frame.mm_per_px)
        found.append(
            KnownDefect(
                id=defect.id,
                style=defect.style,
                crop=peak.crop,
                box_px=(peak.x0_px - left_px, peak.x1_px - left_px, peak.y0_px, peak.y1_px),
                fabric_px=(round(frame.fabric_width_mm / frame.mm_per_px), round(frame.length_mm / frame.mm_per_px)),
                mask=peak.mask,
                mm_per_px=frame.mm_per_px,
            )
        )
    return sorted(found, key=lambda each: each.style)


def _start(first: int, last: int, limit: int, length: int) -> int:
    return min(max(0, (first + last - length) // 2), max(0, limit - length))
