"""Models at the command line; what is wrong is one line and exit code 2."""

import json
import os

import pytest

from inspection.settings import StoreSettings, load
from loomwatch import terminal
from loomwatch.cli import run
from storage import registry
from storage.database import open_database, upgrade
from storage.gates import RuleResult, save_gate
from tests.records import make_bundle


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """Two models, the first one in charge, the second one stopped by the gate."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LOOMWATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOOMWATCH_DATA_DIR", str(tmp_path / "line"))
    monkeypatch.setattr(terminal.console, "width", 400)  # no line is wrapped
    store = load(StoreSettings)
    upgrade(store.database)
    with open_database(store.database) as database:
        for name in ("old", "new"):
            bundle = make_bundle(tmp_path / name, name, weights=name.encode())
            registry.import_bundle(database, bundle, store.models_dir, source="imported", by="eva")
        registry.promote(database, "old", by="eva")
        save_gate(database, model="new", against="old", rules=[judged("failed", "finds 8 of 10")], by="eva")
    return store


def judged(verdict, words):
    return RuleResult(rule="recall", style="", verdict=verdict, value=0.8, limit=1.0, words=words)


def passes(store):
    with open_database(store.database) as database:
        save_gate(database, model="new", against="old", rules=[judged("passed", "finds 10 of 10")], by="eva")


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


def test_the_list_says_what_runs_and_what_the_gate_found(said):
    rows = {line.split("│")[2].strip(): line for line in said("models", "list").splitlines() if "imported" in line}
    assert "running" in rows["old"]
    assert "failed" in rows["new"]


def test_a_model_that_failed_is_promoted_with_override_and_reason_only(said, fails):
    assert "finds 8 of 10" in fails("models", "promote", "new")
    assert "takes a reason" in fails("models", "promote", "new", "--override")
    assert "promoted" in said("models", "promote", "new", "--override", "--reason", "they are stains")
    assert "model old runs again" in said("models", "rollback", "--reason", "they were not")


def test_one_style_is_promoted_by_its_name(store, said, fails):
    passes(store)
    assert "does not know style satin" in fails("models", "promote", "new", "--style", "satin")
    assert "promoted for twill" in said("models", "promote", "new", "--style", "twill")
    assert "for twill" in said("models", "list")


def test_the_policy_is_shown_and_set_from_what_was_shown(tmp_path, said, fails):
    policy = json.loads(said("models", "policy"))
    policy["rules"][3]["slower"] = 0.1
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    said("models", "policy", file)
    assert json.loads(said("models", "policy")) == policy
    policy["promotion"] = "always"
    file.write_text(json.dumps(policy))
    assert "promotion" in fails("models", "policy", file)


def test_a_shadow_is_started_shown_and_stopped(store, said, fails):
    assert "has not passed the gate" in fails("models", "shadow", "start", "new")
    assert "no model ran as shadow" in fails("models", "shadow", "show")
    passes(store)
    assert "--share" in fails("models", "shadow", "start", "new", "--share", "2")
    assert "scores 50 % of frames beside old" in said("models", "shadow", "start", "new", "--share", "0.5")
    assert "new beside old: running" in said("models", "shadow", "show")
    assert "new is no shadow any more" in said("models", "shadow", "stop")
    assert "no model runs as shadow" in fails("models", "shadow", "stop")


def test_unknown_models_and_styles_are_named(fails):
    assert "there is no model x" in fails("models", "promote", "x")
    assert "there is no model x" in fails("models", "gate", "x")
    assert "model old is in charge" in fails("models", "gate", "old")
    assert "style satin has no accepted samples" in fails("models", "add-style", "satin")
