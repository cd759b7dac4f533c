"""What papers say of a roll and no camera can see: lot, order, customer, ticketed length, cuttable width, remarks."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from inspection.types import Roll
from storage import audit
from storage.database import Database
from storage.defects.merging import judge_roll, lock_line
from storage.grading.profile_store import find_profile
from storage.roll_changes import note_roll
from storage.tables import PruningRow, RollDetailRow, RollRow

LONGEST = 200  # characters of a text; remarks may be ten times as long


@dataclass(frozen=True, slots=True, kw_only=True)
class RollDetails:
    """ "" and None: not entered. Widths are cuttable widths at the roll's start, middle and end."""

    lot: str = ""
    dye_lot: str = ""
    po: str = ""
    customer: str = ""
    construction: str = ""
    loom: str = ""
    operator: str = ""
    ticketed_mm: float | None = None
    width_start_mm: float | None = None
    width_mid_mm: float | None = None
    width_end_mm: float | None = None
    profile: str = ""
    profile_version: int = 0
    re_inspection_of: str = ""
    parent_roll: str = ""
    remarks: str = ""


FIELDS = tuple(field.name for field in fields(RollDetails))


def read_details(session: Session, roll_id: int) -> RollDetails:
    row = session.get(RollDetailRow, roll_id)
    return RollDetails() if row is None else RollDetails(**{name: getattr(row, name) for name in FIELDS})


def set_details(database: Database, roll: Roll, *, by: str, **changes: Any) -> RollDetails:
    """Enters fields of a roll, each named as in `RollDetails`; the others stay. All or none, with an audit entry.

    Raises `StorageError` with field and value, `SettingsError` for a profile that is not there.
    """
    for name, value in changes.items():
        _check(name, value)
    with database.session() as session:
        if session.get(RollRow, roll.id, with_for_update=True) is None:
            raise StorageError(f"roll {roll.name} is not there any more: see loomwatch rolls list")
        before = asdict(read_details(session, roll.id))
        after = before | changes
        if after["profile"]:
            find_profile(session, after["profile"], version=after["profile_version"])
        changed = {name: [before[name], after[name]] for name in FIELDS if before[name] != after[name]}
        if changed:
            session.merge(RollDetailRow(roll_id=roll.id, **after))
            note_roll(session, roll.id)
            if {"profile", "profile_version"} & changed.keys():
                lock_line(database, session, roll.line)
                session.flush()
                judge_roll(session, roll.id)
            audit.record(session, by=by, action="roll.set", subject=roll.name, detail={"line": roll.line} | changed)
    return RollDetails(**after)


def find_roll(database: Database, *, name: str, line: str | None = None) -> Roll:
    """The roll of a name; the line is needed where several lines have one. Raises `StorageError`."""
    with database.reading() as session:
        query = select(RollRow).where(RollRow.name == name)
        rows = list(session.scalars(query if line is None else query.where(RollRow.line == line)))
        pruned = select(PruningRow).where(PruningRow.roll == name).order_by(PruningRow.id.desc()).limit(1)
        gone = session.scalar(pruned if line is None else pruned.where(PruningRow.line == line))
    if not rows:
        where = "" if line is None else f" on line {line}"
        if gone is not None:
            raise StorageError(
                f"roll {name}{where} was pruned at {gone.at.astimezone():%Y-%m-%d %H:%M} ({gone.reason}): see "
                "loomwatch rolls pruned"
            )
        raise StorageError(f"there is no roll {name}{where}: see loomwatch rolls list")
    if len(rows) > 1:
        lines = ", ".join(sorted(row.line for row in rows))
        raise StorageError(f"there are rolls {name} on lines {lines}: add --line")
    (row,) = rows
    return Roll(
        id=row.id,
        line=row.line,
        name=row.name,
        style=row.style,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        automatic=row.automatic,
    )


def _check(name: str, value: Any) -> None:
    if name not in FIELDS:
        raise StorageError(f"a roll has no field {name}: it has {', '.join(FIELDS)}")
    if name.endswith("_mm"):
        if value is not None and not (math.isfinite(value) and 0 < value < 1e9):
            raise StorageError(f"{name} of a roll must be more than 0 mm, got {value}")
    elif name == "profile_version":
        if value < 0:
            raise StorageError(f"profile_version of a roll must be at least 0, got {value}")
    elif len(value) > (10 * LONGEST if name == "remarks" else LONGEST):
        raise StorageError(f"{name} of a roll has at most {LONGEST} characters, got {len(value)}: {value[:20]}...")
