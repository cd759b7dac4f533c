"""What the report keeps of each class while it is evaluated: curves, scores, and the few pictures worth a look.

A class's maps go when the next class is scored; in memory stay some hundred numbers and 18 pictures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cras_core.dataset import GOOD
from cras_core.metrics import Curves, Truth, Values, curves
from cras_core.pictures import Pixels
from cras_core.scored_class import ScoredClass, read_test
from cras_core.scoring import Scorer

EXAMPLES = 6  # of each kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One test picture. tile: (T, T, 3) uint8; heat: (T, T) raw scores; mask: (T, T)."""

    name: str
    kind: str
    style: str
    score: float
    threshold: float
    tile: Pixels
    heat: Values
    mask: Truth

    @property
    def over(self) -> float:
        """How far the score is over the threshold; below 0: not found."""
        return self.score - self.threshold

    @property
    def right(self) -> bool:
        return (self.over > 0) == (self.kind != GOOD)

    @property
    def verdict(self) -> str:
        if self.kind == GOOD:
            return "no alarm" if self.right else "false alarm"
        return "found" if self.right else "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFindings:
    """scores, anomalous: (N,) of the test pictures; threshold: the class's own. A curve is None where a kind is
    missing."""

    name: str
    scores: Values
    anomalous: Truth
    threshold: float
    image: Curves | None
    pixel: Curves | None


class Findings:
    """Give it to `evaluate` as `observe`."""

    def __init__(self, scorer: Scorer) -> None:
        self.classes: list[ClassFindings] = []
        self.misses: list[Example] = []
        self.false_alarms: list[Example] = []
        self.hits: list[Example] = []
        styles = scorer.manifest["styles"]
        self._thresholds = {name: float(styles[name]["threshold"]) for name in scorer.styles}

    def __call__(self, scored: ScoredClass) -> None:
        name = scored.folder.name
        self.classes.append(
            ClassFindings(
                name=name,
                scores=scored.scores,
                anomalous=scored.anomalous,
                threshold=self._thresholds[name],
                image=curves(scored.scores, scored.anomalous),
                pixel=curves(scored.maps, scored.masks),
            )
        )
        anomalous, normal = np.flatnonzero(scored.anomalous), np.flatnonzero(~scored.anomalous)
        self.misses = _keep(self.misses, scored, anomalous, sign=-1)
        self.hits = _keep(self.hits, scored, anomalous, sign=1)
        self.false_alarms = _keep(self.false_alarms, scored, normal, sign=1)


def _keep(kept: list[Example], scored: ScoredClass, chosen: NDArray[np.int64], *, sign: int) -> list[Example]:
    """Of those kept so far and the chosen pictures the furthest over (sign 1) or under (-1) their thresholds."""
    over = sign * (scored.scores - scored.thresholds)[chosen]
    best = chosen[np.argsort(-over, kind="stable")[:EXAMPLES]]
    found = kept + [_example(scored, int(index)) for index in best]
    return sorted(found, key=lambda each: -sign * each.over)[:EXAMPLES]


def _example(scored: ScoredClass, index: int) -> Example:
    picture = scored.folder.test[index]
    tile, mask = read_test(scored.folder, index, tile_px=scored.maps.shape[1], resize_px=scored.resize_px)
    return Example(
        name=f"{scored.folder.name}/{picture.kind}/{picture.path.name}",
        kind=picture.kind,
        style=scored.styles[index],
        score=float(scored.scores[index]),
        threshold=float(scored.thresholds[index]),
        tile=tile,
        heat=scored.maps[index].copy(),
        mask=mask,
    )
