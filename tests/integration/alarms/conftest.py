"""Other machines as processes, a line whose alarms sinks are told of, and free ports."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alarms.courier import Couriers
from storage.alarms import alarm_store, sink_store
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import parse_rule

HERE = Path(__file__).parent
RULE = parse_rule({"name": "cams", "kind": "camera_down", "rate_limit_s": 0})


def need(package: str) -> None:
    """An optional part that is missing is a skip locally and a failure in CI."""
    if importlib.util.find_spec(package) is None:
        missing = f"the package {package} is not installed"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)


@contextmanager
def machine(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another machine; it is ready when this begins, and killed without a word at the end."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Line:
    """Raises and clears alarms of its cameras, and tells what sinks are to be told."""

    def __init__(self, database, secrets) -> None:
        self.database, self.secrets = database, secrets
        self.couriers = Couriers(database, secrets)
        self.now = datetime.now(UTC)

    def sink(self, kind, *, name="sink", **changes):
        sink_store.set_sink(self.database, name=name, kind=kind, changes=changes, by="eva")
        self.couriers.keep(True)

    def set(self, camera, level="raise"):
        self.now += timedelta(microseconds=1)
        told = Signal(subject=camera, level=level, text=f"camera {camera} is silent")
        with self.database.session() as session:
            alarm_store.observe(session, RULE, line="line-1", signals=[told], at=self.now, keep_others=True)

    def acknowledge_all(self):
        for alarm in alarm_store.list_alarms(self.database):
            if alarm.state in ("raised", "cleared"):
                alarm_store.acknowledge_alarm(self.database, alarm.id, by="eva")


@pytest.fixture
def line(sqlite_database, tmp_path, monkeypatch):
    monkeypatch.setattr("alarms.courier.AGAIN_S", (0.05, 0.1))
    monkeypatch.setattr("alarms.courier.LOOK_S", 0.05)
    monkeypatch.setattr("alarms.courier.GIVE_UP_S", 0.05)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "key").write_text("whsec_c2VjcmV0IGtleSBvZiB0aGUgbWls\n")
    (secrets / "password").write_text("loom-secret\n")
    line = Line(sqlite_database, secrets)
    yield line
    line.couriers.close()
