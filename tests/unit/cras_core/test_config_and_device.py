"""Settings are checked at the door."""

import json

import pytest
import torch

from cras_core.config import ABLATIONS, CrasConfig
from cras_core.device import pick_device
from cras_core.errors import ConfigError


@pytest.mark.parametrize("config", [CrasConfig(), CrasConfig.paper(), CrasConfig(levels=(1, 2), epochs=3)])
def test_a_configuration_survives_json(config):
    assert CrasConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_papers_recipe_is_the_papers():
    paper = CrasConfig.paper()
    assert (paper.backbone, paper.tile_px, paper.levels, paper.embedding_dim) == ("wide_resnet50_2", 288, (2, 3), 1536)
    assert (paper.noise_deviation, paper.noise_scaling) == (0.015, 0.3)
    assert (paper.epochs, paper.batch_size, paper.adapter_rate, paper.discriminator_rate) == (100, 32, 1e-4, 2e-4)
    assert (paper.standardize, paper.centers, paper.routing, paper.schedule) == (
        False,
        "position",
        "cosine",
        "constant",
    )
    assert (paper.discriminator_decay, paper.smoothing_px, paper.score_scale) == (1e-5, 4.0, "probability")
    assert paper.vectors_per_tile == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"tile_px": 16}, "tile_px must be at least 32, got 16"),
        ({"centers": "mean"}, "centers must be one of kmeans, coreset, position, sample, got 'mean'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"levels": (3, 2)}, "levels must be ascending"),
        ({"levels": ()}, "levels must be ascending"),
        ({"levels": (2, 5)}, "levels must be ascending"),
        ({"mm_per_px": 0}, "mm_per_px must be greater than 0"),
        ({"noise_deviation": float("nan")}, "noise_deviation must be greater than 0"),
        ({"noise_deviation": float("inf")}, "noise_deviation must be a finite number, got inf"),
        ({"noise_scaling": float("nan")}, "noise_scaling must be a finite number, got nan"),
        ({"false_alarms_per_100m": float("inf")}, "false_alarms_per_100m must be a finite number"),
        ({"seed": 2**63}, f"seed must be at most {2**63 - 1}, got {2**63}"),
        ({"neighbourhood": 4}, "neighbourhood must be odd, got 4"),
        ({"resize_px": 255}, r"resize_px must be 0 or at least tile_px \(256\), got 255"),
        ({"averaging": 1.0}, "averaging must be in"),
        ({"neighbourhood": 0}, "neighbourhood must be at least 1, got 0"),
        ({"embedding_dim": -2}, "embedding_dim must be a multiple"),
        ({"embedding_dim": 151}, "embedding_dim must be a multiple of 2 levels"),
    ],
)
def test_impossible_settings_are_refused_with_their_value(setting, message):
    with pytest.raises(ConfigError, match=message):
        CrasConfig(**setting)


def test_unknown_settings_and_wrong_types_are_refused():
    with pytest.raises(ConfigError, match="unknown settings: colour"):
        CrasConfig.from_dict({"colour": 1})
    with pytest.raises(ConfigError, match="wrong type"):
        CrasConfig.from_dict({"tile_px": "large"})


@pytest.mark.parametrize(("steps", "tiles", "epochs"), [(100, 80, 10), (100, 81, 10), (100, 9, 50), (100, 10_000, 1)])
def test_without_epochs_there_are_as_many_as_make_the_steps(steps, tiles, epochs):
    assert CrasConfig(steps=steps, batch_size=8).epochs_for(tiles) == epochs
    assert CrasConfig(steps=steps, epochs=7).epochs_for(tiles) == 7


def test_a_device_is_named_or_found():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")
    for name in ("gpu", "cuda:x", "cpu:1", ""):
        with pytest.raises(ConfigError, match="device must be auto, cpu, cuda or cuda:N"):
            pick_device(name)
    with pytest.raises(ConfigError, match="cuda:99 is not there"):
        pick_device("cuda:99")


def test_the_papers_recipe_crops_the_middle_of_larger_pictures():
    assert (CrasConfig.paper().resize_px, CrasConfig.paper(tile_px=256).resize_px) == (329, 292)
    assert CrasConfig().resize_px == 0


@pytest.mark.parametrize("name", ABLATIONS)
@pytest.mark.parametrize("recipe", [CrasConfig(), CrasConfig.paper()])
def test_every_ablation_changes_something_of_every_recipe(name, recipe):
    assert recipe.ablated(name) != recipe


def test_an_ablation_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match=r"ablation must be one of A, B, C, D, E, .*got 'F'"):
        CrasConfig().ablated("F")
