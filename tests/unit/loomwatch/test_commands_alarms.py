"""Alarms at the command line; what is wrong is one line and exit code 2."""

import os
from datetime import UTC, datetime

import pytest

from inspection.settings import StoreSettings, load
from loomwatch import terminal
from loomwatch.cli import run
from storage.alarms import alarm_store
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import parse_rule
from storage.database import open_database, upgrade


@pytest.fixture(autouse=True)
def _line(tmp_path, monkeypatch):
    """A line with one alarm."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LOOMWATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOOMWATCH_DATA_DIR", str(tmp_path / "line"))
    monkeypatch.setattr(terminal.console, "width", 400)  # no line is wrapped
    store = load(StoreSettings)
    upgrade(store.database)
    with open_database(store.database) as database, database.session() as session:
        rule = parse_rule({"name": "camera-down", "kind": "camera_down"})
        told = Signal(subject="camera a", level="raise", text="camera a [left] is silent")
        alarm_store.observe(session, rule, line="line-1", signals=[told], at=datetime.now(UTC))


@pytest.fixture
def said(capfd):
    def check(*arguments):
        capfd.readouterr()
        assert run([str(argument) for argument in arguments]) == 0, capfd.readouterr().err
        return capfd.readouterr().out

    return check


@pytest.fixture
def fails(capfd):
    def check(*arguments):
        capfd.readouterr()
        assert run([str(argument) for argument in arguments]) == 2
        error = capfd.readouterr().err.strip()
        assert error.startswith("loomwatch: ")
        assert "\n" not in error, error
        return error

    return check


def test_an_alarm_is_listed_and_acknowledged_once(said, fails):
    listed = said("alarms", "list")
    assert "camera a [left] is silent" in listed
    assert "1 to acknowledge" in listed
    assert "its condition still holds" in said("alarms", "acknowledge", 1, "--by", "eva", "--note", "cable")
    listed = said("alarms", "list", "--line", "line-1")
    assert "acknowledged by eva, cable" in listed
    assert "nothing to acknowledge" in listed
    assert "alarm 1 is acknowledged by eva already" in fails("alarms", "acknowledge", 1)
    assert "there is no alarm 7" in fails("alarms", "acknowledge", 7)


def test_rules_are_made_changed_listed_and_removed(said, fails):
    said("alarms", "rules", "set", "points-rate", "raise_at=15", "clear_at=8", "--by", "eva")
    said("alarms", "rules", "set", "points-rate", "--line", "line-1", "--kind", "rate", "over_m=50", "sinks=a,b")
    listed = said("alarms", "rules", "list")
    assert "raise_at=15.0" in listed
    assert "over_m=50.0" in listed
    assert "sinks=a,b" in listed
    assert "rule points-rate: raise_at: " in fails("alarms", "rules", "set", "points-rate", "raise_at=many")
    assert "got 'many'" in fails("alarms", "rules", "set", "points-rate", "raise_at=many")
    assert "--kind is one of severe_defect" in fails("alarms", "rules", "set", "mine")
    assert "kind: is rate, got 'drift'" in fails("alarms", "rules", "set", "points-rate", "--kind", "drift")
    said("alarms", "rules", "remove", "points-rate", "--line", "line-1")
    assert "there is no rule points-rate of line line-1" in fails(
        "alarms", "rules", "remove", "points-rate", "--line", "line-1"
    )


def test_sinks_are_made_tested_and_removed_and_no_secret_is_shown(said, fails, tmp_path):
    secrets = tmp_path / "line" / "secrets"
    secrets.mkdir()
    (secrets / "key").write_text("hidden")
    said("alarms", "sinks", "set", "mes", "--kind", "webhook", "url=http://127.0.0.1:9/", "secret_file=key")
    listed = said("alarms", "sinks", "list")
    assert "secret_file=key" in listed
    assert "hidden" not in listed
    assert "sink mes was not told: no answer" in fails("alarms", "sinks", "test", "mes")
    assert "coil: " in fails("alarms", "sinks", "set", "lamp", "--kind", "modbus", "host=h", "coil=-1")
    assert "vision is never a safety stop" in said("alarms", "sinks", "set", "lamp", "--kind", "modbus", "host=h")
    said("alarms", "sinks", "remove", "mes")
    assert "there is no sink mes" in fails("alarms", "sinks", "test", "mes")


def test_the_help_of_sinks_says_that_vision_is_no_safety_stop(said):
    for arguments in (("alarms", "sinks", "--help"), ("alarms", "sinks", "set", "--help")):
        assert "vision is never a safety stop" in " ".join(said(*arguments).split())
