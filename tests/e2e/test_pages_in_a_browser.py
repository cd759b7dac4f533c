"""The pages as a browser shows them."""

import pytest
from playwright.sync_api import Browser, expect

from inspection.settings import StoreSettings
from tests.e2e.browser import new_page, serve, settle, sign_in

pytestmark = pytest.mark.e2e
PAGES = ("Roll", "Review", "Trends", "Models", "Live")


def test_every_page_opens_from_the_navigation(chromium: Browser, seeded_line: StoreSettings) -> None:
    with serve(seeded_line.data_dir) as address, new_page(chromium) as page:
        said: list[str] = []
        page.on("pageerror", lambda error: said.append(str(error)))
        sign_in(page, address)
        for name in PAGES:
            page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
            expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
            settle(page)
            expect(page.get_by_test_id("stException")).to_have_count(0)
        assert not said
