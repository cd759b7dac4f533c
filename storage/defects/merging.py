"""Fragments into defects, in the transaction that stores their frame.

A roll's fragments are the nodes of a graph, `belong_together` its edges, defects its connected components: a function
of the set of fragments, whatever their order. Adding a fragment can only join components, so only fragments near it are
looked at, through the index by place, and what they belong to is joined outline by outline. A corrected boundary of a
roll takes fragments from one roll to another; there the components are found anew (`follow_rolls`).

Of several defects that become one, the oldest keeps its number; the others' numbers lead to it, and their reviews and
samples become its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
from sqlalchemy import ColumnElement, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from storage.bulk import take_numbers, write_rows
from storage.database import Database
from storage.defects.by_hand import Cut, Link, cuts_near, links_of, parted
from storage.defects.geometry import Geometry
from storage.defects.series import find_series, settle_series
from storage.defects.together import ALONG_MM, NEAR_MM, belong_together, fragment_of, reach_mm, together
from storage.defects.whole import Verdict, Whole, columns_of, join, strength, whole_of_fragment, whole_of_row
from storage.grading.cloth import ClothDefect, Severity
from storage.grading.in_force import profile_in_force
from storage.grading.profile import AnyProfile, TenPointProfile
from storage.grading.severity import highest, judge
from storage.tables import (
    DefectCutRow,
    DefectLinkRow,
    DefectRow,
    FragmentRow,
    FrameRow,
    MergedDefectRow,
    ReviewRow,
    RollWidthRow,
    SampleRow,
)
from storage.trends.totals import enter, leave

WIDTH_STEP_MM = 5.0  # the fabric's edges tremble; a width that grew by less judges nothing anew
LONGEST_MM = 20_000.0  # of a fragment along the roll; a frame is shorter

Values = dict[str, Any]  # the columns of a fragment

# Built once, and over the tables rather than the mapped classes: each frame asks them, and to build a statement costs
# more than to run it.
_FRAGMENTS = FragmentRow.__table__
_WIDTHS = RollWidthRow.__table__
_NEARBY = select(*_FRAGMENTS.columns).where(
    _FRAGMENTS.c.roll_id == bindparam("roll"),
    _FRAGMENTS.c.y0_mm >= bindparam("first"),
    _FRAGMENTS.c.y0_mm <= bindparam("last"),
    _FRAGMENTS.c.y1_mm >= bindparam("from_y"),
    _FRAGMENTS.c.x1_mm >= bindparam("from_x"),
    _FRAGMENTS.c.x0_mm <= bindparam("to_x"),
)
_WIDTH = select(_WIDTHS.c.width_mm).where(_WIDTHS.c.roll_id == bindparam("roll"))


def lock_line(database: Database, session: Session, line: str) -> bool:
    """Two workers with neighbouring frames must see each other's fragments; who moves a roll's boundary, all. False
    when the transaction was alone before."""
    return database.lock(session, f"defects:{line}")


def place_fragments(
    session: Session, *, line: str, roll_id: int, width_mm: float, fragments: Sequence[Values]
) -> list[int]:
    """Stores new fragments of one roll, as parts of defects that are there or as new ones; the defects' ids.

    The caller holds `lock_line`. width_mm: the roll's. `fragments`: all columns but defect_id and roll_id; whole
    frames.
    """
    if not fragments:
        return []
    near = nearby(session, roll_id, fragments)
    values = [*fragments, *near]
    groups = _Groups(len(values))
    by_defect: dict[int, int] = {}
    for index, each in enumerate(near, start=len(fragments)):
        groups.join(by_defect.setdefault(each["defect_id"], index), index)
    _join_all(values, groups, new=len(fragments), cuts=cuts_near(session, line, fragments))
    profile = profile_in_force(session, roll_id)
    touched: list[int] = []
    alone: list[tuple[Values, list[Values]]] = []  # columns of a new defect, its fragments
    rows: list[Values] = []
    for members in groups.members(range(len(fragments))):
        mine = [fragments[member] for member in members if member < len(fragments)]
        there = sorted({near[member - len(fragments)]["defect_id"] for member in members if member >= len(fragments)})
        parts = [whole_of_fragment(each) for each in mine]
        if not there:
            columns = _columns(join(parts), profile=profile, width_mm=width_mm)
            new = {**columns, "line": line, "roll_id": roll_id, "series_id": None}
            enter(session, new)
            alone.append((new, mine))
            continue
        defect_id = grow(session, profile, there, parts, width_mm=width_mm)
        rows += [{**each, "defect_id": defect_id, "roll_id": roll_id} for each in mine]
        touched.append(defect_id)
    connection = session.connection()
    if alone:
        numbers = take_numbers(connection, DefectRow, len(alone))
        write_rows(
            connection, DefectRow, [{"id": number, **new} for number, (new, _) in zip(numbers, alone, strict=True)]
        )
        for number, (_, mine) in zip(numbers, alone, strict=True):
            rows += [{**each, "defect_id": number, "roll_id": roll_id} for each in mine]
        touched += numbers
    write_rows(connection, FragmentRow, rows)
    return touched


def _join_all(values: Sequence[Values], groups: "_Groups", *, new: int, cuts: Sequence[Cut]) -> None:
    """Joins what belongs together, and staff did not part, of which at least one is among the first `new`: each is
    compared with those that began before it along the roll and can still be reached."""
    items = [fragment_of(each) for each in values]
    open_: list[int] = []
    for index in sorted(range(len(items)), key=lambda item: (items[item].y0_mm, items[item].x0_mm, item)):
        item = items[index]
        open_ = [other for other in open_ if items[other].y1_mm + reach_mm(items[other]) + 1 >= item.y0_mm]
        for other in open_:
            if index >= new and other >= new:
                continue
            before = items[other]
            if before.x0_mm - item.x1_mm > NEAR_MM + 1 or item.x0_mm - before.x1_mm > NEAR_MM + 1:
                continue
            if (
                not groups.same(index, other)
                and belong_together(before, item)
                and not parted(cuts, values[other], values[index])
            ):
                groups.join(other, index)
        open_.append(index)


def grow(
    session: Session, profile: AnyProfile, there: Sequence[int], parts: Sequence[Whole], *, width_mm: float
) -> int:
    """Joins `parts` and the defects `there`; the id of what they are now."""
    rows = session.scalars(
        select(DefectRow)
        .where(DefectRow.id.in_(there))
        .order_by(DefectRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    kept, absorbed = rows[0], rows[1:]
    whole = join([*(whole_of_row(row) for row in rows), *parts])
    doubtful_now = whole.verdict.state != "rejected" and any(row.state == "rejected" for row in rows)
    series = {row.series_id for row in rows}
    version = sum(row.version for row in rows)  # who looked at any of them finds it changed if staff acted on another
    for row in rows:
        leave(session, row)
    for row in absorbed:
        _lead_to(session, row, kept)
    columns = _columns(
        whole,
        profile=profile,
        width_mm=width_mm,
        code=kept.code,
        chosen=highest([cast(Severity, row.severity) for row in rows if row.severity_set]),
        reviewed=[row.reviewed_at for row in rows if row.reviewed_at is not None],
    )
    for name, value in columns.items():
        setattr(kept, name, value)
    kept.version = version
    enter(session, kept)
    session.flush()
    if absorbed or doubtful_now:
        settle_series(session, series)
    if doubtful_now:
        _unlearn(session, kept.id)
    return kept.id


def _columns(
    whole: Whole,
    *,
    profile: AnyProfile,
    width_mm: float,
    code: str = "",
    chosen: Severity | None = None,
    reviewed: Sequence[datetime] = (),
) -> Values:
    """All columns but those that name other rows. code, chosen (severity), reviewed: what staff said of its parts."""
    columns = columns_of(whole, cloth_width_mm=width_mm)
    columns |= {
        "code": code,
        "severity_set": chosen is not None,
        "reviewed_at": min(reviewed) if reviewed and columns["state"] != "unreviewed" else None,
    }
    return columns | severity_by(profile, columns, width_mm=width_mm, chosen=chosen)


def severity_by(profile: AnyProfile, columns: Values, *, width_mm: float, chosen: Severity | None) -> Values:
    """The columns severity and points, by a profile."""
    defect = ClothDefect(
        id=0,
        y0_mm=columns["y0_mm"],
        y1_mm=columns["y1_mm"],
        x0_mm=columns["x0_mm"],
        x1_mm=columns["x1_mm"],
        size_mm=columns["size_mm"],
        geometry=cast(Geometry, columns["geometry"]),
        status="unreviewed",
        hole=bool(columns["hole"]),
        code=columns["code"],
        strength=strength(columns["score"], columns["threshold"]),
    )
    judged = judge(profile, defect, width_mm=width_mm, chosen=chosen)
    return {"severity": judged.severity, "points": judged.points}


def judge_severity(session: Session, row: DefectRow, **changed: Any) -> None:
    """Gives a stored defect its severity and points anew, after these of its columns changed. Keeps the totals right;
    what staff chose stays, unless `severity` itself is changed."""
    leave(session, row)
    if "severity" in changed:
        changed["severity_set"] = True
    for name, value in changed.items():
        setattr(row, name, value)
    chosen = cast(Severity, row.severity) if row.severity_set else None
    width_mm = width_of(session, row.roll_id)
    columns = {column.name: getattr(row, column.name) for column in DefectRow.__table__.columns}
    profile = profile_in_force(session, row.roll_id)
    for name, value in severity_by(profile, columns, width_mm=width_mm, chosen=chosen).items():
        setattr(row, name, value)
    enter(session, row)


def judge_roll(session: Session, roll_id: int) -> None:
    """After another profile was entered for a roll. The caller holds `lock_line`."""
    for row in session.scalars(select(DefectRow).where(DefectRow.roll_id == roll_id)).all():
        judge_severity(session, row)
    session.flush()


def _unlearn(session: Session, defect_id: int) -> None:
    """A defect that is no false alarm after all: no picture of a frame that shows any of it is normal fabric."""
    frames = select(FragmentRow.frame_id).where(FragmentRow.defect_id == defect_id)
    shown = select(DefectRow.id).where(DefectRow.frame_id.in_(frames))
    session.execute(
        update(SampleRow)
        .where(SampleRow.source == "review", SampleRow.defect_id.in_(shown))
        .values(active=False)
        .execution_options(synchronize_session=False)
    )


def _lead_to(session: Session, row: DefectRow, kept: DefectRow) -> None:
    """All that names an absorbed defect names the one that it became part of."""
    kept.code = kept.code or row.code
    kept.series_id = kept.series_id if kept.series_id is not None else row.series_id
    for table in (FragmentRow, ReviewRow, SampleRow, DefectCutRow, DefectLinkRow):
        session.execute(update(table).where(table.defect_id == row.id).values(defect_id=kept.id))
    session.execute(update(MergedDefectRow).where(MergedDefectRow.into_id == row.id).values(into_id=kept.id))
    # an older version gave a number that had gone away to the next defect
    session.execute(delete(MergedDefectRow).where(MergedDefectRow.id == row.id))
    session.execute(insert(MergedDefectRow).values(id=row.id, into_id=kept.id, at=datetime.now(UTC)))
    session.execute(delete(DefectRow).where(DefectRow.id == row.id))
    session.expunge(row)


def nearby(session: Session, roll_id: int, fragments: Sequence[Values]) -> list[Values]:
    reach = ALONG_MM if any(values["warp_line"] for values in fragments) else NEAR_MM
    from_y = min(values["y0_mm"] for values in fragments) - reach - 1
    place = {
        "roll": roll_id,
        "from_y": from_y,
        "first": from_y - LONGEST_MM,
        "last": max(values["y1_mm"] for values in fragments) + reach + 1,
        "from_x": min(values["x0_mm"] for values in fragments) - NEAR_MM - 1,
        "to_x": max(values["x1_mm"] for values in fragments) + NEAR_MM + 1,
    }
    return [dict(row) for row in session.connection().execute(_NEARBY, place).mappings()]


# --- many at once --------------------------------------------------------------------------------------------------


def components(
    fragments: Sequence[Values], *, cuts: Sequence[Cut] = (), links: Iterable[Link] = ()
) -> list[list[Values]]:
    """Fragments of one roll, by the defect they make together; each in order along the roll, as are the defects. What
    staff linked is one defect, whatever they parted elsewhere."""
    ordered = sorted(fragments, key=lambda values: (values["y0_mm"], values["x0_mm"], values["camera"]))
    groups = _Groups(len(ordered))
    places = {(values["frame_id"], values["number"]): index for index, values in enumerate(ordered)}
    for a, b in links:
        if a in places and b in places:
            groups.join(places[a], places[b])
    _join_all(ordered, groups, new=len(ordered), cuts=cuts)
    return [[ordered[member] for member in members] for members in groups.members(range(len(ordered)))]


def follow_rolls(session: Session, *, line: str, roll_of: dict[tuple[int, int], int]) -> None:
    """Takes fragments to the rolls that their cloth belongs to now. roll_of: (frame, number) -> roll.

    Defects that lay in both are parted, and both parts keep the review; what comes to lie beside others joins them.
    The caller holds `lock_line`, and settles the rolls' widths afterwards (`settle_width`).
    """
    if not roll_of:
        return
    frames = sorted({frame for frame, _ in roll_of})
    moved: set[int] = set()
    for start in range(0, len(frames), 500):
        chosen = frames[start : start + 500]
        moved |= set(session.scalars(select(FragmentRow.defect_id).where(FragmentRow.frame_id.in_(chosen))))
    for (frame_id, number), roll_id in roll_of.items():
        session.execute(
            update(FragmentRow)
            .where(FragmentRow.frame_id == frame_id, FragmentRow.number == number)
            .values(roll_id=roll_id)
        )
    parts = [part for defect_id in sorted(moved) for part in _part(session, line, defect_id)]
    for defect_id in parts:
        _join_neighbours(session, line, defect_id)
    there = select(DefectRow.id).where(DefectRow.series_id.is_(None))
    for start in range(0, len(parts), 500):
        found = find_series(session, session.scalars(there.where(DefectRow.id.in_(parts[start : start + 500]))).all())
        settle_series(session, found)


def _part(session: Session, line: str, defect_id: int) -> list[int]:
    """Divides a defect whose fragments lie on several rolls; the ids of its parts, which are its own for the first."""
    defect = session.get_one(DefectRow, defect_id, with_for_update=True, populate_existing=True)
    fragments = fragments_of(session, defect_id)
    by_roll: dict[int, list[Values]] = {}
    for values in fragments:
        by_roll.setdefault(values["roll_id"], []).append(values)
    cuts, links = cuts_near(session, line, fragments), links_of(session, defect_id)
    groups = [
        (roll, group)
        for roll, members in sorted(by_roll.items())
        for group in components(members, cuts=cuts, links=links)
    ]
    return divide(session, line, defect, groups)


def divide(session: Session, line: str, defect: DefectRow, groups: list[tuple[int, list[Values]]]) -> list[int]:
    """Makes a defect of each group (roll, fragments) of a defect's fragments; their ids. The one with the strongest
    fragment keeps the number and comes first; all keep review and history."""
    defect_id = defect.id
    peak, state = (defect.frame_id, defect.fragment), defect.state
    chosen = cast(Severity, defect.severity) if defect.severity_set else None
    reviewed = [] if defect.reviewed_at is None else [defect.reviewed_at]
    series, home = defect.series_id, defect.roll_id
    leave(session, defect)
    groups.sort(key=lambda pair: peak not in {(values["frame_id"], values["number"]) for values in pair[1]})
    mark = next((index for index, (roll_id, _) in enumerate(groups) if roll_id == home), None)  # of the series
    ids = []
    for index, (roll_id, members) in enumerate(groups):
        whole = join([whole_of_fragment(values) for values in members])
        own = whole.peak.strength
        verdict = Verdict(
            confirmed=state == "confirmed",
            rejected_strength=own if state == "rejected" else None,
            unseen_strength=own if state == "unreviewed" else None,
        )
        columns = _columns(
            replace(whole, verdict=verdict),
            profile=profile_in_force(session, roll_id),
            width_mm=width_of(session, roll_id),
            code=defect.code,
            chosen=chosen,
            reviewed=reviewed,
        )
        columns |= {"roll_id": roll_id, "line": line, "series_id": series if index == mark else None}
        enter(session, columns)
        if index == 0:
            for name, value in columns.items():
                setattr(defect, name, value)
            session.flush()
            ids.append(defect_id)
            continue
        (number,) = take_numbers(session.connection(), DefectRow, 1)
        new = {"id": number, **columns, "version": defect.version}
        write_rows(session.connection(), DefectRow, [new])
        ids.append(number)
        for values in members:
            session.execute(
                update(FragmentRow)
                .where(FragmentRow.frame_id == values["frame_id"], FragmentRow.number == values["number"])
                .values(defect_id=ids[-1])
            )
            session.execute(
                update(DefectLinkRow)
                .where(DefectLinkRow.frame_a == values["frame_id"], DefectLinkRow.number_a == values["number"])
                .values(defect_id=ids[-1])
            )
        for review in session.scalars(select(ReviewRow).where(ReviewRow.defect_id == defect_id)).all():
            session.add(
                ReviewRow(
                    defect_id=ids[-1],
                    act=review.act,
                    state=review.state,
                    previous=review.previous,
                    by=review.by,
                    at=review.at,
                )
            )
    settle_series(session, [series])
    return ids


def _join_neighbours(session: Session, line: str, defect_id: int) -> None:
    """Joins a defect with those that its fragments belong together with."""
    if session.get(DefectRow, defect_id) is None:  # became part of another meanwhile
        return
    fragments = fragments_of(session, defect_id)
    roll_id = fragments[0]["roll_id"]
    others = [values for values in nearby(session, roll_id, fragments) if values["defect_id"] != defect_id]
    cuts = cuts_near(session, line, fragments)
    found = {
        other["defect_id"]
        for other in others
        if any(together(other, own) and not parted(cuts, other, own) for own in fragments)
    }
    if found:
        profile, width_mm = profile_in_force(session, roll_id), width_of(session, roll_id)
        grow(session, profile, sorted({defect_id, *found}), [], width_mm=width_mm)


def fragments_of(session: Session, defect_id: int) -> list[Values]:
    rows = session.execute(select(*_FRAGMENTS.columns).where(FragmentRow.defect_id == defect_id)).mappings()
    return [dict(row) for row in rows]


# --- the cloth's width ---------------------------------------------------------------------------------------------


def width_of(session: Session, roll_id: int) -> float:
    return session.connection().execute(_WIDTH, {"roll": roll_id}).scalar() or 0.0


def widen_roll(database: Database, session: Session, *, line: str, roll_id: int, right_mm: float) -> float:
    """Notes how far right the fabric of frames reaches; the roll's width now. Cloth that proves wider has fewer
    full-width defects, its right edge lies elsewhere, and half of it is more: these are judged anew."""
    width_mm = step_mm(right_mm)
    known = session.connection().execute(_WIDTH, {"roll": roll_id}).scalar()
    if known is not None and known >= width_mm:
        return float(known)
    lock_line(database, session, line)
    if known is None and database.insert_new(session, RollWidthRow, roll_id=roll_id, width_mm=width_mm) is not None:
        return width_mm  # the roll's first frame
    session.execute(
        update(RollWidthRow)
        .where(RollWidthRow.roll_id == roll_id, RollWidthRow.width_mm < width_mm)
        .values(width_mm=width_mm)
    )
    width_mm, profile = width_of(session, roll_id), profile_in_force(session, roll_id)
    concerned = [
        DefectRow.geometry.in_(("full_width", "edge")),
        DefectRow.x0_mm >= (known or 0.0) - profile.edge_ignore_mm,
    ]
    if isinstance(profile, TenPointProfile):
        concerned.append(DefectRow.size_mm > profile.weft_bands_mm[-1])
    _judge(session, roll_id, width_mm, only=or_(*concerned))
    return width_mm


def settle_width(session: Session, *, roll_id: int, right_mm: float) -> None:
    """Sets a roll's width after its boundaries moved, and judges its defects by it. right_mm: the farthest right fabric
    edge of its frames, 0 when it has none."""
    width_mm, known = step_mm(right_mm), session.connection().execute(_WIDTH, {"roll": roll_id}).scalar()
    if known == width_mm:
        return
    if known is None:
        session.execute(insert(RollWidthRow).values(roll_id=roll_id, width_mm=width_mm))
    else:
        session.execute(update(RollWidthRow).where(RollWidthRow.roll_id == roll_id).values(width_mm=width_mm))
    _judge(session, roll_id, width_mm, only=None)


def _judge(session: Session, roll_id: int, width_mm: float, *, only: ColumnElement[bool] | None) -> None:
    profile, query = profile_in_force(session, roll_id), select(DefectRow).where(DefectRow.roll_id == roll_id)
    if only is not None:
        query = query.where(only)
    for row in session.scalars(query).all():
        columns = columns_of(whole_of_row(row), cloth_width_mm=width_mm) | {"code": row.code}
        chosen = cast(Severity, row.severity) if row.severity_set else None
        columns |= severity_by(profile, columns, width_mm=width_mm, chosen=chosen)
        if any(getattr(row, name) != columns[name] for name in ("geometry", "lane", "severity", "points")):
            judge_severity(session, row, geometry=columns["geometry"], lane=columns["lane"])
    session.flush()


def step_mm(right_mm: float) -> float:
    """The width that a roll is kept with whose fabric reaches so far right."""
    return float(np.ceil(right_mm / WIDTH_STEP_MM - 1e-9) * WIDTH_STEP_MM)


def widest(session: Session, condition: Any) -> float:
    """The farthest right fabric edge of the frames of a condition, 0 without any."""
    return session.scalar(select(func.max(FrameRow.x_offset_mm + FrameRow.fabric_width_mm)).where(condition)) or 0.0


@dataclass(slots=True)
class _Groups:
    """Union-find over 0..n-1."""

    parents: list[int]

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def root(self, item: int) -> int:
        while self.parents[item] != item:
            self.parents[item] = self.parents[self.parents[item]]
            item = self.parents[item]
        return item

    def same(self, a: int, b: int) -> bool:
        return self.root(a) == self.root(b)

    def join(self, a: int, b: int) -> None:
        self.parents[self.root(b)] = self.root(a)

    def members(self, of: Iterable[int]) -> list[list[int]]:
        """The groups that hold any of these, each in order."""
        found: dict[int, list[int]] = {self.root(item): [] for item in of}
        for item in range(len(self.parents)):
            if (root := self.root(item)) in found:
                found[root].append(item)
        return list(found.values())
