"""The ablation table on a tiny data set: its figures are the evaluation's, its baseline is nearest neighbour."""

import csv
import statistics
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.neighbors import NearestNeighbors

from benchmarks import ablation
from cras_core.backbone import build_backbone
from cras_core.bundle import load_bundle, save_bundle
from cras_core.config import CrasConfig
from cras_core.dataset import read_layout
from cras_core.evaluation import evaluate
from cras_core.features import Extractor, extract_features, samples_of
from cras_core.training import train
from tests.unit.benchmarks.conftest import fabrics
from tests.unit.cras_core.conftest import TILE_PX, weave

BASE = {
    "backbone": "efficientnet_lite0",
    "tile_px": TILE_PX,
    "centers_per_style": 8,
    "batch_size": 4,
    "steps": 12,
    "vectors_per_tile": 32,
}
OPTIONS = [f"{name}={value}" for name, value in BASE.items()]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return fabrics(tmp_path_factory.mktemp("data"), learned=4, tested=4)


@pytest.fixture(scope="module")
def table(data, tmp_path_factory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("table") / "out"
    names = ["CRAS", "A", "C", "nearest-neighbour"]
    return out, ablation.run(data, out, names=names, vary=["s=0.3", "neighbourhood=1,5"], base=OPTIONS, seeds=2)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_setting_seed_and_class_has_its_line(table):
    out, _ = table
    rows = ["CRAS", "A", "C", "nearest-neighbour", "s=0.3", "neighbourhood=1", "neighbourhood=5"]
    expected = {(row, seed, name) for row in rows for seed in "01" for name in ("canvas", "denim", "mean")}
    lines = read(out / "runs.csv")
    assert {(line["setting"], line["seed"], line["class"]) for line in lines} == expected
    assert len(lines) == len(expected)
    assert all((line["routing"] == "") == (line["setting"] == "nearest-neighbour") for line in lines)


def test_the_summary_is_mean_and_deviation_over_the_seeds(table):
    out, markdown = table
    runs, lines = read(out / "runs.csv"), read(out / "ablation.csv")
    for line in lines:
        own = [
            float(row[line["figure"]])
            for row in runs
            if (row["setting"], row["class"]) == (line["setting"], line["class"])
        ]
        assert line["seeds"] == "2"
        assert float(line["mean"]) == pytest.approx(statistics.mean(own))
        assert float(line["deviation"]) == pytest.approx(statistics.stdev(own), abs=1e-12)
    assert markdown == (out / "ablation.md").read_text()
    shown = [row.split(" | ")[0].removeprefix("| ") for row in markdown.splitlines()]
    names = ["CRAS", "A", "C", "nearest-neighbour", "s=0.3", "neighbourhood=1", "neighbourhood=5"]
    assert shown == ["setting", "---", *names]  # in the order asked for
    cells = dict(zip(markdown.splitlines()[0].split(" | "), markdown.splitlines()[3].split(" | "), strict=True))
    means = {
        line["setting"]: float(line["mean"])
        for line in lines
        if (line["class"], line["figure"]) == ("mean", "pixel_auroc")
    }
    assert cells["pixel AUROC"].startswith(f"{100 * means['A']:.1f} ± ")
    assert cells["pixel AUROC"].endswith(f"({100 * (means['A'] - means['CRAS']):+.1f})")


def test_what_is_done_is_not_run_again(table, data, monkeypatch):
    out, markdown = table
    before = (out / "runs.csv").read_bytes()

    def refuse(*_, **__):
        raise AssertionError("ran again")

    monkeypatch.setattr(ablation, "fit_heads", refuse)
    monkeypatch.setattr(ablation, "extract_features", refuse)
    names = ["CRAS", "A", "C", "nearest-neighbour"]
    again = ablation.run(data, out, names=names, vary=["s=0.3", "neighbourhood=1,5"], base=OPTIONS, seeds=2)
    assert again == markdown
    assert (out / "runs.csv").read_bytes() == before
    with pytest.raises(AssertionError, match="ran again"):  # another number is another run
        ablation.run(data, out, names=names, base=[*OPTIONS, "k=0.4"], seeds=2)


def test_the_frozen_backbone_is_built_once_for_settings_that_share_its_features(data, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(ablation, "build_backbone", lambda *a, **k: built.append(a) or build_backbone(*a, **k))
    vary = ["levels=2", "s=0.3,0.4"]
    ablation.run(data, tmp_path / "out", names=["CRAS", "A", "nearest-neighbour"], vary=vary, base=OPTIONS, seeds=1)
    assert len(built) == 2


def test_the_figures_are_those_of_a_bundle_trained_and_evaluated(table, data, tmp_path):
    out, _ = table
    config = CrasConfig(**BASE, seed=1)
    layout = read_layout(data)
    model = train(samples_of(layout), config, device=torch.device("cpu"))
    save_bundle(model, tmp_path / "b", name="b", provenance={}, metrics={})
    evaluation = evaluate(load_bundle(tmp_path / "b", device=torch.device("cpu")), layout)
    line = next(
        row for row in read(out / "runs.csv") if (row["setting"], row["seed"], row["class"]) == ("CRAS", "1", "mean")
    )
    assert float(line["routing"]) == evaluation.routing_accuracy
    for name in (
        "image_auroc",
        "image_ap",
        "image_f1_max",
        "pixel_auroc",
        "pixel_ap",
        "aupro",
    ):  # features are held in half precision
        assert float(line[name]) == pytest.approx(evaluation.mean[name], abs=2e-3)


def test_the_baseline_is_the_distance_to_the_nearest_standardized_vector(data):
    config = CrasConfig(**BASE)
    layout = read_layout(data)
    extractor = Extractor(build_backbone(config.backbone, levels=config.levels), config, device=torch.device("cpu"))
    learned = extract_features(samples_of(layout), extractor, config, progress=lambda _: None)
    tested = ablation.extract_test(layout, extractor, learned.styles, config)
    everything = learned.vectors.shape[0] * learned.vectors.shape[1]
    maps = ablation.score_nearest(learned, tested, config, memory_vectors=everything)

    flat = learned.vectors.reshape(everything, -1).astype(np.float64)
    mean, deviation = flat.mean(0), flat.std(0)
    search = NearestNeighbors(n_neighbors=1).fit((flat - mean) / deviation)
    for index in (0, 5):
        distance = search.kneighbors((tested.vectors[index].astype(np.float64) - mean) / deviation)[0]
        grown = cv2.resize(distance.reshape(8, 8), (TILE_PX, TILE_PX), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(maps[index], gaussian_filter(grown, 4.0), atol=2e-3)
    fewer = ablation.score_nearest(learned, tested, config, memory_vectors=50)
    assert fewer.mean() > maps.mean()
    assert not np.array_equal(
        fewer, ablation.score_nearest(learned, tested, CrasConfig(**BASE, seed=1), memory_vectors=50)
    )


def test_pictures_larger_than_a_tile_are_tested_as_they_are_learned(tmp_path):
    """The paper's recipe: the shorter side made somewhat longer than a tile, then the middle."""
    for part in ("train/good", "test/good", "test/stain", "ground_truth/stain"):
        (tmp_path / "canvas" / part).mkdir(parents=True)
    wide = weave("canvas", 1, height=96, width=140)
    Image.fromarray(wide).save(tmp_path / "canvas/train/good/0.png")
    Image.fromarray(wide).save(tmp_path / "canvas/test/good/0.png")
    Image.fromarray(wide).save(tmp_path / "canvas/test/stain/0.png")
    mask = np.zeros((96, 140), np.uint8)
    mask[:, :20] = 255  # outside the middle
    Image.fromarray(mask).save(tmp_path / "canvas/ground_truth/stain/0_mask.png")
    config = CrasConfig(**BASE, resize_px=73)
    layout = read_layout(tmp_path)
    cache = ablation.FeatureCache(layout, torch.device("cpu"), None, lambda _: None)
    _, learned, tested = cache.of(config)
    np.testing.assert_array_equal(tested.vectors[0], learned.vectors[0])
    assert not tested.masks.any()
    _, _, whole = cache.of(CrasConfig(**BASE))  # other pictures, other features
    assert not np.array_equal(whole.vectors, tested.vectors)
    assert whole.masks.any()


def test_a_table_of_other_figures_is_not_continued(data, tmp_path):
    (tmp_path / "runs.csv").write_text("run,setting,seed,class,image_auroc,seconds\n")
    with pytest.raises(ablation.ConfigError, match=r"runs\.csv has other columns .*: name another --out"):
        ablation.run(data, tmp_path, names=["CRAS"], base=OPTIONS, seeds=1)


def test_speed_is_told_beside_the_figures(data, tmp_path):
    markdown = ablation.run(
        data, tmp_path / "out", names=["CRAS", "nearest-neighbour"], base=OPTIONS, seeds=1, speed="torch-float32"
    )
    head, _, cras, nearest = (line.strip("| ").split(" | ") for line in markdown.splitlines())
    assert head[-1] == "tiles/s"
    assert cras[-1].endswith("(1.00x)")
    assert len(nearest) < len(cras)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["F"]}, "a setting must be one of CRAS, A, B"),
        ({"vary": ["colour=3"]}, "must be NAME=VALUE"),
        ({"vary": ["s"]}, "must be NAME=VALUE"),
        ({"vary": ["s=much"]}, "a setting has the wrong type"),
        ({"vary": ["neighbourhood=4"]}, "neighbourhood must be odd, got 4"),
        ({"base": ["levels=3+2"]}, "levels must be ascending"),
        ({"recipe": "mine"}, "recipe must be loomwatch or paper, got 'mine'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_run(data, tmp_path, changes, message):
    with pytest.raises(ablation.ConfigError, match=message):
        ablation.run(data, tmp_path / "out", **({"names": ["CRAS"]} | changes))
    assert not (tmp_path / "out").exists()


def test_a_wrong_setting_is_one_line_and_exit_code_2(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ablation.py", str(data), "--out", str(tmp_path / "out"), "--settings", "Z"])
    with pytest.raises(SystemExit) as ended:
        ablation.typer.run(ablation.main)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: a setting must be one of")
