"""The outbox: what each sink is to be told, in order; told at least once, or recorded as missed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.orm import Session

from storage.alarms.rules import PRIORITIES
from storage.alarms.sinks import AnySink
from storage.database import Database
from storage.tables import AlarmDeliveryRow, AlarmEventRow

KEEP_DELIVERED = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The next thing that a sink is to be told. `content` is JSON."""

    id: int
    uid: str
    kind: str
    at: datetime
    queued_at: datetime
    content: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How a sink does. problem: of what it is to be told next, "" when the latest try went well."""

    waiting: int
    missed: int
    problem: str
    delivered_at: datetime | None


def queue(
    session: Session,
    *,
    event: AlarmEventRow,
    line: str,
    priority: str,
    sinks: Sequence[AnySink],
    chosen: tuple[str, ...],
) -> None:
    """Puts an event in the outbox of each sink that wants it. chosen: names, () for all."""
    rank = PRIORITIES.index
    for sink in sinks:
        wants = sink.enabled and event.kind in sink.events and (not sink.lines or line in sink.lines)
        if wants and (not chosen or sink.name in chosen) and rank(priority) >= rank(sink.min_priority):
            session.add(
                AlarmDeliveryRow(
                    sink=sink.name,
                    event_id=event.id,
                    state="waiting",
                    attempts=0,
                    problem="",
                    queued_at=event.at,
                    ended_at=None,
                )
            )


def next_delivery(database: Database, sink: str) -> Delivery | None:
    """The oldest event that this sink was not told yet."""
    with database.reading() as session:
        row = session.execute(
            select(AlarmDeliveryRow, AlarmEventRow)
            .join(AlarmEventRow, AlarmEventRow.id == AlarmDeliveryRow.event_id)
            .where(AlarmDeliveryRow.sink == sink, AlarmDeliveryRow.state == "waiting")
            .order_by(AlarmDeliveryRow.id)
            .limit(1)
        ).first()
    if row is None:
        return None
    waiting, event = row
    content = {"id": event.uid, "event": event.kind, "at": event.at.isoformat(), "by": event.by, "alarm": event.content}
    return Delivery(
        id=waiting.id, uid=event.uid, kind=event.kind, at=event.at, queued_at=waiting.queued_at, content=content
    )


def finish(database: Database, delivery_id: int, *, state: str, problem: str = "") -> None:
    """state: delivered or missed, or waiting after a try that failed."""
    ended = None if state == "waiting" else datetime.now(UTC)
    with database.session() as session:
        session.execute(
            update(AlarmDeliveryRow)
            .where(AlarmDeliveryRow.id == delivery_id, AlarmDeliveryRow.state == "waiting")
            .values(state=state, problem=problem[:500], attempts=AlarmDeliveryRow.attempts + 1, ended_at=ended)
        )


def give_up(database: Database, sink: AnySink, *, at: datetime) -> int:
    """Records as missed what waited longer than `max_age_s` or is more than `max_waiting`; how many."""
    mine = (AlarmDeliveryRow.sink == sink.name, AlarmDeliveryRow.state == "waiting")
    with database.reading() as session:
        waiting, oldest = session.execute(
            select(func.count(AlarmDeliveryRow.id), func.min(AlarmDeliveryRow.queued_at)).where(*mine)
        ).one()
    limit = at - timedelta(seconds=sink.max_age_s)
    if not waiting or (oldest >= limit and waiting <= sink.max_waiting):
        return 0
    with database.session() as session:
        ids = session.execute(
            select(AlarmDeliveryRow.id, AlarmDeliveryRow.queued_at).where(*mine).order_by(AlarmDeliveryRow.id)
        ).all()
        lost = [row.id for row in ids[: max(0, len(ids) - sink.max_waiting)]]
        lost += [row.id for row in ids[len(lost) :] if row.queued_at < limit]
        for start in range(0, len(lost), 500):
            reason = case(
                (AlarmDeliveryRow.problem == "", "it was not reached in time"), else_=AlarmDeliveryRow.problem
            )
            session.execute(
                update(AlarmDeliveryRow)
                .where(AlarmDeliveryRow.id.in_(lost[start : start + 500]))
                .values(state="missed", ended_at=at, problem=reason)
            )
    return len(lost)


def forget_delivered(session: Session, *, at: datetime) -> None:
    """Leaves the events; only that they were delivered is forgotten after a while."""
    session.execute(
        delete(AlarmDeliveryRow).where(
            AlarmDeliveryRow.state == "delivered", AlarmDeliveryRow.ended_at < at - KEEP_DELIVERED
        )
    )


def backlog_of(database: Database, sink: str) -> Backlog:
    with database.reading() as session:
        totals = session.execute(
            select(AlarmDeliveryRow.state, func.count(AlarmDeliveryRow.id).label("number"))
            .where(AlarmDeliveryRow.sink == sink)
            .group_by(AlarmDeliveryRow.state)
        )
        counts: dict[str, int] = {row.state: row.number for row in totals}
        problem = session.scalar(
            select(AlarmDeliveryRow.problem)
            .where(AlarmDeliveryRow.sink == sink, AlarmDeliveryRow.state == "waiting")
            .order_by(AlarmDeliveryRow.id)
            .limit(1)
        )
        last = session.scalar(
            select(func.max(AlarmDeliveryRow.ended_at)).where(
                AlarmDeliveryRow.sink == sink, AlarmDeliveryRow.state == "delivered"
            )
        )
    return Backlog(
        waiting=counts.get("waiting", 0), missed=counts.get("missed", 0), problem=problem or "", delivered_at=last
    )
