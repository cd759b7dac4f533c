"""Periodic defects on the running roll: looked for after each defect that is stored, told with suspect and next place.

A lane is what one mark of a roller would hit again: defects of like form within 8 mm across, or all that are as wide as
the cloth. Long lines are left to the rule for running defects. A series stays open until its fourth slot in a row is
missed, its roll ends or its counter starts anew. False alarms are no hits: a series that staff leave with too few of
them is none (`settle_series`).
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, func, or_, select, tuple_, union_all, update
from sqlalchemy.orm import Session

from storage.bulk import Question
from storage.defects.machine import elements_of
from storage.defects.periodic import (
    MAX_MISSES,
    MIN_HITS,
    WINDOW_EVENTS,
    WINDOW_MM,
    Periodic,
    find_periodic,
    suspects,
    tolerance_mm,
)
from storage.defects.whole import FULL_WIDTH_LANE
from storage.tables import DefectRow, FrameRow, RollRow, SeriesRow

LANE_REACH_MM = 8.0
LONG_MM = 1000.0  # along the roll; a longer defect is no mark
_LIKE = {"point": 0, "area": 0, "edge": 0, "warp_line": 1, "diagonal": 1, "weft_line": 2, "full_width": 3}
_ANYWHERE_MM = 1e9
_LATER = WINDOW_EVENTS // 2  # of a defect that came late, how many behind it are looked at

# Built once, over the tables: each defect asks them, and to build a statement costs more than to run it.
_DEFECTS, _SERIES = DefectRow.__table__, SeriesRow.__table__
_EVENT = [
    _DEFECTS.c[name]
    for name in (
        *("id", "camera", "counter", "roll_id", "line", "lane", "geometry", "state", "series_id", "captured_at"),
        *("x0_mm", "x1_mm", "y0_mm", "y1_mm"),
    )
]
_OWN = select(*_EVENT).where(_DEFECTS.c.id.in_(bindparam("ids", expanding=True)))
_MIDDLE_2 = _DEFECTS.c.y0_mm + _DEFECTS.c.y1_mm


def _beside(like: int, *, behind: bool) -> Select[Any]:
    """Id and twice the middle of what lies in one lane with a defect and before (or behind) it along the roll, the
    nearest first, itself before: no more than the detector looks at. What `same_lane` says, for the database."""
    c = _DEFECTS.c
    own: tuple[BindParameter[float], BindParameter[int]] = (bindparam("middle_2"), bindparam("id"))
    order = (_MIDDLE_2, c.id) if behind else (_MIDDLE_2.desc(), c.id.desc())
    side = tuple_(_MIDDLE_2, c.id) > tuple_(*own) if behind else tuple_(_MIDDLE_2, c.id) <= tuple_(*own)
    lane = select(c.id, _MIDDLE_2.label("middle_2")).where(
        c.roll_id == bindparam("roll"),
        c.lane.in_([bindparam(f"lane{number}") for number in range(3)]),
        c.y0_mm >= bindparam("from_y"),
        c.y0_mm <= bindparam("to_y"),
        c.y1_mm - c.y0_mm <= LONG_MM,
        or_(*(c.geometry == geometry for geometry, of in _LIKE.items() if of == like)),
        c.state != "rejected",
        or_(c.camera != bindparam("camera"), c.counter == bindparam("counter")),
        func.abs((c.x0_mm + c.x1_mm) / 2 - bindparam("x")) <= bindparam("reach"),
        side,
    )
    near = lane.order_by(*order).limit(_LATER if behind else WINDOW_EVENTS).subquery()
    return select(near)


_LANE = {
    like: Question(union_all(_beside(like, behind=False), _beside(like, behind=True))) for like in set(_LIKE.values())
}
_OPEN = select(
    *(_SERIES.c[name] for name in ("id", "counter", "last_mm", "period_mm"))
).where(_SERIES.c.roll_id == bindparam("roll"), _SERIES.c.open)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A defect as the detector sees it. x_mm, y_mm: its middle."""

    id: int
    camera: str
    counter: str
    roll_id: int
    line: str
    lane: int
    like: int
    series_id: int | None
    captured_at: datetime
    x_mm: float
    y0_mm: float
    y1_mm: float

    @property
    def y_mm(self) -> float:
        return (self.y0_mm + self.y1_mm) / 2


def find_series(session: Session, defect_ids: Sequence[int]) -> list[int]:
    """Looks whether these defects, just stored or grown, make a series with others; the ids of such series."""
    if not defect_ids:
        return []
    found = []
    events = _events(session, defect_ids)
    for event, lane in zip(events, _lanes_of(session, events), strict=True):
        if len(lane) < MIN_HITS:
            continue
        index = next(at for at, (_, number) in enumerate(lane) if number == event.id)
        series = find_periodic([middle_2 / 2 for middle_2, _ in lane], through=index)
        if series is not None:
            hits = {hit.id: hit for hit in _events(session, [lane[hit][1] for hit in series.hits])}
            found.append(_keep(session, event, series, [hits[lane[hit][1]] for hit in series.hits]))
    return found


