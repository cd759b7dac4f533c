"""The frozen backbone (part of MCMC): pictures to feature maps of a few levels. It stops at the last level used.

Level l has stride 2 ** (l + 1). The networks are in `backbone_networks`, their weights in `backbone_weights`.
"""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cras_core.backbone_networks import Network, build_network, efficientnet_lite_state
from cras_core.backbone_weights import weights_file

__all__ = [
    "Backbone",
    "build_backbone",
    "efficientnet_lite0_state",
    "efficientnet_lite_state",
    "fold_batch_norms",
    "hash_state",
    "weights_file",
]


class Backbone(nn.Module):
    """uint8 pictures (N, 3, H, W) -> one map (N, C_l, H / stride_l, W / stride_l) float32 a level. Never trained.

    sha256: of the weights in use. weights_file: where they were read, "" for those of a package or a download.
    embedding_dim: the usual D of `embedding.Embedding` on it, 0 for the channels as they are.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: Network, *, name: str, weights_file: str, folded: bool = True) -> None:
        super().__init__()
        self.name = name
        self.stages = nn.ModuleList(network.stages)
        self.outputs = tuple(network.outputs)
        self.channels = tuple(network.channels)
        self.embedding_dim = network.embedding_dim
        self.weights_file = weights_file
        self.started = int(len(self.stages) > 1 and not self.outputs[0])  # stages that `start` runs
        self.dtype = torch.float32
        self.sha256 = hash_state(self.stages.state_dict())
        self.register_buffer("mean", 255 * torch.tensor(network.mean)[:, None, None], persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(network.deviation))[:, None, None], persistent=False)
        self.requires_grad_(False)
        self.eval()
        if folded:
            self._fold(ordered=network.ordered)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return self.finish(self.start(pictures))

    def start(self, pictures: Tensor) -> Tensor:
        """Normalizes and runs the first stage, unless its result is a level. Float32 whatever the rest is in: its few
        channels carry all of the cloth's texture on top of its shade, and rounding them costs most."""
        x = (pictures.float() - self.mean) * self.scale
        return self.stages[0](x) if self.started else x

    def finish(self, x: Tensor) -> list[Tensor]:
        """The stages that are left: of `start`'s result to the levels' maps, in the precision that they are in."""
        x = x.to(self.dtype)
        maps: list[Tensor] = []
        for stage, output in zip(self.stages[self.started :], self.outputs[self.started :], strict=True):
            x = stage(x)
            if output:
                maps.extend(x if isinstance(x, list | tuple) else [x])
        return maps

    def in_precision(self, dtype: torch.dtype) -> None:
        """Runs `finish` in another floating point type from here on."""
        self.stages[self.started :].to(dtype)
        self.dtype = dtype

    def train(self, mode: bool = True) -> "Backbone":
        """Stays in evaluation mode: its BatchNorm statistics are ImageNet's."""
        return super().train(False)

    def _fold(self, *, ordered: bool) -> None:
        """Folds the BatchNorms; where a network may run its parts in another order, only if its maps stay the same."""
        if ordered:
            return fold_batch_norms(self.stages)
        noise = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        plain = self.stages
        with torch.no_grad():  # not inference mode: what it makes cannot be moved to a device afterwards
            expected = self(noise)
            self.stages = copy.deepcopy(plain)
            fold_batch_norms(self.stages)
            same = all(
                float((got - want).abs().max()) <= 1e-3 * float(want.abs().max())
                for got, want in zip(self(noise), expected, strict=True)
            )
        if not same:
            self.stages = plain


def build_backbone(name: str, *, levels: Sequence[int], weights: Path | None = None, folded: bool = True) -> Backbone:
    """The backbone `name` (of `backbone_networks.BUILDERS`, or `timm:NAME`), up to the last of `levels`.

    `weights` is a state file that replaces the usual source. folded: with its BatchNorms in the convolutions before
    them, the same but for rounding; otherwise as it was trained. Raises `BackboneError` for an unknown name, a level
    the network lacks, missing weights, or weights that do not fit.
    """
    network = build_network(name, levels=levels, weights=weights)
    file = "" if weights is None else str(weights.absolute())
    return Backbone(network, name=name, weights_file=file, folded=folded)


def efficientnet_lite0_state(weights: Path | None = None) -> dict[str, Tensor]:
    """`efficientnet_lite_state` of the usual one."""
    return efficientnet_lite_state("efficientnet_lite0", weights)


def fold_batch_norms(module: nn.Module) -> None:
    """Folds each BatchNorm, which is affine in evaluation, into the convolution registered just before it, in place."""
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        conv = before[1] if before is not None else None
        if (
            before is not None
            and isinstance(child, nn.BatchNorm2d)
            and isinstance(conv, nn.Conv2d)
            and conv.out_channels == child.num_features
        ):
            setattr(module, before[0], fuse_conv_bn_eval(conv, child))
            setattr(module, name, getattr(child, "act", nn.Identity()))  # timm's carry their activation
        else:
            fold_batch_norms(child)
        before = name, child


def hash_state(state: Mapping[str, Tensor]) -> str:
    """sha256 over names, types, shapes and bytes, in name order."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.view(-1).numpy().tobytes())
    return digest.hexdigest()
