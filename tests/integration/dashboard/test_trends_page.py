"""Trends: figures of the database, filters in the address, each chart's data to take away."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from storage.database import Database
from storage.trends.periods import Plant
from storage.trends.reads import TrendFilter, read_whole
from tests.integration.dashboard.conftest import OpenPage, text_of

pytestmark = pytest.mark.integration


def figures(page):
    return {metric.label: metric.value for metric in page.metric}


def test_the_figures_are_those_of_the_chosen_days_and_filters(line: Database, open_page: OpenPage) -> None:
    plant = Plant(ZoneInfo("UTC"), ("early=06:00", "late=14:00", "night=22:00"))
    last = datetime.now(UTC).date()
    for query in ({}, {"days": "7", "style": "twill navy"}, {"days": "7", "severity": "critical"}):
        days = int(query.get("days", "30"))
        chosen = {name: value for name, value in query.items() if name != "days"}
        whole = read_whole(line, plant, TrendFilter(first=last - timedelta(days=days - 1), last=last, **chosen))
        assert whole is not None
        found = figures(open_page("trends", **query))
        assert found["Defects per 100 m²"] == f"{whole.defects_per_100_m2:.2f}"
        assert found["Coverage"] == f"{whole.coverage:.1%}"
        assert found["Uptime"] == ("–" if "style" in query else f"{whole.uptime:.0%}")


def test_a_link_reproduces_the_screen_and_a_choice_makes_one(line: Database, open_page: OpenPage) -> None:
    page = open_page("trends", days="90", measure="coverage", step="shift", by="camera", line="line-1")
    chosen = {box.label: box.value for box in page.selectbox}
    assert (chosen["Days"], chosen["Measure"], chosen["Step"], chosen["By"]) == ("90", "coverage", "shift", "camera")
    next(box for box in page.selectbox if box.label == "Days").set_value("7").run()
    assert page.query_params["days"] in ("7", ["7"])
    assert not page.exception
    assert open_page("trends", days="nonsense", last="never", measure="?").selectbox[0].value == "30"


def test_days_without_cloth_say_what_to_do(line: Database, open_page: OpenPage) -> None:
    assert "Nothing passed in these days" in text_of(open_page("trends", last="2001-01-01"))
