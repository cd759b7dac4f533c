"""The states of a defect's review, and a score's strength: what every question about defects shares."""

from typing import Any

from sqlalchemy import ColumnElement, func

from storage.reviews import State as State

STATES: tuple[State, ...] = ("unreviewed", "confirmed", "rejected")
_KNOWN: dict[str, State] = {state: state for state in STATES}


def state_of(value: str) -> State:
    return _KNOWN.get(value, "unreviewed")


def strength_of(score: Any, threshold: Any) -> ColumnElement[float]:
    """Score in units of the threshold; comparable between styles, whose thresholds differ."""
    return func.coalesce(score / func.nullif(threshold, 0.0), score)
