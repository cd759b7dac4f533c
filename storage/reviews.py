"""Reviews: staff confirm or reject defects; what they rejected teaches the next model.

A rejected defect's crop becomes a sample of normal fabric, but only once no defect that is not rejected can lie in it:
nothing unreviewed, and nothing confirmed, is ever learned as normal. Taking a rejection back takes the sample out. The
first rejection and the last can be of any defect of a frame, so each act looks at all of them again.
"""

import logging
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.pictures import PictureStore, picture_key
from storage.samples import picture_size
from storage.tables import DefectRow, FrameRow, ReviewRow, SampleRow, StyleRow

logger = logging.getLogger(__name__)

State = Literal["confirmed", "rejected", "unreviewed"]
STATES: tuple[State, ...] = ("confirmed", "rejected", "unreviewed")


def review_defect(database: Database, pictures: PictureStore, defect_id: int, *, state: State, by: str) -> None:
    """Records one act of staff; setting the state a defect has already is none.

    Raises `StorageError` for an unknown defect or state, and when the picture store does not answer; nothing is
    recorded then.
    """
    if state not in STATES:
        raise StorageError(f"a defect is {', '.join(STATES)}, got {state!r}")
    with database.session() as session:
        frame_id = session.scalar(select(DefectRow.frame_id).where(DefectRow.id == defect_id))
        if frame_id is None:
            raise StorageError(f"there is no defect {defect_id}: it may have been removed")
        database.lock(session, f"reviews:{frame_id}")
        defect = session.get_one(DefectRow, defect_id)
        if defect.state == state:
            return
        now = datetime.now(UTC)
        session.add(ReviewRow(defect_id=defect_id, state=state, previous=defect.state, by=by, at=now))
        audit.record(
            session,
            by=by,
            action="defect.review",
            subject=f"defect {defect_id}",
            detail={"state": state, "previous": defect.state},
        )
        defect.state = state
        session.flush()
        _choose_samples(database, session, pictures, session.get_one(FrameRow, frame_id), by=by, at=now)


def _choose_samples(
    database: Database, session: Session, pictures: PictureStore, frame: FrameRow, *, by: str, at: datetime
) -> None:
    defects = session.scalars(select(DefectRow).where(DefectRow.frame_id == frame.id).order_by(DefectRow.id)).all()
    samples = {
        row.defect_id: row
        for row in session.scalars(
            select(SampleRow).where(
                SampleRow.source == "review", SampleRow.defect_id.in_([defect.id for defect in defects])
            )
        )
    }
    doubtful = [defect for defect in defects if defect.state != "rejected"]
    for defect in defects:
        sample = samples.get(defect.id)
        crop = _crop(pictures, defect) if defect.state == "rejected" and defect.style else None
        normal = crop is not None and not any(_may_lie_in(other, defect, crop) for other in doubtful)
        if sample is not None:
            sample.active = normal
        elif normal and crop is not None:
            _add(database, session, pictures, frame, defect, crop, by=by, at=at)


def _crop(pictures: PictureStore, defect: DefectRow) -> bytes | None:
    """None when the crop was never kept, or is no longer."""
    if not defect.crop or not pictures.exists(defect.crop):
        logger.warning("defect %d has no picture to learn from", defect.id)
        return None
    return pictures.get(defect.crop)


def _may_lie_in(other: DefectRow, defect: DefectRow, crop: bytes) -> bool:
    """Whether `other` can overlap the crop of `defect`, which contains that defect's box and lies within its frame.

    The row does not say where in the crop the defect lies, so the crop is taken at all its possible places.
    """
    height, width = picture_size(crop, f"the crop of defect {defect.id}")
    x0, x1 = defect.x1_px - width, defect.x0_px + width
    y0, y1 = defect.y1_px - height, defect.y0_px + height
    return other.x0_px < x1 and other.x1_px > x0 and other.y0_px < y1 and other.y1_px > y0


def _add(
    database: Database,
    session: Session,
    pictures: PictureStore,
    frame: FrameRow,
    defect: DefectRow,
    crop: bytes,
    *,
    by: str,
    at: datetime,
) -> None:
    key = picture_key("samples", defect.style, f"defect-{defect.id}.png")
    pictures.put(key, crop)  # a copy: the defect's own picture ages with its roll
    database.insert_new(session, StyleRow, name=defect.style, created_at=at)
    session.add(
        SampleRow(
            style=defect.style,
            picture=key,
            source="review",
            roll_group=f"{frame.camera}/{frame.session}",
            defect_id=defect.id,
            mm_per_px=frame.mm_per_px,
            active=True,
            by=by,
            created_at=at,
        )
    )
