"""What retraining is worth when the mill changes, on annotated frames (STYLE/good, STYLE/KIND, masks):

    python -m benchmarks.continual ../shared/data/aitex/frames --out OUT [--seeds 0 --seeds 1] [--steps 400]

1. start      two fabrics are learned and watched
2. style      a third arrives, with normal strips of it
3. light      the light drifts: a ramp to 45 % less on one side, 25 % on the other; strips of the way there are given
4. confirmed  what each model then raises on further normal strips is confirmed as normal and given

Four ways of going on are compared: no retraining; center only (a style's statistics and threshold, `added_style`);
fine-tuning (a quarter of a training from the model's weights on); full training on all that was given so far. Of each
strip one half is a frame. Training, confirmed and test strips are different strips; frames with defects only test.
"""

import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from cras_core.added_style import add_style, remove_style
from cras_core.calibration import set_thresholds, split_folds
from cras_core.config import CrasConfig
from cras_core.dataset import GOOD
from cras_core.errors import CrasError
from cras_core.false_alarms import HeldOut, find_peaks, rate_interval
from cras_core.features import Extractor, NormalSample, extract_features
from cras_core.finetuning import finetune_style, shorten
from cras_core.metrics import auroc
from cras_core.pictures import Pixels, cut_to_tiles, read_picture
from cras_core.score_map import ScoreMap
from cras_core.scoring import Scorer
from cras_core.training import Model, fit_heads, score_features, train
from ingest.edges import find_edges
from inspection.errors import LoomwatchError, SettingsError
from loomwatch.annotated import AnnotatedFrame, find_annotated

log = logging.getLogger("continual")

STEPS = ("start", "style", "light", "confirmed")
WAYS = ("no retraining", "center only", "fine-tuning", "full training")
TRAINED, CONFIRMED = 10, 4  # strips a style; the rest tests
DARKER = (0.25, 0.45)  # at the ramp's end, on the left and on the right
NEAR_PX = 15  # around a mask in which an alarm counts as its
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Frame:
    """Half a strip between the fabric's edges: (256, W, 3), and where its defect is, if any."""

    style: str
    strip: str
    pixels: Pixels
    mask: NDArray[np.bool_] | None

    @property
    def name(self) -> str:
        return f"{self.style} {self.strip}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a model does on the test frames. false_alarms of so many metres; defects that were found."""

    seed: int
    step: str
    way: str
    auroc: float
    false_alarms: int
    metres: float
    found: int
    defects: int
    by_style: dict[str, dict[str, float]]
    seconds: float  # that the change of the model took


