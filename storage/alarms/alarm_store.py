"""Alarms in the database: what rules say becomes raises and clears, what people do acknowledges.

Each change is an event with a stable id, stored with the change in one transaction together with what sinks are to be
told of it (`storage.alarms.outbox`). A defect raises a rule once, whatever becomes of the alarm or the defect's number.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inspection.errors import SettingsError
from storage import audit
from storage.alarms import life
from storage.alarms.life import Life
from storage.alarms.outbox import queue
from storage.alarms.rule_store import rules_in, rules_of
from storage.alarms.rules import PRIORITIES, AnyRule, Priority, Rule
from storage.alarms.sink_store import sinks_in
from storage.alarms.sinks import AnySink, EventKind
from storage.database import Database
from storage.tables import AlarmEventRow, AlarmOccurrenceRow, AlarmRow

RAISES: tuple[EventKind, ...] = ("raised", "recurred")
CHUNK = 500  # of names in one question


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a rule says of one subject at a moment. hold: between the two levels, an alarm stays as it is.

    keys: the defects or series it rests on, each with its name first, then those that it had before.
    """

    subject: str = ""
    level: Literal["raise", "hold", "clear"]
    text: str = ""
    value: float | None = None
    keys: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """As people see it. state: raised, acknowledged, cleared, closed (`storage.alarms.life`)."""

    id: int
    rule: str
    kind: str
    line: str
    subject: str
    priority: Priority
    state: life.State
    text: str
    value: float | None
    occurrences: int
    raised_at: datetime
    cleared_at: datetime | None
    seen_at: datetime | None
    seen_by: str
    acknowledged_at: datetime | None
    acknowledged_by: str
    note: str
    escalated_at: datetime | None


def observe(
    session: Session, rule: AnyRule, *, line: str, signals: Sequence[Signal], at: datetime, keep_others: bool = False
) -> None:
    """Applies what a rule says of a line. Subjects it does not mention are over, unless `keep_others`: it cannot tell.

    Call it within one writing transaction, by one program at a time (`storage.alarms.lease`).
    """
    rows = _open(session, rule.name, line)
    sinks = sinks_in(session)
    said = {signal.subject: signal for signal in signals}
    for signal in signals:
        row = rows.get(signal.subject)
        if signal.level == "raise":
            _raise(session, rule, line, row, signal, at, sinks)
        elif signal.level == "clear":
            if _new_keys(session, rule.name, signal.keys)[0]:  # it came and went since the last look
                row = _raise(session, rule, line, row, signal, at, sinks)
            if row is not None:
                _apply(session, rule, row, life.clear(_life(row), at), at, sinks)
    if not keep_others:
        for subject, row in rows.items():
            if subject not in said:
                _apply(session, rule, row, life.clear(_life(row), at), at, sinks)


def clear_orphans(session: Session, *, line: str, rules: Sequence[AnyRule], at: datetime) -> None:
    """Clears alarms of a line whose rule was removed or switched off."""
    names = [rule.name for rule in rules]
    for row in session.scalars(
        select(AlarmRow).where(AlarmRow.open, AlarmRow.line == line, AlarmRow.rule.not_in(names))
    ):
        _apply(session, None, row, life.clear(_life(row), at), at, sinks_in(session))


def pass_time(session: Session, *, line: str, rules: Sequence[AnyRule], at: datetime) -> None:
    """Escalates what waited too long, and tells what the rate limit held back once it may be told."""
    sinks = sinks_in(session)
    for rule in rules:
        for row in _open(session, rule.name, line).values():
            _apply(session, rule, row, life.pass_time(_life(row), at, escalate_s=rule.escalate_s), at, sinks)
    held = select(AlarmRow).where(AlarmRow.held, AlarmRow.line == line).order_by(AlarmRow.id)
    by_name = {rule.name: rule for rule in rules}
    for row in session.scalars(held).all():
        found = by_name.get(row.rule)
        if found is None or not _limited(session, found, row, at):
            _tell(session, found, row, _latest_event(session, row), sinks)
            row.noticed_at, row.held = at, False


def open_alarms(session: Session, *, line: str | None = None) -> list[Alarm]:
    """Unacknowledged ones first, the most urgent and then the oldest first."""
    wanted = select(AlarmRow).where(AlarmRow.open)
    rows = session.scalars(wanted if line is None else wanted.where(AlarmRow.line == line)).all()
    ordered = sorted(rows, key=lambda row: (row.waiting_since is None, -PRIORITIES.index(row.priority), row.raised_at))
    return [alarm_of(row) for row in ordered]


