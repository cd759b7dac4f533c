"""Models at the command line; what is wrong is one line and exit code 2."""

import json
import os
from datetime import UTC, datetime

import pytest

from inspection.settings import StoreSettings, load
from loomwatch import terminal
from loomwatch.cli import run
from storage import registry
from storage.database import open_database, upgrade
from storage.gates import RuleResult, save_gate
from storage.tables import ConfirmedDefectRow
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


def test_a_confirmed_defect_of_a_pruned_roll_is_listed_and_taken_out(store, said, fails):
    with open_database(store.database) as database, database.session() as session:
        session.add(
            ConfirmedDefectRow(
                defect_id=412, strongest=True, style="denim", line="line-1", camera="left", counter="c",
                x0_mm=20.0, x1_mm=30.0, y0_mm=4500.0, y1_mm=4510.0, x0_px=0, x1_px=1, y0_px=0, y1_px=1,
                fabric_width_px=100, fabric_length_px=100, mm_per_px=0.2, mask=b"", crop="", likeness=None,
                captured_at=datetime(2026, 3, 14, tzinfo=UTC),
            )
        )  # fmt: skip
    listed = said("models", "regression", "list", "--style", "denim")
    assert all(text in listed for text in ("412", "line-1", "4.50"))
    assert "412" not in said("models", "regression", "list", "--style", "twill")
    assert "needs a reason" in fails("models", "regression", "take-out", 412, "--reason", " ")
    assert "defect 7 is not among" in fails("models", "regression", "take-out", 7, "--reason", "a shadow")
    assert "defect 412" in said("models", "regression", "take-out", 412, "--reason", "a shadow")
    assert "412" not in said("models", "regression", "list")
