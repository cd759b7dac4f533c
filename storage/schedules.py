"""Schedules: when trainings are asked for by themselves. Kept here, edited by staff, acted upon by one scheduler
(`storage.schedule_runs`, `retraining.scheduler`).

Times are the plant's, by its clock: a night's run whose hour the clock skips in spring is an hour later by that clock,
and one whose hour comes twice in autumn runs the first time only.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import SettingsError, StorageError
from storage import audit
from storage.database import Database
from storage.jobs import Asked, request_retraining
from storage.tables import ScheduleRow

Kind = Literal["nightly", "weekly", "samples", "drift", "style"]
KINDS: tuple[Kind, ...] = ("nightly", "weekly", "samples", "drift", "style")
TIMED = ("nightly", "weekly")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _clock(text: str) -> str:
    try:
        return _parsed(text).strftime("%H:%M")
    except ValueError as error:
        raise ValueError("a time is HH:MM, such as 02:30") from error


def _parsed(text: str) -> time:
    return datetime.strptime(text, "%H:%M").time()


Clock = Annotated[str, AfterValidator(_clock)]


class Rule(BaseModel):
    """kind: nightly and weekly at a time of the plant's clock; samples: after `count` new ones; drift: when normal
    fabric does not score any more as it did; style: when a new one has `count` samples.

    style: what the training is meant for, "" for all; quiet_from, quiet_to: hours in which none begins, "" for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    at: Clock = "02:00"
    day: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "sunday"
    count: int = Field(20, ge=1, le=1_000_000)
    style: str = Field("", max_length=200)
    quiet_from: Clock | Literal[""] = ""
    quiet_to: Clock | Literal[""] = ""
    enabled: bool = True

    @model_validator(mode="after")
    def _whole_hours(self) -> Self:
        if bool(self.quiet_from) != bool(self.quiet_to) or (self.quiet_from and self.quiet_from == self.quiet_to):
            raise ValueError("quiet hours need a beginning and another end")
        return self

    @property
    def cron(self) -> str:
        """As cron writes it; "" for what waits for something to happen."""
        if self.kind not in TIMED:
            return ""
        hour, minute = (int(part) for part in self.at.split(":"))
        return f"{minute} {hour} * * {(DAYS.index(self.day) + 1) % 7 if self.kind == 'weekly' else '*'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """next_run_at: None for one that is off or waits for something to happen. seen: what has been acted upon."""

    id: int
    name: str
    rule: Rule
    by: str
    updated_at: datetime
    last_run_at: datetime | None
    last_job_id: str | None
    next_run_at: datetime | None
    seen: dict[str, Any]

    @property
    def problem(self) -> str:
        """Why its last run asked for no training, "" when it did."""
        return str(self.seen.get("problem", ""))


def parse_rule(**fields: Any) -> Rule:
    """Raises `SettingsError` that names the field."""
    try:
        return Rule(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][:1])
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"schedule: {place + ': ' if place else ''}{message}, got {first['input']!r}") from error


def next_time(rule: Rule, *, after: datetime, zone: ZoneInfo) -> datetime | None:
    """When a timed rule runs next, in UTC and out of its quiet hours; None for the others and for one that is off."""
    if rule.kind not in TIMED or not rule.enabled:
        return None
    today = after.astimezone(zone).date()
    for ahead in range(-1, 9):
        day = today + timedelta(days=ahead)
        if rule.kind == "weekly" and day.weekday() != DAYS.index(rule.day):
            continue
        at = quiet_end(rule, datetime.combine(day, _parsed(rule.at), zone).astimezone(UTC), zone=zone)
        if at > after:
            return at
    raise AssertionError("a week has every day")


def quiet_end(rule: Rule, at: datetime, *, zone: ZoneInfo) -> datetime:
    """`at` itself out of the quiet hours, else when they end."""
    if not rule.quiet_from or not rule.quiet_to:
        return at
    local = at.astimezone(zone)
    begin, end, now = _parsed(rule.quiet_from), _parsed(rule.quiet_to), local.time()
    if begin < end:
        quiet, days = begin <= now < end, 0
    else:
        quiet, days = now >= begin or now < end, int(now >= begin)
    if not quiet:
        return at
    return max(at, datetime.combine(local.date() + timedelta(days=days), end, zone).astimezone(UTC))


def add_schedule(database: Database, name: str, rule: Rule, *, by: str, zone: ZoneInfo) -> Schedule:
    """Raises `StorageError` when there is one of this name."""
    name = name.strip()
    if not name or len(name) > 100:
        raise StorageError(f"a schedule needs a name of at most 100 characters, got {name!r}")
    now = datetime.now(UTC)
    with database.session() as session:
        database.lock(session, "schedules")
        if session.scalar(select(ScheduleRow).where(ScheduleRow.name == name)) is not None:
            raise StorageError(f"there is a schedule {name} already: change or remove it, or take another name")
        row = ScheduleRow(name=name, seen=samples_seen())
        _set(row, rule, by=by, now=now, zone=zone)
        session.add(row)
        session.flush()
        audit.record(session, by=by, action="schedule.add", subject=name, detail=row.content)
        return schedule_of(row)


def change_schedule(database: Database, name: str, rule: Rule, *, by: str, zone: ZoneInfo) -> Schedule:
    """Raises `StorageError` for an unknown one."""
    with database.session() as session:
        row = _row(session, name)
        detail = {"changed": audit.changes(row.content, rule.model_dump(mode="json"))}
        _set(row, rule, by=by, now=datetime.now(UTC), zone=zone)
        audit.record(session, by=by, action="schedule.change", subject=name, detail=detail)
        return schedule_of(row)


def remove_schedule(database: Database, name: str, *, by: str) -> None:
    """Raises `StorageError` for an unknown one."""
    with database.session() as session:
        row = _row(session, name)
        audit.record(session, by=by, action="schedule.remove", subject=name, detail=row.content)
        session.delete(row)


def run_schedule(database: Database, redis_url: str, name: str, *, by: str) -> Asked:
    """Asks for its training now, whatever its time; its next run stays. Raises `StorageError`."""
    schedule = get_schedule(database, name)
    asked = request_retraining(
        database, redis_url, by=by, parameters={}, style=schedule.rule.style, reason=f"schedule {name}, run by hand"
    )
    with database.session() as session:
        row = _row(session, name)
        row.last_run_at, row.last_job_id = datetime.now(UTC), asked.job_id
        row.seen = samples_seen() | {key: row.seen[key] for key in ("drift", "styles") if key in row.seen}
    return asked


def list_schedules(database: Database) -> list[Schedule]:
    with database.reading() as session:
        return [schedule_of(row) for row in session.scalars(select(ScheduleRow).order_by(ScheduleRow.name))]


def get_schedule(database: Database, name: str) -> Schedule:
    """Raises `StorageError` for an unknown one."""
    with database.reading() as session:
        return schedule_of(_row(session, name, to_change=False))


def samples_seen() -> dict[str, Any]:
    """What new samples are counted from: the training that is asked for begins later, and sees those of before."""
    return {"samples": datetime.now(UTC).isoformat()}


def schedule_of(row: ScheduleRow) -> Schedule:
    return Schedule(
        id=row.id,
        name=row.name,
        rule=Rule.model_validate(row.content),
        by=row.by,
        updated_at=row.updated_at,
        last_run_at=row.last_run_at,
        last_job_id=row.last_job_id,
        next_run_at=row.next_run_at,
        seen=row.seen,
    )


def _set(row: ScheduleRow, rule: Rule, *, by: str, now: datetime, zone: ZoneInfo) -> None:
    row.content, row.by, row.updated_at = rule.model_dump(mode="json"), by, now
    row.next_run_at = next_time(rule, after=now, zone=zone)


def _row(session: Session, name: str, *, to_change: bool = True) -> ScheduleRow:
    query = select(ScheduleRow).where(ScheduleRow.name == name)
    row = session.scalar(query.with_for_update() if to_change else query)
    if row is None:
        raise StorageError(f"there is no schedule {name}: loomwatch schedule list shows them")
    return row
