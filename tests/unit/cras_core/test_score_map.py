"""Eq. 9 and 10 against interpolation and a Gaussian of picture size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from cras_core.score_map import ScoreMap, image_scores


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
