"""What holds for every page: it says in a line what is wrong, and never shows a traceback."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from dashboard import data, signed_in
from inspection.settings import StoreSettings
from storage.database import Database
from storage.tables import ClothTotalRow
from tests.integration.dashboard.conftest import FOLDER, TITLES, VIEWS, OpenPage, SignIn, text_of

pytestmark = pytest.mark.integration
every_view = pytest.mark.parametrize("view", VIEWS)


@every_view
def test_a_page_alone_shows_the_line_without_an_error(line: Database, open_page: OpenPage, view: str) -> None:
    page = open_page(view)
    assert page.title[0].value == TITLES[view]
    assert not page.exception
    assert not page.error or view == "models"  # which tells of a failed training


@every_view
def test_an_empty_line_says_what_to_do(empty_line: Database, open_page: OpenPage, view: str) -> None:
    words = text_of(open_page(view))
    told = {
        "line": "No camera has delivered anything yet",
        "live": "No camera has delivered anything yet",
        "roll": "There is no roll yet",
        "review": "No defects were found yet",
        "trends": "There are no trends yet",
        "reports": "No cloth passed",
        "models": "No model yet",
        "samples": "No samples yet",
        "system": "No camera has delivered anything yet",
        "setup": "From nothing to a watched line",
    }
    assert told[view] in words


@every_view
def test_a_missing_database_is_told_in_one_line(store: StoreSettings, open_page: OpenPage, view: str) -> None:
    page = open_page(view)
    assert not page.exception
    [error] = page.error
    assert "loomwatch db upgrade" in error.value
    assert "\n" not in error.value
    assert not page.title


@every_view
def test_a_database_of_a_newer_version_is_told_in_one_line(
    empty_line: Database, open_page: OpenPage, view: str
) -> None:
    with empty_line.session() as session:
        session.execute(text("UPDATE loomwatch_version SET version_num = '9999'"))
    page = open_page(view)
    assert not page.exception
    [error] = page.error
    assert "newer loomwatch" in error.value


@every_view
def test_a_database_that_breaks_while_it_is_looked_at_is_told_in_one_line(
    line: Database, open_page: OpenPage, view: str
) -> None:
    page = open_page(view)
    with line.session() as session:
        session.execute(text("ALTER TABLE rolls RENAME TO rolls_gone"))
        session.execute(text("ALTER TABLE models RENAME TO models_gone"))
        session.execute(text("ALTER TABLE samples RENAME TO samples_gone"))
        session.execute(text("ALTER TABLE cloth_totals RENAME TO cloth_totals_gone"))
    data.forget_reads()
    page.run()
    assert not page.exception
    assert "no such table" in page.error[0].value


@every_view
def test_a_wrong_setting_is_told_in_one_line(
    store: StoreSettings, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    monkeypatch.setenv("LOOMWATCH_DATABASE_URL", "mysql://someone:secret@host/db")
    page = open_page(view)
    assert not page.exception
    [error] = page.error
    assert "mysql" in error.value
    assert "secret" not in error.value


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_a_day_on_which_clocks_change_has_its_own_length(
    line: Database, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, day: str
) -> None:
    monkeypatch.setenv("LOOMWATCH_REPORT_TIME_ZONE", "Europe/Berlin")
    with line.session() as session:  # an hour before the day ends there
        ends = datetime.combine(date.fromisoformat(day) + timedelta(days=1), time(), tzinfo=ZoneInfo("Europe/Berlin"))
        before = (ends - timedelta(hours=1)).astimezone(UTC)
        start = int(before.timestamp() // 3600) * 60
        values = {"inspected_um": 10**9, "inspected_mm2": 10**9, "gap_um": 0, "found": 2, "points_1000": 2000}
        session.add(
            ClothTotalRow(
                line="line-1", span=60, start=start, camera="cam-left", style="twill navy", minutes=1, frames=9,
                confirmed=0, rejected=0, reviewed=0, review_s=0, **values,
            )
        )  # fmt: skip
    page = open_page("trends", days="7", last=day, step="shift")
    assert {metric.label: metric.value for metric in page.metric}["Defects per 100 m²"] == "0.20"
    assert "Nothing passed" in text_of(open_page("trends", days="7", last=str(before.date() - timedelta(days=1))))
    report = text_of(open_page("reports", of="day", day=day)).replace("\\", "")
    assert re.search(r"00:00 to \d+ (Mar|Oct) 2026, 00:00, Europe/Berlin", report)


def test_the_navigation_leads_to_all_pages(line: Database) -> None:
    app = AppTest.from_file(str(FOLDER / "app.py"), default_timeout=60).run()
    assert app.title[0].value == TITLES["line"]
    for view in VIEWS:
        app.switch_page(f"views/{view}.py").run()
        assert not app.exception
        assert app.title[0].value == TITLES[view]


@every_view
def test_who_is_not_signed_in_sees_nothing(
    line: Database, open_page: OpenPage, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_in, "browser_secret", lambda: "guessed")
    page = open_page(view)
    assert not page.exception
    assert "not signed in any more" in page.info[0].value
    assert not page.title
    assert not page.dataframe
    assert not page.button


@every_view
def test_a_viewer_sees_every_page_and_can_press_nothing_that_changes_it(
    line: Database, open_page: OpenPage, sign_in: SignIn, view: str
) -> None:
    sign_in(line, "viewer", name="Wall")
    page = open_page(view)
    assert page.title[0].value == TITLES[view]
    assert "Wall" in text_of(page)
    acts = (
        *("Confirm", "False alarm", "Undo", "Acknowledge", "Start training", "Try again", "Cancel", "Roll back"),
        *("Promote", "Run now", "Remove", "Accept", "Refuse", "Add", "Save", "Disable"),
    )
    assert not [button.label for button in page.button if button.label.startswith(acts) and not button.disabled]
