"""A style learned afterwards, by its statistics alone: no gradient step, in seconds, and no other style is touched.

What is computed of its normal tiles, and nothing else, is what a trained style has too (its center, its row of the
routing) and two statistics more, because adapter and discriminator were trained without it:

- the mean of its vectors. They are shifted to where those trained on lie, since half of what the discriminator sees
  (eq. 7) is the vector itself, and it knows nothing of a place where it never saw cloth;
- the discriminator's logits of its normal vectors, a mean and a deviation for each center vector. They are brought to
  those of the trained styles. A discriminator that calls every yarn of one colour strange is then heard on what is
  strange for that yarn; and scores and thresholds keep their scale.

Both are held against the same of the normal tiles that go with the model. The threshold is from held-out frames: all of
the above is computed from the others, and the frames left out are scored by it.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cras_core.calibration import set_thresholds, split_folds
from cras_core.errors import DataSetError
from cras_core.features import Extractor, Features, NormalSample, extract_features
from cras_core.heads import PER_STYLE, Heads
from cras_core.pattern_integration import fit_discriminant, recompose
from cras_core.score_map import ScoreMap
from cras_core.training import (
    KEPT_TILES,
    Model,
    StyleFacts,
    describe_tiles,
    fill_centers,
    keep_tiles,
    score_features,
)

LEAST_FRAMES = 20
FOLDS = 5  # at most; a fold costs a center and the scores of its tiles
SCALE_TILES = 48  # at most, that the scale of logits is from: tens of thousands of vectors
PRIOR_VECTORS = 200  # a center's statistics are drawn to the style's as if by so many more vectors
LEAST_DEVIATION = 1e-3  # of logits: below, a constant picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Normal fabric as a model sees it, from its own tiles: mean of the standardized, shifted vectors (D,), mean and
    deviation of all logits."""

    mean: Tensor
    logit_mean: float
    logit_deviation: float


