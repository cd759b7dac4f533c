"""Eq. 9 and 10 against interpolation and a Gaussian of picture size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from cras_core.score_map import ScoreMap, from_logits, image_scores, patch_scores, to_logits


@pytest.mark.parametrize(
    ("grid_px", "tile_px", "smoothing_px"), [(8, 64, 4.0), (36, 288, 4.0), (9, 70, 2.5), (8, 64, 0)]
)
def test_a_map_is_the_upsampled_scores_under_a_gaussian(grid_px, tile_px, smoothing_px):
    patches = torch.rand(2, grid_px * grid_px, generator=torch.Generator().manual_seed(0))
    maps = ScoreMap(grid_px=grid_px, tile_px=tile_px, smoothing_px=smoothing_px)(patches).numpy()
    grown = F.interpolate(patches.view(2, 1, grid_px, grid_px), size=tile_px, mode="bilinear", align_corners=False)
    for got, plain in zip(maps, grown[:, 0].double().numpy(), strict=True):
        expected = gaussian_filter(plain, smoothing_px) if smoothing_px else plain
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_image_score_is_the_maps_maximum():
    maps = torch.randn(3, 5, 5)
    assert image_scores(maps).tolist() == [float(m.max()) for m in maps]


def test_a_map_of_equal_scores_is_that_score():
    maps = ScoreMap(grid_px=8, tile_px=64, smoothing_px=4.0)(torch.full((1, 64), 0.25))
    torch.testing.assert_close(maps, torch.full((1, 64, 64), 0.25))


def test_surprise_is_what_the_loss_charges_and_keeps_order_where_probability_saturates():
    logits = torch.linspace(-30, 40, 200, dtype=torch.float64)
    surprise = patch_scores(logits, "surprise")
    np.testing.assert_allclose(surprise.numpy(), np.logaddexp(0, logits.numpy()))
    torch.testing.assert_close(patch_scores(logits, "probability"), 1 - torch.exp(-surprise))
    assert bool((patch_scores(logits.float(), "surprise").diff() > 0).all())
    assert float(patch_scores(logits.float(), "probability").unique().numel()) < 200


@pytest.mark.parametrize("scale", ["surprise", "probability"])
def test_scores_go_to_logits_and_back(scale):
    logits = np.linspace(-12, 12, 50)
    scores = patch_scores(torch.from_numpy(logits), scale).numpy()
    np.testing.assert_allclose(to_logits(scores, scale), logits, atol=1e-6)
    np.testing.assert_allclose(from_logits(logits, scale), scores)
    assert np.isfinite(to_logits(np.asarray([0.0, 1.0]), scale)).all()
