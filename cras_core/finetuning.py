"""A style learned afterwards by a short training that starts from the model's weights.

It changes what every style scores, so it needs normal fabric of all of them: to replay, or they would be unlearned, and
for their thresholds. Thresholds are cross-fitted as in a training: the new style, its statistics included, and the
others are learned without the strips that are then scored. The model that the tuning starts from may have seen fabric
of the others, though: their thresholds are then a little low, which shows as false alarms, never as missed defects.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cras_core.added_style import check_new, join_style, learn_statistics, refer
from cras_core.calibration import split_folds, threshold_of
from cras_core.config import CrasConfig
from cras_core.errors import DataSetError
from cras_core.features import Extractor, NormalSample, extract_features
from cras_core.heads import Heads
from cras_core.score_map import ScoreMap
from cras_core.training import KEPT_TILES, Model, StyleFacts, fit_heads, keep_tiles, score_features

SHARE = 4  # of a training's steps, one in so many
LEAST_TILES = 8  # of each other style


def finetune_style(
    model: Model,
    samples: Sequence[NormalSample],
    others: Sequence[NormalSample],
    *,
    device: torch.device,
    false_alarms_per_100m: float | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Model:
    """The model with one more style, the last, and all heads trained on.

    samples: 20 or more frames of the new style; others: normal fabric of every style of the model, and of no other.
    The rest as in `added_style.add_style`. Raises what that does, and `DataSetError` for others that do not fit.
    """
    name = check_new(model, samples)
    _check_others(model, others)
    config = model.config
    extractor = Extractor(model.backbone, config, device=device)
    everything = [*samples, *others]
    features = extract_features(everything, extractor, config, progress=lambda done: progress(0.4 * done))
    order = (*model.styles, name)
    features = replace(
        features, styles=order, style_of=np.asarray([order.index(features.styles[i]) for i in features.style_of])
    )
    last = len(order) - 1
    fewest = min(len(features.of_style(index)) for index in range(last))
    if fewest < LEAST_TILES:
        raise DataSetError(f"a style of the bundle has {fewest} tiles to replay, {LEAST_TILES} at least are needed")
    before = model.heads.to(device).eval()
    reference = refer(model, before, extractor)
    own = features.of_style(last)

    def tune(left_out: NDArray[np.int64], begin: float, end: float) -> tuple[Heads, list[float]]:
        learned = np.setdiff1d(own, left_out)
        start = join_style(before, learn_statistics(before, name, features, learned, reference))
        start.logit_gains.fill_(1.0)  # what is trained needs no scale of its own
        start.logit_shifts.zero_()
        tiles = np.setdiff1d(np.arange(len(features)), left_out)
        return fit_heads(
            features,
            tiles,
            shorten(config),
            begin=start,
            report=lambda epoch, epochs, _: progress(begin + (end - begin) * epoch / epochs),
        )

    maps = ScoreMap(grid_px=extractor.grid_px, tile_px=config.tile_px, smoothing_px=config.smoothing_px).to(device)
    folds = split_folds(features, folds=config.calibration_folds, seed=config.seed)
    tested = sorted(set(folds.of_tile.tolist()))
    step = 0.6 / (len(tested) + 1)
    held_out = np.full(len(features), np.nan)
    for number, fold in enumerate(tested):
        out = np.flatnonzero(folds.of_tile == fold)
        tuned, _ = tune(out, 0.4 + number * step, 0.4 + (number + 1) * step)
        held_out[out] = score_features(tuned, maps, features, out)
    after, losses = tune(np.empty(0, np.int64), 1.0 - step, 1.0)
    asked = config if false_alarms_per_100m is None else replace(config, false_alarms_per_100m=false_alarms_per_100m)
    thresholds = [
        replace(threshold_of(index, held_out, features, folds, asked), calibration="crossfit of fine-tuning")
        for index in range(len(order))
    ]
    styles = {
        style: replace(facts, threshold=threshold, learned="trained" if facts.learned == "trained" else "finetuned")
        for (style, facts), threshold in zip(model.styles.items(), thresholds[:last], strict=True)
    }
    count = max(4, KEPT_TILES // len(order))
    kept_tiles = keep_tiles(everything, features, last, config, count=count)
    styles[name] = StyleFacts(
        tiles=len(own),
        groups=len({features.groups[tile] for tile in own}),
        threshold=thresholds[last],
        kept_tiles=len(kept_tiles),
        learned="finetuned",
        provenance=dict(provenance or {}),
    )
    return replace(
        model,
        heads=after.cpu().eval(),
        styles=styles,
        tiles=np.concatenate([model.tiles, kept_tiles]),
        losses=tuple(losses),
    )


def shorten(config: CrasConfig) -> CrasConfig:
    """A training of a part of the steps."""
    return replace(
        config,
        steps=max(1, config.steps // SHARE),
        epochs=None if config.epochs is None else max(1, config.epochs // SHARE),
    )


def _check_others(model: Model, others: Sequence[NormalSample]) -> None:
    given, known = {sample.style for sample in others}, set(model.styles)
    if missing := sorted(known - given):
        raise DataSetError(
            f"there is no normal fabric of {', '.join(missing)}: fine-tuning would unlearn it, give some"
        )
    if unknown := sorted(given - known):
        raise DataSetError(f"style {', '.join(unknown)} is not in the bundle: leave it out of the others")
