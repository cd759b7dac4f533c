"""The bundle: whole or refused, and the error names the file."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cras_core.bundle import MANIFEST, TILES, WEIGHTS, load_bundle, read_manifest, read_tiles, save_bundle
from cras_core.config import CrasConfig
from cras_core.errors import BackboneError, BundleError
from cras_core.scoring import Scorer
from cras_core.training import train

from .conftest import TILE_PX, normal_samples, weave

CPU = torch.device("cpu")


@pytest.fixture
def copy(small_bundle, tmp_path):
    return shutil.copytree(small_bundle, tmp_path / "copy")


def test_a_loaded_bundle_scores_bit_for_bit_as_the_model_saved(small_model, small_bundle):
    tiles = np.stack([weave("denim", seed) for seed in range(5)])
    manifest = read_manifest(small_bundle)
    before = Scorer(
        name="m", backbone=small_model.backbone, heads=small_model.heads, manifest=manifest, device=CPU
    ).score(tiles)
    after = load_bundle(small_bundle, device=CPU).score(tiles)
    np.testing.assert_array_equal(before.maps, after.maps)
    np.testing.assert_array_equal(before.thresholds, after.thresholds)
    assert before.styles == after.styles


def test_the_manifest_says_what_the_model_is(small_bundle, small_config, small_model):
    manifest = read_manifest(small_bundle)
    assert (manifest["name"], manifest["tile_px"], manifest["mm_per_px"]) == ("small", TILE_PX, 0.2)
    assert CrasConfig.from_dict(manifest["config"]) == small_config
    assert set(manifest["files"]) == {WEIGHTS, TILES}
    assert manifest["provenance"] == {"data": "synthetic"}
    assert manifest["backbone"]["sha256"] == small_model.backbone.sha256
    style = manifest["styles"]["canvas"]
    assert style["center"] == "centers.0"
    assert style["threshold"] == style["threshold_set"]["value"]
    assert sorted(file.name for file in small_bundle.iterdir()) == [MANIFEST, TILES, WEIGHTS]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_found_and_the_file_named(copy, data):
    path = copy / data.draw(st.sampled_from([MANIFEST, TILES, WEIGHTS]))
    original = path.read_bytes()
    place, bit = data.draw(st.integers(0, len(original) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(original)
    flipped[place] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        with pytest.raises(BundleError, match=path.name):
            load_bundle(copy, device=CPU)
    finally:
        path.write_bytes(original)


def test_tiles_may_be_more_pixels_together_than_a_strangers_picture(small_model, tmp_path, monkeypatch):
    """48 tiles of 1536 px are, or 4 each of 350 styles of 256 px."""
    colours = np.random.default_rng(0).integers(0, 256, small_model.tiles.shape, np.uint8)
    for name, tiles in (("grey", small_model.tiles), ("colour", colours)):
        save_bundle(replace(small_model, tiles=tiles), tmp_path / name, name=name, provenance={}, metrics={})
        with monkeypatch.context() as patch:
            patch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
            np.testing.assert_array_equal(read_tiles(tmp_path / name), tiles)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_missing_or_shortened_file_is_named(copy, name):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1])
    with pytest.raises(BundleError, match=f"{name} is damaged"):
        load_bundle(copy, device=CPU)
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(copy, device=CPU)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="is not a whole bundle"):
        load_bundle(tmp_path, device=CPU)


def rewrite(folder, change):
    """Changes a manifest and gives it the right checksum again."""
    import hashlib

    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    manifest["manifest_sha256"] = ""
    text = json.dumps(manifest, indent=2) + "\n"
    manifest["manifest_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


@pytest.mark.parametrize("version", [1, 3])
def test_an_older_or_newer_format_is_refused_in_one_line(copy, version):
    def change(manifest):
        manifest.update(format_version=version)
        if version == 1:  # which had no tiles
            del manifest["files"][TILES]

    rewrite(copy, change)
    if version == 1:
        (copy / TILES).unlink()
    with pytest.raises(
        BundleError, match=rf"bundle format {version}, this program reads 2: .* train it again"
    ) as error:
        load_bundle(copy, device=CPU)
    assert "\n" not in str(error.value)


def test_weights_of_another_configuration_are_refused(copy):
    rewrite(copy, lambda manifest: manifest["config"].update(centers_per_style=9))
    with pytest.raises(BundleError, match="does not fit its manifest"):
        load_bundle(copy, device=CPU)


def test_another_backbones_weights_are_refused(copy):
    rewrite(copy, lambda manifest: manifest["backbone"].update(sha256="0" * 64))
    with pytest.raises(BackboneError, match="not the backbone weights that bundle"):
        load_bundle(copy, device=CPU)


def test_a_backbone_file_is_remembered_and_may_have_moved(tmp_path, small_config):
    from dataclasses import replace

    from cras_core.backbone import weights_file

    weights = shutil.copy(weights_file("efficientnet_lite0"), tmp_path / "weights.pth")
    model = train(normal_samples(count=4), replace(small_config, steps=2), device=CPU, weights=weights)
    save_bundle(model, tmp_path / "b", name="b", provenance={}, metrics={})
    expected = load_bundle(tmp_path / "b", device=CPU)
    moved = weights.rename(tmp_path / "moved.pth")
    with pytest.raises(BackboneError, match=r"weights.pth .* is gone: put it back, or say where it is"):
        load_bundle(tmp_path / "b", device=CPU)
    tiles = weave("denim", 1)[None]
    again = load_bundle(tmp_path / "b", device=CPU, weights=moved)
    np.testing.assert_array_equal(again.score(tiles).maps, expected.score(tiles).maps)


def test_a_bundle_is_never_written_over(small_model, copy):
    with pytest.raises(BundleError, match="exists already"):
        save_bundle(small_model, copy, name="x", provenance={}, metrics={})


def test_a_bundle_that_cannot_be_written_leaves_nothing_behind(small_model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BundleError, match="cannot write the bundle"):
        save_bundle(small_model, tmp_path / "file" / "bundle", name="x", provenance={}, metrics={})
    with pytest.raises(BundleError, match="plain JSON without NaN"):
        save_bundle(small_model, tmp_path / "bundle", name="x", provenance={}, metrics={"auroc": float("nan")})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_weights_hold_no_backbone(small_bundle):
    from safetensors import safe_open

    with safe_open(small_bundle / WEIGHTS, "pt") as file:
        names = set(file.keys())
    assert {name.split(".")[0] for name in names} == {
        "standardization", "adapter", "discriminator", "centers", "routing_centers", "routing_weights",
        "routing_offsets", "routing_within", "style_shifts", "logit_gains", "logit_shifts",
    }  # fmt: skip
    assert {"centers.0", "centers.1"} <= names
