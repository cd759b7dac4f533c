"""How often what a roll's grade rests on has changed: counted in the transaction that changes it.

Frames, gaps and defects are noted where they enter and leave the totals (`storage.trends.totals`), which everything
that stores or changes one passes; acts on a roll itself note the roll. The counts are written once, before the
transaction commits (`write_changes`, which `Database.session` calls). So a grade that was found at one count is that of
the roll for as long as the count is the same (`storage.grading.kept`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Executable, bindparam, func, select, union_all
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.bulk import Question
from storage.tables import RollGradeRow, RollRow, UtcDateTime

CLOSE_BY = timedelta(hours=1)  # times that are noted as one stretch
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

_NOTED = "roll changes"
_ROLLS = RollRow.__table__
_BOUND = _ROLLS.alias("bound")
_DAY_BEFORE, _FIRST, _LAST = (bindparam(name, type_=UtcDateTime()) for name in ("day_before", "first", "last"))
_BEGUN = (_ROLLS.c.line == bindparam("line")) & (_ROLLS.c.opened_at <= _LAST)
_COVERING = Question(  # staff's never overlap: of those that began before, only the last reaches into the stretch
    union_all(
        select(_ROLLS.c.id).where(
            _BEGUN,
            ~_ROLLS.c.automatic,
            _ROLLS.c.opened_at
            >= func.coalesce(
                select(func.max(_BOUND.c.opened_at))
                .where(_BOUND.c.line == bindparam("line"), ~_BOUND.c.automatic, _BOUND.c.opened_at <= _FIRST)
                .scalar_subquery(),
                _FIRST,
            ),
        ),
        select(_ROLLS.c.id).where(_BEGUN, _ROLLS.c.automatic, _ROLLS.c.opened_at > _DAY_BEFORE),
    )
)


@dataclass(slots=True)
class _Noted:
    rolls: set[int] = field(default_factory=set)
    cloth: dict[str, set[tuple[datetime, datetime]]] = field(default_factory=dict)  # line -> first, last


def note_roll(session: Session, roll_id: int) -> None:
    """Something that a roll's grade rests on changes in this transaction."""
    _noted(session).rolls.add(roll_id)


def note_cloth(session: Session, *, line: str, since: datetime, until: datetime | None = None) -> None:
    """The cloth that a line's cameras captured from `since` to `until` (None: all since then) changes, or the roll it
    belongs to."""
    _noted(session).cloth.setdefault(line, set()).add((since, until or ALWAYS[1]))


def changes_of(session: Session, roll_id: int) -> int:
    """How often it has changed."""
    return session.scalar(select(RollGradeRow.changes).where(RollGradeRow.roll_id == roll_id)) or 0


def write_changes(session: Session) -> None:
    """Counts what the session noted, roll by roll in order, so that two transactions wait for, and never block, each
    other."""
    noted: _Noted | None = session.info.pop(_NOTED, None)
    if noted is None:
        return
    session.flush()
    connection = session.connection()
    rolls = set(noted.rolls)
    for line, stretches in noted.cloth.items():
        asked = [
            {"line": line, "first": first, "last": last, "day_before": first - timedelta(days=1)}
            for first, last in _joined(stretches)
        ]
        rolls |= {number for rows in _COVERING.ask_all(connection, asked) for (number,) in rows}
    if rolls:
        connection.execute(_counting(connection.dialect.name), [{"roll_id": number} for number in sorted(rolls)])


def _noted(session: Session) -> _Noted:
    noted: _Noted = session.info.setdefault(_NOTED, _Noted())
    return noted


def _joined(stretches: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    joined: list[tuple[datetime, datetime]] = []
    for first, last in sorted(stretches):
        if joined and first - joined[-1][1] <= CLOSE_BY:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


_statements: dict[str, Executable] = {}


def _counting(dialect: str) -> Executable:
    if dialect not in _statements:
        insert: Any = sqlite.insert(RollGradeRow) if dialect == "sqlite" else postgresql.insert(RollGradeRow)
        _statements[dialect] = insert.values(changes=1).on_conflict_do_update(
            index_elements=[RollGradeRow.roll_id], set_={"changes": RollGradeRow.changes + 1}
        )
    return _statements[dialect]