def alarms_for(database: Database, sink: AnySink) -> list[Alarm]:
    """The open alarms of a sink's lines and priorities."""
    with database.reading() as session:
        found = open_alarms(session)
    least = PRIORITIES.index(sink.min_priority)
    return [
        alarm
        for alarm in found
        if (not sink.lines or alarm.line in sink.lines) and PRIORITIES.index(alarm.priority) >= least
    ]


def list_alarms(database: Database, *, line: str | None = None, past: int = 0) -> list[Alarm]:
    """The open alarms, then as many of those that are over, newest first."""
    over = select(AlarmRow).where(~AlarmRow.open).order_by(AlarmRow.raised_at.desc(), AlarmRow.id.desc()).limit(past)
    with database.reading() as session:
        found = open_alarms(session, line=line)
        rows = session.scalars(over if line is None else over.where(AlarmRow.line == line)) if past else ()
        return [*found, *(alarm_of(row) for row in rows)]


def acknowledge_alarm(database: Database, alarm_id: int, *, by: str, note: str = "") -> Alarm:
    """Somebody takes notice of an alarm. Raises `SettingsError` when there is none, or when it needs none."""
    at = datetime.now(UTC)
    with database.session() as session:
        row = session.get(AlarmRow, alarm_id, with_for_update=True)
        if row is None:
            raise SettingsError(f"there is no alarm {alarm_id}: see loomwatch alarms list")
        if row.waiting_since is None:
            when = f" by {row.acknowledged_by}" if row.acknowledged_by else ""
            raise SettingsError(f"alarm {alarm_id} is acknowledged{when} already")
        row.note = note or row.note
        rules = rules_of([stored.rule for stored in rules_in(session)], row.line)
        rule = next((rule for rule in rules if rule.name == row.rule), None)
        _apply(session, rule, row, life.acknowledge(_life(row), at, by=by), at, sinks_in(session), by=by)
        audit.record(
            session, by=by, action="alarm.acknowledge", subject=str(row.id), detail={"note": note}, told=_told(row)
        )
        return alarm_of(row)


def see_alarms(database: Database, ids: Sequence[int], *, by: str) -> None:
    """Records who saw alarms first; those that somebody saw before stay as they are."""
    at = datetime.now(UTC)
    with database.session() as session:
        unseen = select(AlarmRow).where(AlarmRow.id.in_(ids), AlarmRow.seen_at.is_(None)).with_for_update()
        for row in session.scalars(unseen):
            row.seen_at, row.seen_by = at, by
            session.add(_event(row, "seen", at, by))


# --- within a transaction ------------------------------------------------------------------------------------------


def _open(session: Session, rule: str, line: str) -> dict[str, AlarmRow]:
    rows = session.scalars(
        select(AlarmRow).where(AlarmRow.open, AlarmRow.rule == rule, AlarmRow.line == line).with_for_update()
    )
    return {row.subject: row for row in rows}


def _raise(
    session: Session,
    rule: AnyRule,
    line: str,
    row: AlarmRow | None,
    signal: Signal,
    at: datetime,
    sinks: Sequence[AnySink],
) -> AlarmRow | None:
    new, known = _new_keys(session, rule.name, signal.keys)
    if row is None:
        if signal.keys and not new and not signal.subject:
            return None  # people have acknowledged these very defects, and none came since
        made, events = life.begin(at, occurrences=len(new))
        row = AlarmRow(
            rule=rule.name,
            kind=rule.kind,
            line=line,
            subject=signal.subject,
            priority=rule.priority,
            message=signal.text,
            value=signal.value,
            seen_by="",
            note="",
            held=False,
            **_columns(made),
        )
        session.add(row)
        session.flush()
        _record(session, rule, row, events, at, sinks)
    else:
        if new or not row.active:
            row.message = signal.text
        row.value = signal.value
        _apply(session, rule, row, life.hold(_life(row), at, new=len(new)), at, sinks)
    for key in (*new, *known):
        session.add(AlarmOccurrenceRow(rule=rule.name, key=key, alarm_id=row.id))
    session.flush()
    return row


def _new_keys(session: Session, rule: str, keys: tuple[tuple[str, ...], ...]) -> tuple[list[str], list[str]]:
    """The keys that never raised this rule, and present names of those that did under an earlier name."""
    names = sorted({name for key in keys for name in key})
    known: set[str] = set()
    for start in range(0, len(names), CHUNK):
        part = names[start : start + CHUNK]
        known.update(
            session.scalars(
                select(AlarmOccurrenceRow.key).where(AlarmOccurrenceRow.rule == rule, AlarmOccurrenceRow.key.in_(part))
            )
        )
    new = [key[0] for key in keys if not known.intersection(key)]
    renamed = [key[0] for key in keys if key[0] not in known and known.intersection(key)]
    return new, renamed


