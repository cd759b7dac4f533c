"""Confirmed defects whose roll was pruned: the regression set and the guard know them as long as there are models.

Kept of each are its place, its mask, what it looks like, and the picture of its strongest fragment.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.types import Roll
from storage.tables import ConfirmedDefectRow, DefectRow, FragmentRow, FrameRow


def box_px(fragment: FragmentRow, frame: FrameRow) -> tuple[int, int, int, int]:
    """x0, x1, y0, y1 on the fabric of its frame."""
    left_px = fragment.x0_px - round((fragment.x0_mm - frame.x_offset_mm) / frame.mm_per_px)
    return fragment.x0_px - left_px, fragment.x1_px - left_px, fragment.y0_px, fragment.y1_px


def fabric_px(frame: FrameRow) -> tuple[int, int]:
    """Columns and rows of the fabric in a frame."""
    return round(frame.fabric_width_mm / frame.mm_per_px), round(frame.length_mm / frame.mm_per_px)


def confirmed_of(session: Session, roll: Roll) -> list[ConfirmedDefectRow]:
    """What is to be kept of a roll before its rows go."""
    rows = session.execute(
        select(DefectRow, FragmentRow, FrameRow)
        .join(FragmentRow, FragmentRow.defect_id == DefectRow.id)
        .join(FrameRow, FrameRow.id == FragmentRow.frame_id)
        .where(DefectRow.roll_id == roll.id, DefectRow.state == "confirmed")
        .order_by(DefectRow.id, FragmentRow.frame_id, FragmentRow.number)
    )
    return [_kept(defect, fragment, frame) for defect, fragment, frame in rows]


def _kept(defect: DefectRow, fragment: FragmentRow, frame: FrameRow) -> ConfirmedDefectRow:
    strongest = (fragment.frame_id, fragment.number) == (defect.frame_id, defect.fragment)
    x0_px, x1_px, y0_px, y1_px = box_px(fragment, frame)
    width_px, length_px = fabric_px(frame)
    return ConfirmedDefectRow(
        defect_id=defect.id,
        strongest=strongest,
        style=defect.style,
        line=defect.line,
        camera=fragment.camera,
        counter=fragment.counter,
        x0_mm=fragment.x0_mm,
        x1_mm=fragment.x1_mm,
        y0_mm=fragment.y0_mm,
        y1_mm=fragment.y1_mm,
        x0_px=x0_px,
        x1_px=x1_px,
        y0_px=y0_px,
        y1_px=y1_px,
        fabric_width_px=width_px,
        fabric_length_px=length_px,
        mm_per_px=frame.mm_per_px,
        mask=fragment.mask,
        crop=fragment.crop if strongest else "",
        likeness=fragment.likeness,
        captured_at=fragment.captured_at,
    )
