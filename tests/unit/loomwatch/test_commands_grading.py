"""Profiles, rolls and papers at the command line; what is wrong is one line and exit code 2."""

import json
import os
import re
from pathlib import Path

import pytest

from inspection.settings import StoreSettings, load
from loomwatch.cli import run
from storage.database import open_database, upgrade
from storage.frames import store_report
from storage.grading.profile_store import list_profiles
from storage.pictures import PictureStore
from storage.reads.audit_trail import AuditFilter, list_entries
from storage.rolls import close_roll, list_rolls, open_roll, roll_figures
from tests.records import LENGTH_MM, LINE, at, make_defect, make_report


@pytest.fixture(autouse=True)
def _line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line with one closed roll of 3.2 m."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LOOMWATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOOMWATCH_DATA_DIR", str(tmp_path / "line"))
    store = load(StoreSettings)
    upgrade(store.database)
    with open_database(store.database) as database:
        open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
        for sequence in range(100):
            found = (make_defect(x_px=250, y0_mm=1500.0, y1_mm=1502.0),) if sequence == 47 else ()
            report = make_report(sequence, captured_at=at(1 + sequence / 100), defects=found)
            store_report(database, PictureStore(store.pictures), report)
        close_roll(database, line=LINE, by="eva", at=at(10))
    assert LENGTH_MM * 100 == 3200


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]):
    """Runs a command that must succeed: what it printed."""

    def check(*arguments: object) -> str:
        capfd.readouterr()
        assert run([str(argument) for argument in arguments]) == 0, capfd.readouterr().err
        return capfd.readouterr().out

    return check


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]):
    """Runs a command that must end with 2 and one line, which is returned."""

    def check(*arguments: object) -> str:
        capfd.readouterr()
        assert run([str(argument) for argument in arguments]) == 2
        error = capfd.readouterr().err.strip()
        assert error.startswith("loomwatch: ")
        assert "\n" not in error, error
        return error

    return check


def test_a_profile_is_shown_edited_checked_added_and_used(said, tmp_path):
    mine = tmp_path / "mine.json"
    assert "four-point version 1" in said("profiles", "show", "four-point", "--out", mine)
    content = json.loads(mine.read_text())
    content["end_ignore_mm"] = 100
    mine.write_text(json.dumps(content))
    assert "is a profile: four-point" in said("profiles", "check", mine)
    assert "four-point version 2" in said("profiles", "add", mine, "--by", "eva")
    assert json.loads(said("profiles", "show", "four-point"))["end_ignore_mm"] == 100
    assert json.loads(said("profiles", "show", "four-point@1"))["end_ignore_mm"] == 50.8
    said("profiles", "use", "four-point-denim", "--style", "denim")
    assert "denim" in said("profiles", "list")


