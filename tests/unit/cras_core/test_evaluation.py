"""Evaluation: the figures of a small data set, and clear refusals."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cras_core.dataset import read_layout
from cras_core.disturbances import Disturbance
from cras_core.errors import ConfigError, DataSetError, PictureError
from cras_core.evaluation import FIGURES, evaluate, figures_of, pick_setting


def test_a_small_data_set_is_evaluated(small_scorer, make_data_set):
    seen = []
    result = evaluate(small_scorer, read_layout(make_data_set(), need_test=True), progress=seen.append).to_dict()
    assert set(result) == {
        *("classes", "mean", "intervals", "setting", "routing_accuracy", "confusion", "tiles_per_s"),
    }
    assert list(result["classes"]) == ["canvas", "denim"]
    for row in result["classes"].values():
        assert list(row) == [*FIGURES, "n_normal", "n_anomalous", "n_found", "n_false"]
        assert set(row) >= {"image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro"}
        assert (row["n_normal"], row["n_anomalous"]) == (4, 4)
        assert row["image_auroc"] == 1
        assert row["pixel_auroc"] > 0.9
    assert result["mean"]["image_auroc"] == 1
    assert result["routing_accuracy"] == 1
    assert result["confusion"] == {"canvas": {"canvas": 8}, "denim": {"denim": 8}}
    assert result["tiles_per_s"] > 0
    assert seen == [0.5, 1.0]


def test_pictures_above_the_threshold_they_were_compared_at_are_counted(small_scorer, make_data_set):
    """Of each kind those above a score that is the threshold; the one on it is not."""
    layout = read_layout(make_data_set(), need_test=True)
    seen = []
    evaluate(small_scorer, layout, observe=seen.append)
    for scored in seen:
        for kind in (scored.anomalous, ~scored.anomalous):
            levels = np.sort(scored.scores[kind])
            figures, _ = figures_of(replace(scored, thresholds=np.full_like(scored.scores, levels[1])))
            found, other = (figures.n_found, figures.n_false)[:: 1 if kind is scored.anomalous else -1]
            assert found == (levels > levels[1]).sum()
            assert other == (scored.scores[~kind] > levels[1]).sum()


def test_every_figure_lies_in_its_interval(small_scorer, make_data_set):
    result = evaluate(small_scorer, read_layout(make_data_set(), need_test=True)).to_dict()
    intervals = result["intervals"]
    assert intervals["level"] == 0.95
    rows = [*zip(result["classes"].values(), intervals["classes"].values(), strict=True)]
    for row, own in [*rows, (result["mean"], intervals["mean"])]:
        assert list(own) == list(FIGURES)
        for figure, (low, high) in own.items():
            assert 0 <= low <= row[figure] + 1e-9
            assert row[figure] - 1e-9 <= high <= 1


def test_single_compares_every_tile_with_its_own_class(small_scorer, make_data_set):
    """Denim in canvas's folder: routed, it is found out; told that it is canvas, it is all wrong."""
    folder = make_data_set()
    shutil.rmtree(folder / "canvas")
    (folder / "denim").rename(folder / "canvas")
    layout = read_layout(folder, need_test=True)
    seen = []
    multi = evaluate(small_scorer, layout, setting="multi", observe=seen.append)
    single = evaluate(small_scorer, layout, setting="single", observe=seen.append)
    assert multi.confusion == {"canvas": {"denim": 8}}
    assert multi.routing_accuracy == 0
    assert single.confusion == {}
    assert single.routing_accuracy == 1
    assert [set(scored.styles) for scored in seen] == [{"denim"}, {"canvas"}]
    normal = [scored.scores[~scored.anomalous].mean() for scored in seen]
    assert normal[1] > normal[0]


def test_a_disturbed_evaluation_reads_the_same_pictures_disturbed(small_scorer, make_data_set):
    layout = read_layout(make_data_set(), need_test=True)
    seen = []
    clean = evaluate(small_scorer, layout, observe=seen.append)
    noisy = evaluate(small_scorer, layout, disturbance=Disturbance("noise", 3.0), observe=seen.append)
    still = evaluate(small_scorer, layout, disturbance=Disturbance("noise", 0.0))
    assert seen[2].scores[~seen[0].anomalous].mean() > seen[0].scores[~seen[0].anomalous].mean()
    assert clean.drop_to(noisy)["pixel_ap"] == pytest.approx(clean.mean["pixel_ap"] - noisy.mean["pixel_ap"])
    assert set(clean.drop_to(still).values()) == {0.0}


def test_a_setting_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="setting must be one of multi, single, got 'double'"):
        pick_setting("double")


def test_a_class_without_anomalies_has_no_figures_and_no_nan(small_scorer, make_data_set):
    folder = make_data_set()
    for path in (folder / "canvas/test/stain").iterdir():
        path.unlink()
    result = evaluate(small_scorer, read_layout(folder, need_test=True)).to_dict()
    canvas = result["classes"]["canvas"]
    assert canvas["image_auroc"] is canvas["pixel_auroc"] is canvas["aupro"] is None
    assert set(result["intervals"]["classes"]["canvas"].values()) == {None}
    assert result["mean"]["image_auroc"] == result["classes"]["denim"]["image_auroc"]
    json.dumps(result, allow_nan=False)


def test_pictures_and_masks_of_another_size_are_resized(small_scorer, make_data_set):
    folder = make_data_set()
    for path in folder.rglob("*.png"):
        image = Image.open(path)
        image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST).save(path)
    result = evaluate(small_scorer, read_layout(folder, need_test=True)).to_dict()
    assert result["mean"]["image_auroc"] == 1


def test_a_mask_of_another_shape_than_its_picture_is_named(small_scorer, make_data_set):
    folder = make_data_set()
    path = folder / "denim/ground_truth/stain/002_mask.png"
    with Image.open(path) as mask:
        mask.crop((0, 0, 64, 32)).save(path)
    with pytest.raises(PictureError, match=r"002_mask.png is 64 x 32 px, its picture 64 x 64 px"):
        evaluate(small_scorer, read_layout(folder, need_test=True))


def test_a_class_the_bundle_does_not_know_is_named(small_scorer, make_data_set):
    folder = make_data_set()
    (folder / "denim").rename(folder / "velvet")
    with pytest.raises(DataSetError, match=r"class velvet of .* is not in bundle small, which knows canvas, denim"):
        evaluate(small_scorer, read_layout(folder, need_test=True))


def test_a_class_without_test_pictures_is_named(small_scorer, make_data_set):
    folder = make_data_set()
    shutil.rmtree(folder / "denim/test")
    with pytest.raises(DataSetError, match=r"class denim of .* has no test pictures"):
        evaluate(small_scorer, read_layout(folder))
