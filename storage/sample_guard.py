"""The guard's judgement on a sample, from what a look at its picture found. No model is needed here; who scores is
`retraining.guard`.

A sample is held for a second look when the running model scores it high, when it lies on or near a confirmed defect,
by place or by what its strongest place looks like, when it is unlike other samples of its style, or stands out from the
rest of a golden roll that no model can score, when an alarm nobody has reviewed lies in it, when it is nearly the
same picture as another, and when nobody has looked at it at all. Whatever is not held is accepted in the name of who
gave it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inspection.types import Pixels
from storage import audit
from storage.database import Database
from storage.near_duplicates import ALIKE_BITS, bits_apart, is_same_cloth
from storage.sample_places import blocking_defect, near_confirmed
from storage.samples import Reason, Scored, as_sample, in_words
from storage.tables import ConfirmedDefectRow, DefectRow, FragmentRow, SampleRow

ALIKE_COSINE = 0.95  # of likenesses, from which on a place looks like a confirmed defect
USUAL_LIMIT = 0.8  # of a threshold, where nobody knows what its normal tiles scored
FALSE_ALARM_LIMIT = 2.0  # of a threshold: what staff rejected was over 1 by its nature; this high, somebody looks again
STRANGE_LIMIT = 6.0  # spreads: how far a frame may stand out from its golden roll, where no model knows the style
LOOKED_THROUGH = 5000  # confirmed defects, the latest
BY_CHANCE = {"reservoir": "chance", "frame": "choose"}  # nobody has seen the picture when it is taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was seen of a sample. scored: by the running model, None when it does not know the style; limit: the score,
    in units of the threshold, from which on it is held; hash: of `near_duplicates`; likeness: of its strongest place
    (`inspection.likeness`), None where nothing stands out. strange: how far it stands out from its golden roll, in
    spreads of it; unlike: how far from other rolls' samples, in units of what is usual. unreadable: the picture cannot
    be decoded."""

    scored: Scored | None = None
    limit: float = USUAL_LIMIT
    hash: str = ""
    likeness: NDArray[np.float32] | None = None
    strange: float = 0.0
    unlike: float = 0.0
    unreadable: bool = False


def judge_sample(
    database: Database,
    sample_id: int,
    looked: Looked,
    *,
    pixels: Pixels | None,
    read: Callable[[str], Pixels | None],
) -> tuple[Reason, ...] | None:
    """Holds or accepts a sample that waits; why it is held, None when it did not wait any more.

    read: a sample's picture by its key, None when it cannot be had.
    """
    with database.session() as session:
        row = session.get(SampleRow, sample_id, with_for_update=True)
        if row is None or row.state != "waits":
            return None
        reasons = tuple(_reasons(session, row, looked, pixels=pixels, read=read))
        row.look = looked.hash
        if looked.scored is not None and not row.model:
            row.model, row.score, row.threshold = looked.scored.model, looked.scored.score, looked.scored.threshold
        row.state = "held" if reasons else "accepted"
        row.reasons = [asdict(reason) for reason in reasons]
        row.decided_by, row.decided_at = "", datetime.now(UTC)
        return reasons


def hold_doubtful(database: Database) -> int:
    """Holds accepted samples in which a defect lies that staff confirmed or that nobody has reviewed, or near which one
    was confirmed since they were accepted; how many. Asked before every training, so that a review always comes first.
    """
    held = 0
    with database.session() as session:
        rows = session.scalars(
            select(SampleRow)
            .where(SampleRow.active, SampleRow.state == "accepted")
            .where((SampleRow.line != "") | SampleRow.defect_id.is_not(None))
            .order_by(SampleRow.id)
        ).all()
        latest = session.scalar(select(func.max(DefectRow.reviewed_at)).where(DefectRow.state == "confirmed"))
        for row in rows:
            since = row.decided_at or row.created_at
            if (blocked := blocking_defect(session, row)) is not None:
                reason = Reason(code=blocked[0], about=blocked[1])
            elif latest and latest > since and (near := near_confirmed(session, row, since=since)) is not None:
                reason = Reason(code="near", about=near[0], value=round(near[1], 1))
            else:
                continue
            row.state, row.reasons = "held", [asdict(reason)]
            row.decided_by, row.decided_at = "", datetime.now(UTC)
            audit.record(
                session,
                by="the guard",
                action="sample.hold",
                subject=f"sample {row.id}",
                detail={"why": in_words(reason)},
            )
            held += 1
    return held


