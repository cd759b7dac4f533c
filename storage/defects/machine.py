"""What turns in a line's machine, so that a periodic defect can be told by its period.

roller: circumference, pi times the diameter. screen: its repeat. feeders (circular knitting): feeders divided by the
courses a cm, which is where the same feeder comes round again.
"""

import math
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.defects.periodic import MAX_PERIOD_MM, Element
from storage.tables import LineRow, MachineElementRow

KINDS: dict[str, tuple[str, ...]] = {
    "roller": ("diameter_mm",),
    "screen": ("repeat_mm",),
    "feeders": ("feeders", "courses_per_cm"),
}


def period_of(kind: str, values: dict[str, float]) -> float:
    """In mm. Raises `StorageError` for another kind, and for values that are missing, too many or impossible."""
    if kind not in KINDS:
        raise StorageError(f"a machine element is a {', '.join(KINDS)}, got {kind!r}")
    if set(values) != set(KINDS[kind]):
        raise StorageError(f"a {kind} needs {' and '.join(KINDS[kind])}, got {', '.join(sorted(values)) or 'nothing'}")
    for field, value in values.items():
        if not math.isfinite(value) or value <= 0:
            raise StorageError(f"{field} must be over 0, got {value}")
    match kind:
        case "roller":
            period = math.pi * values["diameter_mm"]
        case "screen":
            period = values["repeat_mm"]
        case _:
            period = values["feeders"] / values["courses_per_cm"] * 10
    if not period <= 100 * MAX_PERIOD_MM:
        raise StorageError(f"a {kind} comes round within {100 * MAX_PERIOD_MM / 1000:g} m, got {period / 1000:g} m")
    return period


def set_element(database: Database, *, line: str, name: str, kind: str, values: dict[str, float], by: str) -> Element:
    """Adds a machine element of a line, or changes the one of that name. Raises `StorageError`."""
    if not line.strip() or not name.strip():
        raise StorageError(f"a machine element needs a line and a name, got line {line!r} and name {name!r}")
    period = period_of(kind, values)
    with database.session() as session:
        _known_line(database, session, line)
        row = _row(session, line, name)
        if row is None:
            session.add(MachineElementRow(line=line, name=name, kind=kind, values=dict(values), period_mm=period))
        else:
            row.kind, row.values, row.period_mm = kind, dict(values), period
        audit.record(
            session, by=by, action="machine.set", subject=name, detail={"line": line, "kind": kind, "values": values}
        )
    return Element(name=name, period_mm=period)


def remove_element(database: Database, *, line: str, name: str, by: str) -> None:
    """Raises `StorageError` when the line has none of that name."""
    with database.session() as session:
        row = _row(session, line, name)
        if row is None:
            raise StorageError(f"line {line} has no machine element {name}: see loomwatch lines show --line {line}")
        session.delete(row)
        audit.record(session, by=by, action="machine.remove", subject=name, detail={"line": line})


def elements_of(session: Session, line: str) -> list[Element]:
    rows = session.execute(
        select(MachineElementRow.name, MachineElementRow.period_mm)
        .where(MachineElementRow.line == line)
        .order_by(MachineElementRow.name)
    )
    return [Element(name=name, period_mm=period) for name, period in rows]


def list_elements(database: Database, *, line: str) -> list[MachineElementRow]:
    with database.reading() as session:
        return list(
            session.scalars(
                select(MachineElementRow).where(MachineElementRow.line == line).order_by(MachineElementRow.name)
            )
        )


def _row(session: Session, line: str, name: str) -> MachineElementRow | None:
    return session.scalar(
        select(MachineElementRow).where(MachineElementRow.line == line, MachineElementRow.name == name)
    )


def _known_line(database: Database, session: Session, line: str) -> None:
    database.insert_new(session, LineRow, name=line, created_at=datetime.now(UTC))
