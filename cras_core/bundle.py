"""The bundle: a folder of `weights.safetensors`, `tiles.png` and `manifest.json`. No pickle, ever.

Written to a temporary folder beside its place, flushed, and renamed: a bundle is whole or not there. The manifest holds
the sha256 of every other file and its own: `manifest_sha256` is that of the file with this value empty. A single
flipped byte anywhere is found when loading, and the error names the file. The backbone's weights are not in it, only
their sha256. `tiles.png` is some of the normal tiles learned from, one below the other: other runtimes are calibrated
and held against the reference on them.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from cras_core.backbone import Backbone, build_backbone
from cras_core.calibration import Threshold
from cras_core.config import CrasConfig
from cras_core.errors import BackboneError, BundleError, ConfigError
from cras_core.heads import Heads
from cras_core.pictures import encode_png
from cras_core.scoring import Scorer
from cras_core.training import Model, StyleFacts

FORMAT_VERSION = 2  # 1 held no tiles
WEIGHTS = "weights.safetensors"
TILES = "tiles.png"
MANIFEST = "manifest.json"


def save_bundle(
    model: Model, folder: Path, *, name: str, provenance: Mapping[str, Any], metrics: Mapping[str, Any]
) -> None:
    """Writes a model to `folder`, which must not exist. `provenance` and `metrics` are plain JSON values.

    Raises `BundleError` when the folder exists or cannot be written.
    """
    if folder.exists():
        raise BundleError(f"{folder} exists already: name another folder, or remove it first")
    weights = safetensors.torch.save(_to_tensors(model.heads))
    manifest = _manifest(model, name=name, provenance=provenance, metrics=metrics)
    tiles = encode_png(model.tiles.reshape(-1, *model.tiles.shape[2:]))
    manifest["files"] = {WEIGHTS: hashlib.sha256(weights).hexdigest(), TILES: hashlib.sha256(tiles).hexdigest()}
    manifest["manifest_sha256"] = hashlib.sha256(_encode(manifest)).hexdigest()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write(temporary / WEIGHTS, weights)
            _write(temporary / TILES, tiles)
            _write(temporary / MANIFEST, _encode(manifest))
            temporary.chmod(0o755)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise BundleError(f"cannot write the bundle {folder}: {error.strerror or error}") from error


def load_bundle(folder: Path, *, device: torch.device, weights: Path | None = None) -> Scorer:
    """A bundle ready to score. Every checksum is verified first, the backbone's too.

    `weights` is the backbone's state file where it has moved since training. Raises `BundleError` naming the wrong
    file, `BackboneError` for missing or other backbone weights.
    """
    manifest, heads = _read_heads(folder)
    _verified(folder, TILES, manifest)
    backbone = _matching_backbone(manifest, heads.config, folder, weights)
    return Scorer(name=manifest["name"], backbone=backbone, heads=heads, manifest=manifest, device=device)


def load_model(folder: Path, *, weights: Path | None = None) -> Model:
    """The model as it was saved, to be changed and saved as another bundle. Raises what `load_bundle` does."""
    manifest, heads = _read_heads(folder)
    try:
        styles = {name: _facts(entry) for name, entry in manifest["styles"].items()}
    except (KeyError, TypeError) as error:
        raise BundleError(f"{folder / MANIFEST} says too little of its styles ({error}): train it again") from error
    return Model(
        config=heads.config,
        backbone=_matching_backbone(manifest, heads.config, folder, weights),
        heads=heads,
        styles=styles,
        tiles=read_tiles(folder),
        losses=tuple(manifest["losses"]),
    )


def read_tiles(folder: Path) -> NDArray[np.uint8]:
    """The normal tiles of a bundle: (K, T, T, 3). Raises `BundleError` naming the wrong file."""
    manifest = read_manifest(folder)
    data = np.frombuffer(_verified(folder, TILES, manifest), np.uint8)
    # not as a stranger's picture, which may only be so large: large tiles, or those of many styles, are larger together
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    side = manifest["tile_px"]
    if pixels is None or pixels.shape[1] != side or pixels.shape[0] % side:
        raise BundleError(f"{folder / TILES} holds no tiles of {side} px: copy or train the bundle again")
    return np.ascontiguousarray(np.asarray(pixels, np.uint8)[:, :, ::-1]).reshape(-1, side, side, 3)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The verified manifest, without touching the weights. Raises `BundleError`."""
    path = folder / MANIFEST
    data = _read(path)
    try:
        manifest: dict[str, Any] = json.loads(data)
        stated, manifest["manifest_sha256"] = manifest["manifest_sha256"], ""
        blank = _encode(manifest)
        manifest["manifest_sha256"] = stated
        intact = hashlib.sha256(blank).hexdigest() == stated and _encode(manifest) == data
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: copy or train the bundle again") from error
    if not intact:
        raise BundleError(f"{path} is damaged (checksum does not fit): copy or train the bundle again")
    if manifest["format_version"] != FORMAT_VERSION:
        raise BundleError(
            f"{path} is of bundle format {manifest['format_version']}, this program reads {FORMAT_VERSION}: "
            "use the program's version that wrote it, or train it again"
        )
    return manifest


