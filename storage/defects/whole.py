"""A defect as its fragments make it: each of these joins with another of its kind, in any order to the same result."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.defects.geometry import Cloth, classify
from storage.defects.outline import Outline, area_mm2, decode_outline, encode_outline, join_outlines, measure
from storage.tables import DefectRow

GROWN = 1.25  # what joins a false alarm and is stronger than it by this makes staff look again
LANE_MM = 16.0
FULL_WIDTH_LANE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The strongest fragment, which stands for the defect."""

    frame_id: int
    number: int
    score: float
    threshold: float
    style: str
    camera: str
    counter: str
    x_mm: float
    y_mm: float

    @property
    def strength(self) -> float:
        return strength(self.score, self.threshold)

    def order(self) -> tuple[float, float, float, str, str]:
        """Of several as strong, the first along the roll; never the one that came first."""
        return -self.strength, self.y_mm, self.x_mm, self.camera, self.counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What staff said of the parts of a defect. None: there is no such part."""

    confirmed: bool = False
    rejected_strength: float | None = None
    unseen_strength: float | None = None

    @property
    def state(self) -> str:
        """A part that is a defect makes the whole one. A false alarm stays one while it grows, unless what came to it
        unseen is much stronger than anything that was rejected: then staff are asked again."""
        if self.confirmed:
            return "confirmed"
        if self.rejected_strength is None:
            return "unreviewed"
        return "rejected" if (self.unseen_strength or 0.0) <= GROWN * self.rejected_strength else "unreviewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A defect, or a fragment as a defect of its own."""

    outline: Outline
    fragments: int
    captured_at: datetime  # of the first
    hole: bool | None
    right_mm: float
    right_reach_mm: float
    peak: Peak
    verdict: Verdict


def strength(score: float, threshold: float) -> float:
    """Score in units of the threshold."""
    return score / threshold if threshold > 0 else score


def join(parts: Sequence[Whole]) -> Whole:
    if len(parts) == 1:
        return parts[0]
    holes = [part.hole for part in parts]
    return Whole(
        outline=join_outlines(part.outline for part in parts),
        fragments=sum(part.fragments for part in parts),
        captured_at=min(part.captured_at for part in parts),
        hole=True if True in holes else None if None in holes else False,
        right_mm=max(part.right_mm for part in parts),
        right_reach_mm=max(part.right_reach_mm for part in parts),
        peak=min((part.peak for part in parts), key=Peak.order),
        verdict=Verdict(
            confirmed=any(part.verdict.confirmed for part in parts),
            rejected_strength=_highest(part.verdict.rejected_strength for part in parts),
            unseen_strength=_highest(part.verdict.unseen_strength for part in parts),
        ),
    )


def whole_of_fragment(values: dict[str, Any], verdict: Verdict | None = None) -> Whole:
    """values: the columns of a `FragmentRow`. Nobody has reviewed it, unless a verdict is given."""
    return Whole(
        outline=decode_outline(values["outline"]),
        fragments=1,
        captured_at=values["captured_at"],
        hole=values["hole"],
        right_mm=values["right_mm"],
        right_reach_mm=values["right_mm"] - values["x0_mm"],
        peak=Peak(
            frame_id=values["frame_id"],
            number=values["number"],
            score=values["score"],
            threshold=values["threshold"],
            style=values["style"],
            camera=values["camera"],
            counter=values["counter"],
            x_mm=values["x0_mm"],
            y_mm=values["y0_mm"],
        ),
        verdict=verdict or Verdict(unseen_strength=strength(values["score"], values["threshold"])),
    )


def whole_of_row(row: DefectRow) -> Whole:
    return Whole(
        outline=decode_outline(row.outline),
        fragments=row.fragments,
        captured_at=row.captured_at,
        hole=row.hole,
        right_mm=row.right_mm,
        right_reach_mm=row.right_reach_mm,
        peak=Peak(
            frame_id=row.frame_id,
            number=row.fragment,
            score=row.score,
            threshold=row.threshold,
            style=row.style,
            camera=row.camera,
            counter=row.counter,
            x_mm=row.peak_x_mm,
            y_mm=row.peak_y_mm,
        ),
        verdict=Verdict(
            confirmed=row.confirmed, rejected_strength=row.rejected_strength, unseen_strength=row.unseen_strength
        ),
    )


def columns_of(whole: Whole, *, cloth_width_mm: float) -> dict[str, Any]:
    """The columns of its `DefectRow` that follow from the fragments and their reviews."""
    measures = measure(whole.outline)
    cloth = Cloth(width_mm=cloth_width_mm, right_mm=whole.right_mm, right_reach_mm=whole.right_reach_mm)
    geometry = classify(measures, cloth)
    middle = (measures.x0_mm + measures.x1_mm) / 2
    return {
        "frame_id": whole.peak.frame_id,
        "fragment": whole.peak.number,
        "fragments": whole.fragments,
        "camera": whole.peak.camera,
        "counter": whole.peak.counter,
        "captured_at": whole.captured_at,
        "x0_mm": measures.x0_mm,
        "x1_mm": measures.x1_mm,
        "y0_mm": measures.y0_mm,
        "y1_mm": measures.y1_mm,
        "area_mm2": area_mm2(whole.outline),
        "size_mm": measures.size_mm,
        "length_mm": measures.length_mm,
        "width_mm": measures.width_mm,
        "angle_deg": measures.angle_deg,
        "geometry": geometry,
        "hole": whole.hole,
        "right_mm": whole.right_mm,
        "right_reach_mm": whole.right_reach_mm,
        "lane": FULL_WIDTH_LANE if geometry == "full_width" else max(0, int(middle // LANE_MM)),
        "score": whole.peak.score,
        "threshold": whole.peak.threshold,
        "strength": whole.peak.strength,
        "style": whole.peak.style,
        "peak_x_mm": whole.peak.x_mm,
        "peak_y_mm": whole.peak.y_mm,
        "outline": encode_outline(whole.outline),
        "state": whole.verdict.state,
        "confirmed": whole.verdict.confirmed,
        "rejected_strength": whole.verdict.rejected_strength,
        "unseen_strength": whole.verdict.unseen_strength,
    }


def _highest(values: Any) -> float | None:
    return max((value for value in values if value is not None), default=None)
