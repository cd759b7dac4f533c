"""Evaluation on labelled pictures: what a bundle is worth, a class at a time. Nothing is ever chosen by it.

In the setting "multi" every tile is routed by itself among all styles of the bundle; in "single" it is compared with
its own class, which is known.
"""

import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from cras_core.dataset import Layout
from cras_core.disturbances import Disturbance
from cras_core.errors import ConfigError, DataSetError
from cras_core.intervals import (
    LEVEL,
    ROUNDS,
    Counts,
    Interval,
    count_images,
    count_pixels,
    mean_rounds,
    middle,
    resample,
)
from cras_core.metrics import aupro, auroc, average_precision, f1_max
from cras_core.scored_class import ScoredClass, score_class
from cras_core.scoring import Scorer

Setting = Literal["multi", "single"]
SETTINGS: tuple[Setting, ...] = ("multi", "single")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """A figure is None where the class lacks what it needs (anomalies, or normal pictures).

    n_found, n_false: pictures with and without defects that score above the threshold of the style they were compared
    with, which is what a line would have found and cried wolf at.
    """

    image_auroc: float | None
    image_ap: float | None
    image_f1_max: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    pixel_f1_max: float | None
    aupro: float | None
    n_normal: int
    n_anomalous: int
    n_found: int
    n_false: int


FIGURES = tuple(field.name for field in fields(ClassFigures) if not field.name.startswith("n_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """routing_accuracy: the share of test pictures compared with their own class (1 in the setting "single").

    confusion: {true class: {class it was routed to: pictures}}, empty where nothing was routed. rounds: every
    class's bootstrap rounds of every figure, each (ROUNDS,). tiles_per_s: scoring alone.
    """

    setting: Setting
    classes: dict[str, ClassFigures]
    rounds: dict[str, dict[str, Counts]]
    routing_accuracy: float
    confusion: dict[str, dict[str, int]]
    tiles_per_s: float

    @property
    def mean(self) -> dict[str, float | None]:
        """Of each figure over the classes that have it."""
        means: dict[str, float | None] = {}
        for name in FIGURES:
            values = [value for figures in self.classes.values() if (value := getattr(figures, name)) is not None]
            means[name] = statistics.fmean(values) if values else None
        return means

    @property
    def intervals(self) -> dict[str, dict[str, Interval | None]]:
        """95 % intervals of every class's figures, None where the figure is None."""
        return {name: {figure: middle(own[figure]) for figure in FIGURES} for name, own in self.rounds.items()}

    @property
    def mean_intervals(self) -> dict[str, Interval | None]:
        return {figure: middle(mean_rounds([own[figure] for own in self.rounds.values()])) for figure in FIGURES}

    def drop_to(self, other: Self) -> dict[str, float | None]:
        """How much lower each mean figure of `other` is; None where either has none."""
        pairs = {name: (mine, other.mean[name]) for name, mine in self.mean.items()}
        return {name: None if a is None or b is None else a - b for name, (a, b) in pairs.items()}

    def to_dict(self) -> dict[str, Any]:
        return {
            "classes": {name: asdict(figures) for name, figures in self.classes.items()},
            "mean": self.mean,
            "intervals": {
                "level": LEVEL,
                "rounds": ROUNDS,
                "classes": self.intervals,
                "mean": self.mean_intervals,
            },
            "setting": self.setting,
            "routing_accuracy": self.routing_accuracy,
            "confusion": self.confusion,
            "tiles_per_s": self.tiles_per_s,
        }


def evaluate(
    scorer: Scorer,
    layout: Layout,
    *,
    setting: Setting = "multi",
    disturbance: Disturbance | None = None,
    progress: Callable[[float], None] = lambda _: None,
    observe: Callable[[ScoredClass], None] = lambda _: None,
) -> Evaluation:
    """Scores every test picture of every class. `progress` gets the fraction done, `observe` each class once scored.

    In memory is one class at a time, about 20 bytes a pixel while its figures are made, and what `observe` keeps.
    Raises `DataSetError` for a class that the bundle does not know or that has no test pictures, `PictureError`.
    """
    _check(scorer, layout)
    total = sum(len(folder.test) for folder in layout.classes.values())
    classes: dict[str, ClassFigures] = {}
    rounds: dict[str, dict[str, Counts]] = {}
    confusion: dict[str, dict[str, int]] = {}
    done, seconds = 0, 0.0
    for number, (name, folder) in enumerate(layout.classes.items()):

        def tell(pictures: int, before: int = done) -> None:
            progress((before + pictures) / total)

        scored, took = score_class(
            scorer,
            folder,
            style=name if setting == "single" else "",
            disturbance=disturbance,
            progress=tell,
        )
        done, seconds = done + len(folder.test), seconds + took
        classes[name], rounds[name] = figures_of(scored, seed=number)
        confusion[name] = dict(sorted(Counter(scored.styles).items()))
        observe(scored)
    right = sum(routed.get(name, 0) for name, routed in confusion.items())
    return Evaluation(
        setting=setting,
        classes=classes,
        rounds=rounds,
        routing_accuracy=right / total,
        confusion=confusion if setting == "multi" else {},
        tiles_per_s=total / seconds,
    )


def pick_setting(name: str) -> Setting:
    """Raises `ConfigError` for a name that is none."""
    for setting in SETTINGS:
        if name == setting:
            return setting
    raise ConfigError(f"setting must be one of {', '.join(SETTINGS)}, got {name!r}")


def figures_of(scored: ScoredClass, *, seed: int = 0) -> tuple[ClassFigures, dict[str, Counts]]:
    """A class's figures, and their bootstrap rounds."""
    scores, maps, masks, anomalous = scored.scores, scored.maps, scored.masks, scored.anomalous
    image = {
        "auroc": auroc(scores, anomalous),
        "ap": average_precision(scores, anomalous),
        "f1_max": f1_max(scores, anomalous),
    }
    pixel = {"auroc": auroc(maps, masks), "ap": average_precision(maps, masks), "f1_max": f1_max(maps, masks)}
    pixel["aupro"] = aupro(maps, masks)
    image_rounds = resample(count_images(scores, anomalous), image, seed=seed)
    pixel_rounds = resample(count_pixels(maps, masks, anomalous), pixel, seed=seed)
    values = _named(image, pixel)
    n_anomalous = int(anomalous.sum())
    over = scores > scored.thresholds
    figures = ClassFigures(
        **values,
        n_normal=len(anomalous) - n_anomalous,
        n_anomalous=n_anomalous,
        n_found=int((over & anomalous).sum()),
        n_false=int((over & ~anomalous).sum()),
    )
    return figures, _named(image_rounds, pixel_rounds)


def _named(image: dict[str, Any], pixel: dict[str, Any]) -> dict[str, Any]:
    """Both under the names of `ClassFigures`; AUPRO has no image counterpart."""
    named = {f"image_{name}": value for name, value in image.items()}
    return named | {name if name == "aupro" else f"pixel_{name}": value for name, value in pixel.items()}


def _check(scorer: Scorer, layout: Layout) -> None:
    unknown = sorted(set(layout.classes) - set(scorer.styles))
    if unknown:
        raise DataSetError(
            f"class {', '.join(unknown)} of {layout.folder} is not in bundle {scorer.name}, "
            f"which knows {', '.join(scorer.styles)}: evaluate those, or train a bundle on it"
        )
    for folder in layout.classes.values():
        if not folder.test:
            raise DataSetError(f"class {folder.name} of {layout.folder} has no test pictures: put some in test/")
