"""Shifts and days of the plant: over midnight, over the change of clocks."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection.errors import SettingsError
from inspection.settings import ReportSettings, load
from storage.reports.shifts import day_period, shift_at, shift_period

SHIFTS = ("early=06:00", "late=14:00", "night=22:00")
BERLIN = ZoneInfo("Europe/Berlin")


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_shift_ends_where_the_next_begins_also_over_midnight():
    late = shift_period(SHIFTS, BERLIN, day=date(2026, 6, 1), name="late")
    assert (late.start, late.end) == (utc("2026-06-01T12:00"), utc("2026-06-01T20:00"))
    night = shift_period(SHIFTS, BERLIN, day=date(2026, 6, 1), name="night")
    assert (night.start, night.end) == (utc("2026-06-01T20:00"), utc("2026-06-02T04:00"))


def test_a_night_in_which_clocks_change_is_an_hour_longer_or_shorter():
    hours = [
        (period.end - period.start) / timedelta(hours=1)
        for day in (date(2026, 3, 28), date(2026, 10, 24), date(2026, 7, 1))
        for period in (shift_period(SHIFTS, BERLIN, day=day, name="night"),)
    ]
    assert hours == [7, 9, 8]
    days = [day_period(BERLIN, day=day) for day in (date(2026, 3, 29), date(2026, 10, 25))]
    assert [(day.end - day.start) / timedelta(hours=1) for day in days] == [23, 25]


@given(at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
def test_each_moment_lies_in_one_shift(at):
    found = shift_at(SHIFTS, BERLIN, at)
    assert found.start <= at < found.end
    neighbours = [
        shift_period(SHIFTS, BERLIN, day=found.day + timedelta(days=days), name=shift.partition("=")[0])
        for days in (-1, 0, 1)
        for shift in SHIFTS
    ]
    assert sum(period.start <= at < period.end for period in neighbours) == 1


def test_a_plant_with_one_shift_works_around_the_clock():
    only = shift_period(("day=07:00",), BERLIN, day=date(2026, 6, 1), name="day")
    assert only.end - only.start == timedelta(hours=24)


def test_a_shift_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(SettingsError, match="there is no shift noon: there are early, late, night"):
        shift_period(SHIFTS, BERLIN, day=date(2026, 6, 1), name="noon")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_zone": "Mars/Olympus"}, "time_zone: .*no time zone.*got 'Mars/Olympus'"),
        ({"shifts": ("early=6",)}, r"shifts: .*NAME=HH:MM, got \('early=6',\)"),
        ({"shifts": ("early=24:00",)}, r"shifts: .*NAME=HH:MM"),
        ({"shifts": ("a=06:00", "b=06:00")}, "must differ"),
        ({"shifts": ()}, "shifts"),
        ({"paper": "A5"}, "paper: .*got 'A5'"),
    ],
)
def test_wrong_settings_are_refused_with_their_value(changes, message):
    with pytest.raises(SettingsError, match=message):
        load(ReportSettings, **changes)


def test_shifts_come_from_the_environment_separated_by_commas(monkeypatch):
    monkeypatch.setenv("LOOMWATCH_REPORT_SHIFTS", "day=06:00, night=18:00")
    assert load(ReportSettings).shifts == ("day=06:00", "night=18:00")
