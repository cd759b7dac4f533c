"""`loomwatch trends`: a table, files, and one line for what cannot be."""

import csv
import json
from datetime import UTC, datetime

import pytest

from loomwatch.cli import run
from storage.database import open_database, upgrade
from storage.frames import store_report
from storage.pictures import PictureStore
from tests.records import make_defect, make_report


@pytest.fixture
def folder(tmp_path):
    url = f"sqlite:///{tmp_path / 'loomwatch.db'}"
    upgrade(url)
    with open_database(url) as database:
        defects = (make_defect(x_px=250),)
        report = make_report(0, captured_at=datetime.now(UTC), defects=defects)
        store_report(database, PictureStore(str(tmp_path / "pictures")), report)
    return tmp_path


def trends(folder, *options):
    return run(["trends", "--data-dir", str(folder), *options])


def test_the_table_has_todays_figures(folder, capsys):
    assert trends(folder) == 0
    out = capsys.readouterr().out
    assert datetime.now(UTC).date().isoformat() in out
    assert "per 100 m2" in out


@pytest.mark.parametrize("by", ["day", "shift", "shift_name", "line", "style", "camera", "kind", "width", "drift"])
def test_every_grouping_is_printed_and_written(folder, by, tmp_path, capsys):
    assert trends(folder, "--by", by) == 0
    written = tmp_path / "out"
    assert trends(folder, "--by", by, "--json", str(written / "a.json"), "--csv", str(written / "a.csv")) == 0
    rows = json.loads((written / "a.json").read_text())["rows"]
    assert len(rows) == (0 if by == "drift" else 1)
    assert len(list(csv.DictReader((written / "a.csv").read_text().splitlines()))) == len(rows)
    if by == "day":
        assert (rows[0]["defects"], rows[0]["signal"], rows[0]["center"]) == (1, "", None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--by", "week"), "--by is one of day, shift"),
        (("--first", "yesterday"), "--first is a day such as 2026-03-14, got 'yesterday'"),
        (("--first", "2026-03-02", "--last", "2026-03-01"), "the last day must not be before the first"),
        (("--line", "line-9"), "--line is one of line-1, got 'line-9'"),
        (("--severity", "bad"), "--severity is one of minor, major, critical, got 'bad'"),
        (("--form", "round"), "--form is one of point, warp_line"),
        (("--form", "area", "--by", "loom"), "looms are compared by defects of every form: leave out form area"),
        (("--measure", "luck"), "--measure is one of defects_per_100_m2"),
        (("--shift", "noon"), "--shift is one of early, late, night, got 'noon'"),
    ],
)
def test_what_cannot_be_is_one_line(folder, capsys, options, message):
    assert trends(folder, *options) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert message in error
    assert "Traceback" not in error
