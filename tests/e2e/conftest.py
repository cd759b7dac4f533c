"""Browser tests: one Chromium a test file, and a seeded line to look at."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from inspection.errors import SettingsError
from inspection.settings import StoreSettings, load
from loomwatch.chromium import launch_chromium
from storage.database import open_database
from storage.tables import FrameRow
from tests.conftest import IN_CI
from tests.integration.dashboard.plausible_line import seed

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """Chromium, started once a test file; missing, it is a failure in CI and a skip elsewhere."""
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(launch_chromium())
        except SettingsError as missing:
            pytest.fail(str(missing)) if IN_CI else pytest.skip(str(missing))
        yield browser


@pytest.fixture(scope="session")
def seeded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded") / "line"
    folder.mkdir()
    seed(
        load(StoreSettings, data_dir=folder, database_url="", redis_url="", pictures_url=""),
        folder / "bundles",
        frames=20,
    )
    from tests.e2e.browser import people

    with open_database(f"sqlite:///{folder / 'loomwatch.db'}") as database:
        people(database)
    return folder


@pytest.fixture
def seeded_line(tmp_path: Path, seeded_folder: Path) -> StoreSettings:
    """A line as a mill would have it, in a folder of its own, with an account of each role; its last frames came just
    now."""
    folder = Path(shutil.copytree(seeded_folder, tmp_path / "line"))
    store = load(StoreSettings, data_dir=folder, database_url="", redis_url="", pictures_url="")
    with open_database(store.database) as database, database.session() as session:
        session.execute(update(FrameRow).where(FrameRow.session == "s2").values(stored_at=datetime.now(UTC)))
    return store
