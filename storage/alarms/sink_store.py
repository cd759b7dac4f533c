"""Alarm sinks in the database, and who changed what. What is stored of a sink holds no secret."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from inspection.errors import SettingsError
from storage import audit
from storage.alarms.sinks import AnySink, dump_sink, parse_sink
from storage.database import Database
from storage.tables import AlarmDeliveryRow, AlarmSinkRow


def list_sinks(database: Database) -> list[AnySink]:
    """By name."""
    with database.reading() as session:
        return sinks_in(session)


def sinks_in(session: Session) -> list[AnySink]:
    return [parse_sink(row.content) for row in session.scalars(select(AlarmSinkRow).order_by(AlarmSinkRow.name))]


def read_sink(database: Database, name: str) -> AnySink:
    """Raises `SettingsError` when there is none."""
    with database.reading() as session:
        return parse_sink(_row(session, name).content)


def set_sink(database: Database, *, name: str, kind: str | None, changes: dict[str, Any], by: str) -> AnySink:
    """Makes a sink, or changes these fields of it. Raises `SettingsError` that names field and value."""
    with database.session() as session:
        database.lock(session, "alarm_sinks")
        row = session.scalar(select(AlarmSinkRow).where(AlarmSinkRow.name == name))
        if row is None and kind is None:
            raise SettingsError(f"there is no sink {name}: name its --kind to make it")
        if row is not None and kind not in (None, row.content["kind"]):
            raise SettingsError(f"sink {name}: kind: is {row.content['kind']}, got {kind!r}: remove the sink first")
        before = dict(row.content) if row else {"kind": kind}
        sink = parse_sink({**before, **changes, "name": name})
        content = dump_sink(sink)
        if content == before:
            return sink
        now = datetime.now(UTC)
        if row is None:
            session.add(AlarmSinkRow(name=name, content=content, by=by, updated_at=now))
        else:
            row.content, row.by, row.updated_at = content, by, now
        audit.record(
            session,
            by=by,
            action="alarm_sink.set",
            subject=name,
            detail={
                field: [before.get(field), value] for field, value in content.items() if before.get(field) != value
            },
        )
        return sink


def remove_sink(database: Database, *, name: str, by: str) -> None:
    """What it was still to be told is recorded as missed. Raises `SettingsError` when there is none."""
    with database.session() as session:
        row = _row(session, name)
        audit.record(session, by=by, action="alarm_sink.remove", subject=name, detail=dict(row.content))
        session.delete(row)
        session.execute(
            update(AlarmDeliveryRow)
            .where(AlarmDeliveryRow.sink == name, AlarmDeliveryRow.state == "waiting")
            .values(state="missed", problem="the sink was removed", ended_at=datetime.now(UTC))
        )


def _row(session: Session, name: str) -> AlarmSinkRow:
    row = session.scalar(select(AlarmSinkRow).where(AlarmSinkRow.name == name))
    if row is None:
        raise SettingsError(f"there is no sink {name}: see loomwatch alarms sinks list")
    return row
