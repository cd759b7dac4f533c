"""Defects joined and parted by staff: the acts that leave a link or a cut (`storage.defects.by_hand`).

The caller holds `merging.lock_line`.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage.defects.by_hand import Key, Values, cuts_near, key_of, links_of, parted, reach_of
from storage.defects.merging import components, divide, fragments_of, grow, nearby, width_of
from storage.defects.together import together
from storage.grading.in_force import profile_in_force
from storage.tables import DefectCutRow, DefectLinkRow, DefectRow, FragmentRow


def join_defects(session: Session, rows: Sequence[DefectRow]) -> int:
    """Makes one defect of several of a roll; its id, which is the oldest's."""
    if len({row.roll_id for row in rows}) != 1:
        raise StorageError("defects of two rolls cannot be merged: choose defects of one roll")
    if len(rows) < 2:
        raise StorageError("one defect alone cannot be merged: choose at least two")
    roll_id = rows[0].roll_id
    peaks = [(row.frame_id, row.fragment) for row in sorted(rows, key=lambda row: row.id)]
    kept = grow(
        session,
        profile_in_force(session, roll_id),
        sorted(row.id for row in rows),
        [],
        width_mm=width_of(session, roll_id),
    )
    _link(session, kept, peaks)
    _follow_cuts(session, session.get_one(DefectRow, kept))
    session.flush()
    return kept


def part_defect(
    session: Session, defect: DefectRow, chosen: Iterable[Key], *, for_good: bool = True
) -> tuple[int, int]:
    """Makes a defect of the chosen fragments (frame, number) of a defect, and one of the rest: the ids of the rest and
    of what was taken out. for_good: also what comes late never joins them; else only what would join them now is cut.
    Raises `StorageError` unless both hold at least one."""
    fragments, line = fragments_of(session, defect.id), defect.line
    keys = set(chosen)
    out = [values for values in fragments if key_of(values) in keys]
    rest = [values for values in fragments if key_of(values) not in keys]
    if not out or not rest or len(out) != len(keys):
        raise StorageError(
            f"defect {defect.id} has {len(fragments)} pieces: choose at least one of them, and not all, to be a defect "
            "of their own"
        )
    for link in session.scalars(select(DefectLinkRow).where(DefectLinkRow.defect_id == defect.id)).all():
        if ((link.frame_a, link.number_a) in keys) != ((link.frame_b, link.number_b) in keys):
            session.delete(link)
    session.flush()
    cuts, links = cuts_near(session, line, fragments), links_of(session, defect.id)
    for side in (out, rest):  # staff's word: each is one defect
        _link(session, defect.id, [key_of(group[0]) for group in components(side, cuts=cuts, links=links)])
    cut = None
    if for_good or any(together(a, b) and not parted(cuts, a, b) for a in out for b in rest):
        first, last = reach_of(out)
        pieces = [[*key_of(each), True] for each in out]
        pieces += [[*key_of(each), False] for each in [*rest, *_neighbours(session, defect, fragments)]]
        cut = DefectCutRow(defect_id=defect.id, line=line, y0_mm=first, y1_mm=last, pieces=pieces)
        session.add(cut)
    session.flush()
    divide(session, line, defect, [(defect.roll_id, rest), (defect.roll_id, out)])
    session.flush()
    of_rest, of_out = (
        session.scalars(
            select(FragmentRow.defect_id).where(
                FragmentRow.frame_id == side[0]["frame_id"], FragmentRow.number == side[0]["number"]
            )
        ).one()
        for side in (rest, out)
    )
    if cut is not None:
        cut.defect_id = of_out
        session.flush()
    return of_rest, of_out


def _neighbours(session: Session, defect: DefectRow, fragments: Sequence[Values]) -> list[Values]:
    """All of other defects that this one would be part of, had staff not parted them: a new cut must not go through
    them."""
    others = [each for each in nearby(session, defect.roll_id, fragments) if each["defect_id"] != defect.id]
    ids = {other["defect_id"] for other in others if any(together(other, own) for own in fragments)}
    return [values for number in sorted(ids) for values in fragments_of(session, number)]


def _link(session: Session, defect_id: int, keys: Sequence[Key]) -> None:
    for a, b in pairwise(keys):
        session.add(DefectLinkRow(defect_id=defect_id, frame_a=a[0], number_a=a[1], frame_b=b[0], number_b=b[1]))


def _follow_cuts(session: Session, defect: DefectRow) -> None:
    """What became one defect is on one side of every cut that names a part of it. Where parts of it were on both, it is
    parted from what is left of either side, and these from each other as before."""
    line, fragments = defect.line, fragments_of(session, defect.id)
    first, last = reach_of(fragments)
    own = {key_of(values) for values in fragments}
    near = {key_of(values) for values in _neighbours(session, defect, fragments)}
    rows = session.scalars(
        select(DefectCutRow).where(DefectCutRow.line == line, DefectCutRow.y0_mm <= last, DefectCutRow.y1_mm >= first)
    ).all()
    for row in rows:
        sides = {(frame, number): bool(out) for frame, number, out in row.pieces}
        mine = {sides[key] for key in own & sides.keys()}
        if not mine:
            continue
        out = {key for key, side in sides.items() if side} - own
        rest = {key for key, side in sides.items() if not side} - own
        if mine == {False}:
            _name(row, out, rest | own, first, last)
        elif mine == {True}:
            _name(row, out | own, rest | (near - out), first, last)
        elif out:
            _name(row, out, rest | own, first, last)
            if rest:
                further = DefectCutRow(defect_id=defect.id, line=line, y0_mm=first, y1_mm=last, pieces=[])
                _name(further, own, out | rest | near, first, last)
                session.add(further)
        elif rest:
            _name(row, own, rest | near, first, last)
        else:
            session.delete(row)


def _name(row: DefectCutRow, out: set[Key], rest: set[Key], first: float, last: float) -> None:
    row.pieces = [[*key, True] for key in sorted(out)] + [[*key, False] for key in sorted(rest - out)]
    row.y0_mm, row.y1_mm = min(row.y0_mm, first), max(row.y1_mm, last)
