"""Where samples lie beside defects: nothing is learned from cloth in which a confirmed or unreviewed defect lies."""

import math
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from storage.tables import ConfirmedDefectRow, DefectRow, FragmentRow, SampleRow

NEAR_MM = 50.0  # around a confirmed defect: cloth that may show the rest of it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A fragment of a defect: what staff said of it and when, the style it was taken for, the defect's number, and how
    far it is from the sample. reviewed_at: None for nobody's and for a pruned roll's."""

    state: str
    reviewed_at: datetime | None
    style: str
    defect: int
    apart_mm: float


def blocking_defect(session: Session, row: SampleRow) -> tuple[str, int] | None:
    """What keeps a sample from ever being learned: ("confirmed" or "unreviewed", the defect's number).

    Alarms that a model raised on a style it does not know, and took for another, say nothing about the sample.
    """
    if row.defect_id is not None:
        own = session.get(DefectRow, row.defect_id)
        if own is not None and own.state != "rejected":
            return own.state, own.id
    found = _places(session, row, reach_mm=0.0)
    for state in ("confirmed", "unreviewed"):
        for place in found:
            if place.state == state and (state == "confirmed" or place.style == row.style):
                return state, place.defect
    return None


def near_confirmed(session: Session, row: SampleRow, *, since: datetime | None = None) -> tuple[int, float] | None:
    """The nearest confirmed defect at most `NEAR_MM` away, and how far in mm. since: only one confirmed after that."""
    near = [
        place
        for place in _places(session, row, reach_mm=NEAR_MM)
        if place.state == "confirmed"
        and (since is None or (place.reviewed_at is not None and place.reviewed_at > since))
    ]
    nearest = min(near, key=lambda place: place.apart_mm, default=None)
    return None if nearest is None or nearest.apart_mm > NEAR_MM else (nearest.defect, nearest.apart_mm)


def _places(session: Session, row: SampleRow, *, reach_mm: float) -> list[_Place]:
    """Of defects that are not rejected, also of confirmed ones of pruned rolls, whose boxes touch the sample's, widened
    by `reach_mm`."""
    box = (row.x0_mm, row.x1_mm, row.y0_mm, row.y1_mm)
    if not row.line or None in box:
        return []
    x0_mm, x1_mm, y0_mm, y1_mm = (value or 0.0 for value in box)

    def touches(table: type[FragmentRow | ConfirmedDefectRow]) -> ColumnElement[bool]:
        return and_(
            table.camera == row.camera,
            table.counter == row.counter,
            table.y0_mm < y1_mm + reach_mm,
            table.y1_mm > y0_mm - reach_mm,
            table.x0_mm < x1_mm + reach_mm,
            table.x1_mm > x0_mm - reach_mm,
        )

    there = session.execute(
        select(FragmentRow, DefectRow)
        .join(DefectRow, DefectRow.id == FragmentRow.defect_id)
        .where(DefectRow.line == row.line, DefectRow.state != "rejected", touches(FragmentRow))
        .order_by(DefectRow.id)
    )
    found: list[tuple[str, datetime | None, str, int, FragmentRow | ConfirmedDefectRow]] = [
        (defect.state, defect.reviewed_at, fragment.style, defect.id, fragment) for fragment, defect in there
    ]
    kept = session.scalars(
        select(ConfirmedDefectRow)
        .where(ConfirmedDefectRow.line == row.line, touches(ConfirmedDefectRow))
        .order_by(ConfirmedDefectRow.id)
    )
    found += [("confirmed", None, each.style, each.defect_id, each) for each in kept]
    return [
        _Place(
            state=state,
            reviewed_at=reviewed_at,
            style=style,
            defect=number,
            apart_mm=math.hypot(
                max(each.x0_mm - x1_mm, x0_mm - each.x1_mm, 0.0), max(each.y0_mm - y1_mm, y0_mm - each.y1_mm, 0.0)
            ),
        )
        for state, reviewed_at, style, number, each in found
    ]
