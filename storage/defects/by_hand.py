"""What staff said of fragments: these are two defects (a cut), those are one (a link).

A link is one more edge of the graph whose components are the defects (`storage.defects.merging`). A cut takes edges
away. It names the pieces that were taken out and the rest as they were then, and has a side for every fragment: that of
a named piece is known; of any other, "taken out" when it belongs together with a piece that was, and lies nearer to it
than to any of the rest. Edges from one side to the other do not count.

So a cut is a yes or no about a pair, as the rules of `storage.defects.together` are: what comes late finds its side
whatever came before it, never joins the two again, and the result stays a function of the set of fragments and of
staff's acts. The price: what lies behind a late piece, and does not itself reach the pieces that were taken out, is not
counted to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from storage.defects.together import ALONG_MM, together
from storage.tables import DefectCutRow, DefectLinkRow, FragmentRow

Values = dict[str, Any]  # the columns of a fragment
Key = tuple[int, int]  # frame, number
Link = tuple[Key, Key]

_CUTS = DefectCutRow.__table__
_NEAR = select(_CUTS.c.pieces).where(
    _CUTS.c.line == bindparam("line"), _CUTS.c.y0_mm <= bindparam("last"), _CUTS.c.y1_mm >= bindparam("first")
)


@dataclass(frozen=True, slots=True)
class Cut:
    """sides: of the named pieces, True for those taken out; pieces: what is still stored of them."""

    sides: dict[Key, bool]
    pieces: tuple[Values, ...]

    def side(self, values: Values) -> bool:
        """True for what was taken out."""
        known = self.sides.get(key_of(values))
        if known is not None:
            return known
        if not any(self.sides[key_of(piece)] and together(piece, values) for piece in self.pieces):
            return False
        comparable = [
            piece
            for piece in self.pieces
            if piece["camera"] != values["camera"] or piece["counter"] == values["counter"]
        ]
        nearest = min(comparable, key=lambda piece: (*_apart(piece, values), self.sides[key_of(piece)]))
        return self.sides[key_of(nearest)]


def key_of(values: Values) -> Key:
    return values["frame_id"], values["number"]


def parted(cuts: Sequence[Cut], a: Values, b: Values) -> bool:
    """Whether staff parted two fragments that belong together otherwise."""
    return any(cut.side(a) != cut.side(b) for cut in cuts)


def cuts_near(session: Session, line: str, fragments: Sequence[Values]) -> list[Cut]:
    """All cuts that can matter to these fragments. Nearly always none: then it is one small question."""
    if not fragments:
        return []
    place = {
        "line": line,
        "first": min(values["y0_mm"] for values in fragments),
        "last": max(values["y1_mm"] for values in fragments),
    }
    found = session.connection().execute(_NEAR, place).scalars().all()
    return [_cut(session, {(frame, number): out for frame, number, out in pieces}) for pieces in found]


def reach_of(fragments: Sequence[Values]) -> tuple[float, float]:
    """Where along the roll a cut can matter: wherever something reaches the pieces that were taken out."""
    return min(each["y0_mm"] for each in fragments) - 2 * ALONG_MM, max(each["y1_mm"] for each in fragments) + (
        2 * ALONG_MM
    )


def links_of(session: Session, defect_id: int) -> list[Link]:
    rows = session.scalars(select(DefectLinkRow).where(DefectLinkRow.defect_id == defect_id))
    return [((row.frame_a, row.number_a), (row.frame_b, row.number_b)) for row in rows]


def _cut(session: Session, sides: dict[Key, bool]) -> Cut:
    table, frames = FragmentRow.__table__, sorted({frame for frame, _ in sides})
    pieces: list[Values] = []
    for start in range(0, len(frames), 500):
        query = select(*table.columns).where(table.c.frame_id.in_(frames[start : start + 500]))
        pieces += [dict(row) for row in session.connection().execute(query).mappings()]
    return Cut(sides, tuple(piece for piece in pieces if key_of(piece) in sides))


def _apart(a: Values, b: Values) -> tuple[float, float]:
    """Between two boxes, in mm; and between their middles, for those that overlap."""
    gap_x = max(a["x0_mm"] - b["x1_mm"], b["x0_mm"] - a["x1_mm"], 0.0)
    gap_y = max(a["y0_mm"] - b["y1_mm"], b["y0_mm"] - a["y1_mm"], 0.0)
    middles = (sum(each[axis + end] for end in ("0_mm", "1_mm")) / 2 for axis in "xy" for each in (a, b))
    ax, bx, ay, by = middles
    return hypot(gap_x, gap_y), hypot(ax - bx, ay - by)
