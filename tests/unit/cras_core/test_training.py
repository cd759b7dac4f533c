"""Training: repeatable, honest about its input, and really learning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cras_core.backbone import build_backbone
from cras_core.errors import DataSetError, PictureError
from cras_core.features import Extractor, NormalSample, extract_features
from cras_core.training import prepare_heads, train

from .conftest import TILE_PX, normal_samples, weave

CPU = torch.device("cpu")


def test_one_seed_gives_one_model_bit_for_bit_and_leaves_other_randomness_alone(small_config, small_model):
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    again = train(normal_samples(), small_config, device=CPU)
    assert torch.equal(torch.rand(3), expected)
    first, second = small_model.heads.state_dict(), again.heads.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert small_model.styles == again.styles
    assert small_model.losses == again.losses


def test_another_seed_gives_another_model(small_config, small_model):
    from dataclasses import replace

    other = train(normal_samples(), replace(small_config, seed=1), device=CPU)
    assert not torch.equal(small_model.heads.adapter.weight, other.heads.adapter.weight)


def test_the_loss_falls(small_model):
    assert small_model.losses[-1] < 0.8 * small_model.losses[0]


def test_progress_only_grows_and_ends_at_one(small_config):
    from dataclasses import replace

    seen = []
    train(normal_samples(count=4), replace(small_config, steps=4), device=CPU, progress=seen.append)
    fractions = [each.fraction for each in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert seen[0].stage == "features"
    assert seen[-1].stage == "training"
    assert seen[-1].epoch == seen[-1].epochs


def test_a_model_knows_what_each_style_was_learned_from(small_model):
    assert list(small_model.styles) == ["canvas", "denim"]
    assert {(facts.tiles, facts.groups) for facts in small_model.styles.values()} == {(12, 4)}


def test_nothing_to_learn_from_is_refused(small_config):
    with pytest.raises(DataSetError, match="no normal picture"):
        train([], small_config, device=CPU)


def test_a_style_of_one_tile_is_refused(small_config):
    alone = NormalSample.from_pixels(weave("denim", 1), style="lonely", group="g")
    with pytest.raises(DataSetError, match="lonely has a single tile"):
        train([*normal_samples(count=4), alone], small_config, device=CPU)


def test_a_sample_without_style_is_refused(small_config):
    with pytest.raises(DataSetError, match=r"nameless.png has no style"):
        train(
            [NormalSample.from_pixels(weave("denim", 1), style="", group="g", name="nameless.png")],
            small_config,
            device=CPU,
        )


def test_larger_pictures_are_cut_and_smaller_ones_refused(small_config):
    large = weave("denim", 1, height=TILE_PX, width=3 * TILE_PX + 10)
    sample = NormalSample.from_pixels(large, style="denim", group="g")
    cut = sample.cut(tile_px=TILE_PX)
    assert cut.tiles.shape == (4, TILE_PX, TILE_PX, 3)
    assert (cut.columns, cut.length_px) == (4, TILE_PX)
    np.testing.assert_array_equal(cut.tiles[3], large[:, -TILE_PX:])
    small = NormalSample.from_pixels(large[:, :40], style="denim", group="g", name="strip.png")
    with pytest.raises(PictureError, match=r"strip.png is 40 x 64 px, smaller than a tile of 64 px"):
        small.cut(tile_px=TILE_PX)


def test_pictures_of_a_data_set_are_resized_whole():
    picture = weave("denim", 1, height=50, width=90)
    sample = NormalSample.from_pixels(picture, style="denim", group="g", fit="resize")
    assert sample.cut(tile_px=TILE_PX).tiles.shape == (1, TILE_PX, TILE_PX, 3)


def test_samples_come_from_files_and_from_bytes(tmp_path):
    picture = weave("denim", 1)
    Image.fromarray(picture).save(tmp_path / "a.png")
    from_file = NormalSample.from_file(tmp_path / "a.png", style="denim", group="g")
    from_bytes = NormalSample.from_bytes((tmp_path / "a.png").read_bytes(), style="denim", group="g", name="a")
    for sample in (from_file, from_bytes):
        np.testing.assert_array_equal(sample.cut(tile_px=TILE_PX).tiles[0], picture)


def test_without_mcmc_one_tile_is_the_center_of_eq_2_too(small_config):
    config = replace(small_config, centers="position", routing="cosine").ablated("B")
    extractor = Extractor(build_backbone("efficientnet_lite0", levels=(2, 3)), config, device=CPU)
    features = extract_features(normal_samples(count=3), extractor, config, progress=lambda _: None)
    heads = prepare_heads(features, np.arange(6), config, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(heads.routing_centers, heads.centers)
    for index in range(2):
        own = features.of_style(index)
        adapted = heads.adapt(features.take(own), torch.full((len(own),), index))
        assert any(torch.allclose(tile, heads.centers[index], atol=1e-4) for tile in adapted)


def test_features_too_large_for_memory_come_back_the_same_from_a_file(small_config):
    extractor = Extractor(build_backbone("efficientnet_lite0", levels=(2, 3)), small_config, device=CPU)

    def extract(limit):
        return extract_features(
            normal_samples(count=20),
            extractor,
            small_config,
            progress=lambda _: None,
            in_memory_bytes=limit,
        ).vectors

    kept, filed = extract(10**9), extract(1)
    assert isinstance(filed, np.memmap)
    np.testing.assert_array_equal(kept, filed)


def test_a_tile_knows_its_picture_its_place_and_its_share_of_the_roll(small_config):
    extractor = Extractor(build_backbone("efficientnet_lite0", levels=(2, 3)), small_config, device=CPU)
    frame = weave("denim", 1, height=2 * TILE_PX, width=3 * TILE_PX)
    samples = [
        NormalSample.from_pixels(frame, style="denim", group="a"),
        NormalSample.from_pixels(frame, style="denim", group="b", fit="resize"),
    ]
    features = extract_features(samples, extractor, small_config, progress=lambda _: None)
    assert features.pictures.tolist() == [0] * 6 + [1]
    assert features.places.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [0, 0]]
    assert features.groups == ("a",) * 6 + ("b",)
    np.testing.assert_allclose(features.metres, [2 * TILE_PX * 0.2 / 1000 / 6] * 6 + [TILE_PX * 0.2 / 1000])
