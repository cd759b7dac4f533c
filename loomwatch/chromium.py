"""A real browser: Debian's Chromium, driven by Playwright. For measurements and for the tests in `tests/e2e`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inspection.errors import SettingsError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def launch_chromium() -> "Iterator[Browser]":
    """Raises `SettingsError` where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise SettingsError("a browser is driven by the package playwright: pip install playwright") from error
    path = shutil.which("chromium")
    if path is None:
        raise SettingsError("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
