"""MCMC, multi-class contextual memory center: standardization, the feature adapter, and the centers (eq. 1).

Eq. 1 averages the adapted features of a class's normal images position by position. Cloth has no fixed phase, so the
default memory of a class is instead a few k-means vectors over all its positions, or a greedy core set of them
(`centers="coreset"`); `centers="position"` is eq. 1.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Vectors = Callable[[Sequence[int]], Tensor]  # indices of tiles -> (n, P, D) float32


class Standardization(nn.Module):
    """Each channel by the training set's mean and deviation, so that one noise fits every backbone."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation

    @torch.no_grad()
    def fit(self, vectors: Vectors, tiles: Sequence[int], *, batch_size: int = 32) -> None:
        """Over every position of the tiles, equally; in double precision. A constant channel keeps deviation 1."""
        count, total, square = 0, torch.zeros(()), torch.zeros(())
        for start in range(0, len(tiles), batch_size):
            x = vectors(tiles[start : start + batch_size]).flatten(0, 1).double().cpu()
            count += len(x)
            total, square = total + x.sum(0), square + x.square().sum(0)
        mean = total / count
        deviation = (square / count - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))


def make_adapter(*, dim: int, generator: torch.Generator) -> nn.Linear:
    """The trainable linear feature adapter, D -> D, Xavier-normal weights, no bias at the start."""
    adapter = nn.Linear(dim, dim)
    nn.init.xavier_normal_(adapter.weight, generator=generator)
    nn.init.zeros_(adapter.bias)
    return adapter


@torch.no_grad()
def whitening(
    vectors: Vectors, tiles_of_styles: Sequence[Sequence[int]], *, shrinkage: float = 0.1, batch_size: int = 32
) -> Tensor:
    """The symmetric matrix that gives the variation within styles, pooled, unit covariance. -> (D, D).

    Eigenvalues are drawn to their mean by `shrinkage`, so that directions in which normal fabric hardly varies are not
    blown up without end.
    """
    count, scatter = 0, torch.zeros(())
    for tiles in tiles_of_styles:
        own, total, square = 0, torch.zeros(()), torch.zeros(())
        for start in range(0, len(tiles), batch_size):
            x = vectors(tiles[start : start + batch_size]).flatten(0, 1).double().cpu()
            own, total, square = own + len(x), total + x.sum(0), square + x.T @ x
        scatter = scatter + square - total[:, None] * total / own
        count += own
    values, directions = torch.linalg.eigh(scatter / count)
    values = (1 - shrinkage) * values.clamp_min(0) + shrinkage * values.mean()
    matrix: Tensor = directions * values.clamp_min(1e-12).rsqrt() @ directions.T
    return matrix.float()


@torch.no_grad()
def position_centers(vectors: Vectors, tiles: Sequence[int], *, batch_size: int = 32) -> Tensor:
    """Eq. 1: the mean over a class's tiles, position by position. -> (P, D).

    Every tile weighs the same, also those of a ragged last batch.
    """
    total = torch.zeros(())
    for start in range(0, len(tiles), batch_size):
        total = total + vectors(tiles[start : start + batch_size]).double().sum(0).cpu()
    return (total / len(tiles)).float()


@torch.no_grad()
def kmeans_centers(points: Tensor, *, count: int, generator: torch.Generator, rounds: int = 20) -> Tensor:
    """`count` k-means vectors of `points` (n, D), such as `sample_vectors` gives. -> (count, D)."""
    centers = _spread_start(points, count, generator)
    for _ in range(rounds):
        nearest = (centers.square().sum(1) - 2 * points @ centers.T).argmin(1)
        members = torch.zeros(len(points), count).scatter_(1, nearest[:, None], 1.0)
        sizes = members.sum(0)[:, None]
        moved = torch.where(sizes > 0, members.T @ points / sizes.clamp_min(1), centers)
        if torch.equal(moved, centers):
            break
        centers = moved
    return centers


@torch.no_grad()
def coreset_centers(points: Tensor, *, count: int) -> Tensor:
    """A greedy core set (k-center, Gonzalez 1985): from the point nearest to the mean on, always the point farthest
    from those chosen. points: (n, D) -> (count, D), rows of `points`."""
    squares = points.square().sum(1)
    chosen = [int((points - points.mean(0)).square().sum(1).argmin())]
    distance = torch.full_like(squares, torch.inf)
    while len(chosen) < count:
        last = chosen[-1]
        distance = torch.minimum(distance, squares - 2 * (points @ points[last]) + squares[last])
        chosen.append(int(distance.argmax()))
    return points[chosen]


@torch.no_grad()
def sample_vectors(
    vectors: Vectors, tiles: Sequence[int], *, generator: torch.Generator, sample: int = 8_192, batch_size: int = 32
) -> Tensor:
    """At least `sample` of all vectors of a class's tiles (all, where there are fewer), as many of each. -> (n, D)."""
    per_tile = -(-sample // len(tiles))
    drawn: list[Tensor] = []
    for start in range(0, len(tiles), batch_size):
        x = vectors(tiles[start : start + batch_size]).cpu()
        chosen = torch.rand(x.shape[:2], generator=generator).argsort(1)[:, :per_tile]
        drawn.append(x.gather(1, chosen[:, :, None].expand(-1, -1, x.shape[2])).flatten(0, 1))
    return torch.cat(drawn)


def _spread_start(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """k-means++: each next start drawn by its squared distance from those there are."""
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    squares = points.square().sum(1)
    distance = torch.full_like(squares, torch.inf)
    for _ in range(count - 1):
        last = chosen[-1]
        distance = torch.minimum(distance, (squares - 2 * (points @ points[last]) + squares[last]).clamp_min(0))
        # where every point already is a start (a constant picture), any will do
        weights = (distance if bool(distance.sum() > 0) else torch.ones_like(distance)).double().cumsum(0)
        place = torch.rand((), generator=generator, dtype=torch.float64) * weights[-1]
        chosen.append(int(torch.searchsorted(weights, place).clamp_max(len(points) - 1)))
    return points[chosen]
