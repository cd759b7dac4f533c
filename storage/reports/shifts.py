"""When a shift or a day of the plant begins and ends. Wall clock of the plant's zone, also when clocks change."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from inspection.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """[start, end) in UTC. `name` is the shift's, "" for a day."""

    name: str
    day: date
    start: datetime
    end: datetime


def shift_period(shifts: tuple[str, ...], zone: ZoneInfo, *, day: date, name: str) -> Period:
    """The shift that begins on `day`; it may end on the next. `shifts` as in `ReportSettings`: NAME=HH:MM.

    Raises `SettingsError` for a shift that the plant does not have.
    """
    begins = _begins(shifts)
    if name not in begins:
        raise SettingsError(f"there is no shift {name}: there are {', '.join(begins)} (LOOMWATCH_REPORT_SHIFTS)")
    later = sorted(at for at in begins.values() if at > begins[name])
    end_day, end = (day, later[0]) if later else (day + timedelta(days=1), min(begins.values()))
    return Period(name=name, day=day, start=_utc(day, begins[name], zone), end=_utc(end_day, end, zone))


def shift_names(shifts: tuple[str, ...]) -> list[str]:
    return list(_begins(shifts))


def day_period(zone: ZoneInfo, *, day: date) -> Period:
    """From midnight to midnight."""
    return Period(name="", day=day, start=_utc(day, time(), zone), end=_utc(day + timedelta(days=1), time(), zone))


def shift_at(shifts: tuple[str, ...], zone: ZoneInfo, at: datetime) -> Period:
    """The shift that `at` lies in."""
    today = at.astimezone(zone).date()
    for day in (today, today - timedelta(days=1)):
        for name in _begins(shifts):
            period = shift_period(shifts, zone, day=day, name=name)
            if period.start <= at < period.end:
                return period
    raise SettingsError(f"no shift at {at.isoformat()}: give the shifts in LOOMWATCH_REPORT_SHIFTS")


def _begins(shifts: tuple[str, ...]) -> dict[str, time]:
    return {name: time.fromisoformat(at) for name, _, at in (shift.partition("=") for shift in shifts)}


def _utc(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
