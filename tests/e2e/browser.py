"""A real browser before a real dashboard: Debian's Chromium, driven by Playwright.

The fixtures are in `conftest.py` beside this file; what a test says to a page is here.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.waiting import wait_for

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WALL, TABLET = (1920, 1080), (1180, 820)  # px
PATIENCE_MS = 60_000.0


def chromium_path() -> str:
    """Where Debian's Chromium lies, "" where it is missing."""
    return shutil.which("chromium") or ""


@contextmanager
def launch_chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Browser, *, size: tuple[int, int] = WALL, dark: bool = False) -> Iterator[Page]:
    """A page of a person of its own: no cookies of others. size: width and height in px."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def serve(data_dir: Path, **environment: str) -> Iterator[str]:
    """`loomwatch dashboard` on a data folder, as a process; its address. Its log: DATA_DIR/dashboard.log."""
    port = free_port()
    log = data_dir / "dashboard.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOOMWATCH_")}
    command = [sys.executable, "-m", "loomwatch", "dashboard", "--port", str(port), "--data-dir", str(data_dir)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**clean, "LOOMWATCH_DASHBOARD_MONITOR_PORT": "0", **environment},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def sign_in(page: Page, address: str, *, role: str = "admin") -> None:
    """Opens the dashboard as a person of this role and waits for its first page."""
    page.goto(address)
    settle(page)


def settle(page: Page) -> None:
    """Waits until Streamlit has run the page to its end."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE_MS)
