"""Disturbances: what each does to a picture, and what every one of them keeps."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cras_core.attack import loss_gradient
from cras_core.disturbances import DISTURBANCES, Disturbance
from cras_core.disturbances import KINDS as ALL
from cras_core.errors import ConfigError
from tests.unit.cras_core.conftest import spoil, weave

KINDS = sorted(DISTURBANCES)


def apply(kind, tile, mask=None, *, strength=1.0, name="a.png", seed=0):
    mask = np.zeros(tile.shape[:2], np.bool_) if mask is None else mask
    return Disturbance(kind, strength).apply(tile, mask, name=name, seed=seed)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), strength=st.floats(0, 5), size=st.integers(32, 70))
def test_the_form_stays_and_a_picture_is_always_disturbed_the_same_way(kind, seed, strength, size):
    tile, mask = spoil(weave("denim", seed, height=size, width=size + 3))
    before = tile.copy(), mask.copy()
    once, once_mask = apply(kind, tile, mask, strength=strength, seed=seed)
    again, again_mask = apply(kind, tile, mask, strength=strength, seed=seed)
    assert (once.shape, once.dtype, once_mask.shape, once_mask.dtype) == (tile.shape, np.uint8, mask.shape, np.bool_)
    assert np.array_equal(once, again)
    assert np.array_equal(once_mask, again_mask)
    assert np.array_equal(tile, before[0])
    assert np.array_equal(mask, before[1])


@pytest.mark.parametrize("kind", KINDS)
def test_strength_zero_changes_nothing_and_more_changes_more(kind):
    tile = weave("canvas", 3)
    changes = [np.abs(apply(kind, tile, strength=strength)[0].astype(int) - tile).mean() for strength in (0, 0.5, 2)]
    assert changes[0] == 0
    assert 0 < changes[1] < changes[2]


@pytest.mark.parametrize("kind", ["noise", "light", "rotation", "vibration", "lamp"])
def test_another_picture_is_disturbed_in_another_way(kind):
    tile = weave("canvas", 3)
    assert not np.array_equal(apply(kind, tile, name="a.png")[0], apply(kind, tile, name="b.png")[0])


@pytest.mark.parametrize("kind", ["rotation", "vibration"])
def test_the_mask_moves_with_the_defect(kind):
    tile = np.full((64, 64, 3), 200, np.uint8)
    mask = np.zeros((64, 64), np.bool_)
    mask[4:30, 8:20] = True
    tile[mask] = 20
    for number in range(5):
        moved, moved_mask = apply(kind, tile, mask, strength=2, name=str(number))
        assert not np.array_equal(moved_mask, mask)
        dark = moved[:, :, 0] < 110  # half way, where interpolation puts the edge
        assert (dark != moved_mask).mean() < 0.01


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"rotation", "vibration"}))
def test_the_mask_stays_where_nothing_moves(kind):
    tile, mask = spoil(weave("canvas", 1))
    assert np.array_equal(apply(kind, tile, mask)[1], mask)


def test_noise_is_eight_levels_up_or_down_and_no_more():
    tile = np.full((64, 64, 3), 100, np.uint8)
    noisy = apply("noise", tile)[0].astype(int) - tile
    assert set(np.unique(noisy)) == {-8, 8}
    assert abs(noisy.mean()) < 1
    assert apply("noise", np.full_like(tile, 255))[0].min() == 247


def test_rotation_stays_within_its_angle():
    tile = weave("canvas", 1)
    middle = tile[31:33, 31:33]
    for number in range(10):
        turned = apply("rotation", tile, name=str(number))[0]
        assert np.abs(turned[31:33, 31:33].astype(int) - middle).max() < 25  # the middle hardly moves


def test_defocus_spreads_a_point_over_a_disc_and_keeps_its_light():
    tile = np.zeros((33, 33, 3), np.uint8)
    tile[16, 16] = 255
    disc = apply("defocus", tile)[0][:, :, 0].astype(int)
    y, x = np.nonzero(disc)
    assert np.hypot(y - 16, x - 16).max() < 3
    assert disc[16, 18] > 0
    assert disc.sum() == pytest.approx(255, abs=15)  # rounding


def test_exposure_is_a_ramp_along_the_roll():
    rows = apply("exposure", np.full((64, 64, 3), 100, np.uint8))[0]
    assert np.ptp(rows, axis=(1, 2)).max() == 0  # even across
    profile = rows[:, 0, 0].astype(int)
    assert sorted((profile[0], profile[-1])) == [70, 130]
    assert len(set(np.sign(np.diff(profile))) - {0}) == 1


def test_an_old_lamp_is_dimmer_warmer_and_uneven_across():
    aged = apply("lamp", np.full((64, 64, 3), 200, np.uint8))[0].astype(int)
    red, green, blue = aged.mean(axis=(0, 1))
    assert 150 >= red > green > blue
    assert np.ptp(aged, axis=0).max() == 0
    assert np.ptp(aged, axis=1).min() > 0


def test_vibration_moves_whole_lines():
    tile = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 3, 64, axis=0).repeat(3, axis=2)
    shifts = (apply("vibration", tile)[0][:, 20:40, 0].astype(float) - tile[:, 20:40, 0]) / 3
    assert np.ptp(shifts, axis=1).max() <= 0.7  # the same along a line, up to rounding
    assert 1 < np.abs(shifts).max() < 2 + 4 * 0.5 + 0.4


def test_light_keeps_a_grey_picture_grey_and_within_its_share():
    grey = weave("canvas", 2)
    changed = apply("light", grey)[0].astype(int)
    assert np.ptp(changed, axis=2).max() == 0
    assert 0.9 * 0.98 < changed.mean() / grey.mean() < 1.1 * 1.02


def plain_loss(scorer, pixels, mask, style):
    """Eq. 8's cross-entropy of a picture, from the graph's own parts, without any gradient."""
    with torch.no_grad():
        maps = scorer.graph.backbone(torch.tensor(pixels).float().permute(2, 0, 1)[None])
        logits = scorer.heads(scorer.graph.embedding(maps), torch.tensor([scorer.styles.index(style)]))[0].double()
    side = round(len(logits) ** 0.5)
    step = len(mask) // side
    share = mask.reshape(side, step, side, step).mean((1, 3)).ravel()
    return float((share * np.logaddexp(0, -logits.numpy()) + (1 - share) * np.logaddexp(0, logits.numpy())).mean())


@pytest.mark.parametrize("stained", [False, True])
def test_an_attack_follows_the_gradient_of_the_loss(small_scorer, stained):
    """A small step along it raises the loss by the step times the gradient's length, as calculus says."""
    tile, mask = weave("denim", 4), np.zeros((64, 64), np.bool_)
    if stained:
        tile, mask = spoil(tile)
    gradient = loss_gradient(small_scorer, style="denim")(tile, mask).astype(np.float64)
    length = np.linalg.norm(gradient)
    step = 0.05 * gradient / length
    rise = plain_loss(small_scorer, tile + step, mask, "denim") - plain_loss(small_scorer, tile - step, mask, "denim")
    assert rise == pytest.approx(0.1 * length, rel=0.05)


