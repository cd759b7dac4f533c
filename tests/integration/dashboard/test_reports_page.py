"""Reports: a shift or a day, chosen by the address, to take along."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from dashboard import data
from storage.database import Database
from storage.tables import FrameRow, RollRow
from tests.integration.dashboard.conftest import OpenPage, text_of

pytestmark = pytest.mark.integration


@pytest.fixture
def woven_on(line: Database) -> str:
    """A day with cloth."""
    with line.reading() as session:
        found = session.scalars(select(FrameRow.captured_at).order_by(FrameRow.captured_at).limit(1)).one()
    return found.date().isoformat()


def test_a_day_is_shown_with_its_lines_rolls_and_every_form_to_download(
    line: Database, open_page: OpenPage, woven_on: str
) -> None:
    page = open_page("reports", of="day", day=woven_on)
    words = text_of(page)
    assert "Day report" in words
    assert len(page.dataframe) >= 2
    assert {metric.label: metric.value for metric in page.metric}["Defects"] == str(
        page.dataframe[0].value["Defects"].sum()
    )
    assert [button.label for button in page.get("download_button")] == ["PDF", "Excel", "CSV, its rolls", "JSON"]
    assert "LOOMWATCH_REPORT_FOLDER" in words


def test_what_is_downloaded_is_the_report_that_is_shown(line: Database, store: object, woven_on: str) -> None:
    from storage.reports.shifts import day_period

    period = day_period(UTC, day=datetime.fromisoformat(woven_on).date())  # type: ignore[arg-type]
    report = data.period_report(period, "")
    facts = json.loads(data.written_report(report, "json", "en"))
    assert facts["lines"][0]["inspected_mm"] == pytest.approx(report.lines[0].inspected_mm)
    assert data.written_report(report, "pdf", "de").startswith(b"%PDF")


def test_a_day_without_cloth_and_one_that_is_none_are_said_in_words(line: Database, open_page: OpenPage) -> None:
    old = (datetime.now(UTC) - timedelta(days=900)).date().isoformat()
    assert "No cloth passed" in text_of(open_page("reports", of="day", day=old))
    assert "Reports" in text_of(open_page("reports", day="yesterday", of="nothing"))


def test_a_style_is_shown_over_its_days_with_its_rolls_and_kinds(
    line: Database, open_page: OpenPage, woven_on: str
) -> None:
    with line.reading() as session:
        rolls = session.execute(select(RollRow.name, RollRow.style).where(~RollRow.automatic)).all()
        ended = session.scalars(select(RollRow.closed_at).where(RollRow.closed_at.is_not(None))).all()
    style = next(style for _name, style in rolls if style)
    page = open_page("reports", of="style", style=style, first=woven_on)
    words = text_of(page)
    assert style in words
    assert "Kinds of defects" in words
    shown = next(frame.value for frame in page.dataframe if "Grade" in frame.value)
    assert 0 < len(shown) <= len(ended)
    assert [button.label for button in page.get("download_button")] == ["PDF", "Excel", "CSV, its rolls", "JSON"]
    assert "No roll of this style" in text_of(open_page("reports", of="style", style=style, last="2020-01-02"))


def test_without_a_style_the_page_says_where_one_comes_from(empty_line: Database, open_page: OpenPage) -> None:
    assert "There is no style yet" in text_of(open_page("reports", of="style"))


def test_today_can_be_chosen_while_the_shift_that_runs_began_yesterday(
    line: Database, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    starts = now + timedelta(minutes=2)  # the only shift, all round the clock
    monkeypatch.setenv("LOOMWATCH_REPORT_SHIFTS", f"all={starts:%H:%M}")
    today = now.date().isoformat()
    page = open_page("reports", of="day", day=today)
    assert [str(each.value) for each in page.date_input] == [today]
