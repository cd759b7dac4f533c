"""Input that is wrong or strange: one clear line, or a defined, finite result; never NaN, never a crash."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cras_core.bundle import load_bundle, save_bundle
from cras_core.config import CrasConfig
from cras_core.errors import BackboneError, DataSetError, PictureError
from cras_core.feature_store import FileStore, MemoryStore
from cras_core.features import NormalSample
from cras_core.pattern_integration import fit_discriminant, fit_within
from cras_core.pictures import decode_picture, read_picture
from cras_core.training import train
from inspection.errors import ImageError
from inspection.pictures import read_picture as read_frame

from .conftest import TILE_PX, normal_samples, weave

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def quick() -> CrasConfig:
    return CrasConfig(
        backbone="efficientnet_lite0", tile_px=TILE_PX, centers_per_style=4, batch_size=4, steps=6, vectors_per_tile=16
    )


def constant(level: int, *, style: str = "flat", count: int = 4) -> list[NormalSample]:
    pixels = np.full((TILE_PX, TILE_PX, 3), level, np.uint8)
    return [NormalSample.from_pixels(pixels, style=style, group=f"{style}-{index}") for index in range(count)]


def scorer_of(model, tmp_path):
    save_bundle(model, tmp_path / "bundle", name="bundle", provenance={}, metrics={})
    return load_bundle(tmp_path / "bundle", device=CPU)


def test_arrays_that_are_not_8_bit_are_refused_as_samples_at_once():
    pixels = weave("denim", 1).astype(np.float32)
    with pytest.raises(PictureError, match=r"strip must have 8-bit pixels, got float32"):
        NormalSample.from_pixels(pixels, style="denim", group="g", name="strip")
    pixels[3, 4] = np.nan
    pixels[5, 6, 0] = np.inf
    with pytest.raises(PictureError, match=r"strip has 4 pixels that are not finite numbers"):
        NormalSample.from_pixels(pixels, style="denim", group="g", name="strip")


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_arrays_that_are_not_8_bit_are_refused_by_the_scorer(small_scorer, value):
    with pytest.raises(PictureError, match="float32"):
        small_scorer.score(np.full((1, TILE_PX, TILE_PX, 3), value, np.float32))


@pytest.mark.parametrize("shape", [(1, TILE_PX, TILE_PX + 1, 3), (1, 32, 32, 3), (TILE_PX, TILE_PX, 3)])
def test_tiles_of_the_wrong_size_are_refused_by_the_scorer(small_scorer, shape):
    with pytest.raises(PictureError, match=r"tiles must be \(N, 64, 64, 1 or 3\) uint8, got"):
        small_scorer.score(np.zeros(shape, np.uint8))


def test_a_float_file_with_nan_is_refused_by_both_readers(tmp_path):
    pixels = np.full((TILE_PX, TILE_PX), 0.5, np.float32)
    pixels[0, 0] = np.nan
    path = tmp_path / "deep.tiff"
    Image.fromarray(pixels).save(path)
    with pytest.raises(PictureError, match=r"deep.tiff .*floating point: save it as 8-bit"):
        read_picture(path)
    with pytest.raises(PictureError, match="deep"):
        decode_picture(path.read_bytes(), name="deep")
    with pytest.raises(ImageError, match=r"deep.tiff: has floating point pixels"):
        read_frame(path)


@pytest.mark.parametrize("changes", [{}, {"calibration": "holdout"}, {"centers": "position", "routing": "cosine"}])
def test_training_on_constant_tiles_stays_finite_and_scores_finite(quick, tmp_path, changes):
    model = train([*constant(0), *constant(200, style="pale")], replace(quick, **changes), device=CPU)
    assert np.isfinite(model.losses).all()
    assert all(np.isfinite(facts.threshold.value) for facts in model.styles.values())
    assert all(bool(torch.isfinite(value).all()) for value in model.heads.state_dict().values())
    tiles = np.stack([np.full((TILE_PX, TILE_PX, 3), level, np.uint8) for level in (0, 128, 255)])
    scored = scorer_of(model, tmp_path).score(np.concatenate([tiles, weave("denim", 1)[None]]))
    assert np.isfinite(scored.maps).all()
    assert np.isfinite(scored.scores).all()


def test_the_papers_recipe_survives_constant_tiles(quick):
    changes = {"standardize": False, "adapter_start": "xavier", "score_scale": "probability", "noise_deviation": 0.015}
    config = replace(quick, centers="position", routing="cosine", schedule="constant", **changes)
    model = train([*constant(90), *normal_samples(count=2)], config, device=CPU)
    assert np.isfinite(model.losses).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_constant_tile_gets_finite_scores_from_a_model_of_cloth(small_scorer, level):
    scored = small_scorer.score(np.full((1, TILE_PX, TILE_PX, 3), level, np.uint8))
    assert np.isfinite(scored.maps).all()
    assert np.isfinite(scored.scores).all()


@pytest.mark.parametrize(
    ("count", "changes"),
    [
        (5, {"batch_size": 4}),  # the last batch has one tile
        (3, {"batch_size": 1}),
        (3, {"batch_size": 1, "vectors_per_tile": 1}),  # two vectors a step, the normal and the anomalous one
        (2, {}),  # crossfit then trains heads on one tile
        (2, {"calibration": "holdout"}),
    ],
)
def test_batches_of_one_tile_train(quick, count, changes):
    samples = [sample for sample in normal_samples(count=count, per_group=1) if sample.style == "denim"]
    model = train(samples, replace(quick, **changes), device=CPU)
    assert np.isfinite(model.losses).all()
    assert np.isfinite(model.styles["denim"].threshold.value)


def test_one_position_a_tile_and_one_tile_a_batch_train():
    config = CrasConfig(
        backbone="efficientnet_lite0", tile_px=32, levels=(4,), batch_size=1, steps=3, centers_per_style=2
    )
    pictures = [weave("denim", seed, height=32, width=32) for seed in range(3)]
    samples = [NormalSample.from_pixels(each, style="denim", group=str(seed)) for seed, each in enumerate(pictures)]
    assert np.isfinite(train(samples, config, device=CPU).losses).all()


def test_a_class_of_one_picture_is_refused_when_it_is_one_tile_and_halved_when_it_is_several(quick):
    others = normal_samples(count=2)
    with pytest.raises(DataSetError, match="style lonely has a single tile: give at least 2"):
        train([*others, NormalSample.from_pixels(weave("denim", 1), style="lonely", group="g")], quick, device=CPU)
    strip = weave("denim", 1, width=3 * TILE_PX)
    model = train([*others, NormalSample.from_pixels(strip, style="lonely", group="g")], quick, device=CPU)
    facts = model.styles["lonely"]
    assert (facts.tiles, facts.groups, facts.threshold.group_split) == (3, 1, True)
    assert facts.threshold.held_out_groups == 2


def test_a_discriminant_of_a_single_tile_is_finite():
    weights, offsets = fit_discriminant(np.ones((1, 6)), fit_within(np.ones((1, 6)), [0]))
    assert bool(torch.isfinite(weights).all())
    assert bool(torch.isfinite(offsets).all())


@pytest.mark.parametrize(
    ("value", "reason"), [(1e6, "half precision"), (float("inf"), "half precision"), (float("nan"), "not numbers")]
)
def test_features_that_are_no_numbers_or_too_large_are_refused(tmp_path, value, reason):
    features = torch.tensor([[[1.0, value]]])
    memory = MemoryStore((1, 2), in_memory_bytes=100)
    for store in (memory, FileStore((1, 2), tmp_path, made_by={}, in_memory_bytes=100)):
        with pytest.raises(BackboneError, match=reason):
            store.add(1, lambda: features)