def main(
    data: Path = typer.Argument(help="Annotated frames of three styles: STYLE/good, STYLE/KIND, masks."),
    out: Path = typer.Option(..., help="Folder for figures.json, table.md and continual.png."),
    seeds: list[int] = typer.Option([0], help="Of the split and the training; repeatable."),
    steps: int = typer.Option(400, help="Of a training of the heads; fewer are quicker and worse."),
    backbone: str = typer.Option(CrasConfig().backbone, help="As of loomwatch train."),
    folds: int = typer.Option(3, min=2, help="Of the cross-fit of thresholds; fewer are quicker."),
    learned_px: int = typer.Option(4096, help="Width of the frames learned from, in px; fewer tiles are quicker."),
    last: str = typer.Option("", help="The style that arrives later; by default the last by name."),
) -> None:
    """What retraining is worth when the mill changes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("cras_core").setLevel(logging.WARNING)
    try:
        frames = find_annotated(data)
        if len(frames) != 3:
            raise SettingsError(f"{data} holds {len(frames)} styles: give three")
        order = sorted(frames, key=lambda style: (style == (last or max(frames)), style))
        out.mkdir(parents=True, exist_ok=True)
        figures: list[Figures] = []
        for seed in seeds:
            config = CrasConfig(backbone=backbone, steps=steps, seed=seed, calibration_folds=folds)
            for each in Mill(frames, order, config, learned_px=learned_px).run():
                figures.append(each)
                write(figures, out)
    except (LoomwatchError, CrasError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    print((out / "table.md").read_text(), end="")


class Mill:
    """The frames of one seed's split, and the models of each way."""

    def __init__(
        self,
        frames: Mapping[str, Sequence[AnnotatedFrame]],
        order: Sequence[str],
        config: CrasConfig,
        *,
        learned_px: int,
    ) -> None:
        self._order, self._config, self._seed = list(order), config, config.seed
        self._judged: dict[tuple[str, float], Figures] = {}  # the latest, of all styles
        self._trained: dict[str, list[Frame]] = {}
        self._confirmed: dict[str, list[Frame]] = {}
        self._tested: dict[str, list[Frame]] = {}
        for place, (style, own) in enumerate(sorted(frames.items())):
            good = [each for each in own if each.kind == GOOD]
            if len(good) < TRAINED + CONFIRMED + 2:
                raise SettingsError(f"style {style} has {len(good)} good strips: {TRAINED + CONFIRMED + 2} are needed")
            mixed = [good[i] for i in np.random.default_rng([config.seed, place]).permutation(len(good))]
            self._trained[style] = [
                replace(frame, pixels=frame.pixels[:, :learned_px]) for frame in halves(style, mixed[:TRAINED])
            ]
            self._confirmed[style] = halves(style, mixed[TRAINED : TRAINED + CONFIRMED])
            rest = mixed[TRAINED + CONFIRMED :] + [each for each in own if each.kind != GOOD]
            self._tested[style] = halves(style, rest)

    def run(self) -> Iterator[Figures]:
        """All steps; each figure as it comes."""
        first, new = self._order[:2], self._order[2]
        given = [sample for style in first for sample in samples_of(self._trained[style])]
        began = time.monotonic()
        start = train(given, self._config, device=CPU)
        took = time.monotonic() - began
        figures = self._judge("start", "full training", start, first, 0.0, took)
        yield from (replace(figures, way=way) for way in WAYS)
        models = dict.fromkeys(WAYS, start)
        known = dict.fromkeys(WAYS, given)

        arrived = samples_of(self._trained[new])
        acts: dict[str, Callable[[Model, list[NormalSample]], Model]] = {
            "center only": lambda model, _: add_style(model, arrived, device=CPU),
            "fine-tuning": lambda model, old: finetune_style(model, arrived, old, device=CPU),
            "full training": lambda _, old: train([*old, *arrived], self._config, device=CPU),
        }
        yield from self._step("style", models, known, acts, dict.fromkeys(WAYS[1:], arrived), drift=0.0)

        ramp = [
            sample
            for style in self._order
            for sample in samples_of(dim(self._trained[style], np.linspace(0.1, 1.0, len(self._trained[style]))))
        ]
        yield from self._step("light", models, known, self._learn(ramp), dict.fromkeys(WAYS[1:], ramp), drift=1.0)

        confirmed = {way: self._false_alarms(models[way]) for way in WAYS[1:]}
        log.info("confirmed as normal: %s", {way: len(samples) for way, samples in confirmed.items()})
        acts = {way: self._learn(samples)[way] for way, samples in confirmed.items() if samples}
        yield from self._step("confirmed", models, known, acts, confirmed, drift=1.0)

    def _learn(self, more: list[NormalSample]) -> dict[str, Callable[[Model, list[NormalSample]], Model]]:
        """Each way's act when more normal fabric of known styles is given."""
        return {
            "center only": lambda model, old: relearn_centers(model, [*old, *more]),
            "fine-tuning": lambda model, old: tune(model, [*old, *more]),
            "full training": lambda _, old: train([*old, *more], self._config, device=CPU),
        }

    def _step(
        self,
        step: str,
        models: dict[str, Model],
        known: dict[str, list[NormalSample]],
        acts: Mapping[str, Callable[[Model, list[NormalSample]], Model]],
        given: Mapping[str, list[NormalSample]],
        *,
        drift: float,
    ) -> Iterator[Figures]:
        for way in WAYS:
            began = time.monotonic()
            if way not in acts and (same := self._judged.get((way, drift))):
                yield replace(same, step=step, seconds=0.0)
                continue
            if way in acts:
                models[way] = acts[way](models[way], known[way])
                known[way] = [*known[way], *given[way]]
            seconds = time.monotonic() - began
            self._judged[way, drift] = self._judge(step, way, models[way], self._order, drift, seconds)
            yield self._judged[way, drift]

    def _false_alarms(self, model: Model) -> list[NormalSample]:
        """The tiles it raises on further normal strips in the drifted light, as a review would give them."""
        scorer, found = scorer_of(model), []
        for style in self._order:
            for frame in dim(self._confirmed[style], [1.0] * len(self._confirmed[style])):
                tiles = cut_to_tiles(frame.pixels, tile_px=scorer.tile_px, name=frame.name).tiles
                scored = scorer.score(tiles, style=style)
                found += [
                    NormalSample.from_pixels(tile, style=style, group=frame.strip, name=frame.name, fit="cut")
                    for tile, score, limit in zip(tiles, scored.scores, scored.thresholds, strict=True)
                    if score > limit
                ]
        return found

    def _judge(self, step: str, way: str, model: Model, styles: Sequence[str], drift: float, seconds: float) -> Figures:
        scorer, by_style = scorer_of(model), {}
        for style in styles:
            frames = self._tested[style]
            by_style[style] = judge_style(scorer, style, dim(frames, [drift] * len(frames)))
        figures = Figures(
            seed=self._seed,
            step=step,
            way=way,
            auroc=statistics.fmean(own["auroc"] for own in by_style.values()),
            false_alarms=int(sum(own["false_alarms"] for own in by_style.values())),
            metres=sum(own["metres"] for own in by_style.values()),
            found=int(sum(own["found"] for own in by_style.values())),
            defects=int(sum(own["defects"] for own in by_style.values())),
            by_style=by_style,
            seconds=seconds,
        )
        log.info("%s", to_row([figures]))
        return figures


