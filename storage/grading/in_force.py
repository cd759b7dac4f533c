"""The profile by which a running roll's defects are judged as they are found: asked with each, read when it changed."""

from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, bindparam, func, select
from sqlalchemy.orm import Session

from inspection.types import Roll
from storage.grading.profile import AnyProfile
from storage.grading.profile_store import profile_of
from storage.tables import GradingChoiceRow, GradingProfileRow, RollDetailRow, RollRow

KEPT_ROLLS = 64

_ROLLS, _DETAILS = RollRow.__table__, RollDetailRow.__table__
_STAMP = (
    select(
        _ROLLS.c.line,
        _ROLLS.c.name,
        _ROLLS.c.style,
        _ROLLS.c.opened_at,
        _ROLLS.c.closed_at,
        _DETAILS.c.profile,
        _DETAILS.c.profile_version,
        select(func.max(GradingChoiceRow.id)).scalar_subquery(),
        select(func.max(GradingProfileRow.id)).scalar_subquery(),
    )
    .select_from(_ROLLS.outerjoin(_DETAILS, _DETAILS.c.roll_id == _ROLLS.c.id))
    .where(_ROLLS.c.id == bindparam("roll"))
)
_known: WeakKeyDictionary[Engine, dict[int, tuple[Any, AnyProfile]]] = WeakKeyDictionary()


def profile_in_force(session: Session, roll_id: int) -> AnyProfile:
    """The profile that would grade this roll if it ended now. Raises `SettingsError` when there is none."""
    engine = session.connection().engine
    stamp = tuple(session.connection().execute(_STAMP, {"roll": roll_id}).one())
    known = _known.setdefault(engine, {})
    found = known.get(roll_id)
    if found is not None and found[0] == stamp:
        return found[1]
    line, name, style, opened_at, closed_at, own, own_version, *_ = stamp
    roll = Roll(
        id=roll_id,
        line=line,
        name=name,
        style=style,
        opened_at=opened_at or datetime.now(UTC),
        closed_at=closed_at,
        automatic=False,
    )
    profile = profile_of(session, roll, own=own or "", own_version=own_version or 0).profile
    if len(known) >= KEPT_ROLLS:
        known.clear()
    known[roll_id] = (stamp, profile)
    return profile
