"""Reviews: staff confirm or reject defects, name them and say how severe they are; what they rejected teaches the next
model.

A rejected defect's crop, that of its strongest fragment, becomes a sample of normal fabric, but only once nothing that
is not rejected can lie in it: nothing unreviewed, and nothing confirmed, is ever learned as normal. Taking a rejection
back takes the sample out. The first rejection and the last can be of any defect that shows in a frame, so each act
looks at all frames of its defect again.

Every act raises the defect's version. Who names the version that they saw is refused when somebody acted meanwhile
(`ChangedMeanwhile`, in the same transaction), so that two people never overwrite each other unnoticed.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import ChangedMeanwhile, StorageError
from storage import audit
from storage.database import Database
from storage.defects import by_hand
from storage.defects.geometry import CODES
from storage.defects.join_and_part import join_defects, part_defect
from storage.defects.merging import fragments_of, judge_severity, lock_line
from storage.defects.series import settle_series
from storage.defects.whole import strength
from storage.grading.severity import SEVERITIES
from storage.pictures import PictureStore, picture_key
from storage.samples import Captured, Scored, origin_values, picture_size
from storage.tables import (
    DefectRow,
    FragmentRow,
    FrameRow,
    MergedDefectRow,
    ReviewRow,
    RollRow,
    SampleRow,
    StyleRow,
)
from storage.trends.totals import enter, leave

logger = logging.getLogger(__name__)

State = Literal["confirmed", "rejected", "unreviewed"]
STATES: tuple[State, ...] = ("confirmed", "rejected", "unreviewed")
Act = Literal["verdict", "name", "severity", "merge", "split"]
_ACTIONS: dict[Act, str] = {
    "verdict": "defect.review",
    "name": "defect.name",
    "severity": "defect.severity",
    "merge": "defect.merge",
    "split": "defect.split",
}
_DETAIL: dict[Act, str] = {"verdict": "state", "name": "code", "severity": "severity", "merge": "of", "split": "into"}


class UnknownDefect(StorageError):
    """There is no such defect (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An act of staff on a defect, as it was recorded: what is needed to take it back."""

    defect_id: int
    act: Act
    value: str
    previous: str
    version: int  # of the defect, after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What became of an act on several defects."""

    done: tuple[Done, ...]
    refused: tuple[str, ...]  # why, a sentence a defect


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Defects that staff joined: what it became, and of what: (fragments, state) each."""

    defect_id: int
    version: int
    parts: tuple[tuple[frozenset[tuple[int, int]], State], ...]


def review_defect(
    database: Database, pictures: PictureStore, defect_id: int, *, state: State, by: str, expected: int | None = None
) -> Done:
    """Records one act of staff; setting the state a defect has already is none. The verdict is on all of it that is
    known; the number of a defect that became part of another is the other's.

    expected: the version of the defect that the verdict is about, None for any. Raises `StorageError` for an unknown
    defect or state, and when the picture store does not answer, `ChangedMeanwhile` when somebody acted on the defect
    since; nothing is recorded then.
    """
    return _one(database, pictures, defect_id, act="verdict", value=state, by=by, expected=expected)


def name_defect(database: Database, defect_id: int, *, code: str, by: str, expected: int | None = None) -> Done:
    """Gives a defect one of the names of `storage.defects.geometry`; "" takes it away. Raises as `review_defect`."""
    return _one(database, None, defect_id, act="name", value=code, by=by, expected=expected)


def set_severity(database: Database, defect_id: int, *, severity: str, by: str, expected: int | None = None) -> Done:
    """Staff's word on how severe a defect is, which no rule changes any more; "" leaves it to the rules again. Raises
    as `review_defect`."""
    return _one(database, None, defect_id, act="severity", value=severity, by=by, expected=expected)


def act_on_defects(
    database: Database,
    pictures: PictureStore,
    chosen: Mapping[int, int | None],
    *,
    act: Act,
    value: str,
    by: str,
) -> Acted:
    """One act on many defects (id -> expected version), in one transaction. Those that somebody else acted on
    meanwhile, or that are gone, are left as they are, with the reason. Raises as `review_defect`."""
    _check(act, value)
    done: list[Done] = []
    refused: list[str] = []
    with database.session() as session:
        _lock_lines(database, session, chosen)
        for defect_id, expected in chosen.items():
            try:
                defect = _locked(database, session, defect_id, expected)
            except (ChangedMeanwhile, UnknownDefect) as error:
                refused.append(str(error))
                continue
            done.append(_apply(database, session, pictures, defect, act=act, value=value, by=by))
    return Acted(done=tuple(done), refused=tuple(refused))


def take_back(database: Database, pictures: PictureStore, done: Done, *, by: str) -> Done:
    """Undoes an act, unless anybody acted on the defect since. Raises as `review_defect`."""
    return _one(database, pictures, done.defect_id, act=done.act, value=done.previous, by=by, expected=done.version)


def merge_defects(database: Database, chosen: Mapping[int, int | None], *, by: str) -> Joined:
    """Makes one defect of several (id -> expected version) of one roll. Raises as `review_defect`."""
    with database.session() as session:
        _lock_lines(database, session, chosen)
        rows = [_locked(database, session, number, chosen[number]) for number in sorted(chosen)]
        parts = [
            (frozenset(by_hand.key_of(each) for each in fragments_of(session, row.id)), cast(State, row.state))
            for row in rows
        ]
        numbers = ", ".join(str(row.id) for row in rows)
        kept = session.get_one(DefectRow, join_defects(session, rows))
        _note(session, kept, act="merge", value=numbers, previous="", by=by)
        return Joined(defect_id=kept.id, version=kept.version, parts=tuple(parts))


def split_defect(
    database: Database,
    defect_id: int,
    pieces: Iterable[tuple[int, int]],
    *,
    by: str,
    expected: int | None = None,
) -> tuple[int, int]:
    """Makes a defect of its own of some pieces (frame, number) of a defect, which never again joins the rest by itself.
    Both keep review and history. The ids of the rest and of what was taken out. Raises as `review_defect`."""
    with database.session() as session:
        defect = _locked(database, session, defect_id, expected)
        return _split(session, defect, pieces, by=by)


def unmerge(database: Database, pictures: PictureStore, joined: Joined, *, by: str) -> list[int]:
    """Takes a merging back: the parts are defects again, with the states they had; their ids. What came to the whole
    since stays with the first part. Raises as `review_defect`."""
    with database.session() as session:
        defect = _locked(database, session, joined.defect_id, joined.version)
        parts = [set(keys) for keys, _ in joined.parts]
        first = defect.id
        ids = []
        for keys in parts[1:]:
            first, out = _split(session, session.get_one(DefectRow, first), keys, by=by, for_good=False)
            ids.append(out)
        for number, (_, state) in zip([first, *ids], joined.parts, strict=True):
            row = session.get_one(DefectRow, number, populate_existing=True)
            _apply(database, session, pictures, row, act="verdict", value=state, by=by)
        return [first, *ids]


def _split(
    session: Session, defect: DefectRow, pieces: Iterable[tuple[int, int]], *, by: str, for_good: bool = True
) -> tuple[int, int]:
    rest, out = part_defect(session, defect, pieces, for_good=for_good)
    for number in (rest, out):
        row = session.get_one(DefectRow, number, populate_existing=True)
        row.version = max(row.version, defect.version)
    for number, numbers in ((rest, f"{rest}, {out}"), (out, f"{rest}, {out}")):
        _note(session, session.get_one(DefectRow, number), act="split", value=numbers, previous=str(defect.id), by=by)
    return rest, out


def _one(
    database: Database,
    pictures: PictureStore | None,
    defect_id: int,
    *,
    act: Act,
    value: str,
    by: str,
    expected: int | None,
) -> Done:
    _check(act, value)
    with database.session() as session:
        defect = _locked(database, session, defect_id, expected)
        return _apply(database, session, pictures, defect, act=act, value=value, by=by)


def _check(act: Act, value: str) -> None:
    if act == "verdict" and value not in STATES:
        raise StorageError(f"a defect is {', '.join(STATES)}, got {value!r}")
    if act == "name" and value and value not in CODES:
        raise StorageError(f"a defect's name is one of {', '.join(CODES)}, got {value!r}")
    if act == "severity" and value and value not in SEVERITIES:
        raise StorageError(f"a defect's severity is one of {', '.join(SEVERITIES)}, got {value!r}")


def _apply(
    database: Database,
    session: Session,
    pictures: PictureStore | None,  # verdicts need it
    defect: DefectRow,
    *,
    act: Act,
    value: str,
    by: str,
) -> Done:
    chosen = defect.severity if defect.severity_set else ""
    previous = {"verdict": defect.state, "name": defect.code, "severity": chosen}[act]
    if previous != value:
        now = _note(session, defect, act=act, value=value, previous=previous, by=by)
        if act == "verdict" and pictures is not None:
            _decide(database, session, pictures, defect, state=cast(State, value), by=by, at=now)
        elif act == "name":
            judge_severity(session, defect, code=value)
        elif value:
            judge_severity(session, defect, severity=value)
        else:
            judge_severity(session, defect, severity_set=False)
        session.flush()
    return Done(defect_id=defect.id, act=act, value=value, previous=previous, version=defect.version)


def _note(session: Session, defect: DefectRow, *, act: Act, value: str, previous: str, by: str) -> datetime:
    """In the defect's history and in the audit; whoever looked at it before finds it changed."""
    now = datetime.now(UTC)
    defect.version += 1
    session.add(ReviewRow(defect_id=defect.id, act=act, state=value, previous=previous, by=by, at=now))
    detail = {_DETAIL[act]: value, "previous": previous}
    audit.record(session, by=by, action=_ACTIONS[act], subject=f"defect {defect.id}", detail=detail)
    return now


def _decide(
    database: Database,
    session: Session,
    pictures: PictureStore,
    defect: DefectRow,
    *,
    state: State,
    by: str,
    at: datetime,
) -> None:
    leave(session, defect)
    seen = strength(defect.score, defect.threshold)
    if state == "unreviewed":
        defect.reviewed_at = None
    elif defect.reviewed_at is None:
        defect.reviewed_at = at
    defect.state = state
    defect.confirmed = state == "confirmed"
    defect.rejected_strength = seen if state == "rejected" else None
    defect.unseen_strength = seen if state == "unreviewed" else None
    enter(session, defect)
    session.flush()
    settle_series(session, [defect.series_id])
    _choose_samples(database, session, pictures, defect, by=by, at=at)


def current_id(session: Session, defect_id: int) -> int | None:
    """The number of the defect that this one is, or is part of; None when there is no such defect."""
    found = session.scalar(select(DefectRow.id).where(DefectRow.id == defect_id))
    return found or session.scalar(select(MergedDefectRow.into_id).where(MergedDefectRow.id == defect_id))


def _lock_lines(database: Database, session: Session, chosen: Iterable[int]) -> None:
    """Always in the same order: two who act on many defects wait for, and never block, each other."""
    lines = select(DefectRow.line).where(DefectRow.id.in_(list(chosen))).distinct()
    for line in sorted(session.scalars(lines)):
        lock_line(database, session, line)


def _locked(database: Database, session: Session, defect_id: int, expected: int | None = None) -> DefectRow:
    """The defect, which neither grows nor merges until the transaction ends."""
    current = current_id(session, defect_id)
    line = session.scalar(select(DefectRow.line).where(DefectRow.id == current)) if current else None
    if line is not None:
        lock_line(database, session, line)
        current = current_id(session, defect_id)
    if line is None or current is None:
        raise UnknownDefect(f"there is no defect {defect_id}: it may have been removed")
    defect = session.get_one(DefectRow, current, populate_existing=True)
    if expected is not None and current != defect_id:
        raise ChangedMeanwhile(
            f"defect {defect_id} became part of defect {current} meanwhile: look at the whole of it, then decide"
        )
    if expected is not None and defect.version != expected:
        raise ChangedMeanwhile(f"{_last_act(session, defect)}: look at it again, then decide")
    return defect


def _last_act(session: Session, defect: DefectRow) -> str:
    last = session.scalar(
        select(ReviewRow).where(ReviewRow.defect_id == defect.id).order_by(ReviewRow.id.desc()).limit(1)
    )
    if last is None:
        return f"defect {defect.id} was changed meanwhile"
    return f"{last.by} {act_in_words(last.act, last.state, f'defect {defect.id}')} meanwhile"


def act_in_words(act: str, value: str, what: str) -> str:
    """What somebody did with a defect, as the end of a sentence."""
    if act == "verdict":
        verdicts = {"confirmed": f"confirmed {what}", "rejected": f"called {what} a false alarm"}
        return verdicts.get(value, f"took back the review of {what}")
    if act == "name":
        return f"named {what} {CODES[value].words}" if value in CODES else f"took away the name of {what}"
    if act == "severity":
        return f"set {what} to {value}" if value else f"left the severity of {what} to the rules"
    return f"merged defects {value}" if act == "merge" else f"split {what} into {value}"


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
            sample.active = normal and sample.picture == key and sample.state != "refused"
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
    roll = session.get_one(RollRow, fragment.roll_id)
    captured = Captured(
        line=defect.line,
        roll=roll.name,
        day=f"{roll.opened_at:%Y-%m-%d}",
        camera=fragment.camera,
        counter=fragment.counter,
        x0_mm=fragment.x0_mm,
        x1_mm=fragment.x1_mm,
        y0_mm=fragment.y0_mm,
        y1_mm=fragment.y1_mm,
        captured_at=fragment.captured_at,
    )
    key = _sample_key(fragment)
    pictures.put(key, crop)  # a copy: the defect's own picture ages with its roll
    database.insert_new(session, StyleRow, name=fragment.style, created_at=at)
    session.add(
        SampleRow(
            style=fragment.style,
            picture=key,
            source="review",
            roll_group=captured.group,
            defect_id=defect.id,
            mm_per_px=frame.mm_per_px,
            active=True,
            by=by,
            created_at=at,
            state="waits",
            why="called a false alarm",
            **origin_values(captured, Scored(model=frame.model, score=fragment.score, threshold=fragment.threshold)),
        )
    )
