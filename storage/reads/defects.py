"""Defects to look through: filtered, worst first, page by page; and one with everything known of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, and_, false, func, or_, select
from sqlalchemy.orm import Session

from inspection.types import Roll
from storage.database import Database
from storage.defects.periodic import MIN_HITS
from storage.reads.review_state import STATES, State, state_of
from storage.reads.roll_runs import runs_in
from storage.rolls import in_roll, rolls_by_id
from storage.tables import (
    CameraRow,
    DefectRow,
    FragmentRow,
    FrameRow,
    LineRow,
    MergedDefectRow,
    ReviewRow,
    SampleRow,
    SeriesRow,
    StyleRow,
)

COUNTED = 10_000  # defects of a list are counted up to here


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectFilter:
    """Which defects; an empty field asks for all."""

    roll: Roll | None = None
    line: str = ""
    since: datetime | None = None  # of their capture, and before when
    until: datetime | None = None
    style: str = ""
    camera: str = ""
    state: State | Literal[""] = ""
    min_strength: float = 0.0  # score in units of the threshold
    geometry: str = ""
    severity: str = ""
    code: str = ""
    by: str = ""  # who gave a verdict on it, of the last `COUNTED` that they gave

    @property
    def strength(self) -> ColumnElement[float]:
        """What they are ordered by. A roll's or a day's as a sum, which stands in no index: SQLite then finds its
        defects where they lie, and does not look for them among the strongest of the year."""
        few = self.roll is not None or self.since is not None
        return DefectRow.strength + 0.0 if few else DefectRow.strength.expression

    def condition(self) -> ColumnElement[bool]:
        parts: list[ColumnElement[bool]] = []
        if self.roll is not None:
            parts.append(in_roll(self.roll, DefectRow))
        if self.line:
            parts.append(DefectRow.line == self.line)
        if self.since is not None:
            parts.append(DefectRow.captured_at >= self.since)
        if self.until is not None:
            parts.append(DefectRow.captured_at < self.until)
        if self.line and self.since is None:  # its cameras are in the index of the strongest, the line is not
            parts.append(DefectRow.camera.in_(select(CameraRow.name).where(CameraRow.line == self.line)))
        if self.since is not None and not self.line:  # all are named: the index of times begins with the line
            parts.append(DefectRow.line.in_(select(LineRow.name)))
        if self.style:
            parts.append(DefectRow.style == self.style)
        if self.camera:
            parts.append(_seen_by(self.camera))
        if self.state:
            parts.append(DefectRow.state == self.state)
        if self.min_strength > 0:
            parts.append(self.strength >= self.min_strength)
        for column, value in (
            (DefectRow.geometry, self.geometry),
            (DefectRow.severity, self.severity),
            (DefectRow.code, self.code),
        ):
            if value:
                parts.append(column == value)
        if self.by:
            given = (
                select(ReviewRow.defect_id)
                .where(ReviewRow.by == self.by, ReviewRow.act == "verdict")
                .order_by(ReviewRow.at.desc(), ReviewRow.defect_id.desc())
                .limit(COUNTED)
            )
            parts.append(DefectRow.id.in_(given))
        return and_(True, *parts)

    def as_strong_as(self, own: float) -> ColumnElement[bool]:
        """Those of exactly this strength. Here and below with one bound, because of two SQLite may look from the other
        one on."""
        all_of_them = replace(self, min_strength=0.0).condition()
        return and_(all_of_them, self.strength == own) if own >= self.min_strength else false()

    def stronger_than(self, own: float) -> ColumnElement[bool]:
        all_of_them = replace(self, min_strength=0.0).condition()
        bound = self.strength > own if own >= self.min_strength else self.strength >= self.min_strength
        return and_(all_of_them, bound)


def _seen_by(camera: str) -> ColumnElement[bool]:
    """Most defects are of one fragment, whose camera is their own: only of the others the fragments are asked, defect
    by defect (for EXISTS beside OR, PostgreSQL would read all of the camera's)."""
    of_it = (
        select(FragmentRow.defect_id)
        .where(FragmentRow.defect_id == DefectRow.id, FragmentRow.camera == camera)
        .limit(1)
        .correlate(DefectRow)
        .scalar_subquery()
    )
    return or_(DefectRow.camera == camera, and_(DefectRow.fragments > 1, of_it.is_not(None)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectItem:
    """A defect in a list. Picture, camera and pixels are those of its strongest fragment."""

    id: int
    line: str
    camera: str
    captured_at: datetime  # of its first fragment
    roll: Roll | None
    y_mm: float  # its middle along the roll; along the line's counter when it is on no roll
    x_mm: float  # its middle across, from the left fabric edge
    length_mm: float  # along the roll
    width_mm: float  # across
    area_mm2: float
    size_mm: float  # maximum Feret diameter
    geometry: str
    hole: bool | None
    code: str  # the name staff chose, "" until then
    severity: str  # minor, major, critical
    points: float  # that it scores by itself
    fragments: int
    series_id: int | None
    score: float
    threshold: float
    strength: float  # score in units of the threshold
    style: str
    state: State
    crop: str
    heat: str
    fabric_px: tuple[int, int]  # columns and rows of the fabric in its frame
    box_px: tuple[int, int, int, int]  # x0, x1, y0, y1 on that fabric
    version: int  # acts of staff so far
    severity_set: bool  # by staff


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One act of staff on a defect: verdict, name, severity, merge or split. state: what was chosen."""

    act: str
    state: str
    previous: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Defects at equal spaces that this one is one of. next_mm: along the roll, None once the series is closed."""

    period_mm: float
    hits: int
    suspect: str
    next_mm: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectDetail:
    """A defect with everything known of it."""

    item: DefectItem
    mask: bytes  # 1-bit PNG of the box
    mm_per_px: float
    model: str
    origin: str
    history: tuple[Review, ...]  # oldest first
    others_in_frame: int  # further defects of the same frame that are not rejected
    learned: bool  # its crop is a sample of normal fabric
    peak_y_mm: float  # where along the roll the strongest fragment begins, which the pictures show
    series: Series | None


REVIEWERS_DAYS = 90
NEARBY_MM = 10_000.0
Shown = tuple[DefectRow, FragmentRow, FrameRow]  # a defect, its strongest fragment, that one's frame

_WITH_PEAK = (
    select(DefectRow, FragmentRow, FrameRow)
    .join(FragmentRow, and_(FragmentRow.frame_id == DefectRow.frame_id, FragmentRow.number == DefectRow.fragment))
    .join(FrameRow, FrameRow.id == DefectRow.frame_id)
)


def list_defects(
    database: Database, wanted: DefectFilter, *, limit: int, offset: int = 0
) -> tuple[list[DefectItem], int]:
    """A page of defects, worst first, and how many there are in all, `COUNTED` at most.

    What comes after the page is counted from there on: no part of a year's defects is looked through twice. A
    reviewer's are no more than `COUNTED`, strewn over the year: they are counted as they are sorted."""
    condition, strength = wanted.condition(), wanted.strength
    with_count = [func.count().over()] if wanted.by else []
    with database.reading() as session:
        page = session.execute(
            select(DefectRow.id, DefectRow.strength, *with_count)
            .where(condition)
            .order_by(strength.desc(), DefectRow.id)
            .limit(limit)
            .offset(offset)
        ).all()
        total = offset + len(page) if page else _count(session, condition) if offset else 0
        if page and wanted.by:
            total = page[0][2]
        elif len(page) == limit and total < COUNTED:
            last = page[-1]
            after = or_(strength < last.strength, DefectRow.id > last.id)
            total += _count(session, and_(condition, strength <= last.strength, after))
        items = {item.id: item for item in items_of(session, [row.id for row in page])}
        return [items[row.id] for row in page], min(total, COUNTED)


def _count(session: Session, condition: ColumnElement[bool]) -> int:
    """Nobody pages through more, and to count all of a year takes as long as to read it."""
    few = select(DefectRow.id).where(condition).limit(COUNTED).subquery()
    return session.scalar(select(func.count()).select_from(few)) or 0


def latest_defects(database: Database, *, limit: int, line: str = "") -> list[DefectItem]:
    """The defects captured last, newest first, those rejected left out. line: only its own, "" for all."""
    rows: list[Shown] = []
    with database.reading() as session:
        for name in [line] if line else session.scalars(select(LineRow.name)).all():  # line by line, along the index
            found = session.execute(
                _WITH_PEAK.where(DefectRow.line == name, DefectRow.state != "rejected")
                .order_by(DefectRow.captured_at.desc(), DefectRow.id.desc())
                .limit(limit)
            )
            rows += [(row, peak, frame) for row, peak, frame in found]
        rows.sort(key=lambda shown: (shown[0].captured_at, shown[0].id), reverse=True)
        return _items(session, rows[:limit])


def count_by_state(database: Database, wanted: DefectFilter) -> dict[State, int]:
    """How many defects are in each state, `COUNTED` at most, the filter's own state left aside."""
    with database.reading() as session:
        return {state: _count(session, replace(wanted, state=state).condition()) for state in STATES}


def rank_of(database: Database, wanted: DefectFilter, defect_id: int) -> int:
    """How many defects of the filter stand before this one (which itself need not fit the filter), `COUNTED` at
    most."""
    with database.reading() as session:
        own = session.scalar(select(DefectRow.strength).where(DefectRow.id == defect_id))
        if own is None:
            return 0
        stronger = _count(session, wanted.stronger_than(own))
        if stronger == COUNTED:
            return COUNTED
        same = and_(wanted.as_strong_as(own), DefectRow.id < defect_id)
        return min(COUNTED, stronger + _count(session, same))


def neighbours_of(database: Database, wanted: DefectFilter, defect_id: int) -> tuple[int | None, int | None]:
    """The defects of the filter before and after this one in the order worst first."""
    strength = wanted.strength
    with database.reading() as session:
        own = session.scalar(select(DefectRow.strength).where(DefectRow.id == defect_id))
        if own is None:
            return None, None
        query = select(DefectRow.id).limit(1)
        same, weaker = wanted.as_strong_as(own), and_(wanted.condition(), strength < own)
        before = session.scalar(query.where(same, DefectRow.id < defect_id).order_by(DefectRow.id.desc()))
        if before is None:
            before = session.scalar(query.where(wanted.stronger_than(own)).order_by(strength, DefectRow.id.desc()))
        after = session.scalar(query.where(same, DefectRow.id > defect_id).order_by(DefectRow.id))
        if after is None:
            after = session.scalar(query.where(weaker).order_by(strength.desc(), DefectRow.id))
    return before, after


def read_defect(database: Database, defect_id: int) -> DefectDetail | None:
    """One defect with its history; None when there is no such defect. The number of one that became part of another
    leads to the other."""
    with database.reading() as session:
        found = session.execute(_WITH_PEAK.where(DefectRow.id == defect_id)).first()
        if found is None:
            into = session.scalar(select(MergedDefectRow.into_id).where(MergedDefectRow.id == defect_id))
            defect_id = into if into is not None else defect_id
            found = session.execute(_WITH_PEAK.where(DefectRow.id == defect_id)).first()
        if found is None:
            return None
        row, peak, frame = found
        history = session.execute(
            select(ReviewRow.act, ReviewRow.state, ReviewRow.previous, ReviewRow.by, ReviewRow.at)
            .where(ReviewRow.defect_id == defect_id)
            .order_by(ReviewRow.at, ReviewRow.id)
        ).all()
        others = session.scalar(
            select(func.count(func.distinct(FragmentRow.defect_id)))
            .join(DefectRow, DefectRow.id == FragmentRow.defect_id)
            .where(
                FragmentRow.frame_id == row.frame_id, FragmentRow.defect_id != defect_id, DefectRow.state != "rejected"
            )
        )
        sample = session.scalar(select(SampleRow.id).where(SampleRow.defect_id == defect_id, SampleRow.active).limit(1))
        series = session.get(SeriesRow, row.series_id) if row.series_id is not None else None
        if series is not None and (series.hits < MIN_HITS or row.state == "rejected"):
            series = None
        item = _items(session, [(row, peak, frame)])[0]
    zero_mm = (row.y0_mm + row.y1_mm) / 2 - item.y_mm  # of the roll, on the defect's counter
    return DefectDetail(
        item=item,
        mask=peak.mask,
        mm_per_px=frame.mm_per_px,
        model=frame.model,
        origin=frame.origin,
        history=tuple(
            Review(act=row.act, state=row.state, previous=row.previous, by=row.by, at=row.at) for row in history
        ),
        others_in_frame=others or 0,
        learned=sample is not None,
        peak_y_mm=row.peak_y_mm - zero_mm,
        series=None
        if series is None
        else Series(
            period_mm=series.period_mm,
            hits=series.hits,
            suspect=series.suspect,
            next_mm=series.last_mm + series.period_mm - zero_mm if series.open else None,
        ),
    )


def items_of(session: Session, ids: Sequence[int]) -> list[DefectItem]:
    """These defects, in any order."""
    rows = session.execute(_WITH_PEAK.where(DefectRow.id.in_(ids))).all()
    return _items(session, [(row, peak, frame) for row, peak, frame in rows])


def _items(session: Session, rows: Sequence[Shown]) -> list[DefectItem]:
    by_id = rolls_by_id(session, {row.roll_id for row, _, _ in rows})
    runs = {(roll.id, run.camera, run.session): run for roll in by_id.values() for run in runs_in(session, roll)}
    items = []
    for row, peak, frame in rows:
        roll = by_id.get(row.roll_id)
        run = runs.get((roll.id, row.camera, frame.session)) if roll is not None else None
        y_mm = (row.y0_mm + row.y1_mm) / 2
        left_px = peak.x0_px - round((peak.x0_mm - frame.x_offset_mm) / frame.mm_per_px)
        items.append(
            DefectItem(
                id=row.id,
                line=row.line,
                camera=row.camera,
                captured_at=row.captured_at,
                roll=roll,
                y_mm=run.place(y_mm) if run else y_mm,
                x_mm=(row.x0_mm + row.x1_mm) / 2,
                length_mm=row.y1_mm - row.y0_mm,
                width_mm=row.x1_mm - row.x0_mm,
                area_mm2=row.area_mm2,
                size_mm=row.size_mm,
                geometry=row.geometry,
                hole=row.hole,
                code=row.code,
                severity=row.severity,
                points=row.points,
                fragments=row.fragments,
                series_id=row.series_id,
                score=row.score,
                threshold=row.threshold,
                strength=row.score / row.threshold if row.threshold > 0 else row.score,
                style=row.style,
                state=state_of(row.state),
                crop=peak.crop,
                heat=peak.heat,
                fabric_px=(round(frame.fabric_width_mm / frame.mm_per_px), round(frame.length_mm / frame.mm_per_px)),
                box_px=(peak.x0_px - left_px, peak.x1_px - left_px, peak.y0_px, peak.y1_px),
                version=row.version,
                severity_set=row.severity_set,
            )
        )
    return items


def nearby_defects(database: Database, defect_id: int, *, limit: int) -> list[DefectItem]:
    """The defects of its roll and counter that lie nearest to this one along the roll, nearest first."""
    with database.reading() as session:
        own = session.get(DefectRow, defect_id)
        if own is None:
            return []
        found: dict[int, float] = {}
        for side in (DefectRow.y0_mm < own.y0_mm, DefectRow.y0_mm >= own.y0_mm):
            apart = func.abs(DefectRow.y0_mm - own.y0_mm)
            rows = session.execute(
                select(DefectRow.id, apart)
                .where(
                    DefectRow.roll_id == own.roll_id,
                    DefectRow.id != own.id,
                    side,
                    DefectRow.y0_mm.between(own.y0_mm - NEARBY_MM, own.y0_mm + NEARBY_MM),
                )
                .order_by(apart, DefectRow.id)
                .limit(limit)
            )
            found |= {number: distance for number, distance in rows}  # noqa: C416
        nearest = sorted(found, key=lambda number: (found[number], number))[:limit]
        items = {item.id: item for item in items_of(session, nearest)}
        return [items[number] for number in nearest]


def reviewers(database: Database) -> list[str]:
    """Who gave verdicts in the last `REVIEWERS_DAYS` days, from name to name along the index: of each its newest."""
    since, found = datetime.now(UTC) - timedelta(days=REVIEWERS_DAYS), list[str]()
    with database.reading() as session:
        last = session.scalar(select(func.min(ReviewRow.by)))
        while last is not None:
            newest = select(func.max(ReviewRow.at)).where(ReviewRow.by == last, ReviewRow.act == "verdict")
            at = session.scalar(newest)
            if at is not None and at >= since:
                found.append(last)
            last = session.scalar(select(func.min(ReviewRow.by)).where(ReviewRow.by > last))
    return found


def style_names(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(StyleRow.name).where(StyleRow.name != "").order_by(StyleRow.name)))


def line_names(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(LineRow.name).order_by(LineRow.name)))


def camera_names(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(CameraRow.name).order_by(CameraRow.name)))
