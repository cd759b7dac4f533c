"""Days and shifts of the plant's clock, one after the other, and which stored hours they are made of.

A shift or day that does not begin with an hour of UTC (05:45, or a zone of half hours) divides an hour: there the
minutes are read instead.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from inspection.errors import SettingsError
from inspection.settings import ReportSettings
from storage.reports.shifts import Period, day_period, shift_period
from storage.trends.totals import minute_of

MOST_DAYS = 3 * 366  # more is no screen


@dataclass(frozen=True, slots=True)
class Plant:
    """The plant's clock."""

    zone: ZoneInfo
    shifts: tuple[str, ...]  # NAME=HH:MM

    @classmethod
    def of(cls, settings: ReportSettings) -> "Plant":
        return cls(ZoneInfo(settings.time_zone), settings.shifts)

    @property
    def shift_names(self) -> list[str]:
        return [shift.partition("=")[0] for shift in self.shifts]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Periods without a hole between them; edges: minutes (since 1970) at which they begin, and the last one ends."""

    periods: tuple[Period, ...]
    edges: tuple[int, ...]

    @property
    def split_hours(self) -> list[int]:
        """Hours in whose midst a period begins or ends."""
        return sorted({edge - edge % 60 for edge in self.edges if edge % 60})

    def place(self, minute: int) -> int:
        """The number of the period that a minute lies in."""
        return bisect_right(self.edges, minute) - 1


def calendar_of(plant: Plant, kind: Literal["day", "shift"], *, first: date, last: date) -> Calendar:
    """All days, or all shifts that begin on them. Raises `SettingsError` for a range that is none, or too long."""
    if not first <= last:
        raise SettingsError(f"the last day must not be before the first, got {first} to {last}")
    days = (last - first).days + 1
    if days > MOST_DAYS:
        raise SettingsError(f"at most {MOST_DAYS} days are shown at once, got {days}: choose fewer")
    periods: list[Period] = []
    for number in range(days):
        day = first + timedelta(days=number)
        if kind == "day":
            periods.append(day_period(plant.zone, day=day))
        else:
            shifts = (shift_period(plant.shifts, plant.zone, day=day, name=name) for name in plant.shift_names)
            periods += sorted(shifts, key=lambda period: period.start)
    return Calendar(tuple(periods), (*(minute_of(each.start) for each in periods), minute_of(periods[-1].end)))


def today(plant: Plant, now: datetime) -> date:
    return now.astimezone(plant.zone).date()
