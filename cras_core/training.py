"""Training: normal tiles to a model with thresholds. Features are computed once; an epoch trains two small heads.

The model is the last step's heads, or their running average: never a pick by any score. One seed gives one result,
bit for bit, on one machine with one number of threads.
"""

import copy
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cras_core import team
from cras_core.backbone import Backbone, build_backbone
from cras_core.calibration import Folds, Threshold, set_thresholds, split_folds
from cras_core.checkpoint import State, TrainingFolder
from cras_core.config import CrasConfig
from cras_core.errors import ConfigError
from cras_core.features import IN_MEMORY_BYTES, Extractor, Features, NormalSample, extract_features
from cras_core.fitting import Fit, Precision, pick_precision
from cras_core.heads import Heads
from cras_core.memory_center import coreset_centers, kmeans_centers, position_centers, sample_vectors, whitening
from cras_core.pattern_integration import describe, fit_discriminant, fit_within
from cras_core.score_map import ScoreMap, image_scores, patch_scores

log = logging.getLogger(__name__)

KEPT_TILES = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """stage: "features", "calibration" or "training"; fraction: of the whole training, 0 to 1; run: of the heads, from
    1, 0 before; epoch: the one that runs, of so many in this run; loss: the last whole epoch's mean (eq. 8), 0 before
    there is any."""

    stage: str
    fraction: float
    run: int
    epoch: int
    epochs: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleFacts:
    """What a style was learned from.

    kept_tiles: how many of the model's tiles are its. learned: with all others, or afterwards by its statistics alone,
    or afterwards by a short training. provenance: of a style learned afterwards, plain JSON values.
    """

    tiles: int
    groups: int
    threshold: Threshold
    kept_tiles: int
    learned: Literal["trained", "added", "finetuned"] = "trained"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provisional(self) -> bool:
        """The heads have never been trained on it: good until a training has."""
        return self.learned == "added"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A trained model in memory; `bundle.save_bundle` writes it."""

    config: CrasConfig
    backbone: Backbone
    heads: Heads
    styles: dict[str, StyleFacts]
    tiles: NDArray[np.uint8]  # (K, T, T, 3): some of those learned from, each style's `kept_tiles` in turn
    losses: tuple[float, ...]  # eq. 8, each epoch's mean


def train(
    samples: Sequence[NormalSample],
    config: CrasConfig,
    *,
    device: torch.device,
    progress: Callable[[Progress], None] = lambda _: None,
    weights: Path | None = None,
    folder: TrainingFolder | None = None,
    precision: str = "auto",
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Model:
    """Learns normal fabric, one style or many. `weights` is a backbone's state file, for those that need one.

    folder: keeps the features and checkpoints, and goes on from what it holds; several processes (`team.join_team`)
    need one in common. precision: of `fitting.pick_precision`. in_memory_bytes: features beyond that are mapped from a
    file.

    Raises `DataSetError`, `PictureError`, `BackboneError`, `CheckpointError`, `ConfigError`.
    """
    if team.size() > 1 and folder is None:
        raise ConfigError("several processes need a training folder in common")
    chosen = pick_precision(precision, device)
    backbone = build_backbone(config.backbone, levels=config.levels, weights=weights)
    extractor = Extractor(backbone, config, device=device)
    report = _Reporter(progress)
    features = extract_features(
        samples, extractor, config, progress=report.features, in_memory_bytes=in_memory_bytes, folder=folder
    )
    folds = split_folds(features, folds=config.calibration_folds, seed=config.seed)
    log.info("training on %d tiles of %d styles", len(features), len(features.styles))
    maps = ScoreMap(grid_px=extractor.grid_px, tile_px=config.tile_px, smoothing_px=config.smoothing_px).to(device)
    held_out = np.full(len(features), np.nan)
    runs = _plan(folds, config)
    facts = config.to_dict() | {
        "backbone_sha256": backbone.sha256,
        "pictures": features.digest,
        "device": device.type,
        "precision": chosen,
        "torch": torch.__version__,
    }
    begun, state = (folder and folder.load(facts)) or (0, None)
    if state is not None:
        held_out = state.pop("held_out").numpy()
        log.info("goes on with run %d of %d", begun + 1, len(runs))
    report.runs = len(runs)
    for number, (stage, kept, out) in enumerate(runs):
        report.start(stage)
        if number < begun:
            continue

        def keep(fit: Fit, number: int = number) -> None:
            if folder is not None and folder.due():
                folder.save(run=number, state=fit.state() | {"held_out": torch.from_numpy(held_out)}, facts=facts)

        own = state if number == begun else None
        heads, losses = fit_heads(features, kept, config, report=report.passes, precision=chosen, state=own, keep=keep)
        if len(out):
            held_out[out] = score_features(heads, maps, features, out)
    thresholds = set_thresholds(held_out, features, folds, config)
    share = max(4, KEPT_TILES // len(features.styles))
    normal = [keep_tiles(samples, features, index, config, count=share) for index in range(len(features.styles))]
    facts_of = {
        style: StyleFacts(
            tiles=len(tiles := features.of_style(index)),
            groups=len({features.groups[tile] for tile in tiles}),
            threshold=thresholds[style],
            kept_tiles=len(normal[index]),
        )
        for index, style in enumerate(features.styles)
    }
    return Model(
        config=config,
        backbone=backbone,
        heads=heads.eval(),
        styles=facts_of,
        tiles=np.concatenate(normal),
        losses=tuple(losses),
    )


def _plan(folds: Folds, config: CrasConfig) -> list[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
    """The runs of the heads: (stage, tiles learned from, tiles held out and scored). The last one's are the model's."""
    everything = np.arange(len(folds.of_tile))
    holdout = config.calibration == "holdout"
    runs = [
        ("training" if holdout else "calibration", everything[folds.of_tile != fold], everything[folds.of_tile == fold])
        for fold in ([0] if holdout else sorted(set(folds.of_tile.tolist())))
    ]
    return runs if holdout else [*runs, ("training", everything, everything[:0])]


def keep_tiles(
    samples: Sequence[NormalSample], features: Features, index: int, config: CrasConfig, *, count: int
) -> NDArray[np.uint8]:
    """At most `count` of the tiles that style `index` was learned from, spread over its pictures. -> (K, T, T, 3).

    They go with the bundle: other runtimes calibrate on them and show on them that they agree.
    """
    own = features.of_style(index)
    kept = []
    for tile in own[np.linspace(0, len(own) - 1, min(len(own), count)).round().astype(int)]:
        picture = features.pictures[tile]
        first = int(np.searchsorted(features.pictures, picture))  # a picture's tiles follow each other
        kept.append(samples[picture].cut(tile_px=config.tile_px, resize_px=config.resize_px).tiles[tile - first])
    return np.stack(kept)


def fit_heads(
    features: Features,
    tiles: NDArray[np.int64],
    config: CrasConfig,
    *,
    report: Callable[[float, int, float], None] = lambda *_: None,
    precision: Precision = "float32",
    state: State | None = None,
    keep: Callable[[Fit], None] = lambda _: None,
    begin: Heads | None = None,
) -> tuple[Heads, list[float]]:
    """Trains heads on the given tiles, from the start, from `begin` on, or from a `Fit.state`. -> heads, each epoch's
    loss (eq. 8).

    `report` and `keep` are called after every step, as `Fit.run` says.
    """
    generator = torch.Generator().manual_seed(config.seed)
    if begin is not None:
        heads = copy.deepcopy(begin)
    elif state is None:
        heads = prepare_heads(features, tiles, config, generator=generator)
    else:
        heads = empty_heads(features, config, generator=generator)
    fit = Fit(heads, features, tiles, config, generator=generator, precision=precision)
    if state is not None:
        fit.restore(state)
    fit.run(report=report, keep=keep)
    return fit.model, fit.losses


def empty_heads(features: Features, config: CrasConfig, *, generator: torch.Generator) -> Heads:
    """Heads of the right shapes, on the features' device."""
    _, positions, dim = features.vectors.shape
    heads = Heads(config=config, styles=features.styles, dim=dim, positions=positions, generator=generator)
    return heads.to(features.device)


