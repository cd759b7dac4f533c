"""The states of a defect's review, and a score's strength: what every question about defects shares."""

from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from storage.reviews import State as State
from storage.tables import DefectRow

STATES: tuple[State, ...] = ("unreviewed", "confirmed", "rejected")


def state_of(value: str) -> State:
    return next((state for state in STATES if state == value), "unreviewed")


def strength_of(score: Any, threshold: Any) -> ColumnElement[float]:
    """Score in units of the threshold; comparable between styles, whose thresholds differ."""
    return func.coalesce(score / func.nullif(threshold, 0.0), score)


def count_states(session: Session, condition: ColumnElement[bool]) -> dict[State, int]:
    """How many defects of the condition are in each state; for a condition that few defects fulfil."""
    rows = session.execute(select(DefectRow.state, func.count(DefectRow.id)).where(condition).group_by(DefectRow.state))
    found = {state: count for state, count in rows}  # noqa: C416 - rows are no pairs for the type checker
    return {state: found.get(state, 0) for state in STATES}
