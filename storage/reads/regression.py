"""The regression set: defects that staff confirmed, with the cloth around them. A model that misses one of them again
has become worse. Nothing of it is ever learned from."""

from dataclasses import dataclass

from sqlalchemy import and_, select

from storage.confirmed_defects import box_px, fabric_px
from storage.database import Database
from storage.tables import ConfirmedDefectRow, DefectRow, FragmentRow, FrameRow

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
    """The latest confirmed defects whose picture was kept, also of rolls that were pruned, by style, the latest
    first."""
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
        kept = session.scalars(
            select(ConfirmedDefectRow)
            .where(ConfirmedDefectRow.strongest, ConfirmedDefectRow.crop != "")
            .order_by(ConfirmedDefectRow.id.desc())
            .limit(MOST - len(rows))
        ).all()
    found = [
        KnownDefect(
            id=defect.id,
            style=defect.style,
            crop=peak.crop,
            box_px=box_px(peak, frame),
            fabric_px=fabric_px(frame),
            mask=peak.mask,
            mm_per_px=frame.mm_per_px,
        )
        for defect, peak, frame in rows
    ]
    found += [
        KnownDefect(
            id=row.defect_id,
            style=row.style,
            crop=row.crop,
            box_px=(row.x0_px, row.x1_px, row.y0_px, row.y1_px),
            fabric_px=(row.fabric_width_px, row.fabric_length_px),
            mask=row.mask,
            mm_per_px=row.mm_per_px,
        )
        for row in kept
    ]
    return sorted(found, key=lambda each: each.style)


def _start(first: int, last: int, limit: int, length: int) -> int:
    return min(max(0, (first + last - length) // 2), max(0, limit - length))
