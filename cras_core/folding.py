"""The heads folded for inference: the same numbers to rounding, with half the work. See `Heads` for the plain graph.

Between the aggregated levels and the discriminator's first activation everything is linear or constant, so with
z = (x - m) / s standardized, u = W z + b adapted, [V1, V2] the discriminator's first layer and (a, t) its BatchNorm:

- eq. 3 needs only the order of cos(u_p, c_q) over q, and u_p's own norm does not change it: an inner product of x_p
  with the rows of `keys` (the centers' directions brought back through the adapter), plus `key_offsets`;
- the first layer on eq. 7's [u, u - c^] is a (V1 + V2) u - a V2 c^ + ...: one product of x with `first`, plus a row
  of `table`, which has one for every center vector (the ablations' inputs differ in what is summed);
- BatchNorm folds into the layer before it; eq. 2, and the discriminant, are inner products with x's own statistics;
- upsampling a deeper level and multiplying it commute, and its own grid has a quarter of the positions, so the
  vectors x of the shallowest grid are never put together for these products, only their products are added up.
"""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cras_core.embedding import upsample
from cras_core.heads import Heads


class FoldedRouting(nn.Module):
    """Eq. 2, or the discriminant, as one product a style. Always float32: a wrong style spoils all of a tile."""

    offsets: Tensor

    @torch.no_grad()
    def __init__(self, heads: Heads, *, dims: Sequence[int], grids_px: Sequence[int]) -> None:
        """dims, grids_px: channels and side of each level's map."""
        super().__init__()
        self.by_cosine = heads.config.routing == "cosine"
        heads = copy.deepcopy(heads).double()
        adapter, bias = _adapter(heads)
        if self.by_cosine:
            flat = F.normalize(heads.routing_centers.flatten(1), dim=1).view_as(heads.routing_centers)
            wanted = (flat @ adapter).view(len(flat), grids_px[0], grids_px[0], -1)  # (S, H, W, D)
            offsets = (flat @ bias).sum(1)
            parts = torch.split(wanted, list(dims), dim=3)
            # an inner product with an upsampled map is one of the map itself with what is upsampled the other way
            across = [_linear(side, grids_px[0], flat) for side in grids_px]
            weights = [
                torch.einsum("hy,wx,shwd->sdyx", up, up, part).flatten(1)
                for up, part in zip(across, parts, strict=True)
            ]
        else:
            weights = [heads.routing_weights / heads.standardization.deviation.repeat(2)]  # (S, 2 D)
            on_mean = weights[0][:, : len(bias)]
            offsets = heads.routing_offsets - on_mean @ heads.standardization.mean
        for index, own in enumerate(weights):
            self.register_buffer(f"weights_{index}", own.float().contiguous(), persistent=False)
        self.register_buffer("offsets", offsets.float().contiguous(), persistent=False)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Each tile's style, by itself: maps (N, D_l, H_l, W_l) -> (N,)."""
        levels = [level.float() for level in levels]
        if self.by_cosine:
            described = [level.flatten(1) for level in levels]
        else:  # channel by channel: the vectors need not be put together for it
            height, width = levels[0].shape[2:]
            grids = [levels[0], *(upsample(level, height, width) for level in levels[1:])]
            means = [grid.mean((2, 3), keepdim=True) for grid in grids]
            spreads = [(grid - mean).square().mean((2, 3)).sqrt() for grid, mean in zip(grids, means, strict=True)]
            described = [torch.cat([*(mean.flatten(1) for mean in means), *spreads], dim=1)]
        scores = self.offsets
        for index, x in enumerate(described):
            scores = scores + x @ self.get_buffer(f"weights_{index}").T
        return scores.argmax(1)


