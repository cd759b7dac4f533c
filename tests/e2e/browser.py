"""A real browser before a real dashboard: Debian's Chromium, driven by Playwright.

The fixtures are in `conftest.py` beside this file; what a test says to a page is here.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from playwright.sync_api import Browser, Page, expect

from storage.accounts import users
from storage.accounts.roles import ROLES
from storage.accounts.sessions import hash_secret
from storage.database import Database
from storage.tables import SessionRow, UserRow
from tests.ports import free_port
from tests.waiting import wait_for

WALL, TABLET = (1920, 1080), (1180, 820)  # px
PATIENCE_S = 180.0  # a deadline, not a pause
expect.set_options(timeout=PATIENCE_S * 1000)
PASSWORD = "linen warp 1887"


@contextmanager
def new_page(
    browser: Browser, *, size: tuple[int, int] = WALL, dark: bool = False, language: str = "en"
) -> Iterator[Page]:
    """A page of a person of its own: no cookies of others. size: width and height in px; language: the browser's."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", locale=language
    )
    context.set_default_timeout(PATIENCE_S * 1000)
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


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def sign_in(page: Page, address: str, *, role: str = "admin") -> None:
    """Opens the dashboard as a person of this role, who is signed in already (`people`), and waits for the page."""
    place = urlsplit(address)
    cookie = {"name": f"loomwatch_{place.port}", "value": session_of(role), "url": f"{place.scheme}://{place.netloc}"}
    page.context.add_cookies([cookie])
    page.goto(address)
    settle(page)


def enter(page: Page, *, name: str, password: str) -> None:
    """Fills in the sign-in page and sends it."""
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def people(database: Database) -> None:
    """One account a role, named as the role, with `PASSWORD` and a session that `sign_in` takes up."""
    hashed = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)  # of a cost that suits a test
    now = datetime.now(UTC)
    for role in ROLES:
        user = users.add_user(database, name=role, role=role, password=None, by="test")
        with database.session() as session:
            session.get_one(UserRow, user.id).password = hashed
            session.add(SessionRow(hash=hash_secret(session_of(role)), user_id=user.id, created_at=now, used_at=now))


def session_of(role: str) -> str:
    return f"the-session-of-{role}"


def settle(page: Page) -> None:
    """Waits until Streamlit has run the page to its end."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
