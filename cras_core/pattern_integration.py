"""HPI, hierarchical pattern integration: which class a tile is of (eq. 2), and its recomposed center (eq. 3).

The discriminant is ours: eq. 2 compares position by position, and cloth has no phase. Each tile is routed by itself;
the authors' published code takes the most frequent class of the batch instead.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor


def match_global(u: Tensor, centers: Tensor) -> Tensor:
    """Eq. 2: the class whose flattened center has the highest cosine with the flattened features.

    u: (N, P, D); centers: (S, P, D) -> (N,) class indices.
    """
    return (F.normalize(u.flatten(1), dim=1) @ F.normalize(centers.flatten(1), dim=1).T).argmax(1)


def match_local(u: Tensor, centers: Tensor) -> Tensor:
    """Eq. 3: for each vector, the index of its class's center vector with the highest cosine, over all positions.

    u: (N, P, D); centers: (N, M, D), each tile's class's -> (N, P).
    """
    return (u @ F.normalize(centers, dim=2).transpose(1, 2)).argmax(2)  # a vector's own norm does not change its order


def recompose(centers: Tensor, nearest: Tensor) -> Tensor:
    """The recomposed center c^ (eq. 3): (N, M, D), (N, P) -> (N, P, D)."""
    return centers.gather(1, nearest[:, :, None].expand(-1, -1, centers.shape[2]))


def describe(x: Tensor) -> Tensor:
    """A tile's mean and spread of vectors, wherever they lie: (N, P, D) -> (N, 2 D)."""
    mean = x.mean(1)
    return torch.cat([mean, (x - mean[:, None]).square().mean(1).sqrt()], dim=1)


def fit_within(descriptors: NDArray[np.float64], labels: Sequence[int]) -> Tensor:
    """The covariance of descriptors within classes, shrunk (Ledoit-Wolf). Positive definite whatever is constant.

    descriptors: (n, F) of normal tiles; labels: n class indices, 0 ... S-1, each present. -> (F, F).
    """
    classes = np.asarray(labels)
    means = np.stack([descriptors[classes == index].mean(0) for index in range(int(classes.max()) + 1)])
    within = descriptors - means[classes]
    scale = within.std(0)
    scale[scale < 1e-9] = 1.0  # constant everywhere: left to the means
    covariance = (
        ledoit_wolf(within / scale, assume_centered=True)[0] if len(within) > 1 else np.zeros((len(scale),) * 2)
    )
    covariance += 1e-6 * np.eye(len(covariance))
    return torch.from_numpy(covariance * np.outer(scale, scale)).float()


def fit_discriminant(means: NDArray[np.float64], within: Tensor) -> tuple[Tensor, Tensor]:
    """Linear discriminant, equal priors. A class's row depends on its own mean and `within` only.

    means: (S, F) of the classes' descriptors; within: (F, F), their common covariance.
    -> weights (S, F), offsets (S,): the class of f is argmax(weights @ f + offsets).
    """
    covariance = within.double().cpu().numpy()
    scale = np.sqrt(np.diag(covariance))
    scaled = means / scale
    inverse = np.linalg.inv(covariance / np.outer(scale, scale))
    weights = np.stack([inverse @ mean for mean in scaled])
    offsets = np.stack([-0.5 * row @ mean for row, mean in zip(weights, scaled, strict=True)])
    return torch.from_numpy(weights / scale).float(), torch.from_numpy(offsets).float()