def _apply(
    session: Session,
    rule: Rule | None,
    row: AlarmRow,
    step: life.Step,
    at: datetime,
    sinks: Sequence[AnySink],
    *,
    by: str = "",
) -> None:
    """Writes a step of an alarm's life. rule: None where it is gone."""
    after, events = step
    if not events:
        return
    for column, value in _columns(after).items():
        setattr(row, column, value)
    if "escalated" in events and rule is not None:
        row.priority = max(row.priority, rule.escalate_priority, key=PRIORITIES.index)
    session.flush()
    _record(session, rule, row, events, at, sinks, by=by)


def _record(
    session: Session,
    rule: Rule | None,
    row: AlarmRow,
    events: Sequence[EventKind],
    at: datetime,
    sinks: Sequence[AnySink],
    *,
    by: str = "",
) -> None:
    for kind in events:
        event = _event(row, kind, at, by)
        session.add(event)
        session.flush()
        if kind in RAISES and rule is not None and _limited(session, rule, row, at):
            row.held = True
        elif kind != "cleared" or not row.held:  # what was held back is told once, as it is then
            row.held = False
            row.noticed_at = at if kind in RAISES else row.noticed_at
            _tell(session, rule, row, event, sinks)
    session.flush()


def _limited(session: Session, rule: Rule, row: AlarmRow, at: datetime) -> bool:
    """Whether sinks were told of a raise of the same rule, line and subject less than `rate_limit_s` ago."""
    last = session.scalar(
        select(func.max(AlarmRow.noticed_at)).where(
            AlarmRow.rule == row.rule, AlarmRow.line == row.line, AlarmRow.subject == row.subject
        )
    )
    return last is not None and at - last < timedelta(seconds=rule.rate_limit_s)


def _tell(session: Session, rule: Rule | None, row: AlarmRow, event: AlarmEventRow, sinks: Sequence[AnySink]) -> None:
    """rule: None, where it is gone, tells all sinks."""
    chosen = rule.sinks if rule else ()
    queue(session, event=event, line=row.line, priority=row.priority, sinks=sinks, chosen=chosen)


def _latest_event(session: Session, row: AlarmRow) -> AlarmEventRow:
    return session.scalars(
        select(AlarmEventRow)
        .where(AlarmEventRow.alarm_id == row.id, AlarmEventRow.kind != "seen")
        .order_by(AlarmEventRow.id.desc())
        .limit(1)
    ).one()


def _event(row: AlarmRow, kind: str, at: datetime, by: str) -> AlarmEventRow:
    return AlarmEventRow(uid=str(uuid.uuid4()), alarm_id=row.id, kind=kind, at=at, by=by, content=_told(row))


def _told(row: AlarmRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "rule": row.rule,
        "kind": row.kind,
        "line": row.line,
        "subject": row.subject,
        "priority": row.priority,
        "state": _life(row).state,
        "text": row.message,
        "value": row.value,
        "occurrences": row.occurrences,
        "raised_at": row.raised_at.isoformat(),
        "acknowledged_by": row.acknowledged_by if row.waiting_since is None else "",
        "escalated": row.escalated_at is not None,
    }


def _life(row: AlarmRow) -> Life:
    return Life(
        active=row.active,
        raised_at=row.raised_at,
        waiting_since=row.waiting_since,
        cleared_at=row.cleared_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        escalated_at=row.escalated_at,
        occurrences=row.occurrences,
    )


def _columns(after: Life) -> dict[str, Any]:
    return {
        "active": after.active,
        "open": after.open,
        "raised_at": after.raised_at,
        "waiting_since": after.waiting_since,
        "cleared_at": after.cleared_at,
        "acknowledged_at": after.acknowledged_at,
        "acknowledged_by": after.acknowledged_by,
        "escalated_at": after.escalated_at,
        "occurrences": after.occurrences,
    }


def alarm_of(row: AlarmRow) -> Alarm:
    return Alarm(
        id=row.id,
        rule=row.rule,
        kind=row.kind,
        line=row.line,
        subject=row.subject,
        priority=cast(Priority, row.priority),
        state=_life(row).state,
        text=row.message,
        value=row.value,
        occurrences=row.occurrences,
        raised_at=row.raised_at,
        cleared_at=row.cleared_at,
        seen_at=row.seen_at,
        seen_by=row.seen_by,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        note=row.note,
        escalated_at=row.escalated_at,
    )