def test_a_malformed_profile_is_refused_with_field_and_value_and_nothing_is_stored(fails, tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text('{"name": "x", "system": "four_point", "unit": "ell", "grades": []}')
    for command in ("check", "add"):
        assert "mine.json: unit: Input should be 'yard' or 'metre', got 'ell'" in fails("profiles", command, mine)
    mine.write_text("no json")
    assert "mine.json is no JSON" in fails("profiles", "add", mine)
    assert "cannot read" in fails("profiles", "add", tmp_path / "away.json")
    with open_database(load(StoreSettings).database) as database:
        assert "x" not in [each.profile.name for each in list_profiles(database)]


def test_a_roll_is_set_and_graded(said, fails):
    assert "customer, lot, ticketed_mm entered" in said(
        "rolls", "set", "R1", "--lot", "L-7", "--customer", "ACME", "--ticketed-m", 3.3
    )
    graded = said("rolls", "grade", "R1")
    assert "roll R1: second (provisional), 1 points" in graded
    assert "1 defect waits for review" in graded
    assert "at least one field" in fails("rolls", "set", "R1")
    assert "ticketed_mm of a roll must be more than 0 mm, got -1000.0" in fails(
        "rolls", "set", "R1", "--ticketed-m", -1
    )
    assert "there is no roll R9" in fails("rolls", "grade", "R9")


@pytest.mark.parametrize(
    ("form", "begins"), [("pdf", b"%PDF"), ("xlsx", b"PK"), ("csv", b"\xef\xbb\xbf"), ("json", b"{")]
)
def test_papers_are_written_in_each_form(said, tmp_path, form, begins):
    out = tmp_path / "papers" / f"paper.{form}"
    assert "roll R1: second (provisional)" in said("report", "roll", "R1", "--out", out)
    assert out.read_bytes().startswith(begins)
    said("report", "day", "--date", "2026-03-14", "--format", form, "--out", out)
    assert out.read_bytes().startswith(begins)
    said("report", "shift", "early", "--date", "2026-03-14", "--format", form, "--out", out)
    said("report", "shift", "--format", form, "--out", out)
    said("report", "style", "twill", "--from", "2026-03-01", "--to", "2026-03-31", "--out", out)
    assert out.read_bytes().startswith(begins)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_what_is_wrong_with_a_report_is_said(fails, tmp_path, monkeypatch):
    out = tmp_path / "paper.pdf"
    assert "there is no roll R9" in fails("report", "roll", "R9", "--out", out)
    assert "--format is one of pdf, xlsx, csv, json, got 'doc'" in fails("report", "roll", "R1", "--out", "paper.doc")
    assert "got '14.3.'" in fails("report", "day", "--date", "14.3.", "--out", out)
    assert "--from is a day such as 2026-03-14, got 'May'" in fails(
        "report", "style", "twill", "--from", "May", "--out", out
    )
    assert "--language is one of en, de, got 'fr'" in fails("report", "day", "--language", "fr", "--out", out)
    assert "there is no style linen" in fails("report", "style", "linen", "--out", out)
    assert "there is no shift noon" in fails("report", "shift", "noon", "--out", out)
    assert "name the shift of 2026-03-14" in fails("report", "shift", "--date", "2026-03-14", "--out", out)
    (tmp_path / "file").write_text("")
    assert "file" in fails("report", "roll", "R1", "--out", tmp_path / "file" / "paper.pdf")
    monkeypatch.setenv("LOOMWATCH_REPORT_TIME_ZONE", "Mars")
    assert "time_zone" in fails("report", "roll", "R1", "--out", out)
    assert not out.exists()


def test_a_wrong_boundary_is_corrected_and_its_cloth_follows(said, fails):
    begin, middle = (f"{at(minutes).astimezone():%Y-%m-%d %H:%M:%S}" for minutes in (0, 1.5))
    assert "R1 is from" in said("rolls", "correct", "R1", "--closed", middle, "--by", "eva")
    with open_database(load(StoreSettings).database) as database:
        rolls = {roll.name: roll for roll in list_rolls(database)}
        assert (rolls["R1"].opened_at, rolls["R1"].closed_at) == (at(0), at(1.5))
        assert {name: roll_figures(database, roll).frames for name, roll in rolls.items()} == {
            "R1": 50,
            "auto 2026-03-14": 50,
        }
        entry = list_entries(database, AuditFilter(by="eva", kind="roll"), limit=1)[0][0]
        assert (entry.action, entry.subject, entry.detail["before"]["closed_at"]) == (
            "roll.correct",
            "R1",
            at(10).isoformat(),
        )
        open_roll(database, line=LINE, name="R2", style="twill", by="eva", at=at(2))
    assert "keeps both boundaries: give --opened or --closed" in fails("rolls", "correct", "R1")
    assert "--closed takes a time as 2026-03-14 08:00:30, got 'noon'" in fails(
        "rolls", "correct", "R1", "--closed", "noon"
    )
    assert "R1 opened at" in fails("rolls", "correct", "R1", "--closed", begin)
    assert "R1 would overlap roll R2" in fails("rolls", "correct", "R1", "--closed", at(5).isoformat())
    assert "which is still to come" in fails("rolls", "correct", "R2", "--closed", "2999-01-01")
    assert "no roll auto 2026-03-14 that staff opened" in fails(
        "rolls", "correct", "auto 2026-03-14", "--opened", begin
    )


def test_what_was_pruned_is_listed_and_told_of(said, fails):
    assert "R1" not in said("rolls", "pruned")
    said("db", "prune", "--days", 1, "--by", "tom")
    shown = " ".join(said("rolls", "pruned").split())
    for each in ("R1", "100", "tom"):
        assert f" {each} " in shown
    assert "R1" not in said("rolls", "pruned", "--line", "line-9")
    refused = fails("rolls", "hold", "R1", "--reason", "claim")
    assert re.search(r"roll R1 was pruned at 20\S+ \S+ \(older than 1 days\): see loomwatch rolls pruned", refused)
    assert "there is no roll R9" in fails("rolls", "hold", "R9", "--reason", "claim")
