"""The benchmark of adding a style, on a tiny data set: who is added, in which way, and what is told of it."""

import csv
from pathlib import Path

import pytest

from benchmarks import adding
from cras_core.errors import CrasError
from tests.unit.benchmarks.conftest import fabrics
from tests.unit.cras_core.conftest import TILE_PX

SMALL = {
    "backbone": "efficientnet_lite0",
    "tile_px": TILE_PX,
    "centers_per_style": 4,
    "batch_size": 8,
    "steps": 8,
    "vectors_per_tile": 16,
    "calibration": "holdout",
}
BASE = [f"{name}={value}" for name, value in SMALL.items()]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return fabrics(tmp_path_factory.mktemp("data"), learned=20, tested=3)


def test_each_way_of_adding_a_class_has_its_line(data, tmp_path):
    out = tmp_path / "out"
    table = adding.run(data, out, added=["denim"], base=BASE, seeds=1, device="cpu")
    with (out / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["class"], row["way"], row["seed"]) for row in rows] == [
        ("denim", way, "0") for way in ("added", "finetuned", "trained")
    ]
    for row in rows:
        assert 0.5 < float(row["pixel_auroc"]) <= 1
        assert 0.5 < float(row["others_pixel_auroc"]) <= 1
    assert table == (out / "adding.md").read_text()
    shown = [line.strip("| ").split(" | ")[:2] for line in table.splitlines()[2:]]
    assert shown == [["denim", "added"], ["denim", "finetuned"], ["denim", "trained"]]
    with pytest.raises(CrasError, match="holds runs already: name another --out"):
        adding.run(data, out, added=["denim"], base=BASE, seeds=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"added": ["silk"]}, "has no class silk: it has canvas, denim"),
        ({"ways": ["wished"]}, "a way must be one of added, finetuned, trained, got 'wished'"),
        ({"base": ["colour=3"]}, "must be NAME=VALUE"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_run(data, tmp_path, changes, message):
    with pytest.raises(CrasError, match=message):
        adding.run(data, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()
