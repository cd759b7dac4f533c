"""Reviews: staff confirm or reject defects, name them and say how severe they are; what they rejected teaches the next
model.

A rejected defect's crop, that of its strongest fragment, becomes a sample of normal fabric, but only once nothing that
is not rejected can lie in it: nothing unreviewed, and nothing confirmed, is ever learned as normal. Taking a rejection
back takes the sample out. The first rejection and the last can be of any defect that shows in a frame, so each act
looks at all frames of its defect again.
"""

import logging
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.defects.geometry import CODES
from storage.defects.merging import judge_severity, lock_line
from storage.defects.whole import strength
from storage.grading.severity import SEVERITIES
from storage.pictures import PictureStore, picture_key
from storage.samples import picture_size
from storage.tables import DefectRow, FragmentRow, FrameRow, MergedDefectRow, ReviewRow, SampleRow, StyleRow
from storage.trends.totals import enter, leave

logger = logging.getLogger(__name__)

State = Literal["confirmed", "rejected", "unreviewed"]
STATES: tuple[State, ...] = ("confirmed", "rejected", "unreviewed")


def review_defect(database: Database, pictures: PictureStore, defect_id: int, *, state: State, by: str) -> None:
    """Records one act of staff; setting the state a defect has already is none. The verdict is on all of it that is
    known; the number of a defect that became part of another is the other's.

    Raises `StorageError` for an unknown defect or state, and when the picture store does not answer; nothing is
    recorded then.
    """
    if state not in STATES:
        raise StorageError(f"a defect is {', '.join(STATES)}, got {state!r}")
    with database.session() as session:
        defect = _locked(database, session, defect_id)
        if defect.state == state:
            return
        now = datetime.now(UTC)
        session.add(ReviewRow(defect_id=defect.id, state=state, previous=defect.state, by=by, at=now))
        audit.record(
            session,
            by=by,
            action="defect.review",
            subject=f"defect {defect.id}",
            detail={"state": state, "previous": defect.state},
        )
        leave(session, defect)
        seen = strength(defect.score, defect.threshold)
        if state == "unreviewed":
            defect.reviewed_at = None
        elif defect.reviewed_at is None:
            defect.reviewed_at = now
        defect.state = state
        defect.confirmed = state == "confirmed"
        defect.rejected_strength = seen if state == "rejected" else None
        defect.unseen_strength = seen if state == "unreviewed" else None
        enter(session, defect)
        session.flush()
        _choose_samples(database, session, pictures, defect, by=by, at=now)


def name_defect(database: Database, defect_id: int, *, code: str, by: str) -> None:
    """Gives a defect one of the names of `storage.defects.geometry`; "" takes it away. Raises `StorageError`."""
    if code and code not in CODES:
        raise StorageError(f"a defect's name is one of {', '.join(CODES)}, got {code!r}")
    with database.session() as session:
        defect = _locked(database, session, defect_id)
        if defect.code != code:
            detail = {"code": code, "previous": defect.code}
            audit.record(session, by=by, action="defect.name", subject=f"defect {defect.id}", detail=detail)
            judge_severity(session, defect, code=code)


def set_severity(database: Database, defect_id: int, *, severity: str, by: str) -> None:
    """Staff's word on how severe a defect is, which no rule changes any more. Raises `StorageError`."""
    if severity not in SEVERITIES:
        raise StorageError(f"a defect's severity is one of {', '.join(SEVERITIES)}, got {severity!r}")
    with database.session() as session:
        defect = _locked(database, session, defect_id)
        if defect.severity != severity or not defect.severity_set:
            detail = {"severity": severity, "previous": defect.severity}
            audit.record(session, by=by, action="defect.severity", subject=f"defect {defect.id}", detail=detail)
            judge_severity(session, defect, severity=severity)


def current_id(session: Session, defect_id: int) -> int | None:
    """The number of the defect that this one is, or is part of; None when there is no such defect."""
    found = session.scalar(select(DefectRow.id).where(DefectRow.id == defect_id))
    return found or session.scalar(select(MergedDefectRow.into_id).where(MergedDefectRow.id == defect_id))


