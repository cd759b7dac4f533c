"""Periodic defects on the running roll: looked for after each defect that is stored, told with suspect and next place.

A lane is what one mark of a roller would hit again: defects of like form within 8 mm across, or all that are as wide as
the cloth. Long lines are left to the rule for running defects. A series stays open until its fourth slot in a row is
missed, its roll ends or its counter starts anew.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.orm import Session

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
from storage.tables import DefectRow, SeriesRow

LANE_REACH_MM = 8.0
LONG_MM = 1000.0  # along the roll; a longer defect is no mark
_LIKE = {"point": 0, "area": 0, "edge": 0, "warp_line": 1, "diagonal": 1, "weft_line": 2, "full_width": 3}
_ANYWHERE_MM = 1e9
_LATER = WINDOW_EVENTS // 2  # of a defect that came late, how many behind it are looked at

_DEFECTS, _SERIES = DefectRow.__table__, SeriesRow.__table__
_EVENT = [
    _DEFECTS.c[name]
    for name in (
        *("id", "camera", "counter", "roll_id", "line", "lane", "geometry", "state", "series_id", "captured_at"),
        *("x0_mm", "x1_mm", "y0_mm", "y1_mm"),
    )
]
_OWN = select(*_EVENT).where(_DEFECTS.c.id.in_(bindparam("ids", expanding=True)))
_LANE = {  # by form; a number of values that differs costs more than the question
    like: select(*_EVENT).where(
        _DEFECTS.c.roll_id == bindparam("roll"),
        _DEFECTS.c.lane.in_([bindparam(f"lane{number}") for number in range(3)]),
        _DEFECTS.c.y0_mm >= bindparam("from_y"),
        _DEFECTS.c.y0_mm <= bindparam("to_y"),
        or_(*(_DEFECTS.c.geometry == geometry for geometry, of in _LIKE.items() if of == like)),
        _DEFECTS.c.state != "rejected",
        _DEFECTS.c.x0_mm + _DEFECTS.c.x1_mm >= bindparam("from_x2"),
        _DEFECTS.c.x0_mm + _DEFECTS.c.x1_mm <= bindparam("to_x2"),
    )
    for like in set(_LIKE.values())
}
_OPEN = select(
    *(_SERIES.c[name] for name in ("id", "counter", "last_mm", "period_mm"))
).where(_SERIES.c.roll_id == bindparam("roll"), _SERIES.c.open)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A defect as the detector sees it. x and y: its middle."""

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
    y_mm: float


def find_series(session: Session, defect_ids: Sequence[int]) -> list[int]:
    """Looks whether these defects, just stored or grown, make a series with others; the ids of such series."""
    if not defect_ids:
        return []
    found = []
    for row in session.connection().execute(_OWN, {"ids": list(defect_ids)}).all():
        event = event_of(row)
        if event is None:
            continue
        lane = _lane_of(session, event)
        if len(lane) < MIN_HITS:
            continue
        index = next(at for at, other in enumerate(lane) if other.id == event.id)
        lane = lane[: index + 1 + _LATER]
        series = find_periodic([other.y_mm for other in lane], through=index)
        if series is not None:
            found.append(_keep(session, event, series, [lane[hit] for hit in series.hits]))
    return found


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
        for event in own:
            lane = [other for other in around if same_lane(event, other) and other.y_mm <= event.y_mm]
            if len(lane) >= MIN_HITS and lane[-1].id == event.id:
                lane = lane[-WINDOW_EVENTS:]
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
        y_mm=(row.y0_mm + row.y1_mm) / 2,
    )


def same_lane(a: Event, b: Event) -> bool:
    if a.like != b.like or (a.camera == b.camera and a.counter != b.counter):
        return False
    return a.lane == b.lane == FULL_WIDTH_LANE or abs(a.x_mm - b.x_mm) <= LANE_REACH_MM


def _lane_of(session: Session, event: Event) -> list[Event]:
    """The events of its lane along the roll, itself among them."""
    x, wide = event.x_mm, event.lane == FULL_WIDTH_LANE
    near = [FULL_WIDTH_LANE] * 3 if wide else [event.lane - 1, event.lane, event.lane + 1]
    if event.lane == 0:
        near[0] = 0  # -1 is that of full width
    place = {
        "roll": event.roll_id,
        "from_y": event.y_mm - WINDOW_MM,
        "to_y": event.y_mm + WINDOW_MM / 4,
        # twice the middle; a little more than the reach, which `same_lane` judges
        "from_x2": -_ANYWHERE_MM if wide else 2 * (x - LANE_REACH_MM) - 1,
        "to_x2": _ANYWHERE_MM if wide else 2 * (x + LANE_REACH_MM) + 1,
        **{f"lane{number}": lane for number, lane in enumerate(near)},
    }
    rows = session.connection().execute(_LANE[event.like], place).all()
    if len(rows) < MIN_HITS:
        return []
    events = [event_of(row) for row in rows]
    lane = [other for other in events if other is not None and same_lane(event, other)]
    return sorted(lane, key=lambda other: (other.y_mm, other.id))


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
            opened_at=max(hit.captured_at for hit in hits),
        )
    row.x_mm = sum(hit.x_mm for hit in hits) / len(hits)
    row.period_mm, row.zero_mm, row.last_mm = found.period_mm, found.zero_mm, found.last_mm
    row.first_mm = min(row.first_mm, found.zero_mm)
    row.slots = round((row.last_mm - row.first_mm) / row.period_mm) + 1
    row.suspect = ", ".join(element.name for element in fitting)
    row.open, row.closed_at, row.hits = True, None, len(hits)
    session.add(row)
    session.flush()
    session.execute(
        update(DefectRow)
        .where(DefectRow.id.in_([hit.id for hit in hits]))
        .values(series_id=row.id)
        .execution_options(synchronize_session=False)
    )
    row.hits = session.scalar(select(func.count(DefectRow.id)).where(DefectRow.series_id == row.id)) or 0
    session.flush()
    return row.id


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