def _events(session: Session, ids: Sequence[int]) -> list[Event]:
    rows = session.connection().execute(_OWN, {"ids": list(ids)}).all()
    return [event for event in map(event_of, rows) if event is not None]


def check_roll(session: Session, roll_id: int) -> list[Periodic]:
    """All series of a roll, looked for anew in each lane, without storing anything."""
    rows = session.connection().execute(select(*_EVENT).where(_DEFECTS.c.roll_id == roll_id)).all()
    by_lane: dict[tuple[int, int], list[Event]] = {}
    for event in (event_of(row) for row in rows):
        if event is not None:
            by_lane.setdefault((event.like, event.lane), []).append(event)
    found: dict[tuple[int, ...], Periodic] = {}
    for (like, number), own in by_lane.items():
        sides = () if number == FULL_WIDTH_LANE else (number - 1, number + 1)
        around = sorted(
            [*own, *(event for side in sides for event in by_lane.get((like, side), []))],
            key=lambda event: (event.y_mm, event.id),
        )
        places = [event.y_mm for event in around]
        for event in own:
            first, end = bisect_left(places, event.y_mm - WINDOW_MM), bisect_right(places, event.y_mm)
            if end - first < MIN_HITS:
                continue
            lane = [other for other in around[first:end] if same_lane(event, other)][-WINDOW_EVENTS:]
            if len(lane) >= MIN_HITS and lane[-1].id == event.id:
                series = find_periodic([other.y_mm for other in lane], through=len(lane) - 1)
                if series is not None:
                    hits = tuple(lane[hit].id for hit in series.hits)
                    found = {known: each for known, each in found.items() if not set(known) & set(hits)}
                    found[hits] = series
    return list(found.values())


def event_of(row: Any) -> Event | None:
    """A row of the columns `_EVENT`; None for what belongs to no lane: false alarms and long lines."""
    if row.state == "rejected" or row.y1_mm - row.y0_mm > LONG_MM:
        return None
    return Event(
        id=row.id,
        camera=row.camera,
        counter=row.counter,
        roll_id=row.roll_id,
        line=row.line,
        lane=row.lane,
        like=_LIKE[row.geometry],
        series_id=row.series_id,
        captured_at=row.captured_at,
        x_mm=(row.x0_mm + row.x1_mm) / 2,
        y0_mm=row.y0_mm,
        y1_mm=row.y1_mm,
    )


def same_lane(a: Event, b: Event) -> bool:
    if abs(a.x_mm - b.x_mm) > LANE_REACH_MM and not a.lane == b.lane == FULL_WIDTH_LANE:
        return False
    return a.like == b.like and (a.camera != b.camera or a.counter == b.counter)


def _lanes_of(session: Session, events: Sequence[Event]) -> list[list[tuple[float, int]]]:
    """The events of the lane of each along the roll, itself among them: twice the middle, id."""
    lanes: dict[int, list[tuple[float, int]]] = {}
    for like in {event.like for event in events}:
        own = [event for event in events if event.like == like]
        for event, rows in zip(own, _LANE[like].ask_all(session.connection(), [*map(_beside_of, own)]), strict=True):
            lanes[event.id] = sorted((middle_2, number) for number, middle_2 in rows)
    return [lanes[event.id] for event in events]


def _beside_of(event: Event) -> dict[str, Any]:
    """What `_LANE` asks of an event."""
    wide = event.lane == FULL_WIDTH_LANE
    near = [FULL_WIDTH_LANE] * 3 if wide else [event.lane - 1, event.lane, event.lane + 1]
    if event.lane == 0:
        near[0] = 0  # -1 is that of full width
    return {
        "id": event.id,
        "middle_2": event.y0_mm + event.y1_mm,
        "roll": event.roll_id,
        "camera": event.camera,
        "counter": event.counter,
        "from_y": event.y_mm - WINDOW_MM,
        "to_y": event.y_mm + WINDOW_MM / 4,
        "x": event.x_mm,
        "reach": _ANYWHERE_MM if wide else LANE_REACH_MM,
        **{f"lane{number}": lane for number, lane in enumerate(near)},
    }


