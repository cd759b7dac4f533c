"""A manifest in words; one that lacks things, or holds others, is no reason to fail."""

from typing import Any

import pytest

from dashboard import model_words

SET = {
    "asked_per_100m": 1.0,
    "metres": 18.4,
    "held_out_tiles": 1512,
    "exceedances": 2,
    "extrapolated": True,
    "more_metres_needed": 281.6,
}


def test_metrics_of_several_classes_are_their_mean_in_words() -> None:
    metrics = {"mean": {"image_auroc": 0.9871}, "classes": {"twill": {}}, "tiles_per_s": 12.34, "flag": True}
    assert model_words.metrics_of({"metrics": metrics}) == {
        "Frames told apart (image AUROC)": "98.7 %",
        "Tiles per second": "12.3",
    }


def test_an_unknown_metric_is_shown_by_its_name() -> None:
    assert model_words.metrics_of({"metrics": {"training_loss": 0.5}}) == {"Training loss": "0.5"}


def test_a_threshold_tells_how_it_was_set() -> None:
    table = model_words.thresholds_of({"styles": {"twill": {"threshold": 0.52, "threshold_set": SET}}})
    assert table.to_dict("records") == [
        {
            "Style": "twill",
            "Limit": "0.520",
            "False alarms allowed": "1 per 100 m",
            "Tried on": "18.4 m",
            "Of it above": "2 of 1,512 tiles",
            "Certainty": "estimated; 282 m more would show it",
        }
    ]


def test_a_threshold_that_the_data_shows_is_called_so() -> None:
    assert model_words.how_set(SET | {"extrapolated": False})["Certainty"] == "seen on this fabric"


@pytest.mark.parametrize(
    "manifest", [{}, {"styles": None, "metrics": []}, {"styles": {"a": 3, "b": {}}, "backbone": "x"}]
)
def test_a_poor_manifest_is_no_reason_to_fail(manifest: dict[str, Any]) -> None:
    model_words.metrics_of(manifest)
    model_words.thresholds_of(manifest)
    model_words.styles_of(manifest)
    model_words.facts_of(manifest)


def test_the_facts_are_one_line() -> None:
    manifest = {"tile_px": 256, "mm_per_px": 0.2, "backbone": {"name": "lite0"}, "styles": {"a": {}, "b": {}}}
    assert model_words.facts_of(manifest) == "tiles of 256 px at 0.2 mm/px · lite0 · 2 styles: a, b"