def _reasons(
    session: Session,
    row: SampleRow,
    looked: Looked,
    *,
    pixels: Pixels | None,
    read: Callable[[str], Pixels | None],
) -> list[Reason]:
    if looked.unreadable:
        return [Reason(code="unreadable")]
    found = []
    if (blocked := blocking_defect(session, row)) is not None:
        found.append(Reason(code=blocked[0], about=blocked[1]))
    elif (near := near_confirmed(session, row)) is not None:
        found.append(Reason(code="near", about=near[0], value=round(near[1], 1)))
    score = looked.scored or as_sample(row).scored
    if score is not None and score.ratio > (FALSE_ALARM_LIMIT if row.source == "review" else looked.limit):
        found.append(Reason(code="score", value=round(score.ratio, 3)))
    if looked.strange > STRANGE_LIMIT:
        found.append(Reason(code="strange", value=round(looked.strange, 1)))
    if looked.unlike > 1:
        found.append(Reason(code="unlike", value=round(looked.unlike, 2)))
    if (alike := _alike(session, row, looked)) is not None:
        found.append(Reason(code="alike", about=alike))
    if looked.hash and pixels is not None:
        found += _duplicates(session, row, looked.hash, pixels, read)
    if row.source in BY_CHANCE:
        found.append(Reason(code=BY_CHANCE[row.source]))
    return found


def _alike(session: Session, row: SampleRow, looked: Looked) -> int | None:
    """The confirmed defect of its style that the sample's strongest place looks like most."""
    own = looked.likeness
    if row.defect_id is not None:  # a rejected defect's is stored
        stored = session.scalar(
            select(FragmentRow.likeness)
            .join(DefectRow, (FragmentRow.frame_id == DefectRow.frame_id) & (FragmentRow.number == DefectRow.fragment))
            .where(DefectRow.id == row.defect_id)
        )
        own = np.frombuffer(stored, "<f2").astype(np.float32) if stored else own
    if own is None:
        return None
    there = session.execute(
        select(DefectRow.id, FragmentRow.likeness)
        .join(FragmentRow, (FragmentRow.frame_id == DefectRow.frame_id) & (FragmentRow.number == DefectRow.fragment))
        .where(DefectRow.state == "confirmed", DefectRow.style == row.style, FragmentRow.likeness.is_not(None))
        .order_by(DefectRow.id.desc())
        .limit(LOOKED_THROUGH)
    ).all()
    kept = session.execute(
        select(ConfirmedDefectRow.defect_id, ConfirmedDefectRow.likeness)
        .where(
            ConfirmedDefectRow.strongest,
            ConfirmedDefectRow.style == row.style,
            ConfirmedDefectRow.likeness.is_not(None),
        )
        .order_by(ConfirmedDefectRow.id.desc())
        .limit(LOOKED_THROUGH - len(there))
    ).all()
    known = [
        (number, np.frombuffer(each, "<f2").astype(np.float32)) for number, each in (*there, *kept) if each is not None
    ]
    return most_alike(own, [(number, vector) for number, vector in known if len(vector) == len(own)])


def most_alike(own: NDArray[np.float32], known: Sequence[tuple[int, NDArray[np.float32]]]) -> int | None:
    """The number of the vector with the greatest cosine to `own`, if that is `ALIKE_COSINE` or more."""
    if not known:
        return None
    vectors = np.stack([vector for _, vector in known])
    lengths = np.linalg.norm(vectors, axis=1) * max(float(np.linalg.norm(own)), 1e-6)
    cosines = vectors @ own / np.maximum(lengths, 1e-6)
    best = int(np.argmax(cosines))
    return known[best][0] if cosines[best] >= ALIKE_COSINE else None


def _duplicates(
    session: Session, row: SampleRow, own: str, pixels: Pixels, read: Callable[[str], Pixels | None]
) -> list[Reason]:
    """The first sample of the style that shows the same cloth, a refused one before all others."""
    others = session.execute(
        select(SampleRow.id, SampleRow.picture, SampleRow.look, SampleRow.state).where(
            SampleRow.style == row.style, SampleRow.look != "", SampleRow.id != row.id
        )
    ).all()
    near = [other for other in others if bits_apart(own, other.look) <= ALIKE_BITS]
    for other in sorted(near, key=lambda other: (other.state != "refused", bits_apart(own, other.look)))[:8]:
        theirs = read(other.picture)
        if theirs is not None and is_same_cloth(pixels, theirs):
            return [Reason(code="refused_before" if other.state == "refused" else "duplicate", about=other.id)]
    return []