def _locked(database: Database, session: Session, defect_id: int) -> DefectRow:
    """The defect, which neither grows nor merges until the transaction ends."""
    current = current_id(session, defect_id)
    line = session.scalar(select(DefectRow.line).where(DefectRow.id == current)) if current else None
    if line is not None:
        lock_line(database, session, line)
        current = current_id(session, defect_id)
    if line is None or current is None:
        raise StorageError(f"there is no defect {defect_id}: it may have been removed")
    return session.get_one(DefectRow, current, populate_existing=True)


def _choose_samples(
    database: Database, session: Session, pictures: PictureStore, reviewed: DefectRow, *, by: str, at: datetime
) -> None:
    """Looks again at each defect whose picture is of a frame that shows any of the reviewed one."""
    frames = select(FragmentRow.frame_id).where(FragmentRow.defect_id == reviewed.id)
    shown = session.execute(
        select(DefectRow, FragmentRow)
        .join(
            FragmentRow,
            (FragmentRow.frame_id == DefectRow.frame_id) & (FragmentRow.number == DefectRow.fragment),
        )
        .where(DefectRow.frame_id.in_(frames))
        .order_by(DefectRow.id)
    ).all()
    samples: dict[int, list[SampleRow]] = {}
    for row in session.scalars(
        select(SampleRow).where(
            SampleRow.source == "review", SampleRow.defect_id.in_([defect.id for defect, _ in shown])
        )
    ):
        samples.setdefault(row.defect_id or 0, []).append(row)
    for defect, fragment in shown:
        known = samples.get(defect.id, [])
        if defect.state != "rejected" and not known:
            continue
        crop = _crop(pictures, defect, fragment) if defect.state == "rejected" and fragment.style else None
        normal = crop is not None and not _doubtful_in(session, fragment, crop)
        key = _sample_key(fragment)
        for sample in known:
            sample.active = normal and sample.picture == key
        if normal and crop is not None and key not in {sample.picture for sample in known}:
            _add(database, session, pictures, defect, fragment, crop, by=by, at=at)


def _sample_key(fragment: FragmentRow) -> str:
    return picture_key("samples", fragment.style, f"defect-{fragment.frame_id}-{fragment.number}.png")


def _crop(pictures: PictureStore, defect: DefectRow, fragment: FragmentRow) -> bytes | None:
    """None when the crop was never kept, or is no longer."""
    if not fragment.crop or not pictures.exists(fragment.crop):
        logger.warning("defect %d has no picture to learn from", defect.id)
        return None
    return pictures.get(fragment.crop)


def _doubtful_in(session: Session, fragment: FragmentRow, crop: bytes) -> bool:
    """Whether part of a defect that is not rejected can lie in a fragment's crop.

    The row does not say where in the crop the fragment lies, only that the crop contains it and lies within its frame,
    so the crop is taken at all its possible places.
    """
    height, width = picture_size(crop, f"the crop of defect {fragment.defect_id}")
    found = session.scalar(
        select(FragmentRow.number)
        .join(DefectRow, DefectRow.id == FragmentRow.defect_id)
        .where(
            FragmentRow.frame_id == fragment.frame_id,
            DefectRow.state != "rejected",
            FragmentRow.x0_px < fragment.x0_px + width,
            FragmentRow.x1_px > fragment.x1_px - width,
            FragmentRow.y0_px < fragment.y0_px + height,
            FragmentRow.y1_px > fragment.y1_px - height,
        )
        .limit(1)
    )
    return found is not None


def _add(
    database: Database,
    session: Session,
    pictures: PictureStore,
    defect: DefectRow,
    fragment: FragmentRow,
    crop: bytes,
    *,
    by: str,
    at: datetime,
) -> None:
    frame = session.get_one(FrameRow, fragment.frame_id)
    key = _sample_key(fragment)
    pictures.put(key, crop)  # a copy: the defect's own picture ages with its roll
    database.insert_new(session, StyleRow, name=fragment.style, created_at=at)
    session.add(
        SampleRow(
            style=fragment.style,
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
