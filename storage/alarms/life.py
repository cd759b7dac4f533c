"""The life of an alarm, a pure function of what happens to it.

An alarm is active while its condition holds and open until it has been acknowledged and its condition is over: it is
latched. The four states are those of ISA-18.2 / IEC 62682 (unacknowledged, acknowledged, returned unacknowledged,
normal); `docs/alarms.md` draws them.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from storage.alarms.sinks import EventKind

State = Literal["raised", "acknowledged", "cleared", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """active: the condition holds. waiting_since: since when somebody is to acknowledge it, None when somebody did.
    occurrences: how often it was raised, or how many defects it stands for."""

    active: bool
    raised_at: datetime
    waiting_since: datetime | None
    cleared_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    escalated_at: datetime | None = None
    occurrences: int = 1

    @property
    def state(self) -> State:
        if self.active:
            return "raised" if self.waiting_since else "acknowledged"
        return "cleared" if self.waiting_since else "closed"

    @property
    def open(self) -> bool:
        return self.active or self.waiting_since is not None


Step = tuple[Life, list[EventKind]]


def begin(at: datetime, *, occurrences: int = 1) -> Step:
    """The condition holds, and there is no open alarm of it."""
    return Life(active=True, raised_at=at, waiting_since=at, occurrences=max(1, occurrences)), ["raised"]


def hold(life: Life, at: datetime, *, new: int = 0) -> Step:
    """The condition holds. new: how many defects are new among those it stands for.

    A further defect, or a condition that comes back, asks for a person again, also after an acknowledgement.
    """
    if life.active and not new:
        return life, []
    again = replace(
        life,
        active=True,
        cleared_at=None,
        waiting_since=life.waiting_since or at,
        escalated_at=life.escalated_at if life.waiting_since else None,
        occurrences=life.occurrences + max(1, new),
    )
    return again, ["recurred"]


def clear(life: Life, at: datetime) -> Step:
    """The condition is over. The alarm stays open until somebody acknowledges it."""
    if not life.active:
        return life, []
    return replace(life, active=False, cleared_at=at), ["cleared"]


def acknowledge(life: Life, at: datetime, *, by: str) -> Step:
    """Somebody takes notice. A second acknowledgement changes nothing."""
    if life.waiting_since is None:
        return life, []
    return replace(life, waiting_since=None, acknowledged_at=at, acknowledged_by=by), ["acknowledged"]


def pass_time(life: Life, at: datetime, *, escalate_s: float) -> Step:
    """Escalates once what nobody acknowledged for so long; 0: never."""
    waited = life.waiting_since is not None and at - life.waiting_since >= timedelta(seconds=escalate_s)
    if not escalate_s or life.escalated_at is not None or not waited:
        return life, []
    return replace(life, escalated_at=at), ["escalated"]