def test_an_attack_moves_every_value_as_far_as_noise_and_does_more_harm(small_scorer):
    tile, mask = spoil(weave("denim", 4))
    tile.setflags(write=False)  # as pictures are that come from a file
    gradient = loss_gradient(small_scorer)
    attacked, same = Disturbance("attack").apply(tile, mask, name="a", gradient=gradient)
    noisy, _ = apply("noise", tile, mask)
    assert np.abs(attacked.astype(int) - tile).max() == 8
    assert np.array_equal(same, mask)
    harm = [plain_loss(small_scorer, each, mask, "denim") for each in (attacked, noisy, tile)]
    assert harm[0] > harm[1]
    assert harm[0] > harm[2] + 0.1
    assert Disturbance("attack", 0).apply(tile, mask, name="a")[0] is tile
    assert all(value.grad is None for value in small_scorer.heads.parameters())


def test_an_attack_without_a_model_is_refused():
    with pytest.raises(ConfigError, match="an attack needs the model that it attacks"):
        apply("attack", weave("denim", 4))


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"a disturbance is one of noise, .*, attack, got 'earthquake'"):
        Disturbance("earthquake")
    for strength in (-0.1, 5.1, float("nan")):
        with pytest.raises(ConfigError, match=r"strength of a disturbance must be in \[0, 5\]"):
            Disturbance("noise", strength)


def test_the_documents_say_what_every_disturbance_does():
    text = (Path(__file__).parents[3] / "docs" / "accuracy.md").read_text()
    section = text.split("## Disturbed pictures")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(ALL)
