"""Trends: figures of the database, filters in the address, each chart's data to take away."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
import streamlit as st
from sqlalchemy import event

from dashboard import data
from storage.accounts import users
from storage.database import Database
from storage.roll_details import find_roll, set_details
from storage.tables import DriftRow
from storage.trends.drift import EPOCH
from storage.trends.periods import Plant
from storage.trends.reads import TrendFilter, read_trends, read_whole
from tests.integration.dashboard.conftest import NAME, OpenPage, text_of

pytestmark = pytest.mark.integration
PLANT = Plant(ZoneInfo("UTC"), ("early=06:00", "late=14:00", "night=22:00"))


def figures(page):
    return {metric.label: metric.value for metric in page.metric}


def test_the_figures_are_those_of_the_chosen_days_and_filters(line: Database, open_page: OpenPage) -> None:
    last = datetime.now(UTC).date()
    for query in ({}, {"days": "7", "style": "twill navy"}, {"days": "7", "severity": "critical"}, {"form": "area"}):
        days = int(query.get("days", "30"))
        named = {"form": "geometry"}
        chosen = {named.get(name, name): value for name, value in query.items() if name != "days"}
        whole = read_whole(line, PLANT, TrendFilter(first=last - timedelta(days=days - 1), last=last, **chosen))
        assert whole is not None
        found = figures(open_page("trends", **query))
        assert found["Defects per 100 m²"] == f"{whole.defects_per_100_m2:.2f}"
        assert found["Coverage"] == f"{whole.coverage * 100:.1f} %"
        assert found["Uptime"] == ("–" if "style" in query else f"{whole.uptime * 100:.0f} %")


def test_all_that_a_page_groups_is_read_once_for_its_days_and_once_for_those_before(
    line: Database, open_page: OpenPage
) -> None:
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if "FROM cloth_totals" in statement:
            asked.append(statement)

    engine = data.store().database.engine
    event.listen(engine, "before_cursor_execute", note)
    page = open_page("trends", by="camera")
    assert not page.exception
    assert len(asked) == 2
    next(box for box in page.selectbox if box.label == "Style").set_value("twill navy").run()
    assert not page.exception
    assert len(asked) == 2, "styles are told apart in what was read"


def test_a_link_reproduces_the_screen_and_a_choice_makes_one(line: Database, open_page: OpenPage) -> None:
    page = open_page("trends", days="90", measure="coverage", step="shift", by="camera", line="line-1")
    chosen = {box.label: box.value for box in page.selectbox}
    assert (chosen["Days"], chosen["Measure"], chosen["Step"], chosen["By"]) == ("90", "coverage", "shift", "camera")
    next(box for box in page.selectbox if box.label == "Days").set_value("7").run()
    assert page.query_params["days"] in ("7", ["7"])
    assert not page.exception
    assert open_page("trends", days="nonsense", last="never", measure="?").selectbox[0].value == "30"


def test_a_link_of_today_shows_the_same_days_tomorrow(line: Database, open_page: OpenPage) -> None:
    today = datetime.now(UTC).date()

    def day(ago: int) -> str:
        return (today - timedelta(days=ago)).isoformat()

    page = open_page("trends")
    assert (page.query_params["last"], page.query_params["before"]) == (day(0), day(30))
    next(box for box in page.selectbox if box.label == "Days").set_value("7").run()
    assert (page.query_params["last"], page.query_params["before"]) == (day(0), day(7)), "the days before follow"
    page.date_input[1].set_value(today - timedelta(days=50)).run()
    next(box for box in page.selectbox if box.label == "Days").set_value("90").run()
    assert page.query_params["before"] == day(50), "what somebody chose stays"
    linked = open_page("trends", last=day(0), before=day(40))
    assert [box.value for box in linked.date_input] == [today, today - timedelta(days=40)]
    assert open_page("trends", last=day(1)).date_input[0].value == today - timedelta(days=1)


def test_what_is_taken_away_is_metric_whoever_takes_it(
    line: Database, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, bytes] = {}

    def keep(_label: str, content: Callable[[], bytes], *, file_name: str, **_more: object) -> None:
        files[file_name] = content()

    monkeypatch.setattr(st, "download_button", keep)
    by_units = {}
    for units in ("metric", "imperial"):
        users.set_preferences(line, by=NAME, language="", units=units)
        assert not open_page("trends").exception
        by_units[units] = dict(files)
    assert set(files) == {f"trends-{name}.csv" for name in ("comparison", "course", "style", "kinds", "across")}
    assert by_units["imperial"] == by_units["metric"]
    course = pd.read_csv(BytesIO(files["trends-course.csv"]))
    assert course["value"].tolist() == course["defects_per_100_m2"].tolist()


def test_the_drift_of_scores_can_be_taken_away_as_it_is_drawn(
    line: Database, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, bytes] = {}
    monkeypatch.setattr(
        st, "download_button", lambda _label, content, *, file_name, **_more: files.update({file_name: content()})
    )
    today = datetime.now(UTC)
    judged = {
        "line": "line-1", "camera": "cam-left", "style": "twill navy", "model": "cras-1", "reference_frames": 1000,
        "ks": 0.2, "p_value": 0.001, "judged_at": today,
    }  # fmt: skip
    with line.session() as session:
        for back, state, psi in ((1, "watch", 0.125), (0, "drifted", 0.5)):
            day = (today.date() - EPOCH).days - back
            session.add(DriftRow(day=day, state=state, psi=psi, frames=400 + back, **judged))
    page = open_page("trends")
    assert not page.exception
    table = pd.read_csv(BytesIO(files["trends-drift.csv"]))
    expected = [((today - timedelta(days=back)).date().isoformat(), *figures) for back, *figures in (
        (1, "watch", 401, 0.125), (0, "drifted", 400, 0.5),
    )]  # fmt: skip
    assert list(table[["day", "state", "frames", "psi"]].itertuples(index=False, name=None)) == expected
    assert set(table["place"]) == {"cam-left · twill navy"}


def test_days_without_cloth_say_what_to_do(line: Database, open_page: OpenPage) -> None:
    assert "Nothing passed in these days" in text_of(open_page("trends", last="2001-01-01"))


def test_looms_stand_side_by_side_by_the_rolls_that_ended(line: Database, open_page: OpenPage) -> None:
    set_details(line, find_roll(line, name="R-1041"), by="eva", loom="loom 7")
    page = open_page("trends", by="loom")
    chart = next(each for each in page.get("vega_lite_chart") if "loom 7" in str(each.proto))
    last = datetime.now(UTC).date()
    wanted = TrendFilter(first=last - timedelta(days=29), last=last)
    looms = [loom.name or "no loom" for loom in read_trends(line, PLANT, wanted, by="loom")]
    assert sorted(looms) == ["loom 7", "no loom"]
    assert all(loom in str(chart.proto) for loom in looms)
    assert "the loom that their papers name" in text_of(page)
    assert "choose all cameras" in text_of(open_page("trends", by="loom", camera="cam-left"))
    assert "No roll ended in these days" in text_of(open_page("trends", by="loom", style="plain ecru"))
