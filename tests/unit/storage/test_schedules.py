"""When a schedule runs next: by the plant's clock, over the days it changes, out of quiet hours."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection.errors import SettingsError
from storage.schedules import Rule, next_time, parse_rule, quiet_end

BERLIN = ZoneInfo("Europe/Berlin")


def local(year, month, day, hour=0, minute=0):
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN).astimezone(UTC)


def runs(rule, after, count, zone=BERLIN):
    found = []
    for _ in range(count):
        after = next_time(rule, after=after, zone=zone)
        found.append(after.astimezone(zone))
    return found


def test_a_night_is_by_the_plants_clock():
    rule = Rule(kind="nightly", at="02:00")
    found = runs(rule, local(2026, 6, 1, 12), 2)
    assert [each.isoformat() for each in found] == ["2026-06-02T02:00:00+02:00", "2026-06-03T02:00:00+02:00"]
    assert next_time(rule, after=local(2026, 6, 1, 2), zone=BERLIN) == local(2026, 6, 2, 2)
    assert next_time(rule, after=local(2026, 6, 1, 1, 59), zone=BERLIN) == local(2026, 6, 1, 2)


def test_the_hour_that_spring_skips_runs_an_hour_later_and_only_once():
    found = runs(Rule(kind="nightly", at="02:30"), local(2026, 3, 28, 12), 2)
    assert [each.isoformat() for each in found] == ["2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"]


def test_the_hour_that_comes_twice_in_autumn_runs_once():
    found = runs(Rule(kind="nightly", at="02:30"), local(2026, 10, 24, 12), 2)
    assert [each.isoformat() for each in found] == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


def test_a_week_is_of_its_day():
    found = runs(Rule(kind="weekly", at="22:15", day="friday"), local(2026, 10, 20), 2)
    assert [each.isoformat() for each in found] == ["2026-10-23T22:15:00+02:00", "2026-10-30T22:15:00+01:00"]


@given(
    st.datetimes(min_value=datetime(2025, 1, 1), max_value=datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.times(),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_every_night_has_one_run_whatever_the_clock_does(after, at, name):
    zone = ZoneInfo(name)
    found = runs(Rule(kind="nightly", at=f"{at:%H:%M}"), after, 8, zone)
    assert found[0].astimezone(UTC) > after
    days = [each.date() for each in found]
    # one that is skipped over midnight belongs to the day after by the clock, as none of these zones does
    assert days == [days[0] + timedelta(days=number) for number in range(8)]


def test_quiet_hours_hold_a_run_until_they_end():
    rule = Rule(kind="nightly", at="23:30", quiet_from="22:00", quiet_to="06:00")
    assert runs(rule, local(2026, 6, 1, 12), 2) == [local(2026, 6, 2, 6), local(2026, 6, 3, 6)]
    assert next_time(rule, after=local(2026, 6, 2, 3), zone=BERLIN) == local(2026, 6, 2, 6)
    day = Rule(kind="samples", quiet_from="06:00", quiet_to="22:00")
    assert quiet_end(day, local(2026, 6, 1, 7), zone=BERLIN) == local(2026, 6, 1, 22)
    assert quiet_end(day, local(2026, 6, 1, 22), zone=BERLIN) == local(2026, 6, 1, 22)
    night = Rule(kind="samples", quiet_from="22:00", quiet_to="06:00")
    assert quiet_end(night, local(2026, 6, 1, 23), zone=BERLIN) == local(2026, 6, 2, 6)
    assert quiet_end(night, local(2026, 6, 2, 5), zone=BERLIN) == local(2026, 6, 2, 6)


def test_what_is_off_or_waits_for_something_has_no_time():
    for rule in (Rule(kind="nightly", enabled=False), Rule(kind="samples"), Rule(kind="drift"), Rule(kind="style")):
        assert next_time(rule, after=datetime.now(UTC), zone=BERLIN) is None


def test_cron_writes_it_as_usual():
    assert Rule(kind="nightly", at="02:05").cron == "5 2 * * *"
    assert Rule(kind="weekly", at="02:05", day="sunday").cron == "5 2 * * 0"
    assert Rule(kind="weekly", at="02:05", day="monday").cron == "5 2 * * 1"
    assert Rule(kind="drift").cron == ""


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "hourly"}, "schedule: kind: .* got 'hourly'"),
        ({"kind": "nightly", "at": "25:00"}, "schedule: at: a time is HH:MM, such as 02:30, got '25:00'"),
        ({"kind": "samples", "count": 0}, "schedule: count: .* got 0"),
        ({"kind": "nightly", "quiet_from": "22:00"}, "schedule: quiet hours need a beginning and another end"),
    ],
)
def test_a_wrong_rule_is_refused_in_one_line(fields, words):
    with pytest.raises(SettingsError, match=words):
        parse_rule(**fields)
