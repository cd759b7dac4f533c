"""The pages as a browser shows them."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select, text, update

from inspection.settings import StoreSettings
from storage import audit, schedules
from storage.accounts import users
from storage.alarms import alarm_store
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import parse_rule
from storage.database import Database, open_database
from storage.roll_details import set_details
from storage.rolls import list_rolls
from storage.suspensions import suspend_roll
from storage.tables import FrameRow, JobRow, ModelRow, ReviewRow, RollRow, SampleRow, Table
from tests.e2e.browser import new_page, serve, settle, sign_in
from tests.e2e.test_all_pages import PLACES as ALL_PLACES

pytestmark = pytest.mark.e2e
HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>[a](javascript:window.hurt=1) $x^2$ :red[b]'
RENAMED = ("plain ecru", "twill navy", "cam-left", "m.ivanova", "a.keller", "j.weber")  # a style, a camera, people
PLACES = {name: path for name, path in ALL_PLACES.items() if name != "sign-in"} | {
    "samples-held": "samples?state=held",
    "reports-style": "reports?of=style",
    "reports-day": "reports?of=day",
    "models-beside": "models?left=cras-2024-06-01&right=cras-2024-05-02",
    "roll-defect": "roll?defect=1",
    "review-one": "review?state=all&defect=1",
}


def rename(database: Database, names: dict[str, str]) -> None:
    """Whatever is called so, in any table, also within JSON."""

    def renamed(value: Any) -> Any:
        if isinstance(value, str):
            return names.get(value, value)
        if isinstance(value, dict):
            return {renamed(key): renamed(each) for key, each in value.items()}
        return [renamed(each) for each in value] if isinstance(value, list) else value

    with database.session() as session:
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
        for table in Table.metadata.sorted_tables:
            keys = list(table.primary_key)
            for row in session.execute(select(table)).mappings().all():
                changed = {name: new for name, old in row.items() if (new := renamed(old)) != old}
                if changed:
                    own = [key == row[key.name] for key in keys]
                    session.execute(table.update().where(*own).values(changed))


def give_hostile_names(database: Database) -> None:
    """What people and files may be called, everywhere a page shows it."""
    rename(database, {name: f"{HOSTILE} {number}" for number, name in enumerate(RENAMED)})
    with database.session() as session:
        session.execute(update(SampleRow).values(why=HOSTILE))
        session.execute(update(JobRow).values(message=HOSTILE))
    running, *_others = [roll for roll in list_rolls(database) if not roll.automatic]
    set_details(database, running, by=HOSTILE, remarks=HOSTILE, lot=HOSTILE, loom=HOSTILE)
    suspend_roll(database, running, reason=HOSTILE, by=HOSTILE)
    rule = schedules.parse_rule(kind="nightly")
    schedules.add_schedule(database, HOSTILE[:60], rule, by=HOSTILE, zone=ZoneInfo("UTC"))
    users.add_user(database, name=HOSTILE[:60], role="viewer", password=None, by=HOSTILE)
    rule = parse_rule({"name": "camera-down", "kind": "camera_down"})
    with database.session() as session:
        for roll in session.scalars(select(RollRow).where(~RollRow.automatic)):
            roll.name = f"{HOSTILE} {roll.id}"
        session.execute(update(FrameRow).values(origin=HOSTILE))
        session.execute(update(ReviewRow).values(by=HOSTILE))
        session.execute(update(ModelRow).values(by=HOSTILE))
        alarm_store.observe(
            session,
            rule,
            line="line-1",
            signals=[Signal(subject=HOSTILE, level="raise", text=f"camera {HOSTILE} is silent")],
            at=datetime.now(UTC),
        )
        audit.record(session, by=HOSTILE, action="roll.open", subject=HOSTILE, detail={"note": HOSTILE})


def test_every_page_opens_and_shows_what_people_typed_as_they_typed_it(
    chromium: Browser, seeded_line: StoreSettings
) -> None:
    with open_database(seeded_line.database) as database:
        give_hostile_names(database)
    with serve(seeded_line.data_dir) as address, new_page(chromium) as page:
        said: list[str] = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        sign_in(page, address)
        for name, path in PLACES.items():
            page.goto(f"{address}/{path}")
            expect(page.get_by_role("heading", level=1).first).to_be_visible()
            settle(page)
            expect(page.get_by_test_id("stException")).to_have_count(0)
            if name in ("line", "live", "roll", "samples", "models"):
                expect(page.get_by_text(HOSTILE[:20], exact=False).first).to_be_attached()
            assert page.evaluate("window.hurt") is None, name
            assert page.locator("img[src='x'], a[href^='javascript:']").count() == 0, name
            assert page.get_by_test_id("stMain").locator(".katex").count() == 0, name
            assert not said, name
