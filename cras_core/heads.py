"""All of CRAS behind the backbone, as the paper draws it: standardize, adapt, recompose, discriminate."""

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from cras_core.config import CrasConfig
from cras_core.memory_center import Standardization, make_adapter
from cras_core.pattern_integration import describe, match_global, match_local, recompose
from cras_core.residual_discrimination import Discriminator, join_residual

PER_STYLE = (  # buffers whose first dimension is the style
    "centers",
    "routing_centers",
    "routing_weights",
    "routing_offsets",
    "style_shifts",
    "logit_gains",
    "logit_shifts",
)


class Heads(nn.Module):
    """What a bundle's weights are. `x` below are embedded vectors (N, P, D) as the backbone gives them.

    centers: (S, M, D) of the S styles, constants. Routing has its own constants: `routing_centers` (S, P, D) for eq. 2,
    or `routing_weights` (S, 2 D) and `routing_offsets` (S,) of the discriminant, with `routing_within` (2 D, 2 D), the
    covariance it rests on, so that a style can be added without those it was learned with.

    A style added later brings statistics of its own (`added_style`): `style_shifts` (S, D), how far its standardized
    vectors lie from those trained on, and `logit_gains`, `logit_shifts` (S, M), which bring what the discriminator says
    of its normal fabric, center by center, to the scale of the trained styles'. Of a trained style they are 0, 1 and 0.
    """

    centers: Tensor
    routing_centers: Tensor
    routing_weights: Tensor
    routing_offsets: Tensor
    routing_within: Tensor
    style_shifts: Tensor
    logit_gains: Tensor
    logit_shifts: Tensor

    def __init__(
        self, *, config: CrasConfig, styles: Sequence[str], dim: int, positions: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        self.styles = tuple(styles)
        count = len(self.styles)
        by_cosine = config.routing == "cosine"
        per_style = positions if config.by_position else config.centers_per_style
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
        self.register_buffer("routing_within", torch.zeros((0 if by_cosine else 2 * dim,) * 2))
        self.register_buffer("style_shifts", torch.zeros(count, dim))
        self.register_buffer("logit_gains", torch.ones(count, per_style))
        self.register_buffer("logit_shifts", torch.zeros(count, per_style))

    def adapt(self, x: Tensor, styles: Tensor | None = None) -> Tensor:
        """Features u: (N, P, D) -> (N, P, D). styles (N,): shifted as theirs are; without, as a trained style's."""
        z = self.standardization(x)
        u: Tensor = self.adapter(z if styles is None else z - self.style_shifts[styles][:, None])
        return u

    def recompose(self, u: Tensor, styles: Tensor, *, places: Tensor | None = None) -> Tensor:
        """The recomposed center c^ (eq. 3) of tiles of the given styles (N,): (N, P, D) -> (N, P, D).

        places: (N, P) positions of the vectors, where they are not all of a tile's in order.
        """
        return recompose(self.centers[styles], self.match(u, styles, places=places))

    def match(self, u: Tensor, styles: Tensor, *, places: Tensor | None = None) -> Tensor:
        """Which of its style's center vectors each vector is compared with: (N, P, D), (N,) -> (N, P)."""
        if self.config.matching == "nearest":
            return match_local(u.detach(), self.centers[styles])
        return torch.arange(u.shape[1], device=u.device).expand(len(u), -1) if places is None else places

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
        u = self.adapt(x, styles)
        nearest = self.match(u, styles)
        logits = self.discriminate(u, recompose(self.centers[styles], nearest))
        return logits * self.logit_gains[styles].gather(1, nearest) + self.logit_shifts[styles].gather(1, nearest)

    def with_styles(self, styles: Sequence[str]) -> Self:
        """A copy that knows these styles, in this order; one that was not known before is blank."""
        changed = copy.deepcopy(self)
        changed.styles = tuple(styles)
        for name in PER_STYLE:
            rows: Tensor = getattr(self, name)
            if len(rows):  # the other kind of routing has none
                blank = torch.full_like(rows[0], float(name == "logit_gains"))
                known = dict(zip(self.styles, rows, strict=True))
                setattr(changed, name, torch.stack([known.get(style, blank) for style in styles]))
        return changed
