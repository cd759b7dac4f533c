"""Samples: pictures of normal fabric that models learn from, each with where it came from.

Sources (`SOURCES`): files that staff give (`golden`, `upload`), a golden roll or a single frame that they take of a
running camera (`roll`, `frame`), a frame that ran by or a part of it (`past`, `storage.past_frames`), a part of any of
these (`part`, `storage.sample_parts`), crops of rejected defects (`review`, `storage.reviews`), and tiles that a worker
takes by chance (`reservoir`).

States: a sample *waits* until the guard has looked at it (`storage.sample_guard`), which accepts what people gave, or
*holds* it for a second look and says why. Staff accept, refuse, or hold again. Learned is only what is accepted, and
nothing in which a defect lies that staff confirmed or that nobody reviewed (`storage.sample_places`).
"""

import hashlib
import math
import struct
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.names import check_name
from storage.pictures import PictureStore, picture_key
from storage.sample_places import blocking_defect
from storage.tables import SampleCaptureRow, SampleRow, StyleRow

PNG_HEADER = 24

Source = Literal["golden", "upload", "roll", "frame", "past", "part", "review", "reservoir"]
SOURCES: tuple[Source, ...] = ("golden", "upload", "roll", "frame", "past", "part", "review", "reservoir")
SampleState = Literal["waits", "held", "accepted", "refused"]
STATES: tuple[SampleState, ...] = ("waits", "held", "accepted", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """Where on which roll a picture was captured. Positions are of the camera's counter, as a fragment's; `day`: on
    which the roll was opened (UTC, ISO)."""

    line: str
    roll: str
    day: str
    camera: str
    counter: str
    x0_mm: float
    x1_mm: float
    y0_mm: float
    y1_mm: float
    captured_at: datetime

    @property
    def group(self) -> str:
        """What stays together in every split: the roll."""
        return f"{self.line}/{self.roll}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a model said of a picture: its highest score and the threshold it had then."""

    model: str
    score: float
    threshold: float

    @property
    def ratio(self) -> float:
        return self.score / max(self.threshold, 1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a sample is held. `code`: one of `WORDS`; `about`: the number of a defect or sample; `value`: what was
    measured; `text`: in somebody's words."""

    code: str
    about: int = 0
    value: float = 0.0
    text: str = ""


WORDS = {
    "score": "the running model scores it higher than normal fabric, at {value:.2f} times its limit",
    "confirmed": "defect {about}, which staff confirmed, lies in it",
    "near": "defect {about}, which staff confirmed, lies {value:.0f} mm from it",
    "unreviewed": "defect {about}, which nobody has reviewed, lies in it",
    "alike": "its strongest place looks like defect {about}, which staff confirmed",
    "duplicate": "it is nearly the same picture as sample {about}",
    "refused_before": "it is nearly the same picture as sample {about}, which was refused",
    "unlike": "it is unlike other samples of the style, at {value:.2f} times what is usual",
    "strange": "it differs from the rest of its golden roll, by {value:.0f} times their usual spread",
    "chance": "it was taken by chance, nobody has looked at it",
    "choose": "it was taken from a running camera, look at it before it is learned",
    "unreadable": "its picture cannot be read",
    "asked": "{text}",
}


def in_words(reason: Reason) -> str:
    return WORDS.get(reason.code, reason.code).format(about=reason.about, value=reason.value, text=reason.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`picture`: its key in the picture store. `active`: not taken out."""

    id: int
    style: str
    picture: str
    source: str
    roll_group: str
    defect_id: int | None
    mm_per_px: float
    active: bool
    by: str
    created_at: datetime
    state: SampleState = "accepted"
    reasons: tuple[Reason, ...] = ()
    decided_by: str = ""
    decided_at: datetime | None = None
    why: str = ""
    captured: Captured | None = None
    scored: Scored | None = None
    capture_id: int | None = None

    @property
    def learnable(self) -> bool:
        return self.active and self.state == "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFilter:
    """`None` and "": any."""

    style: str = ""
    source: str = ""
    state: str = ""
    active: bool | None = True

    def apply(self, query: Select[Any]) -> Select[Any]:
        for column, value in (
            (SampleRow.style, self.style),
            (SampleRow.source, self.source),
            (SampleRow.state, self.state),
        ):
            if value:
                query = query.where(column == value)
        return query if self.active is None else query.where(SampleRow.active.is_(self.active))


def add_sample(
    database: Database,
    pictures: PictureStore,
    *,
    style: str,
    png: bytes,
    source: str,
    roll_group: str,
    mm_per_px: float,
    by: str,
    defect_id: int | None = None,
    why: str = "",
    captured: Captured | None = None,
    scored: Scored | None = None,
    capture_id: int | None = None,
    priority: float | None = None,
) -> Sample:
    """Keeps a picture and registers it; it waits for the guard. The same picture of the same style and group again is
    the same sample; one that was taken out waits again, one that staff refused stays refused.

    Raises `StorageError` when the bytes are no picture, or for a style without a name.
    """
    if not style or not math.isfinite(mm_per_px) or mm_per_px <= 0:
        raise StorageError(f"a sample needs a style and a scale, got style {style!r} and {mm_per_px} mm/px")
    check_name("style", style)
    picture_size(png, "the sample")
    digest = hashlib.sha256(roll_group.encode() + b"\0" + png).hexdigest()
    key = picture_key("samples", style, f"{digest[:32]}.png")
    pictures.put(key, png)
    with database.session() as session:
        now = datetime.now(UTC)
        database.insert_new(session, StyleRow, name=style, created_at=now)
        new = database.insert_new(
            session,
            SampleRow,
            style=style,
            picture=key,
            source=source,
            roll_group=roll_group,
            defect_id=defect_id,
            mm_per_px=mm_per_px,
            active=True,
            by=by,
            created_at=now,
            state="waits",
            why=why,
            capture_id=capture_id,
            priority=priority,
            **origin_values(captured, scored),
        )
        row = session.scalars(select(SampleRow).where(SampleRow.picture == key)).one()
        if new is not None or (not row.active and row.state != "refused"):
            if not row.active:
                row.active, row.state = True, "waits"
            detail = {"style": style, "roll_group": roll_group}
            audit.record(session, by=by, action="sample.add", subject=f"sample {row.id}", detail=detail)
        return as_sample(row)


def origin_values(captured: Captured | None, scored: Scored | None) -> dict[str, Any]:
    """As columns of `SampleRow`."""
    return (asdict(captured) if captured else {}) | (asdict(scored) if scored else {})


def list_samples(
    database: Database, *, active_only: bool = True, wanted: SampleFilter | None = None, learnable: bool = False
) -> list[Sample]:
    """Samples, by style, the oldest first; learnable: only those that a training may use."""
    chosen = wanted or SampleFilter(active=True if active_only else None)
    with database.reading() as session:
        query = chosen.apply(select(SampleRow).order_by(SampleRow.style, SampleRow.id))
        if learnable:
            query = query.where(SampleRow.active, SampleRow.state == "accepted")
        return [as_sample(row) for row in session.scalars(query)]


def to_be_learned() -> ColumnElement[bool]:
    """Accepted, or given by people and not looked at by the guard yet."""
    given = and_(SampleRow.state == "waits", SampleRow.source.not_in(("reservoir", "frame")))
    return and_(SampleRow.active, or_(SampleRow.state == "accepted", given))


def guard_is_awaited(database: Database) -> bool:
    """Whether samples wait for the guard that somebody gave; of tiles taken by chance it says only that they were, and
    a golden roll waits for its end."""
    with database.reading() as session:
        awaited = (SampleRow.active, SampleRow.state == "waits", SampleRow.source != "reservoir")
        recorded = exists().where(SampleCaptureRow.id == SampleRow.capture_id, SampleCaptureRow.state == "running")
        return session.scalar(select(SampleRow.id).where(*awaited, ~recorded).limit(1)) is not None


def page_of_samples(database: Database, wanted: SampleFilter, *, limit: int, offset: int) -> tuple[list[Sample], int]:
    """The latest first, and how many there are in all."""
    with database.reading() as session:
        total = session.scalar(wanted.apply(select(func.count(SampleRow.id)))) or 0
        query = wanted.apply(select(SampleRow).order_by(SampleRow.id.desc()).limit(limit).offset(offset))
        return [as_sample(row) for row in session.scalars(query)], total


def get_sample(database: Database, sample_id: int) -> Sample:
    """Raises `StorageError` for an unknown one."""
    with database.reading() as session:
        return as_sample(_row(session, sample_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """How many samples an act changed, and why others were not, a sentence each."""

    done: int
    refused: tuple[str, ...]


def decide_samples(
    database: Database, ids: Collection[int], *, state: SampleState, by: str, reason: str = ""
) -> Decided:
    """Staff accept, refuse (which takes out what was accepted) or hold samples.

    One in which a defect lies that staff confirmed, or that nobody has reviewed, is not accepted: the defect's review
    comes first. Raises `StorageError` for an unknown one; nothing is changed then.
    """
    if state not in ("held", "accepted", "refused"):
        raise StorageError(f"a sample is accepted, refused or held, got {state!r}")
    problems, done = [], 0
    with database.session() as session:
        for row in [_row(session, sample_id) for sample_id in sorted(ids)]:
            blocked = blocking_defect(session, row) if state == "accepted" else None
            if blocked is not None:
                problems.append(f"sample {row.id}: {in_words(Reason(code=blocked[0], about=blocked[1]))}")
                continue
            before = row.state if row.active else "taken out"
            row.state, row.active = state, state != "refused"
            row.decided_by, row.decided_at = by, datetime.now(UTC)
            if state == "held":
                row.reasons = [asdict(Reason(code="asked", text=f"{by}: {reason or 'look at it again'}"))]
            done += 1
            detail = {"state": state, "previous": before, "style": row.style, "reason": reason}
            audit.record(session, by=by, action="sample.decide", subject=f"sample {row.id}", detail=detail)
    return Decided(done=done, refused=tuple(problems))


def move_samples(database: Database, ids: Collection[int], *, style: str, by: str) -> int:
    """Samples are of another style than was thought: they wait for the guard again, and what a model scored them as the
    former is forgotten. How many; those of the style already stay as they are. Frozen sets keep what they had.

    Raises `StorageError` for an unknown sample or style; nothing is changed then.
    """
    moved = 0
    with database.session() as session:
        if session.get(StyleRow, style) is None:
            raise StorageError(f"there is no style {style}: it comes with its first sample or roll")
        for row in [_row(session, sample_id) for sample_id in sorted(ids)]:
            if row.style == style:
                continue
            detail = {"style": style, "previous": row.style, "state": row.state if row.active else "taken out"}
            audit.record(session, by=by, action="sample.move", subject=f"sample {row.id}", detail=detail)
            row.style, row.state, row.active, row.reasons, row.look = style, "waits", True, [], ""
            row.decided_by, row.decided_at = "", None
            row.model, row.score, row.threshold = "", None, None
            moved += 1
    return moved


def count_samples(database: Database) -> dict[str, dict[str, int]]:
    """style -> state -> number; those taken out count as refused."""
    found: dict[str, dict[str, int]] = {}
    with database.reading() as session:
        rows = session.execute(
            select(SampleRow.style, SampleRow.state, SampleRow.active, func.count(SampleRow.id)).group_by(
                SampleRow.style, SampleRow.state, SampleRow.active
            )
        )
        for style, state, active, number in rows:
            own = found.setdefault(style, dict.fromkeys(STATES, 0))
            own[state if active else "refused"] += number
    return found


def count_reasons(samples: Sequence[Sample]) -> dict[str, int]:
    """How many are held for what: code -> number; one with two reasons counts for both."""
    counts: dict[str, int] = {}
    for sample in samples:
        for code in dict.fromkeys(reason.code for reason in sample.reasons):
            counts[code] = counts.get(code, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def picture_size(png: bytes, name: str) -> tuple[int, int]:
    """(height, width) of a PNG from its first `PNG_HEADER` bytes. Raises `StorageError` when it is none."""
    if len(png) < PNG_HEADER or not png.startswith(b"\x89PNG\r\n\x1a\n") or png[12:16] != b"IHDR":
        raise StorageError(f"{name} is no PNG picture: give it as PNG")
    width, height = struct.unpack(">II", png[16:24])
    return height, width


def _row(session: Session, sample_id: int) -> SampleRow:
    row = session.get(SampleRow, sample_id)
    if row is None:
        raise StorageError(f"there is no sample {sample_id}: see loomwatch samples list")
    return row


def as_sample(row: SampleRow) -> Sample:
    captured = scored = None
    box = (row.x0_mm, row.x1_mm, row.y0_mm, row.y1_mm)
    if row.line and row.captured_at is not None and None not in box:
        x0_mm, x1_mm, y0_mm, y1_mm = (value or 0.0 for value in box)
        captured = Captured(
            line=row.line,
            roll=row.roll,
            day=row.day,
            camera=row.camera,
            counter=row.counter,
            x0_mm=x0_mm,
            x1_mm=x1_mm,
            y0_mm=y0_mm,
            y1_mm=y1_mm,
            captured_at=row.captured_at,
        )
    if row.model and row.score is not None and row.threshold is not None:
        scored = Scored(model=row.model, score=row.score, threshold=row.threshold)
    return Sample(
        id=row.id,
        style=row.style,
        picture=row.picture,
        source=row.source,
        roll_group=row.roll_group,
        defect_id=row.defect_id,
        mm_per_px=row.mm_per_px,
        active=row.active,
        by=row.by,
        created_at=row.created_at,
        state=cast(SampleState, row.state),
        reasons=tuple(Reason(**each) for each in row.reasons),
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        why=row.why,
        captured=captured,
        scored=scored,
        capture_id=row.capture_id,
    )
