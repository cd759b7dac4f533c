"""Figures, times and people's own words on the screens."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import words
from dashboard.language import speaking
from dashboard.units import SETS

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


@given(st.text())
def test_every_mark_in_what_people_typed_is_escaped(typed: str) -> None:
    shown = words.plain(typed)
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]<>$~#|:]", shown)
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(typed.split())


@pytest.mark.parametrize(
    ("share", "shown"),
    [(1.0, "100 %"), (0.99999, "99.9 %"), (0.9985, "99.8 %"), (0.5, "50.0 %"), (0.0, "0.0 %")],
)
def test_a_hundred_percent_means_all_of_it(share: float, shown: str) -> None:
    assert words.percent(share) == shown


@given(st.floats(0, 1))
def test_a_share_is_never_rounded_up(share: float) -> None:
    assert float(words.percent(share).removesuffix(" %")) <= share * 100 + 1e-6


@pytest.mark.parametrize(
    ("length_mm", "shown"), [(0, "0.00 m"), (1234, "1.23 m"), (999_999, "1,000.00 m"), (1_234_567, "1,235 m")]
)
def test_lengths_along_the_roll_are_in_metres(length_mm: float, shown: str) -> None:
    assert words.metres(length_mm) == shown


@pytest.mark.parametrize(("area_mm2", "shown"), [(0.24, "0.2 mm²"), (582.0, "582 mm²"), (12_345.0, "123 cm²")])
def test_areas_have_their_unit(area_mm2: float, shown: str) -> None:
    assert words.area(area_mm2) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-1, "0 s"), (33.4, "33 s"), (420, "7 min"), (7200, "2 h"), (400_000, "5 days")]
)
def test_durations_are_rounded_to_what_matters(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown


@pytest.mark.parametrize(("duration_ms", "shown"), [(376.4, "376 ms"), (2140.0, "2.1 s")])
def test_delays_have_their_unit(duration_ms: float, shown: str) -> None:
    assert words.milliseconds(duration_ms) == shown


def test_times_are_local_and_dated_unless_of_today() -> None:
    zone = timezone(timedelta(hours=14))
    assert words.clock(NOW, zone=UTC, now=NOW) == "12:00:00"
    assert words.clock(NOW - timedelta(hours=3), zone=zone, now=NOW) == "14 Mar, 23:00"
    assert words.clock(NOW - timedelta(days=400), zone=UTC, now=NOW) == "7 Feb 2025, 12:00"


def test_states_are_counted_in_words() -> None:
    assert words.states({"unreviewed": 2, "confirmed": 0, "rejected": 1}) == (
        "2 to review · 0 confirmed · 1 false alarm"
    )


def test_a_grade_says_its_points_in_the_units_of_who_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert words.rate(40.0, "100yd2") == ("47.8", "100 m²")
    assert words.rate(40.0, "100m2") == ("40.0", "100 m²")
    assert words.rate(None, "100yd") == ("–", "100 m")
    monkeypatch.setattr(words, "units", lambda: SETS["imperial"])
    assert words.rate(40.0, "100m2") == ("33.4", "100 yd²")
    assert words.rate(10.0, "100yd") == ("10.0", "100 yd")


@pytest.mark.parametrize(
    ("name", "shown"), [("the guard", "der Wächter"), ("rule", "Regeln der Freigabeprüfung"), ("Eva", "Eva")]
)
def test_what_loomwatch_did_itself_is_told_in_the_language_and_people_by_their_names(name: str, shown: str) -> None:
    with speaking("de"):
        assert words.who(name) == shown