def _keep(session: Session, event: Event, found: Periodic, hits: Sequence[Event]) -> int:
    """Stores a series, or what became of one that shares hits with it."""
    known = sorted({hit.series_id for hit in hits if hit.series_id is not None})
    fitting = suspects(found.period_mm, elements_of(session, event.line))
    row = session.get(SeriesRow, known[-1]) if known else None
    if row is None or abs(row.period_mm - found.period_mm) > 2 * tolerance_mm(found.period_mm):
        row = SeriesRow(
            roll_id=event.roll_id,
            line=event.line,
            camera=event.camera,
            counter=event.counter,
            lane=event.lane,
            first_mm=found.zero_mm,
            last_mm=found.last_mm,
            opened_at=max(hit.captured_at for hit in hits),
        )
    if found.last_mm >= row.last_mm - tolerance_mm(found.period_mm):  # else a late one: the latest window tells more
        row.x_mm = sum(hit.x_mm for hit in hits) / len(hits)
        row.period_mm, row.zero_mm, row.last_mm = found.period_mm, found.zero_mm, found.last_mm
        row.suspect = ", ".join(element.name for element in fitting)
    row.first_mm = min(row.first_mm, found.zero_mm)
    row.slots = round((row.last_mm - row.first_mm) / row.period_mm) + 1
    row.open, row.hits = _runs(session, row.roll_id), len(hits)
    row.closed_at = None if row.open else row.closed_at or datetime.now(UTC)
    robbed = [number for number in known if number != row.id]
    session.add(row)
    session.flush()
    session.execute(
        update(DefectRow)
        .where(DefectRow.id.in_([hit.id for hit in hits]))
        .values(series_id=row.id)
        .execution_options(synchronize_session=False)
    )
    row.hits, _ = _hits(session, row.id)
    session.flush()
    settle_series(session, robbed)
    return row.id


def _hits(session: Session, series_id: int) -> tuple[int, float | None]:
    """How many defects a series has, and where the last one lies."""
    hits, last_2 = session.execute(
        select(func.count(), func.max(DefectRow.y0_mm + DefectRow.y1_mm)).where(
            DefectRow.series_id == series_id, DefectRow.state != "rejected"
        )
    ).one()
    return hits, None if last_2 is None else last_2 / 2


def settle_series(session: Session, ids: Iterable[int | None]) -> None:
    """Counts series again whose defects staff or a roll's boundary changed. One of too few is closed; one that has
    enough again goes on where its roll does."""
    wanted = {number for number in ids if number is not None}
    if not wanted:
        return
    session.flush()
    rows = select(SeriesRow).where(SeriesRow.id.in_(wanted)).order_by(SeriesRow.id)
    for row in session.scalars(rows.execution_options(populate_existing=True)).all():
        row.hits, last_mm = _hits(session, row.id)
        if last_mm is not None:
            row.last_mm = row.zero_mm + round((last_mm - row.zero_mm) / row.period_mm) * row.period_mm
            row.slots = round((row.last_mm - row.first_mm) / row.period_mm) + 1
        if row.open != (open_ := row.hits >= MIN_HITS and _goes_on(session, row)):
            row.open, row.closed_at = open_, None if open_ else datetime.now(UTC)
    session.flush()


def _goes_on(session: Session, row: SeriesRow) -> bool:
    """Whether its roll runs and its fourth slot was not missed."""
    newest = (
        select(FrameRow.position_mm + FrameRow.length_mm)
        .where(FrameRow.camera == row.camera, FrameRow.session == row.counter)
        .order_by(FrameRow.sequence.desc())
        .limit(1)
    )
    return _runs(session, row.roll_id) and closes_mm(row.last_mm, row.period_mm) >= (
        session.scalar(newest) or -math.inf
    )


def _runs(session: Session, roll_id: int) -> bool:
    roll = session.get_one(RollRow, roll_id)
    return roll.automatic or roll.closed_at is None


def standing(session: Session, roll_id: int) -> set[int]:
    """The series of a roll that are left with enough hits."""
    return set(session.scalars(select(SeriesRow.id).where(SeriesRow.roll_id == roll_id, SeriesRow.hits >= MIN_HITS)))


def closes_mm(last_mm: float, period_mm: float) -> float:
    """Where the fourth slot in a row is missed."""
    return last_mm + (MAX_MISSES + 1) * period_mm + tolerance_mm(period_mm)


def close_series(session: Session, *, roll_id: int, ends_mm: Mapping[str, float]) -> None:
    """Closes the series that missed their fourth slot. ends_mm: counter -> up to where the roll is inspected on it."""
    open_ = session.connection().execute(_OPEN, {"roll": roll_id}).all()
    missed = [row for row in open_ if closes_mm(row.last_mm, row.period_mm) < ends_mm.get(row.counter, -math.inf)]
    _close(session, [row.id for row in missed])


def close_all_series(session: Session, *, roll_id: int) -> None:
    """At the end of a roll."""
    _close(session, [row.id for row in session.connection().execute(_OPEN, {"roll": roll_id}).all()])


def _close(session: Session, ids: Sequence[int]) -> None:
    if ids:
        session.execute(
            update(SeriesRow)
            .where(SeriesRow.id.in_(ids))
            .values(open=False, closed_at=datetime.now(UTC))
            .execution_options(synchronize_session=False)
        )
