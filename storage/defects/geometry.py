"""What kind of defect it is by its form alone, and the names that staff may mean by it.

The rules of the trade: across nearly the whole cloth is `full_width`; within the selvedge is `edge`; small is a
`point`; long and thin is a `warp_line`, `weft_line` or `diagonal` by its direction; the rest is an `area`. Whether
cloth is missing (`hole`) is a property that each of them may have. Judged after merging, never tile by tile.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from storage.defects.outline import Measures

Geometry = Literal["point", "warp_line", "weft_line", "diagonal", "area", "full_width", "edge"]
GEOMETRIES: tuple[Geometry, ...] = get_args(Geometry)

FULL_WIDTH = 0.8  # of the cloth's width
EDGE_MM = 25.0
POINT_MM = 10.0
LINE_RATIO = 4.0  # length to width
LINE_DEG = 15.0  # to warp or weft
ROUNDING_MM = 1e-6
NARROWEST_VIEW_MM = 150.0  # cloth narrows by less than this, and no camera sees less


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloth:
    """What of the cloth a defect's form is judged by.

    width_mm: the roll's, the widest seen. right_mm: the right fabric edge in the defect's frames. right_reach_mm: from
    there to the defect's farthest point.
    """

    width_mm: float
    right_mm: float
    right_reach_mm: float


def classify(measures: Measures, cloth: Cloth) -> Geometry:
    """The geometry of a (merged) defect."""
    if measures.x1_mm - measures.x0_mm >= FULL_WIDTH * cloth.width_mm:
        return "full_width"
    if measures.x1_mm <= EDGE_MM or (_sees_right_edge(cloth) and cloth.right_reach_mm <= EDGE_MM):
        return "edge"
    return form(measures)


def form(measures: Measures) -> Geometry:
    """Without regard to the cloth: point, line or area."""
    if measures.length_mm <= POINT_MM + ROUNDING_MM:
        return "point"
    if measures.length_mm >= LINE_RATIO * measures.width_mm - ROUNDING_MM:
        if measures.angle_deg <= LINE_DEG:
            return "warp_line"
        return "weft_line" if measures.angle_deg >= 90 - LINE_DEG else "diagonal"
    return "area"


def _sees_right_edge(cloth: Cloth) -> bool:
    """Whether the right fabric edge of the frame is the cloth's, not the border to the next camera."""
    return cloth.right_mm >= cloth.width_mm - NARROWEST_VIEW_MM


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A defect of the trade's vocabulary. `hole`: only where cloth is missing; `periodic`: commonly at equal spaces."""

    code: str
    words: str
    geometries: tuple[Geometry, ...]
    hole: bool = False
    periodic: bool = False


NAMES: tuple[Name, ...] = (
    Name(code="broken_end", words="broken or missing end", geometries=("warp_line", "edge")),
    Name(code="double_end", words="double end", geometries=("warp_line",)),
    Name(code="reed_mark", words="reed mark", geometries=("warp_line",)),
    Name(code="slack_end", words="slack or tight end", geometries=("warp_line",)),
    Name(code="needle_line", words="needle or sinker line", geometries=("warp_line",)),
    Name(code="mispick", words="mispick", geometries=("weft_line", "full_width")),
    Name(code="double_pick", words="double pick", geometries=("weft_line", "full_width")),
    Name(code="weft_crack", words="weft crack", geometries=("weft_line", "full_width")),
    Name(code="weft_bar", words="weft bar", geometries=("full_width", "area"), periodic=True),
    Name(code="starting_mark", words="starting mark", geometries=("full_width", "weft_line"), periodic=True),
    Name(code="barre", words="barré", geometries=("full_width", "weft_line"), periodic=True),
    Name(code="seam", words="seam or join", geometries=("full_width",)),
    Name(code="slub", words="slub", geometries=("weft_line", "warp_line", "point")),
    Name(code="thick_thin_place", words="thick or thin place", geometries=("weft_line", "warp_line", "point")),
    Name(code="knot", words="knot", geometries=("point",)),
    Name(code="nep", words="nep", geometries=("point",)),
    Name(code="contamination", words="fly or contamination", geometries=("point", "area", "weft_line")),
    Name(code="float", words="float", geometries=("point", "area", "warp_line", "weft_line"), periodic=True),
    Name(code="snag", words="snag or snarl", geometries=("point", "area", "diagonal")),
    Name(code="hole", words="hole", geometries=("point", "area", "edge"), hole=True),
    Name(code="dropped_stitch", words="dropped stitch", geometries=("point", "area", "warp_line"), hole=True,
         periodic=True),
    Name(code="stain", words="oil or dye stain", geometries=("area", "point", "diagonal"), periodic=True),
    Name(code="temple_mark", words="temple or roller mark", geometries=("point", "area", "edge"), periodic=True),
    Name(code="crease", words="crease", geometries=("diagonal", "warp_line")),
    Name(code="selvedge_fault", words="selvedge fault", geometries=("edge",)),
    Name(code="shading", words="shading, bow or skew", geometries=("full_width", "area")),
    Name(code="uneven_finish", words="uneven finish", geometries=("full_width", "area")),
)  # fmt: skip
CODES = {name.code: name for name in NAMES}


def propose_names(geometry: str, *, hole: bool | None = None, periodic: bool = False) -> tuple[Name, ...]:
    """Names that fit a form, the likeliest first: those for holes where cloth is missing, then those that repeat where
    it repeats, then in the order of the vocabulary, which puts a geometry's typical names first."""
    fitting = [name for name in NAMES if geometry in name.geometries and (hole is not False or not name.hole)]
    return tuple(
        sorted(
            fitting,
            key=lambda name: (
                name.hole != bool(hole),
                name.periodic != periodic if periodic else False,
                name.geometries.index(geometry),
            ),
        )
    )
