"""The heads folded for inference: the same numbers to rounding, with half the work. See `Heads` for the plain graph.

Between the embedding and the discriminator's first activation everything is linear or constant, so with z = (x - m) / s
standardized, u = W z + b adapted, [V1, V2] the discriminator's first layer and (a, t) its BatchNorm:

- eq. 3 needs only the order of cos(u_p, c_q) over q, and u_p's own norm does not change it: an inner product of x_p
  with the rows of `keys` (the centers' directions brought back through the adapter), plus `key_offsets`;
- the first layer on eq. 7's [u, u - c^] is a (V1 + V2) u - a V2 c^ + ...: one product of x with `first`, plus a row
  of `table`, which has one for every center vector;
- BatchNorm folds into the layer before it; eq. 2, and the discriminant, are inner products with x's own statistics.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cras_core.heads import Heads


class FoldedHeads(nn.Module):
    """Constants made once of trained heads. x: (N, P, D) embedded vectors, as for `Heads`."""

    @torch.no_grad()
    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.by_cosine = heads.config.routing == "cosine"
        heads = _double(heads)
        mean, deviation = heads.standardization.mean, heads.standardization.deviation
        adapter = heads.adapter.weight / deviation  # u = adapter x + bias
        bias = heads.adapter.bias - adapter @ mean
        mlp = heads.discriminator
        gain, shift = _affine(mlp.first_norm)
        on_features, on_residual = mlp.first.weight.chunk(2, dim=1)
        both = gain[:, None] * (on_features + on_residual)
        constant = both @ bias + gain * mlp.first.bias + shift
        second_gain, second_shift = _affine(mlp.second_norm)
        directions = F.normalize(heads.centers, dim=2)
        self._keep("keys", directions @ adapter)  # (S, M, D)
        self._keep("key_offsets", directions @ bias)  # (S, M)
        self._keep("first", both @ adapter)  # (D, D)
        self._keep("table", constant - heads.centers @ (gain[:, None] * on_residual).T)  # (S, M, D)
        self._keep("second", second_gain[:, None] * mlp.second.weight)
        self._keep("second_bias", second_gain * mlp.second.bias + second_shift)
        self._keep("last", mlp.last.weight[0])
        if self.by_cosine:
            flat = F.normalize(heads.routing_centers.flatten(1), dim=1).view_as(heads.routing_centers)
            self._keep("routing", (flat @ adapter).flatten(1))  # (S, P * D)
            self._keep("routing_offsets", (flat @ bias).sum(1))
        else:
            on_mean, on_spread = heads.routing_weights.chunk(2, dim=1)
            self._keep("routing", torch.cat([on_mean, on_spread], dim=1) / deviation.repeat(2))  # (S, 2 D)
            self._keep("routing_offsets", heads.routing_offsets - (on_mean / deviation) @ mean)

    keys: Tensor
    key_offsets: Tensor
    first: Tensor
    table: Tensor
    second: Tensor
    second_bias: Tensor
    last: Tensor
    routing: Tensor
    routing_offsets: Tensor

    def route(self, x: Tensor) -> Tensor:
        """Each tile's style, by itself: (N, P, D) -> (N,)."""
        if self.by_cosine:
            return (x.flatten(1) @ self.routing.T + self.routing_offsets).argmax(1)
        variance, mean = torch.var_mean(x, dim=1, correction=0)
        return (torch.cat([mean, variance.sqrt()], dim=1) @ self.routing.T + self.routing_offsets).argmax(1)

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        """Logits of every vector, compared with the given styles (N,): (N, P, D) -> (N, P)."""
        h = x @ self.first.T
        for style in torch.unique(styles).tolist():  # as many products as styles, however many tiles
            own = (styles == style).nonzero()[:, 0]
            part = x if len(own) == len(x) else x[own]
            nearest = torch.baddbmm(
                self.key_offsets[style].expand(len(part), 1, -1), part, self.keys[style].T.expand(len(part), -1, -1)
            ).argmax(2)
            if len(own) == len(x):
                h += self.table[style][nearest]
            else:
                h[own] += self.table[style][nearest]
        h = F.leaky_relu(h, 0.2, inplace=True)
        h = F.leaky_relu(F.linear(h, self.second, self.second_bias), 0.2, inplace=True)
        return h @ self.last

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.float().contiguous(), persistent=False)


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """BatchNorm in evaluation as gain and shift."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    return gain, norm.bias - gain * norm.running_mean


def _double(heads: Heads) -> Heads:
    """A copy in double precision: folding multiplies matrices, and float32 would lose digits there."""
    return copy.deepcopy(heads).double()
