"""Evaluation: the figures of a small data set, and clear refusals."""

import json

import pytest
from PIL import Image

from cras_core.dataset import read_layout
from cras_core.errors import DataSetError
from cras_core.evaluation import evaluate


def test_a_small_data_set_is_evaluated(small_scorer, make_data_set):
    seen = []
    result = evaluate(small_scorer, read_layout(make_data_set(), need_test=True), progress=seen.append).to_dict()
    assert set(result) == {"classes", "mean", "routing_accuracy", "tiles_per_s"}
    assert list(result["classes"]) == ["canvas", "denim"]
    for row in result["classes"].values():
        assert list(row) == ["image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro", "n_normal", "n_anomalous"]
        assert (row["n_normal"], row["n_anomalous"]) == (4, 4)
        assert row["image_auroc"] == 1
        assert row["pixel_auroc"] > 0.9
    assert result["mean"]["image_auroc"] == 1
    assert result["routing_accuracy"] == 1
    assert result["tiles_per_s"] > 0
    assert seen == [0.5, 1.0]


def test_a_class_without_anomalies_has_no_figures_and_no_nan(small_scorer, make_data_set):
    folder = make_data_set()
    for path in (folder / "canvas/test/stain").iterdir():
        path.unlink()
    result = evaluate(small_scorer, read_layout(folder, need_test=True)).to_dict()
    canvas = result["classes"]["canvas"]
    assert canvas["image_auroc"] is canvas["pixel_auroc"] is canvas["aupro"] is None
    assert result["mean"]["image_auroc"] == result["classes"]["denim"]["image_auroc"]
    json.dumps(result, allow_nan=False)


def test_pictures_and_masks_of_another_size_are_resized(small_scorer, make_data_set):
    folder = make_data_set()
    for path in folder.rglob("*.png"):
        image = Image.open(path)
        image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST).save(path)
    result = evaluate(small_scorer, read_layout(folder, need_test=True)).to_dict()
    assert result["mean"]["image_auroc"] == 1


def test_a_class_the_bundle_does_not_know_is_named(small_scorer, make_data_set):
    folder = make_data_set()
    (folder / "denim").rename(folder / "velvet")
    with pytest.raises(DataSetError, match=r"class velvet of .* is not in bundle small, which knows canvas, denim"):
        evaluate(small_scorer, read_layout(folder, need_test=True))


def test_a_class_without_test_pictures_is_named(small_scorer, make_data_set):
    import shutil

    folder = make_data_set()
    shutil.rmtree(folder / "denim/test")
    with pytest.raises(DataSetError, match=r"class denim of .* has no test pictures"):
        evaluate(small_scorer, read_layout(folder))
