"""Where samples lie beside defects: nothing is learned from cloth in which a confirmed or unreviewed defect lies."""

import math

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from storage.tables import DefectRow, FragmentRow, SampleRow

NEAR_MM = 50.0  # around a confirmed defect: cloth that may show the rest of it


def blocking_defect(session: Session, row: SampleRow) -> tuple[str, int] | None:
    """What keeps a sample from ever being learned: ("confirmed" or "unreviewed", the defect's number).

    Alarms that a model raised on a style it does not know, and took for another, say nothing about the sample.
    """
    if row.defect_id is not None:
        own = session.get(DefectRow, row.defect_id)
        if own is not None and own.state != "rejected":
            return own.state, own.id
    found = session.execute(_fragments(row, reach_mm=0.0)).all()
    for state in ("confirmed", "unreviewed"):
        for fragment, defect in found:
            if defect.state == state and (state == "confirmed" or fragment.style == row.style):
                return state, defect.id
    return None


def near_confirmed(session: Session, row: SampleRow) -> tuple[int, float] | None:
    """The nearest confirmed defect at most `NEAR_MM` away, and how far in mm."""
    nearest: tuple[int, float] | None = None
    for fragment, defect in session.execute(_fragments(row, reach_mm=NEAR_MM)):
        if defect.state == "confirmed":
            x0, x1, y0, y1 = (value or 0.0 for value in (row.x0_mm, row.x1_mm, row.y0_mm, row.y1_mm))
            across = max(fragment.x0_mm - x1, x0 - fragment.x1_mm, 0.0)
            along = max(fragment.y0_mm - y1, y0 - fragment.y1_mm, 0.0)
            apart = math.hypot(across, along)
            if apart <= NEAR_MM and (nearest is None or apart < nearest[1]):
                nearest = defect.id, apart
    return nearest


def _fragments(row: SampleRow, *, reach_mm: float) -> Select[FragmentRow, DefectRow]:
    """Of defects that are not rejected, whose boxes touch the sample's, widened by `reach_mm`."""
    query = (
        select(FragmentRow, DefectRow)
        .join(DefectRow, DefectRow.id == FragmentRow.defect_id)
        .where(
            DefectRow.line == row.line,
            FragmentRow.camera == row.camera,
            FragmentRow.counter == row.counter,
            DefectRow.state != "rejected",
            FragmentRow.y0_mm < (row.y1_mm or 0.0) + reach_mm,
            FragmentRow.y1_mm > (row.y0_mm or 0.0) - reach_mm,
            FragmentRow.x0_mm < (row.x1_mm or 0.0) + reach_mm,
            FragmentRow.x1_mm > (row.x0_mm or 0.0) - reach_mm,
        )
        .order_by(DefectRow.id)
    )
    return query if row.line and row.y1_mm is not None else query.where(FragmentRow.frame_id < 0)
