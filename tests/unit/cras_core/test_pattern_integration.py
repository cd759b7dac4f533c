"""HPI: eq. 2 and 3 against loops; the discriminant."""

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf

from cras_core.pattern_integration import describe, fit_discriminant, fit_within, match_global, match_local, recompose


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_global_matching_takes_the_class_of_highest_cosine():
    random = np.random.default_rng(0)
    u, centers = random.normal(size=(6, 5, 4)), random.normal(size=(3, 5, 4))
    expected = [max(range(3), key=lambda y: cosine(tile.ravel(), centers[y].ravel())) for tile in u]
    assert match_global(torch.from_numpy(u), torch.from_numpy(centers)).tolist() == expected


def test_local_matching_takes_the_nearest_center_vector_of_the_class_over_all_positions():
    random = np.random.default_rng(1)
    u, centers = random.normal(size=(3, 5, 4)), random.normal(size=(3, 7, 4))
    nearest = match_local(torch.from_numpy(u), torch.from_numpy(centers))
    recomposed = recompose(torch.from_numpy(centers), nearest)
    for n in range(3):
        for p in range(5):
            q = max(range(7), key=lambda q: cosine(u[n, p], centers[n, q]))
            assert int(nearest[n, p]) == q
            np.testing.assert_array_equal(recomposed[n, p].numpy(), centers[n, q])


def test_a_description_does_not_depend_on_where_vectors_lie():
    x = torch.randn(4, 20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shuffled = x[:, torch.randperm(20, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(describe(x), describe(shuffled))
    np.testing.assert_allclose(describe(x).numpy(), np.concatenate([x.numpy().mean(1), x.numpy().std(1)], axis=1))


def test_the_discriminant_is_the_gaussian_one_with_shrunk_covariance():
    random = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], 15)
    data = random.normal(size=(45, 8)) * random.uniform(0.1, 5, 8) + 2 * random.normal(size=(3, 8))[labels]
    means = np.stack([data[labels == y].mean(0) for y in range(3)])
    weights, offsets = fit_discriminant(means, fit_within(data, labels.tolist()))

    scale = (data - means[labels]).std(0)
    covariance = ledoit_wolf((data - means[labels]) / scale, assume_centered=True)[0]
    for f in random.normal(size=(20, 8)) * 3:
        distances = [((f - m) / scale) @ np.linalg.inv(covariance) @ ((f - m) / scale) for m in means]
        assert int((weights @ torch.from_numpy(f).float() + offsets).argmax()) == int(np.argmin(distances))


def test_one_style_and_constant_descriptions_are_no_special_case():
    weights, offsets = fit_discriminant(np.ones((1, 3)), fit_within(np.ones((4, 3)), [0, 0, 0, 0]))
    assert int((weights @ torch.ones(3) + offsets).argmax()) == 0
    assert torch.isfinite(weights).all()


def test_a_classes_row_of_the_discriminant_does_not_depend_on_the_other_classes():
    random = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], 12)
    data = random.normal(size=(36, 7)) + random.normal(size=(3, 7))[labels]
    within = fit_within(data, labels.tolist())
    means = np.stack([data[labels == y].mean(0) for y in range(3)])
    together = fit_discriminant(means, within)
    for y in range(3):
        alone = fit_discriminant(means[y : y + 1], within)
        assert torch.equal(together[0][y], alone[0][0])
        assert torch.equal(together[1][y], alone[1][0])
