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

from cras_core.anomaly_synthesis import synthesize
from cras_core.backbone import Backbone, build_backbone
from cras_core.calibration import Threshold, set_thresholds, split_folds
from cras_core.config import CrasConfig
from cras_core.errors import DataSetError
from cras_core.features import Extractor, Features, NormalSample, extract_features
from cras_core.heads import Heads
from cras_core.memory_center import kmeans_centers, position_centers, whitening
from cras_core.pattern_integration import describe, fit_discriminant, fit_within
from cras_core.residual_discrimination import discrimination_loss
from cras_core.score_map import ScoreMap, image_scores, patch_scores

log = logging.getLogger(__name__)

KEPT_TILES = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """stage: "features", "calibration" or "training"; fraction: of the whole training, 0 to 1; loss: the last epoch's
    mean (eq. 8), 0 before the first."""

    stage: str
    fraction: float
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
) -> Model:
    """Learns normal fabric, one style or many. `weights` is a backbone's state file, for those that need one.

    Raises `DataSetError`, `PictureError`, `BackboneError`.
    """
    backbone = build_backbone(config.backbone, levels=config.levels, weights=weights)
    extractor = Extractor(backbone, config, device=device)
    report = _Reporter(progress)
    features = extract_features(samples, extractor, config, progress=report.features)
    folds = split_folds(features, folds=config.calibration_folds, seed=config.seed)
    log.info("training on %d tiles of %d styles", len(features), len(features.styles))
    maps = ScoreMap(grid_px=extractor.grid_px, tile_px=config.tile_px, smoothing_px=config.smoothing_px).to(device)
    held_out = np.full(len(features), np.nan)
    everything = np.arange(len(features))
    tested = sorted(set(folds.of_tile.tolist())) if config.calibration == "crossfit" else [0]
    report.runs = len(tested) + (config.calibration == "crossfit")
    for fold in tested:
        kept, out = everything[folds.of_tile != fold], everything[folds.of_tile == fold]
        report.start("calibration" if config.calibration == "crossfit" else "training")
        heads, losses = fit_heads(features, kept, config, report=report.epoch)
        held_out[out] = score_features(heads, maps, features, out)
    if config.calibration == "crossfit":
        report.start("training")
        heads, losses = fit_heads(features, everything, config, report=report.epoch)
    thresholds = set_thresholds(held_out, features, folds, config)
    share = max(4, KEPT_TILES // len(features.styles))
    kept = [keep_tiles(samples, features, index, config, count=share) for index in range(len(features.styles))]
    facts = {
        style: StyleFacts(
            tiles=len(tiles := features.of_style(index)),
            groups=len({features.groups[tile] for tile in tiles}),
            threshold=thresholds[style],
            kept_tiles=len(kept[index]),
        )
        for index, style in enumerate(features.styles)
    }
    return Model(
        config=config,
        backbone=backbone,
        heads=heads.eval(),
        styles=facts,
        tiles=np.concatenate(kept),
        losses=tuple(losses),
    )


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
        kept.append(samples[picture].cut(tile_px=config.tile_px).tiles[tile - first])
    return np.stack(kept)


def fit_heads(
    features: Features,
    tiles: NDArray[np.int64],
    config: CrasConfig,
    *,
    report: Callable[[int, int, float], None],
    begin: Heads | None = None,
) -> tuple[Heads, list[float]]:
    """Trains heads on the given tiles, from `begin` on if given. `report(epoch, epochs, loss)` after each epoch.
    -> heads, losses."""
    generator = torch.Generator().manual_seed(config.seed)
    heads = copy.deepcopy(begin) if begin else prepare_heads(features, tiles, config, generator=generator)
    adapter = torch.optim.AdamW(heads.adapter.parameters(), lr=config.adapter_rate)
    discriminator = torch.optim.Adam(
        heads.discriminator.parameters(), lr=config.discriminator_rate, weight_decay=config.discriminator_decay
    )
    epochs = config.epochs_for(len(tiles))
    steps = epochs * math.ceil(len(tiles) / config.batch_size)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(each, lambda step: _rate(step, steps, config))
        for each in (adapter, discriminator)
    ]
    average = copy.deepcopy(heads) if config.averaging else heads
    losses: list[float] = []
    for epoch in range(1, epochs + 1):
        heads.train()
        total = 0.0
        order = tiles[torch.randperm(len(tiles), generator=generator).numpy()]
        for start in range(0, len(order), config.batch_size):
            batch = order[start : start + config.batch_size]
            loss = _loss(heads, features, batch, generator=generator)
            adapter.zero_grad(set_to_none=True)
            discriminator.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer, schedule in zip((adapter, discriminator), schedules, strict=True):
                optimizer.step()
                schedule.step()
            if average is not heads:
                _average(average, heads, decay=config.averaging)
            total += float(loss.detach()) * len(batch)
        losses.append(total / len(order))
        if not math.isfinite(losses[-1]):
            raise DataSetError(f"training diverged in epoch {epoch}: lower the learning rates")
        report(epoch, epochs, losses[-1])
    return average.eval(), losses