def prepare_heads(
    features: Features, tiles: NDArray[np.int64], config: CrasConfig, *, generator: torch.Generator
) -> Heads:
    """Everything that is computed rather than trained: statistics, centers, routing. On the features' device."""
    heads = empty_heads(features, config, generator=generator)
    if config.standardize:
        heads.standardization.fit(features.take, tiles.tolist())
    with torch.no_grad():
        if config.adapter_start == "identity":
            torch.nn.init.eye_(heads.adapter.weight)
        elif config.adapter_start == "whiten":
            by_style = [tiles[features.style_of[tiles] == index].tolist() for index in range(len(features.styles))]
            heads.adapter.weight.copy_(whitening(lambda t: heads.standardization(features.take(t)), by_style))
        for index in range(len(features.styles)):
            own = tiles[features.style_of[tiles] == index].tolist()
            fill_centers(heads, index, features, own, generator=generator)
        if config.routing == "discriminant":
            described = describe_tiles(heads, features, tiles)
            labels = features.style_of[tiles]
            heads.routing_within[:] = fit_within(described, labels.tolist())
            means = np.stack([described[labels == index].mean(0) for index in range(len(features.styles))])
            heads.routing_weights[:], heads.routing_offsets[:] = fit_discriminant(means, heads.routing_within)
    return heads