def halves(style: str, strips: Sequence[AnnotatedFrame]) -> list[Frame]:
    """Each strip's fabric in two frames. A frame of a defect strip without the defect is left out: nobody has said
    that it is normal."""
    found = []
    for strip in strips:
        pixels = read_picture(strip.path)
        edges = find_edges(pixels)
        if edges is None:
            raise SettingsError(f"{strip.path}: no fabric found")
        mask = None
        if strip.kind != GOOD:
            mask = np.any([read_picture(path).max(axis=2) > 0 for path in strip.masks], axis=0)
        middle = (edges[0] + edges[1]) // 2
        for left, right in ((edges[0], middle), (middle, edges[1])):
            own = None if mask is None else mask[:, left:right]
            if own is None or own.any():
                found.append(Frame(style, strip.path.stem, pixels[:, left:right], own))
    return found


def dim(frames: Sequence[Frame], drift: Sequence[float] | NDArray[np.float64]) -> list[Frame]:
    """The same cloth in other light: drift 0 as it is, 1 the end of the ramp."""
    found = []
    for frame, much in zip(frames, drift, strict=True):
        fall = np.linspace(*DARKER, frame.pixels.shape[1]) * much
        pixels = np.clip(np.rint(frame.pixels * (1 - fall)[None, :, None]), 0, 255).astype(np.uint8)
        found.append(replace(frame, pixels=pixels))
    return found


def samples_of(frames: Sequence[Frame]) -> list[NormalSample]:
    return [
        NormalSample.from_pixels(frame.pixels, style=frame.style, group=frame.strip, name=frame.name, fit="cut")
        for frame in frames
    ]


def relearn_centers(model: Model, samples: Sequence[NormalSample]) -> Model:
    """Every style's statistics and threshold anew; adapter and discriminator stay."""
    for style in list(model.styles):
        own = [sample for sample in samples if sample.style == style]
        model = add_style(remove_style(model, style), own, device=CPU)
    return model


def tune(model: Model, samples: Sequence[NormalSample]) -> Model:
    """A quarter of a training from the model's weights on, thresholds cross-fitted as in one."""
    config = model.config
    extractor = Extractor(model.backbone, config, device=CPU)
    features = extract_features(samples, extractor, config, progress=lambda _: None)
    order = tuple(model.styles)
    features = replace(
        features, styles=order, style_of=np.asarray([order.index(features.styles[i]) for i in features.style_of])
    )
    folds = split_folds(features, folds=config.calibration_folds, seed=config.seed)
    maps = ScoreMap(grid_px=extractor.grid_px, tile_px=config.tile_px, smoothing_px=config.smoothing_px)
    held_out = np.full(len(features), np.nan)
    for fold in sorted(set(folds.of_tile.tolist())):
        kept, out = np.flatnonzero(folds.of_tile != fold), np.flatnonzero(folds.of_tile == fold)
        heads, _ = fit_heads(features, kept, shorten(config), begin=model.heads)
        held_out[out] = score_features(heads, maps, features, out)
    heads, losses = fit_heads(features, np.arange(len(features)), shorten(config), begin=model.heads)
    thresholds = set_thresholds(held_out, features, folds, config)
    styles = {style: replace(facts, threshold=thresholds[style]) for style, facts in model.styles.items()}
    return replace(model, heads=heads.eval(), styles=styles, losses=tuple(losses))