def prepare_heads(
    features: Features, tiles: NDArray[np.int64], config: CrasConfig, *, generator: torch.Generator
) -> Heads:
    """Everything that is computed rather than trained: statistics, centers, routing. On the features' device."""
    _, positions, dim = features.vectors.shape
    heads = Heads(config=config, styles=features.styles, dim=dim, positions=positions, generator=generator)
    heads = heads.to(features.device)
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
    needs_position = "position" in (config.centers, "position" if config.routing == "cosine" else "")

    def adapted(chosen: Sequence[int]) -> Tensor:
        return heads.adapt(features.take(chosen), torch.full((len(chosen),), index, device=features.device))

    mean = position_centers(adapted, tiles) if needs_position else torch.empty(0)
    if config.routing == "cosine":  # by vectors whose style is not known yet
        unshifted = heads.adapter.weight @ heads.style_shifts[index]
        heads.routing_centers[index] = mean + unshifted.to(mean.device)
    if config.centers == "position":
        heads.centers[index] = mean
    elif config.centers == "sample":
        drawn = int(torch.randint(len(tiles), (), generator=generator))
        heads.centers[index] = adapted([tiles[drawn]])[0]
    else:
        heads.centers[index] = kmeans_centers(adapted, tiles, count=config.centers_per_style, generator=generator)


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


def _loss(heads: Heads, features: Features, batch: NDArray[np.int64], *, generator: torch.Generator) -> Tensor:
    """Eq. 3 to 8 for a batch of tiles whose styles are known."""
    config = heads.config
    x = features.take(batch)
    places = None
    if 0 < config.vectors_per_tile < x.shape[1]:
        places = torch.rand(x.shape[:2], generator=generator).argsort(1)[:, : config.vectors_per_tile].to(x.device)
        x = x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))
    styles = torch.from_numpy(features.style_of[batch]).to(x.device)
    u = heads.adapt(x, styles)
    recomposed = heads.recompose(u, styles, places=places)
    v = synthesize(
        u,
        recomposed,
        deviation=config.noise_deviation,
        scaling=config.noise_scaling,
        guide=config.noise_guide,
        generator=generator,
    )
    # one pass over both: BatchNorm sees normal and anomalous vectors together, as it will
    logits = heads.discriminate(torch.cat([u, v]), torch.cat([recomposed, recomposed]))
    return discrimination_loss(logits[: len(batch)], logits[len(batch) :])


@torch.no_grad()
def _average(average: Heads, heads: Heads, *, decay: float) -> None:
    """Moves the running average a step towards the heads, BatchNorm statistics included."""
    for mean, now in zip(average.state_dict().values(), heads.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - decay)


def _rate(step: int, steps: int, config: CrasConfig) -> float:
    return 1.0 if config.schedule == "constant" else 0.5 * (1 + math.cos(math.pi * step / steps))


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

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        done = (self._run + epoch / epochs) / self.runs
        self._send(self.FEATURES + (1 - self.FEATURES) * done, epoch=epoch, epochs=epochs, loss=loss)

    def _send(self, fraction: float, *, epoch: int, epochs: int, loss: float) -> None:
        self._progress(Progress(stage=self._stage, fraction=fraction, epoch=epoch, epochs=epochs, loss=loss))