def _manifest(model: Model, *, name: str, provenance: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    config, backbone = model.config, model.backbone
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "method": "CRAS",
        "config": config.to_dict(),
        "backbone": {"name": backbone.name, "sha256": backbone.sha256, "weights_file": backbone.weights_file},
        "tile_px": config.tile_px,
        "mm_per_px": config.mm_per_px,
        "styles": {
            style: {
                "threshold": facts.threshold.value,
                "threshold_set": facts.threshold.to_dict(),
                "center": _center_name(index),
                "tiles": facts.tiles,
                "groups": facts.groups,
                "kept_tiles": facts.kept_tiles,
                "learned": facts.learned,
                "provisional": facts.provisional,
                "provenance": dict(facts.provenance),
            }
            for index, (style, facts) in enumerate(model.styles.items())
        },
        "losses": list(model.losses),
        "metrics": dict(metrics),
        "provenance": dict(provenance),
        "files": {},
        "manifest_sha256": "",
    }


def _facts(entry: Mapping[str, Any]) -> StyleFacts:
    """A style's entry in the manifest, back again."""
    return StyleFacts(
        tiles=entry["tiles"],
        groups=entry["groups"],
        threshold=Threshold.from_dict(entry["threshold_set"]),
        kept_tiles=entry["kept_tiles"],
        learned=entry["learned"],
        provenance=entry["provenance"],
    )


def _center_name(index: int) -> str:
    return f"centers.{index}"


def _to_tensors(heads: Heads) -> dict[str, Tensor]:
    """The heads' state; each style's center is a tensor of its own, named in the manifest."""
    state = {key: value.detach().cpu().contiguous() for key, value in heads.state_dict().items()}
    centers = state.pop("centers")
    return state | {_center_name(index): center.clone() for index, center in enumerate(centers)}


def _read_heads(folder: Path) -> tuple[dict[str, Any], Heads]:
    """The verified manifest and the heads it describes."""
    manifest = read_manifest(folder)
    data = _verified(folder, WEIGHTS, manifest)
    try:
        config = CrasConfig.from_dict(manifest["config"])
        heads = _from_tensors(safetensors.torch.load(data), config, tuple(manifest["styles"]))
    except (SafetensorError, ConfigError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{folder / WEIGHTS} does not fit its {MANIFEST} ({reason}): train it again") from error
    return manifest, heads


def _from_tensors(tensors: dict[str, Tensor], config: CrasConfig, styles: tuple[str, ...]) -> Heads:
    centers = torch.stack([tensors.pop(_center_name(index)) for index in range(len(styles))])
    dim = centers.shape[2]
    positions = tensors["routing_centers"].shape[1] if config.routing == "cosine" else centers.shape[1]
    heads = Heads(config=config, styles=styles, dim=dim, positions=positions, generator=torch.Generator())
    heads.load_state_dict({**tensors, "centers": centers})
    return heads.eval()


def _matching_backbone(manifest: Mapping[str, Any], config: CrasConfig, folder: Path, weights: Path | None) -> Backbone:
    facts = manifest["backbone"]
    if weights is None and facts["weights_file"]:
        weights = Path(facts["weights_file"])
        if not weights.is_file():
            raise BackboneError(
                f"the weights file {weights} of {facts['name']}, which bundle {folder} was trained with, is gone: "
                "put it back, or say where it is (--weights FILE)"
            )
    backbone = build_backbone(facts["name"], levels=config.levels, weights=weights)
    if backbone.sha256 != facts["sha256"]:
        source = weights or f"the installed weights of {facts['name']}"
        raise BackboneError(
            f"{source} are not the backbone weights that bundle {folder} was trained with "
            f"(sha256 {backbone.sha256[:12]}, expected {facts['sha256'][:12]}): give those, or train it again"
        )
    return backbone


def _verified(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    data = _read(folder / name)
    if hashlib.sha256(data).hexdigest() != manifest["files"].get(name):
        raise BundleError(f"{folder / name} is damaged (checksum does not fit): copy or train the bundle again")
    return data


def _encode(manifest: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(manifest, indent=2, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise BundleError(f"provenance and metrics must be plain JSON without NaN: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing: {path.parent} is not a whole bundle") from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
