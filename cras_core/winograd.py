"""Winograd's minimal filtering F(4 x 4, 3 x 3): a 3 x 3 convolution with a quarter of its multiplications.

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016): a patch d of 6 x 6, overlapping the next by 2,
gives 4 x 4 results A^T [(G g G^T) * (B^T d B)] A. The filters g are constants, so G g G^T is made once, and summing the
elementwise products over channels is one product of matrices for each of the 36 places. The same as the convolution but
for rounding, about four times as much of it: too coarse below float32.
"""

import copy
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.polynomial.polynomial import polyfromroots
from torch import Tensor, nn

WORTHWHILE = 128  # channels; with fewer, moving patches about takes what is saved
PATCH, STEP = 6, 4

POINTS = (
    0.0,
    1.0,
    -1.0,
    0.5,
    -2.0,
)  # of interpolation; these round least among small fractions (infinity is the sixth)

Module = TypeVar("Module", bound=nn.Module)


class WinogradConv(nn.Module):
    """The same as a convolution that `suits`, for maps that are channels last in memory."""

    weights: Tensor
    bias: Tensor
    forth: Tensor
    back: Tensor

    @torch.no_grad()
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        spread, forth, back = _matrices()
        weights = torch.einsum("ij,ocjk,lk->ilco", spread, conv.weight.double().cpu(), spread)
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias
        self.register_buffer("weights", weights.flatten(0, 1).to(conv.weight).contiguous(), persistent=False)
        self.register_buffer("bias", bias.detach().to(conv.weight), persistent=False)
        self.register_buffer("forth", torch.kron(forth, forth).to(conv.weight), persistent=False)  # (36, 36)
        self.register_buffer("back", torch.kron(back, back).to(conv.weight), persistent=False)  # (16, 36)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H, W)."""
        count, channels, height, width = x.shape
        down, across = -(-height // STEP), -(-width // STEP)
        around = (1, STEP * across + 1 - width, 1, STEP * down + 1 - height)
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, *around))  # (N, 4 down + 2, 4 across + 2, C)
        patches = padded.unfold(1, PATCH, STEP).unfold(2, PATCH, STEP).permute(4, 5, 0, 1, 2, 3)
        changed = (self.forth @ patches.reshape(PATCH * PATCH, -1)).view(PATCH * PATCH, -1, channels)
        summed = torch.bmm(changed, self.weights)  # (36, N down across, O)
        results = (self.back @ summed.flatten(1)).view(STEP, STEP, count, down, across, -1)
        grid = results.permute(2, 3, 0, 4, 1, 5).reshape(count, STEP * down, STEP * across, -1)
        return (grid[:, :height, :width] + self.bias).permute(0, 3, 1, 2)


def suits(module: nn.Module) -> bool:
    """Whether it is a 3 x 3 convolution of this form, and wide enough to gain by it."""
    return (
        isinstance(module, nn.Conv2d)
        and (module.kernel_size, module.stride, module.dilation, module.padding) == ((3, 3), (1, 1), (1, 1), (1, 1))
        and (module.groups, module.padding_mode) == (1, "zeros")
        and min(module.in_channels, module.out_channels) >= WORTHWHILE
    )


def with_winograd(module: Module) -> Module:
    """A copy with each convolution that `suits` replaced; what is not replaced shares its memory with the original."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    changed = copy.deepcopy(module, shared)
    for parent in list(changed.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and suits(child):
                setattr(parent, name, WinogradConv(child))
    return changed


def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """G (6, 3), B^T (6, 6) and A^T (4, 6) of Cook and Toom's interpolation at `POINTS` and infinity."""
    spread, forth, back = np.zeros((PATCH, 3)), np.zeros((PATCH, PATCH)), np.zeros((STEP, PATCH))
    for row, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        spread[row] = point ** np.arange(3) / np.prod([point - other for other in others])
        forth[row, :-1] = polyfromroots(others)
        back[:, row] = point ** np.arange(STEP)
    spread[-1, -1] = back[-1, -1] = 1
    forth[-1] = polyfromroots(POINTS)
    return torch.from_numpy(spread), torch.from_numpy(forth), torch.from_numpy(back)