def scorer_of(model: Model) -> Scorer:
    thresholds = {name: facts.threshold for name, facts in model.styles.items()}
    manifest = {
        "styles": {name: {"threshold": own.value, "threshold_set": own.to_dict()} for name, own in thresholds.items()}
    }
    return Scorer(name="continual", backbone=model.backbone, heads=model.heads.eval(), manifest=manifest, device=CPU)


def judge_style(scorer: Scorer, style: str, frames: Sequence[Frame]) -> dict[str, float]:
    """A style the model does not know is routed, as on the line."""
    highest, anomalous, alarms, metres, found = [], [], 0, 0.0, 0
    for frame in frames:
        cut = cut_to_tiles(frame.pixels, tile_px=scorer.tile_px, name=frame.name)
        scored = scorer.score(cut.tiles, style=style)
        ratios = scored.scores / scored.thresholds
        highest.append(float(ratios.max()))
        anomalous.append(frame.mask is not None)
        if frame.mask is None:
            length = cut.length_px * scorer.mm_per_px / 1000
            metres += length
            places = np.asarray([divmod(index, cut.columns) for index in range(len(ratios))])
            held = HeldOut(
                scores=ratios.astype(np.float64),
                pictures=np.zeros(len(ratios), np.int64),
                places=places,
                groups=[frame.strip] * len(ratios),
                metres=np.full(len(ratios), length / len(ratios)),
            )
            alarms += len(find_peaks(held, start=1.0))
        else:
            kernel = np.ones((2 * NEAR_PX + 1,) * 2, np.uint8)
            near = cv2.dilate(frame.mask.astype(np.uint8), kernel)[:, :, None].repeat(3, axis=2)
            over = scored.maps > scored.thresholds[:, None, None]
            found += bool(
                (over & (cut_to_tiles(near, tile_px=scorer.tile_px, name=frame.name).tiles[..., 0] > 0)).any()
            )
    return {
        "auroc": float(auroc(np.asarray(highest), np.asarray(anomalous)) or 0.0),
        "false_alarms": alarms,
        "metres": metres,
        "found": found,
        "defects": sum(anomalous),
    }


def to_row(figures: Sequence[Figures]) -> str:
    """One line of the table, of all seeds together."""
    alarms, metres = sum(each.false_alarms for each in figures), sum(each.metres for each in figures)
    found, defects = sum(each.found for each in figures), sum(each.defects for each in figures)
    low, high = rate_interval(alarms, metres)
    mean = statistics.fmean(each.auroc for each in figures)
    first = figures[0]
    return (
        f"| {first.step} | {first.way} | {100 * mean:.1f} | {100 * alarms / metres:.0f} ({low:.0f} to {high:.0f}) | "
        f"{100 * found / defects:.0f} ({found} of {defects}) | "
        f"{statistics.fmean(each.seconds for each in figures):.0f} |"
    )


def write(figures: Sequence[Figures], out: Path) -> None:
    (out / "figures.json").write_text(json.dumps([asdict(each) for each in figures], indent=1) + "\n")
    lines = [
        "| step | way | image AUROC, % | false alarms per 100 m (95 %) | recall, % | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for step in STEPS:
        for way in WAYS if step != "start" else WAYS[-1:]:
            own = [each for each in figures if (each.step, each.way) == (step, way)]
            if own:
                lines.append(to_row(own))
    (out / "table.md").write_text("\n".join(lines) + "\n")
    draw(figures, out / "continual.png")


def draw(figures: Sequence[Figures], path: Path) -> None:
    """Three figures by step, a line for each way; seeds together."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels: dict[str, Callable[[Sequence[Any]], float]] = {
        "image AUROC, %": lambda own: 100 * statistics.fmean(each.auroc for each in own),
        "false alarms per 100 m": lambda own: (
            100 * sum(each.false_alarms for each in own) / sum(each.metres for each in own)
        ),
        "recall, %": lambda own: 100 * sum(each.found for each in own) / sum(each.defects for each in own),
    }
    looks = (("#777777", "o", ":"), ("#E69F00", "s", "--"), ("#0072B2", "^", "-."), ("#009E73", "D", "-"))
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for axis, (title, value) in zip(axes, panels.items(), strict=True):
        for way, (colour, marker, line) in zip(WAYS, looks, strict=True):
            points = {step: [each for each in figures if (each.step, each.way) == (step, way)] for step in STEPS}
            drawn = [(index, value(own)) for index, own in enumerate(points.values()) if own]
            axis.plot(*zip(*drawn, strict=True), color=colour, marker=marker, linestyle=line, label=way)
        axis.set_title(title)
        axis.set_xticks(range(len(STEPS)), STEPS)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)
