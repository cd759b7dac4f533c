"""Confirmed defects whose roll was pruned: the regression set and the guard know them as long as there are models.

Kept of each are its place, its mask, what it looks like, and the picture of its strongest fragment.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from inspection.types import Roll
from storage import audit
from storage.database import Database
from storage.pictures import PictureStore
from storage.tables import ConfirmedDefectRow, DefectRow, FragmentRow, FrameRow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDefect:
    """id: the number it had; place: of its strongest fragment, whose picture `crop` is the key of, "" without one."""

    id: int
    style: str
    line: str
    camera: str
    x0_mm: float
    y0_mm: float
    crop: str
    captured_at: datetime


def list_kept(
    database: Database, *, style: str = "", limit: int = 100, offset: int = 0
) -> tuple[list[KeptDefect], int]:
    """The latest first, and how many there are."""
    asked = [ConfirmedDefectRow.strongest, *([ConfirmedDefectRow.style == style] if style else ())]
    with database.reading() as session:
        total = session.scalar(select(func.count(ConfirmedDefectRow.id)).where(*asked)) or 0
        rows = session.scalars(
            select(ConfirmedDefectRow)
            .where(*asked)
            .order_by(ConfirmedDefectRow.defect_id.desc())
            .limit(limit)
            .offset(offset)
        )
        found = [
            KeptDefect(
                id=row.defect_id,
                style=row.style,
                line=row.line,
                camera=row.camera,
                x0_mm=row.x0_mm,
                y0_mm=row.y0_mm,
                crop=row.crop,
                captured_at=row.captured_at,
            )
            for row in rows
        ]
    return found, total


def kept_styles(database: Database) -> list[str]:
    """By name."""
    with database.reading() as session:
        return list(session.scalars(select(ConfirmedDefectRow.style).distinct().order_by(ConfirmedDefectRow.style)))


def take_out(database: Database, pictures: PictureStore, ids: Collection[int], *, by: str, reason: str) -> None:
    """Forgets defects that were confirmed by mistake: no gate and no guard asks for them any more.

    Raises `StorageError` without a reason, and when one of them is not kept here; then all stay.
    """
    if not reason.strip():
        raise StorageError("to take a confirmed defect out needs a reason: say why it was none")
    keys = []
    with database.session() as session:
        for number in sorted(set(ids)):
            rows = session.scalars(select(ConfirmedDefectRow).where(ConfirmedDefectRow.defect_id == number)).all()
            if not rows:
                raise StorageError(
                    f"defect {number} is not among the confirmed ones of pruned rolls: of any other roll, call it a "
                    "false alarm on the page Review"
                )
            keys += [row.crop for row in rows if row.crop]
            session.execute(delete(ConfirmedDefectRow).where(ConfirmedDefectRow.defect_id == number))
            detail = {"reason": reason.strip(), "style": rows[0].style, "line": rows[0].line}
            audit.record(session, by=by, action="defect.take_out", subject=f"defect {number}", detail=detail)
    if left := pictures.delete_all(keys):
        log.warning("%d pictures of confirmed defects that were taken out could not be removed", len(left))


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
