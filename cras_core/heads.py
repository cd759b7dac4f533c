"""All of CRAS behind the backbone, as the paper draws it: standardize, adapt, recompose, discriminate."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cras_core.config import CrasConfig
from cras_core.memory_center import Standardization, make_adapter
from cras_core.pattern_integration import describe, match_global, match_local, recompose
from cras_core.residual_discrimination import Discriminator, join_residual


class Heads(nn.Module):
    """What a bundle's weights are. `x` below are embedded vectors (N, P, D) as the backbone gives them.

    centers: (S, M, D) of the S styles, constants. Routing has its own constants: `routing_centers` (S, P, D) for eq. 2,
    or `routing_weights` (S, 2 D) and `routing_offsets` (S,) of the discriminant.
    """

    centers: Tensor
    routing_centers: Tensor
    routing_weights: Tensor
    routing_offsets: Tensor

    def __init__(
        self, *, config: CrasConfig, styles: Sequence[str], dim: int, positions: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        self.styles = tuple(styles)
        count = len(self.styles)
        by_cosine = config.routing == "cosine"
        per_style = config.centers_per_style if config.centers == "kmeans" else positions
        self.standardization = Standardization(dim=dim)
        with torch.random.fork_rng(devices=[]):  # torch's layers first draw from the global generator
            self.adapter = make_adapter(dim=dim, generator=generator)
            self.discriminator = Discriminator(
                dim=dim, inputs=config.discriminator_input.split("+"), generator=generator
            )
        self.register_buffer("centers", torch.zeros(count, per_style, dim))
        self.register_buffer("routing_centers", torch.zeros(count, positions if by_cosine else 0, dim))
        self.register_buffer("routing_weights", torch.zeros(count, 0 if by_cosine else 2 * dim))
        self.register_buffer("routing_offsets", torch.zeros(0 if by_cosine else count))

    def adapt(self, x: Tensor) -> Tensor:
        """Features u: (N, P, D) -> (N, P, D)."""
        u: Tensor = self.adapter(self.standardization(x))
        return u

    def recompose(self, u: Tensor, styles: Tensor, *, places: Tensor | None = None) -> Tensor:
        """The recomposed center c^ (eq. 3) of tiles of the given styles (N,): (N, P, D) -> (N, P, D).

        places: (N, P) positions of the vectors, where they are not all of a tile's in order.
        """
        centers = self.centers[styles]
        if self.config.matching == "nearest":
            return recompose(centers, match_local(u.detach(), centers))
        return centers if places is None else recompose(centers, places)

    def discriminate(self, features: Tensor, recomposed: Tensor) -> Tensor:
        """Logits of eq. 8 for u or v: (N, P, D) -> (N, P)."""
        joined = join_residual(features, recomposed, inputs=self.discriminator.inputs)
        logits: Tensor = self.discriminator(joined.flatten(0, -2))
        return logits.view(features.shape[:-1])

    def route(self, x: Tensor) -> Tensor:
        """Each tile's style, by itself: (N, P, D) -> (N,)."""
        if self.config.routing == "cosine":
            return match_global(self.adapt(x), self.routing_centers)
        descriptors = describe(self.standardization(x))
        return (descriptors @ self.routing_weights.T + self.routing_offsets).argmax(1)

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        """Logits of every vector, compared with the given styles (N,): (N, P, D) -> (N, P)."""
        u = self.adapt(x)
        return self.discriminate(u, self.recompose(u, styles))
