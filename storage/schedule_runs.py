"""What is due: of all schedules, by the clock or by what has happened, under a lease that one scheduler holds.

A run is a training's row, made in the transaction that notes it as done: it is asked for once, however many schedulers
there are and whenever they die. One whose time passed while none ran is caught up once, however many were missed.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage.database import Database
from storage.in_force import standing
from storage.jobs import Asked, add_request
from storage.leases import take_lease
from storage.samples import to_be_learned
from storage.schedules import TIMED, Rule, next_time, quiet_end, samples_seen, schedule_of
from storage.tables import DriftRow, ModelRow, SampleRow, ScheduleRow
from storage.trends.drift import EPOCH

LEASE = "schedules"
LEASE_S = 30.0
DRIFT_DAYS = 3  # a drift that was judged longer ago is history


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """asked: None when it was refused, for `problem`."""

    schedule: str
    asked: Asked | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    reason: str
    seen: dict[str, Any]


def run_due(database: Database, *, holder: str, at: datetime, zone: ZoneInfo) -> list[Run] | None:
    """Asks for the training of every schedule that is due; None when another scheduler acts."""
    with database.session() as session:
        if not take_lease(database, session, LEASE, holder=holder, at=at, lease_s=LEASE_S):
            return None
        rows = session.scalars(select(ScheduleRow).order_by(ScheduleRow.id).with_for_update())
        return [run for row in rows if (run := _run(database, session, row, at=at, zone=zone)) is not None]


def waits_for(session: Session, row_id: int) -> str:
    """In words, what a schedule without a time waits for; "" for one with."""
    row = session.get_one(ScheduleRow, row_id)
    rule = schedule_of(row).rule
    match rule.kind:
        case "samples":
            return f"{_new_samples(session, row, rule)} of {rule.count} new samples"
        case "drift":
            return "drift"
        case "style":
            return "a new style"
    return ""


def _run(database: Database, session: Session, row: ScheduleRow, *, at: datetime, zone: ZoneInfo) -> Run | None:
    rule = schedule_of(row).rule
    if not rule.enabled or quiet_end(rule, at, zone=zone) > at:
        return None
    due = _due(session, row, rule, at)
    if due is None:
        return None
    asked, problem = None, ""
    try:
        asked = add_request(
            database, session, by=f"schedule {row.name}", parameters={}, style=rule.style, reason=due.reason
        )
    except StorageError as error:  # nothing to learn from: told with the schedule, until its next run
        problem = str(error)
    row.last_run_at, row.next_run_at = at, next_time(rule, after=at, zone=zone)
    row.last_job_id = asked.job_id if asked else None
    row.seen = {**due.seen, **({"problem": problem} if problem else {})}
    return Run(schedule=row.name, asked=asked, problem=problem)


def _due(session: Session, row: ScheduleRow, rule: Rule, at: datetime) -> _Due | None:
    seen = {key: value for key, value in row.seen.items() if key != "problem"}
    if rule.kind in TIMED:
        if row.next_run_at is None or row.next_run_at > at:
            return None
        late = at - row.next_run_at > timedelta(minutes=5)
        return _Due(reason=f"{rule.kind} run" + (", caught up" if late else ""), seen=seen)
    if rule.kind == "samples":
        new = _new_samples(session, row, rule)
        if new < rule.count:
            return None
        return _Due(reason=f"{new} new samples", seen=seen | samples_seen())
    if rule.kind == "drift":
        found = _drifted(session, rule, at.astimezone(UTC).date())
        fresh = [key for key in found if key not in seen.get("drift", [])]
        words = ", ".join(sorted({key.split("|", 1)[1].replace("|", " / ") for key in fresh}))
        return _Due(reason=f"drift: {words}", seen=seen | {"drift": found}) if fresh else None
    styles = _new_styles(session, rule)
    fresh = [style for style in styles if style not in seen.get("styles", [])]
    return _Due(reason=f"new style {', '.join(fresh)}", seen=seen | {"styles": styles}) if fresh else None


def _new_samples(session: Session, row: ScheduleRow, rule: Rule) -> int:
    """Given since the last run, or accepted by staff since: what is held when a run asks is not learned then."""
    since = datetime.fromisoformat(row.seen["samples"]) if "samples" in row.seen else row.last_run_at or row.updated_at
    came_at = case((SampleRow.decided_by != "", SampleRow.decided_at), else_=SampleRow.created_at)
    query = select(func.count()).select_from(SampleRow).where(to_be_learned(), came_at > since)
    return session.scalar(query.where(SampleRow.style == rule.style) if rule.style else query) or 0


def _drifted(session: Session, rule: Rule, today: date) -> list[str]:
    """model|line|camera|style of what drifted lately; one key is acted upon once, the next model is another key."""
    query = select(DriftRow).where(DriftRow.state == "drifted", DriftRow.day > (today - EPOCH).days - DRIFT_DAYS)
    rows = session.scalars(query.where(DriftRow.style == rule.style) if rule.style else query)
    return sorted({f"{row.model}|{row.line}|{row.camera}|{row.style}" for row in rows})


def _new_styles(session: Session, rule: Rule) -> list[str]:
    """With enough samples, and unknown to the model that runs or known only provisionally."""
    states = standing(session)[1]
    known = session.get_one(ModelRow, states[-1].model).manifest["styles"] if states else {}
    counted = select(SampleRow.style, func.count()).where(to_be_learned()).group_by(SampleRow.style)
    counts = {style: count for style, count in session.execute(counted) if count >= rule.count}
    return sorted(
        style
        for style in counts
        if (style not in known or known[style].get("provisional")) and rule.style in ("", style)
    )
