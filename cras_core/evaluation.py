"""Evaluation on labelled pictures: what a bundle is worth, a class at a time. Nothing is ever chosen by it.

Pictures of another size are resized to a tile, masks by nearest neighbour. Every tile is routed by itself.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from cras_core.dataset import GOOD, ClassFolder, Layout
from cras_core.errors import DataSetError
from cras_core.metrics import aupro, auroc, average_precision
from cras_core.pictures import read_mask, read_picture, resize_to_tile
from cras_core.scoring import Scorer

READ_AT_ONCE = 32  # pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """A figure is None where the class lacks what it needs (anomalies, or normal pictures)."""

    image_auroc: float | None
    image_ap: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    aupro: float | None
    n_normal: int
    n_anomalous: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """routing_accuracy: the share of test pictures compared with their own class. tiles_per_s: scoring alone."""

    classes: dict[str, ClassFigures]
    routing_accuracy: float
    tiles_per_s: float

    @property
    def mean(self) -> dict[str, float | None]:
        """Of each figure over the classes that have it."""
        means: dict[str, float | None] = {}
        for name in (field.name for field in fields(ClassFigures) if not field.name.startswith("n_")):
            values = [value for figures in self.classes.values() if (value := getattr(figures, name)) is not None]
            means[name] = statistics.fmean(values) if values else None
        return means

    def to_dict(self) -> dict[str, Any]:
        return {
            "classes": {name: asdict(figures) for name, figures in self.classes.items()},
            "mean": self.mean,
            "routing_accuracy": self.routing_accuracy,
            "tiles_per_s": self.tiles_per_s,
        }


def evaluate(scorer: Scorer, layout: Layout, *, progress: Callable[[float], None] = lambda _: None) -> Evaluation:
    """Scores every test picture of every class. `progress` gets the fraction done.

    Raises `DataSetError` for a class that the bundle does not know or that has no test pictures, `PictureError`.
    """
    unknown = sorted(set(layout.classes) - set(scorer.styles))
    if unknown:
        raise DataSetError(
            f"class {', '.join(unknown)} of {layout.folder} is not in bundle {scorer.name}, "
            f"which knows {', '.join(scorer.styles)}: evaluate those, or train a bundle on it"
        )
    for folder in layout.classes.values():
        if not folder.test:
            raise DataSetError(f"class {folder.name} of {layout.folder} has no test pictures: put some in test/")
    total = sum(len(folder.test) for folder in layout.classes.values())
    run = _Run(scorer, progress, total=total)
    classes = {name: run.figures_of(folder) for name, folder in layout.classes.items()}
    return Evaluation(classes=classes, routing_accuracy=run.right / total, tiles_per_s=total / run.seconds)


class _Run:
    def __init__(self, scorer: Scorer, progress: Callable[[float], None], *, total: int) -> None:
        self._scorer = scorer
        self._progress = progress
        self._total = total
        self._done = 0
        self.right = 0
        self.seconds = 0.0

    def figures_of(self, folder: ClassFolder) -> ClassFigures:
        tile = self._scorer.tile_px
        maps = np.empty((len(folder.test), tile, tile), np.float32)
        masks = np.zeros(maps.shape, np.bool_)
        scores = np.empty(len(folder.test), np.float32)
        for start in range(0, len(folder.test), READ_AT_ONCE):
            part = folder.test[start : start + READ_AT_ONCE]
            tiles = np.concatenate([resize_to_tile(read_picture(each.path), tile_px=tile) for each in part])
            started = time.perf_counter()
            scored = self._scorer.score(tiles)
            self.seconds += time.perf_counter() - started
            maps[start : start + len(part)], scores[start : start + len(part)] = scored.maps, scored.scores
            for index, each in enumerate(part, start):
                if each.mask is not None:
                    masks[index] = read_mask(each.mask, tile_px=tile)
            self.right += sum(style == folder.name for style in scored.styles)
            self._done += len(part)
            self._progress(self._done / self._total)
        anomalous = np.asarray([each.kind != GOOD for each in folder.test])
        return ClassFigures(
            image_auroc=auroc(scores, anomalous),
            image_ap=average_precision(scores, anomalous),
            pixel_auroc=auroc(maps, masks),
            pixel_ap=average_precision(maps, masks),
            aupro=aupro(maps, masks),
            n_normal=int((~anomalous).sum()),
            n_anomalous=int(anomalous.sum()),
        )
