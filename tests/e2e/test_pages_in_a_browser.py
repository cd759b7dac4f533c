"""The pages as a browser shows them."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select, update

from inspection.settings import StoreSettings
from storage import audit
from storage.accounts import users
from storage.alarms import alarm_store
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import parse_rule
from storage.database import Database, open_database
from storage.tables import FrameRow, ModelRow, ReviewRow, RollRow
from tests.e2e.browser import new_page, serve, settle, sign_in

pytestmark = pytest.mark.e2e
PAGES = ("Roll", "Review", "Trends", "Models", "System", "Live")
HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'


def give_hostile_names(database: Database) -> None:
    """What people and files may be called, everywhere a page shows it."""
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
        for name in PAGES:
            page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
            expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
            settle(page)
            expect(page.get_by_test_id("stException")).to_have_count(0)
            if name == "Live":
                expect(page.get_by_text(HOSTILE[:20], exact=False).first).to_be_visible()
        for part in ("users", "logs", "audit"):
            page.goto(f"{address}/system?part={part}")
            expect(page.get_by_role("heading", level=1, name="System")).to_be_visible()
            settle(page)
        assert page.evaluate("window.hurt") is None
        assert page.locator("img[src='x']").count() == 0
        assert not said
