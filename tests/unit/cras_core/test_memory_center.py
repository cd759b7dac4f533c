"""MCMC: the embedding, standardization and eq. 1, against plain implementations."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cras_core.embedding import Embedding
from cras_core.memory_center import (
    Standardization,
    coreset_centers,
    kmeans_centers,
    make_adapter,
    position_centers,
    sample_vectors,
    whitening,
)


def embed_plainly(maps, embedding_dim, side=3):
    """As the paper words it: unfold side x side, upsample, average to D, concatenate, average to D."""
    height, width = maps[0].shape[-2:]
    levels = []
    for level in maps:
        batch, channels, h, w = level.shape
        unfolded = F.unfold(level, side, padding=side // 2).view(batch, channels * side**2, h, w)
        grown = F.interpolate(unfolded, size=(height, width), mode="bilinear", align_corners=False)
        vectors = grown.flatten(2).transpose(1, 2)
        levels.append(F.adaptive_avg_pool1d(vectors, embedding_dim or channels))
    if embedding_dim == 0:
        return torch.cat(levels, dim=2)
    return F.adaptive_avg_pool1d(torch.cat(levels, dim=2), embedding_dim)


@pytest.mark.parametrize("embedding_dim", [0, 48, 20, 144])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_embedding_equals_unfolding_every_neighbourhood(embedding_dim, side):
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(2, 16, 8, 8, generator=generator), torch.randn(2, 32, 4, 4, generator=generator)]
    embedding = Embedding(channels=(16, 32), embedding_dim=embedding_dim, neighbourhood=side)
    torch.testing.assert_close(embedding(maps), embed_plainly(maps, embedding_dim, side), atol=1e-6, rtol=1e-5)
    assert embedding.dim == embedding(maps).shape[2]


@pytest.mark.parametrize("side", [1, 5])
@pytest.mark.parametrize("embedding_dim", [0, 20, 40])
def test_a_neighbourhood_of_another_size_is_averaged_alike(side, embedding_dim):
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(2, 16, 8, 8, generator=generator), torch.randn(2, 32, 4, 4, generator=generator)]
    embedding = Embedding(channels=(16, 32), embedding_dim=embedding_dim, neighbourhood=side)
    torch.testing.assert_close(embedding(maps), embed_plainly(maps, embedding_dim, side), atol=1e-6, rtol=1e-5)


def test_the_papers_embedding_of_wide_resnet_has_its_size():
    maps = [torch.randn(1, 512, 6, 6), torch.randn(1, 1024, 3, 3)]
    embedding = Embedding(channels=(512, 1024), embedding_dim=1536)
    torch.testing.assert_close(embedding(maps), embed_plainly(maps, 1536), atol=1e-6, rtol=1e-5)


def test_standardized_features_have_mean_zero_and_deviation_one():
    features = torch.randn(10, 7, 5, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 6) + 3
    standardization = Standardization(dim=5)
    standardization.fit(lambda tiles: features[tiles], range(10), batch_size=4)  # a ragged last batch
    standardized = standardization(features).flatten(0, 1)
    torch.testing.assert_close(standardized.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(standardized.std(0, correction=0), torch.ones(5), atol=1e-5, rtol=0)


def test_a_constant_channel_is_centered_and_otherwise_left_alone():
    standardization = Standardization(dim=2)
    features = torch.ones(3, 4, 2)
    standardization.fit(lambda tiles: features[tiles], range(3))
    assert torch.equal(standardization(features), torch.zeros(3, 4, 2))


def test_position_centers_are_the_mean_over_images_also_with_a_ragged_last_batch():
    features = torch.randn(11, 6, 4, generator=torch.Generator().manual_seed(0))
    centers = position_centers(lambda tiles: features[tiles], range(11), batch_size=4)
    np.testing.assert_allclose(centers.numpy(), features.numpy().astype(np.float64).mean(0), atol=1e-6)


def test_kmeans_centers_find_separate_clusters_and_repeat_with_the_seed():
    generator = torch.Generator().manual_seed(0)
    truth = 20 * torch.randn(5, 3, generator=generator)
    features = (truth[None, :, None] + 0.1 * torch.randn(6, 5, 8, 3, generator=generator)).flatten(1, 2)

    def find():
        generator = torch.Generator().manual_seed(3)
        points = sample_vectors(lambda t: features[t], range(6), generator=generator)
        return kmeans_centers(points, count=5, generator=generator)

    centers = find()
    assert torch.cdist(truth, centers).min(1).values.max() < 0.2
    assert torch.equal(centers, find())


def test_centers_of_a_constant_picture_are_that_constant():
    points = torch.full((18, 4), 2.5)
    for centers in (
        kmeans_centers(points, count=3, generator=torch.Generator().manual_seed(0)),
        coreset_centers(points, count=3),
    ):
        assert torch.equal(centers, torch.full((3, 4), 2.5))


def test_a_core_set_takes_the_farthest_point_next():
    points = torch.randn(200, 5, generator=torch.Generator().manual_seed(4))
    found = coreset_centers(points, count=12).numpy()
    rows = points.numpy().astype(np.float64)
    chosen = [int(np.argmin(((rows - rows.mean(0)) ** 2).sum(1)))]
    while len(chosen) < 12:
        nearest = [min(float(((row - rows[other]) ** 2).sum()) for other in chosen) for row in rows]
        chosen.append(int(np.argmax(nearest)))
    np.testing.assert_array_equal(found, points.numpy()[chosen])


def test_a_sample_takes_as_many_vectors_of_each_tile():
    features = torch.arange(7 * 10.0).view(7, 10, 1)
    points = sample_vectors(lambda t: features[t], range(7), generator=torch.Generator(), sample=25, batch_size=3)
    assert np.bincount((points[:, 0] // 10).int().numpy()).tolist() == [4] * 7
    assert len(points.unique()) == len(points)


def test_the_adapter_starts_the_same_from_one_seed_and_leaves_the_scale():
    first, second = (make_adapter(dim=64, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    x = torch.randn(1000, 64, generator=torch.Generator().manual_seed(1))
    assert 0.9 < float(first(x).detach().std()) < 1.1


def test_whitening_gives_the_variation_within_styles_unit_covariance():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=generator)
    styles = torch.tensor([[30.0, 0, 0, 0], [0, -50, 0, 0]])  # far apart: not variation within
    features = torch.randn(2, 30, 64, 4, generator=generator) @ mixing + styles[:, None, None]
    tiles = features.flatten(0, 1)
    matrix = whitening(lambda t: tiles[t], [range(30), range(30, 60)], shrinkage=0.0, batch_size=7)
    within = (features - features.mean((1, 2), keepdim=True)).flatten(0, 2) @ matrix.T
    torch.testing.assert_close(within.T @ within / len(within), torch.eye(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(matrix, matrix.T)


def test_shrinkage_keeps_silent_directions_from_being_blown_up():
    features = torch.randn(5, 64, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1.0, 0.0])
    matrix = whitening(lambda t: features[t], [range(5)], shrinkage=0.1)
    assert float(matrix[2, 2]) < 5
