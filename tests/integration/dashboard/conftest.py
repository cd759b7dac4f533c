"""A seeded line for the pages: filled once, copied for each test."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

import dashboard
from dashboard import data, signed_in
from inspection.settings import StoreSettings, load
from storage.accounts import sessions, users
from storage.database import Database, open_database, upgrade
from storage.tables import FrameRow, UserRow
from tests.integration.dashboard.plausible_line import seed

FOLDER = Path(dashboard.__file__).parent
VIEWS = ("line", "live", "roll", "review", "trends", "reports", "samples", "models", "system", "setup")
TITLES = {view: view.capitalize() for view in VIEWS} | {
    "line": "line\\-1",
    "setup": "Set up",
}  # the wall screen's is the line's name
NAME = "Anna Keller"  # who is signed in
OpenPage = Callable[..., AppTest]
SignIn = Callable[..., None]


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded") / "line"
    folder.mkdir()
    seed(load(StoreSettings, data_dir=folder), folder / "bundles", frames=20)
    return folder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreSettings]:
    """The settings that the pages read, on an empty folder; nothing is kept from the test before."""
    for name in [name for name in os.environ if name.startswith("LOOMWATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOOMWATCH_DATA_DIR", str(tmp_path / "line"))
    monkeypatch.setattr(signed_in, "browser_secret", lambda: "of nobody")
    st.config.set_option("runner.magicEnabled", False)  # as the service sets it
    st.cache_data.clear()
    st.cache_resource.clear()
    yield load(StoreSettings)
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def line(store: StoreSettings, seeded: Path, sign_in: SignIn) -> Iterator[Database]:
    """The seeded line; its last frames came just now, and an admin looks at it."""
    shutil.copytree(seeded, store.data_dir)
    with open_database(store.database) as database:
        with database.session() as session:
            session.execute(update(FrameRow).where(FrameRow.session == "s2").values(stored_at=datetime.now(UTC)))
        sign_in(database, "admin")
        yield database


@pytest.fixture
def empty_line(store: StoreSettings, sign_in: SignIn) -> Iterator[Database]:
    """Tables with nothing in them but an admin, who looks at it."""
    upgrade(store.database)
    with open_database(store.database) as database:
        sign_in(database, "admin")
        yield database


@pytest.fixture
def sign_in(monkeypatch: pytest.MonkeyPatch) -> SignIn:
    """Signs a new person of this role in, as their browser's cookie would: a test's pages have no browser."""

    def start(database: Database, role: str, *, name: str = NAME) -> None:
        user = users.add_user(database, name=name, role=role, password=None, by="test")
        with database.session() as session:
            secret = sessions.start_session(session, session.get_one(UserRow, user.id), how="password")
        monkeypatch.setattr(signed_in, "browser_secret", lambda: secret)

    return start


@pytest.fixture
def open_page() -> OpenPage:
    """Runs one page by itself, as a link with these query parameters would."""

    def run(view: str, /, **query: str) -> AppTest:
        data.forget_reads()  # what a test wrote just now is seen, however fast it was
        page = AppTest.from_file(str(FOLDER / "views" / f"{view}.py"), default_timeout=60)
        for name, value in query.items():
            page.query_params[name] = value
        return page.run()

    return run


def text_of(page: AppTest) -> str:
    """All words on a page, sidebar included."""
    assert not page.exception, page.exception
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "success", "toast")
    found = [str(element.value) for kind in kinds for element in getattr(page, kind)]
    found += [f"{metric.label}: {metric.value}" for metric in page.metric]
    found += [str(button.label) for button in page.button]
    found += [frame.value.to_string() for frame in page.dataframe]
    found += strings_of([json.loads(wall.proto.bytes) for wall in page.get("bidi_component")])
    return "\n".join(found)


def wall_of(page: AppTest) -> dict[str, Any]:
    """What the wall screen's one element shows."""
    assert not page.exception, page.exception
    [wall] = page.get("bidi_component")
    shown: dict[str, Any] = json.loads(wall.proto.bytes)
    return shown


def strings_of(shown: Any) -> list[str]:
    """All strings in JSON but links' addresses."""
    if isinstance(shown, str):
        return [shown]
    if isinstance(shown, dict):
        shown = [part for name, part in shown.items() if name != "to"]
    return [text for part in shown for text in strings_of(part)] if isinstance(shown, list) else []
