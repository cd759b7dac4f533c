"""The models in charge at one moment, as one: a frame is scored by the model of its roll's style, whole and alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cras_core.scoring import Scored, Scorer
from inspection.types import Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class InCharge:
    """main: of all styles but those of `styles`, and of cloth whose style nobody entered. act: the promotion or roll
    back that this follows. factors: of each model's own thresholds, by model and style."""

    main: Scorer
    styles: Mapping[str, Scorer] = field(default_factory=dict)
    act: int = 0
    factors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def move_thresholds(self) -> None:
        """Sets each model's thresholds as staff moved them (`storage.sensitivity`). Called between two frames."""
        for scorer in (self.main, *self.styles.values()):
            moved, known = self.factors.get(scorer.name, {}), scorer.manifest["styles"]
            own = [float(known[style]["threshold"]) * moved.get(style, 1.0) for style in scorer.styles]
            scorer.thresholds = np.asarray(own, np.float32)

    def of(self, style: str) -> Scorer:
        return self.styles.get(style, self.main)

    @property
    def name(self) -> str:
        return self.main.name

    @property
    def runtime_name(self) -> str:
        return self.main.runtime_name

    @property
    def words(self) -> str:
        apart = [f"{style} by {scorer.name}" for style, scorer in self.styles.items()]
        return ", ".join([self.main.name, *apart])

    def check(self, *, tile_px: int, mm_per_px: float) -> None:
        """Raises `cras_core.errors.BundleError`. All in charge take frames of one tile size and scale."""
        self.main.check(tile_px=tile_px, mm_per_px=mm_per_px)

    def score(self, tiles: Pixels, *, style: str = "") -> Scored:
        return self.of(style).score(tiles, style=style)