@torch.no_grad()
def fill_centers(
    heads: Heads, index: int, features: Features, tiles: Sequence[int], *, generator: torch.Generator
) -> None:
    """The memory of style `index` from its normal tiles, by `heads.adapt` as it is: eq. 1, or what ours has for it."""
    config = heads.config

    def adapted(chosen: Sequence[int]) -> Tensor:
        return heads.adapt(features.take(chosen), torch.full((len(chosen),), index, device=features.device))

    if config.centers == "sample":  # in eq. 2 too
        drawn = int(torch.randint(len(tiles), (), generator=generator))
        center = adapted([tiles[drawn]])[0]
    elif config.centers == "position" or config.routing == "cosine":
        center = position_centers(adapted, tiles)
    if config.routing == "cosine":  # by vectors whose style is not known yet
        unshifted = heads.adapter.weight @ heads.style_shifts[index]
        heads.routing_centers[index] = center + unshifted.to(center.device)
    if config.by_position:
        heads.centers[index] = center
    else:
        points = sample_vectors(adapted, tiles, generator=generator)
        heads.centers[index] = (
            coreset_centers(points, count=config.centers_per_style)
            if config.centers == "coreset"
            else kmeans_centers(points, count=config.centers_per_style, generator=generator)
        )


@torch.no_grad()
def describe_tiles(heads: Heads, features: Features, tiles: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the discriminant routes by: each tile's mean and spread of standardized vectors. -> (n, 2 D)."""
    described = [
        describe(heads.standardization(features.take(tiles[start : start + 32]))).double().cpu().numpy()
        for start in range(0, len(tiles), 32)
    ]
    return np.concatenate(described)


@torch.inference_mode()
def score_features(
    heads: Heads, maps: ScoreMap, features: Features, tiles: NDArray[np.int64], *, batch_size: int = 32
) -> NDArray[np.float64]:
    """Image scores (eq. 10) of cached tiles, each compared with its own style. -> (n,)."""
    heads.eval()
    found: list[NDArray[np.float64]] = []
    for start in range(0, len(tiles), batch_size):
        batch = tiles[start : start + batch_size]
        logits = heads(features.take(batch), torch.from_numpy(features.style_of[batch]).to(features.device))
        scores = image_scores(maps(patch_scores(logits, heads.config.score_scale)))
        found.append(scores.double().cpu().numpy())
    return np.concatenate(found)


class _Reporter:
    """Turns what happens into one fraction that only grows: features first, then the runs of the heads."""

    FEATURES = 0.3

    def __init__(self, progress: Callable[[Progress], None]) -> None:
        self.runs = 1
        self._progress = progress
        self._run = -1
        self._stage = "features"

    def features(self, fraction: float) -> None:
        self._send(self.FEATURES * fraction, epoch=0, epochs=0, loss=0.0)

    def start(self, stage: str) -> None:
        self._run += 1
        self._stage = stage

    def passes(self, passes: float, epochs: int, loss: float) -> None:
        done = (self._run + passes / epochs) / self.runs
        fraction = self.FEATURES + (1 - self.FEATURES) * done
        self._send(fraction, epoch=math.ceil(passes), epochs=epochs, loss=loss)

    def _send(self, fraction: float, *, epoch: int, epochs: int, loss: float) -> None:
        self._progress(
            Progress(stage=self._stage, fraction=fraction, run=self._run + 1, epoch=epoch, epochs=epochs, loss=loss)
        )
