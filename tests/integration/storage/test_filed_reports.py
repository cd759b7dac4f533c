"""Reports that write themselves: what is due, once, later when missed, whole or not at all."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alarms.clerk import Clerk
from inspection.settings import ReportSettings, load
from storage.database import Database
from storage.frames import store_report
from storage.pictures import PictureStore
from storage.reports.filed import CATCH_UP, SETTLE, ended_periods, file_due
from storage.rolls import close_roll, open_roll
from tests.records import LINE, make_report
from tests.waiting import wait_for

pytestmark = pytest.mark.integration

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
EARLY_ENDS = datetime(2026, 3, 12, 14, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> ReportSettings:
    return load(ReportSettings, folder=tmp_path / "reports", formats=("json", "csv"))


@pytest.fixture
def weave(database: Database, pictures: PictureStore) -> Callable[[datetime], None]:
    """Stores a frame that was captured then."""

    def store(at: datetime) -> None:
        assert store_report(database, pictures, make_report(captured_at=at))

    return store


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_shift_with_cloth_is_filed_once_after_it_has_settled(
    database: Database, pictures: PictureStore, settings: ReportSettings, weave: Callable[[datetime], None]
) -> None:
    assert settings.folder is not None
    weave(NOON)
    assert file_due(database, pictures, settings, at=EARLY_ENDS + SETTLE - timedelta(seconds=1)) == []
    written = file_due(database, pictures, settings, at=EARLY_ENDS + SETTLE)
    assert sorted(path.name for path in written) == ["2026-03-12-early.csv", "2026-03-12-early.json"]
    facts = json.loads((settings.folder / "2026-03-12-early.json").read_text())
    assert facts["shift"] == "early"
    assert facts["lines"][0]["inspected_mm"] > 0
    assert file_due(database, pictures, settings, at=EARLY_ENDS + timedelta(hours=1)) == [], "once"


def test_what_was_missed_is_written_later_and_only_where_cloth_passed(
    database: Database, pictures: PictureStore, settings: ReportSettings, weave: Callable[[datetime], None]
) -> None:
    assert settings.folder is not None
    weave(NOON)
    file_due(database, pictures, settings, at=NOON + timedelta(days=3))
    assert names(settings.folder) == [
        "2026-03-12-day.csv", "2026-03-12-day.json", "2026-03-12-early.csv", "2026-03-12-early.json"
    ]  # fmt: skip
    (settings.folder / "2026-03-12-early.csv").unlink()
    assert [path.name for path in file_due(database, pictures, settings, at=NOON + timedelta(days=4))] == [
        "2026-03-12-early.csv"
    ]
    assert file_due(database, pictures, settings, at=NOON + CATCH_UP + timedelta(days=2)) == []


def test_a_style_is_filed_once_its_month_has_ended(
    database: Database, pictures: PictureStore, settings: ReportSettings, weave: Callable[[datetime], None]
) -> None:
    assert settings.folder is not None
    open_roll(database, line=LINE, name="R1", style="twill/1", by="eva", at=NOON - timedelta(hours=1))
    weave(NOON)
    close_roll(database, line=LINE, by="eva", at=NOON + timedelta(hours=1))
    april = datetime(2026, 4, 1, tzinfo=UTC)
    assert file_due(database, pictures, settings, at=april) == [], "it settles"
    name = "2026-03-01-2026-03-31-twill%2F1"
    written = file_due(database, pictures, settings, at=april + SETTLE)
    assert sorted(path.name for path in written) == [f"{name}.csv", f"{name}.json"]
    facts = json.loads((settings.folder / f"{name}.json").read_text())
    assert [roll["roll"] for roll in facts["rolls"]] == ["R1"]
    assert file_due(database, pictures, settings, at=april + timedelta(days=1)) == [], "once"


def test_without_a_folder_nothing_is_written(
    database: Database, pictures: PictureStore, weave: Callable[[datetime], None]
) -> None:
    weave(NOON)
    assert file_due(database, pictures, load(ReportSettings), at=NOON + timedelta(days=1)) == []


def test_every_shift_and_day_is_due_over_a_change_of_clocks() -> None:
    settings = load(ReportSettings, time_zone="Europe/Berlin")
    due = set()
    start = datetime(2026, 3, 26, tzinfo=UTC)
    at = start
    while at < start + timedelta(days=6):
        due |= {(period.name, str(period.day)) for period in ended_periods(settings, at)}
        at += timedelta(hours=1)
    for day in (28, 29, 30):
        assert {name for name, its in due if its == f"2026-03-{day}"} == {"early", "late", "night", ""}


def test_the_clerk_files_while_it_is_kept_at_work(
    database: Database, pictures: PictureStore, settings: ReportSettings, weave: Callable[[datetime], None]
) -> None:
    assert settings.folder is not None
    weave(datetime.now(UTC) - timedelta(days=2))
    clerk = Clerk(database, pictures, settings, look_s=0.05)
    clerk.keep(False)
    clerk.keep(True)
    try:
        wait_for(lambda: len(names(settings.folder)) >= 4)  # type: ignore[arg-type]
    finally:
        clerk.close()


def test_a_folder_that_cannot_be_written_is_said_and_tried_again(
    database: Database,
    pictures: PictureStore,
    settings: ReportSettings,
    weave: Callable[[datetime], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert settings.folder is not None
    settings.folder.write_text("in the way")
    weave(datetime.now(UTC) - timedelta(days=2))
    clerk = Clerk(database, pictures, settings, look_s=0.05)
    clerk.keep(True)
    try:
        wait_for(lambda: "reports cannot be filed" in caplog.text)
        settings.folder.unlink()
        wait_for(lambda: settings.folder.is_dir() and len(names(settings.folder)) >= 4)  # type: ignore[union-attr,arg-type]
    finally:
        clerk.close()
    assert caplog.text.count("reports cannot be filed") == 1