def add_style(
    model: Model,
    samples: Sequence[NormalSample],
    *,
    device: torch.device,
    false_alarms_per_100m: float | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Model:
    """The model with one more style, the last. All others score as before, to the bit, where they are named; a tile
    that is left to find its style may now find the new one.

    samples: 20 or more frames of one new style. false_alarms_per_100m: by default the model's. provenance: plain JSON
    values. Raises `DataSetError` for too few frames, another number of styles than one, or one the model knows,
    `PictureError` for a frame that cannot be read or is smaller than a tile.
    """
    name = check_new(model, samples)
    config = model.config
    if false_alarms_per_100m is not None:
        config = replace(config, false_alarms_per_100m=false_alarms_per_100m)
    extractor = Extractor(model.backbone, config, device=device)
    features = extract_features(samples, extractor, config, progress=lambda done: progress(0.6 * done))
    heads = copy.deepcopy(model.heads).to(device).eval()
    reference = refer(model, heads, extractor)
    maps = ScoreMap(grid_px=extractor.grid_px, tile_px=config.tile_px, smoothing_px=config.smoothing_px).to(device)
    folds = split_folds(features, folds=FOLDS, seed=config.seed)
    held_out = np.full(len(features), np.nan)
    tested = sorted(set(folds.of_tile.tolist()))
    for number, fold in enumerate(tested):
        kept, out = np.flatnonzero(folds.of_tile != fold), np.flatnonzero(folds.of_tile == fold)
        held_out[out] = score_features(learn_statistics(heads, name, features, kept, reference), maps, features, out)
        progress(0.6 + 0.35 * (number + 1) / len(tested))
    threshold = set_thresholds(held_out, features, folds, config)[name]
    own = learn_statistics(heads, name, features, np.arange(len(features)), reference)
    grown = join_style(heads, own)
    count = max(4, KEPT_TILES // len(grown.styles))
    kept_tiles = keep_tiles(samples, features, 0, config, count=count)
    facts = StyleFacts(
        tiles=len(features),
        groups=len(set(features.groups)),
        threshold=replace(threshold, calibration="crossfit of statistics"),
        kept_tiles=len(kept_tiles),
        learned="added",
        provenance=dict(provenance or {}),
    )
    progress(1.0)
    return replace(
        model,
        heads=grown.cpu(),
        styles={**model.styles, name: facts},
        tiles=np.concatenate([model.tiles, kept_tiles]),
    )


def join_style(heads: Heads, own: Heads) -> Heads:
    """A copy of `heads` that knows the one style of `own` too, as the last."""
    grown = heads.with_styles((*heads.styles, *own.styles))
    for buffer in PER_STYLE:
        if len(rows := getattr(own, buffer)):  # the other kind of routing has none
            getattr(grown, buffer)[-1] = rows[0]
    return grown


def remove_style(model: Model, name: str) -> Model:
    """The model without a style; the others score as before, to the bit. Raises `DataSetError` for an unknown style,
    and for the last one."""
    if name not in model.styles:
        raise DataSetError(f"style {name} is not in the bundle, which knows {', '.join(model.styles)}")
    if len(model.styles) == 1:
        raise DataSetError(f"style {name} is the only one: a bundle needs one at least")
    owners = np.repeat(list(model.styles), [facts.kept_tiles for facts in model.styles.values()])
    styles = {style: facts for style, facts in model.styles.items() if style != name}
    return replace(
        model, heads=model.heads.with_styles(tuple(styles)), styles=styles, tiles=model.tiles[owners != name]
    )


def check_new(model: Model, samples: Sequence[NormalSample]) -> str:
    """The one new style that the samples are of. Raises `DataSetError`."""
    names = sorted({sample.style for sample in samples})
    if len(names) != 1:
        raise DataSetError(f"a style is added by itself, these samples are of {len(names)}: {', '.join(names)}")
    if names[0] in model.styles:
        raise DataSetError(
            f"style {names[0]} is in the bundle already: give the new one another name, or remove it first"
        )
    if len(samples) < LEAST_FRAMES:
        raise DataSetError(
            f"style {names[0]} has {len(samples)} normal frames, {LEAST_FRAMES} at least are needed: capture more"
        )
    return names[0]


@torch.no_grad()
def refer(model: Model, heads: Heads, extractor: Extractor) -> Reference:
    """What the model's own normal tiles look like to its heads, each compared with its style."""
    owners = np.repeat(np.arange(len(model.styles)), [facts.kept_tiles for facts in model.styles.values()])
    vectors: list[Tensor] = []
    logits: list[Tensor] = []
    for start in range(0, len(owners), 16):
        x = extractor.extract(model.tiles[start : start + 16])
        styles = torch.from_numpy(owners[start : start + 16]).to(x.device)
        vectors.append((heads.standardization(x) - heads.style_shifts[styles][:, None]).mean(1))
        logits.append(heads(x, styles).double().flatten())
    found = torch.cat(logits)
    return Reference(
        mean=torch.cat(vectors).mean(0),
        logit_mean=float(found.mean()),
        logit_deviation=max(float(found.std()), LEAST_DEVIATION),
    )


@torch.no_grad()
def learn_statistics(
    heads: Heads, name: str, features: Features, tiles: NDArray[np.int64], reference: Reference
) -> Heads:
    """Heads that know this style only, by the given tiles of `features`, which hold no other."""
    config = heads.config
    own = heads.with_styles((name,))
    described = describe_tiles(own, features, tiles)
    mean = described.mean(0)
    own.style_shifts[0] = torch.from_numpy(mean[: len(mean) // 2]).to(features.device) - reference.mean
    fill_centers(own, 0, features, tiles.tolist(), generator=torch.Generator().manual_seed(config.seed))
    if config.routing == "discriminant":
        own.routing_weights[:], own.routing_offsets[:] = fit_discriminant(mean[None], own.routing_within)
    own.logit_gains[0], own.logit_shifts[0] = _scale(own, features, tiles, reference)
    return own


def _scale(heads: Heads, features: Features, tiles: NDArray[np.int64], reference: Reference) -> tuple[Tensor, Tensor]:
    """Gain and shift of the logits by center vector, (M,) each: the normal ones get the reference's mean, deviation."""
    count, total, square = (torch.zeros(heads.centers.shape[1], dtype=torch.float64) for _ in range(3))
    chosen = tiles[np.linspace(0, len(tiles) - 1, min(len(tiles), SCALE_TILES)).round().astype(int)]
    for start in range(0, len(chosen), 16):
        x = features.take(chosen[start : start + 16])
        styles = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        u = heads.adapt(x, styles)
        nearest = heads.match(u, styles)
        logits = heads.discriminate(u, recompose(heads.centers[styles], nearest)).double().cpu().flatten()
        places = nearest.cpu().flatten()
        count.index_add_(0, places, torch.ones_like(logits))
        total.index_add_(0, places, logits)
        square.index_add_(0, places, logits.square())
    mean = (total + PRIOR_VECTORS * total.sum() / count.sum()) / (count + PRIOR_VECTORS)
    about = square - 2 * mean * total + count * mean.square()  # summed squares about the mean
    variance = (about + PRIOR_VECTORS * about.sum() / count.sum()) / (count + PRIOR_VECTORS)
    gain = reference.logit_deviation / variance.clamp_min(LEAST_DEVIATION**2).sqrt()
    return gain.float(), (reference.logit_mean - gain * mean).float()