class FoldedHeads(nn.Module):
    """Constants made once of trained heads. levels: aggregated maps, `dims` channels each, as `Embedding.aggregate`
    gives them; the shallowest has P positions."""

    key_offsets: Tensor
    table: Tensor
    second: Tensor
    second_bias: Tensor
    last: Tensor
    gains: Tensor
    shifts: Tensor

    @torch.no_grad()
    def __init__(self, heads: Heads, *, dims: Sequence[int]) -> None:
        super().__init__()
        self.by_position = heads.config.matching == "position"
        self.dims = tuple(dims)
        heads = copy.deepcopy(heads).double()  # folding multiplies matrices, and float32 would lose digits there
        adapter, bias = _adapter(heads)
        mlp = heads.discriminator
        gain, shift = _affine(mlp.first_norm)
        parts = torch.split(mlp.first.weight, mlp.dim, dim=1)
        residual = [part for part, kind in zip(parts, mlp.inputs, strict=True) if kind == "residual"]
        on_residual = sum(residual, torch.zeros_like(adapter))
        both = gain[:, None] * sum(parts[1:], parts[0])
        constant = both @ bias + gain * mlp.first.bias + shift
        second_gain, second_shift = _affine(mlp.second_norm)
        directions = F.normalize(heads.centers, dim=2)
        shifts = torch.stack([heads.adapter.weight @ own for own in heads.style_shifts])  # (S, D), of u
        keys = torch.split(torch.stack([own @ adapter for own in directions]), list(self.dims), dim=2)
        first = torch.split(both @ adapter, list(self.dims), dim=1)
        for level, (own_keys, own_first) in enumerate(zip(keys, first, strict=True)):
            self._keep(f"keys_{level}", own_keys)  # (S, M, D_l)
            self._keep(f"first_{level}", own_first)  # (D, D_l)
        self._keep("key_offsets", torch.stack([own @ (bias - by) for own, by in zip(directions, shifts, strict=True)]))
        # a style at a time: what one style's numbers are, to the last bit, must not depend on which others there are
        gained = (gain[:, None] * on_residual).T
        moved = zip(heads.centers, shifts, strict=True)
        self._keep(
            "table", torch.stack([constant - both @ by - centers @ gained for centers, by in moved])
        )  # (S, M, D)
        self._keep("second", second_gain[:, None] * mlp.second.weight)
        self._keep("second_bias", second_gain * mlp.second.bias + second_shift)
        self._keep("last", mlp.last.weight[0])
        self._keep("gains", heads.logit_gains)  # (S, M)
        self._keep("shifts", heads.logit_shifts)

    def forward(self, levels: Sequence[Tensor], styles: Tensor) -> Tensor:
        """Logits of every vector, compared with the given styles (N,): maps (N, D_l, H_l, W_l) -> (N, P)."""
        count = self.table.shape[1]
        if self.by_position:
            nearest = torch.arange(count, device=styles.device)
        else:
            keys = [self.get_buffer(f"keys_{level}")[styles].transpose(1, 2) for level in range(len(levels))]
            nearest = _nearest(levels, keys, self.key_offsets[styles][:, None])
        rows = styles[:, None] * count + nearest
        return self._discriminate(
            levels, self.table.flatten(0, 1)[rows], self.gains.flatten()[rows], self.shifts.flatten()[rows]
        )

    def compare(self, levels: Sequence[Tensor], *constants: Tensor) -> Tensor:
        """`forward` with one style for all tiles, whose `constants` are no longer gathered tile by tile."""
        table, gains, shifts, *search = constants
        if self.by_position:
            return self._discriminate(levels, table, gains, shifts)
        offsets, *keys = search
        nearest = _nearest(levels, [key.T for key in keys], offsets)
        return self._discriminate(levels, table[nearest], gains[nearest], shifts[nearest])

    def constants(self, style: int) -> tuple[Tensor, ...]:
        """What one style needs: its rows of the table (M, D), the logits' gains and shifts (M,), and for eq. 3 offsets
        (M,) and keys (M, D_l) a level."""
        own = (self.table[style], self.gains[style], self.shifts[style])
        if self.by_position:
            return own
        return (*own, self.key_offsets[style], *(self.get_buffer(f"keys_{n}")[style] for n in range(len(self.dims))))

    def _discriminate(self, levels: Sequence[Tensor], rows: Tensor, gains: Tensor, shifts: Tensor) -> Tensor:
        """rows: of the table, a vector's own. gains, shifts: logits to the scale of their style and center."""
        first = [self.get_buffer(f"first_{level}").T for level in range(len(levels))]
        # in place: each of these is as large as the largest of maps
        h = F.leaky_relu_(_project(levels, first).add_(rows), 0.2)
        h = F.leaky_relu_(F.linear(h, self.second, self.second_bias), 0.2)
        return (h @ self.last).float() * gains + shifts

    def in_precision(self, dtype: torch.dtype) -> None:
        """Everything but the logits' scale, which stays float32."""
        for name, value in list(self.named_buffers()):
            if name not in ("gains", "shifts"):
                setattr(self, name, value.to(dtype))

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.float().contiguous(), persistent=False)


def _nearest(levels: Sequence[Tensor], keys: Sequence[Tensor], offsets: Tensor) -> Tensor:
    """Eq. 3: the index of each vector's nearest center vector, (N, P)."""
    similarity = _project(levels, keys).add_(offsets)
    if not torch.compiler.is_compiling():
        return similarity.argmax(2)
    # the same for exported graphs, whose engines search a maximum quickly and its index slowly
    count = similarity.shape[2]
    index = torch.arange(count, dtype=torch.int32, device=similarity.device)
    highest = similarity.amax(2, keepdim=True)
    return torch.where(similarity >= highest, index, count - 1).amin(2).long()


def _project(levels: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The products of each level's vectors with (D_l, E) or (N, D_l, E), added up on the shallowest grid: (N, P, E)."""
    height, width = levels[0].shape[2:]
    total = _multiply(_vectors(levels[0]), weights[0])
    for level, weight in zip(levels[1:], weights[1:], strict=True):
        own_height, own_width = level.shape[2:]
        product = _multiply(_vectors(level), weight)
        down, across = _linear(own_height, height, product), _linear(own_width, width, product)
        rows = down @ product.reshape(product.shape[0], own_height, -1)
        total += (across @ rows.reshape(rows.shape[0], height, own_width, -1)).flatten(1, 2)
    return total


def _multiply(vectors: Tensor, weight: Tensor) -> Tensor:
    """(N, P, D) with (D, E) or (N, D, E). One weight for all goes as a layer: exported, it stays a constant."""
    return F.linear(vectors, weight.T) if weight.ndim == 2 else vectors @ weight


def _linear(size: int, wanted: int, like: Tensor) -> Tensor:
    """Linear upsampling along one axis as a matrix (wanted, size): the vectors stay as they lie, channels last."""
    identity = torch.eye(size, device=like.device)[None]
    return F.interpolate(identity, size=wanted, mode="linear", align_corners=False)[0].T.to(like.dtype)


def _vectors(level: Tensor) -> Tensor:
    """(N, D, H, W) -> (N, H W, D), without a copy when the channels are last in memory."""
    return level.permute(0, 2, 3, 1).flatten(1, 2)


def _adapter(heads: Heads) -> tuple[Tensor, Tensor]:
    """Standardization and adapter as one: u = adapter x + bias."""
    adapter = heads.adapter.weight / heads.standardization.deviation
    return adapter, heads.adapter.bias - adapter @ heads.standardization.mean


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """BatchNorm in evaluation as gain and shift."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    return gain, norm.bias - gain * norm.running_mean
