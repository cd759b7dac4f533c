"""Stored rolls as grading sees them. The one place where grading meets the tables of frames, gaps and defects."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import cast

from sqlalchemy import and_, bindparam, select
from sqlalchemy.orm import Session

from inspection.types import Roll
from storage.database import Database
from storage.defects.geometry import Geometry
from storage.defects.series import standing
from storage.grading.cloth import Cloth, ClothDefect, MissedStretch, Severity, WidthStretch
from storage.grading.grade import Grade, grade_cloth
from storage.grading.profile import AnyProfile
from storage.grading.profile_store import StoredProfile, profile_of
from storage.reads.gap_words import reason_in_words
from storage.reads.review_state import state_of
from storage.reads.roll_runs import Run, runs_in
from storage.reads.roll_summary import RollSummary, summarize
from storage.roll_details import RollDetails, read_details
from storage.rolls import Question, RollBounds, ask_roll, in_roll
from storage.suspensions import suspension_of
from storage.tables import DefectRow, FragmentRow, FrameRow, GapRow, LineRow, SeriesRow, UtcDateTime

SAMPLED_FRAMES = 5  # a camera, for the width at the start, in the middle and at the end
TOUCH_MM = 1.0

Runs = dict[tuple[str, str], Run]
_DEFECTS = (  # a roll has hundreds: their rows are read without their outlines, and without the ORM's bookkeeping
    select(
        *(
            DefectRow.__table__.c[name]
            for name in (
                *("id", "camera", "counter", "y0_mm", "y1_mm", "x0_mm", "x1_mm", "size_mm", "geometry", "state"),
                *("hole", "severity", "code", "series_id", "strength"),
            )
        )
    )
    .where(DefectRow.__table__.c.roll_id == bindparam("roll"))
    .order_by(DefectRow.__table__.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """Cuttable width at a roll's start, middle and end: as entered, else the fabric's as it was seen; None unknown."""

    start_mm: float | None
    mid_mm: float | None
    end_mm: float | None
    entered: bool

    @property
    def known(self) -> list[float]:
        return [width for width in (self.start_mm, self.mid_mm, self.end_mm) if width is not None]

    @property
    def mean_mm(self) -> float:
        return sum(self.known) / len(self.known) if self.known else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RollSeries:
    """Defects of a roll at equal spaces. first_mm, last_mm: the middles of its first and last one; suspect: the machine
    element that comes round so, "" when none is known."""

    id: int
    period_mm: float
    hits: int
    x_mm: float
    first_mm: float
    last_mm: float
    suspect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedRoll:
    """A roll with all that its grade came from. series: along the roll."""

    roll: Roll
    details: RollDetails
    profile: StoredProfile
    summary: RollSummary
    widths: Widths
    cloth: Cloth
    grade: Grade
    series: tuple[RollSeries, ...]


def grade_roll(database: Database, roll: Roll) -> GradedRoll:
    """Grades a roll as the tables have it now, all of one moment. Raises `StorageError`, `SettingsError`."""
    with database.reading() as session:
        return grade_in(session, roll)


def grade_in(session: Session, roll: Roll) -> GradedRoll:
    """As `grade_roll`, within a transaction."""
    details = read_details(session, roll.id)
    profile = profile_of(session, roll, own=details.profile, own_version=details.profile_version)
    profile = _with_line_s_limit(session, roll, profile)
    listed = runs_in(session, roll)
    runs = {(run.camera, run.session): run for run in listed}
    summary = summarize(session, roll, listed)
    widths = _widths(session, roll, details)
    fabric_mm = summary.width_mm if any(camera.frames for camera in summary.cameras) else 0.0
    cloth = Cloth(
        length_mm=summary.length_mm,
        width_mm=widths.mean_mm,
        fabric_width_mm=fabric_mm,
        defects=_defects(session, roll, runs),
        coverage=min(1.0, summary.coverage),
        running=roll.closed_at is None,
        waiting_mm=summary.waiting_mm,
        missed=_missed(session, roll, runs, summary),
        widths=_width_stretches(session, roll, runs, details, summary.length_mm, profile.profile),
    )
    grade = grade_cloth(profile.profile, cloth)
    if (put_aside := suspension_of(session, roll.id)) is not None:
        why = f"the roll is suspended by {put_aside.by}: {put_aside.reason}"
        grade = replace(grade, state="provisional", reasons=(*grade.reasons, why))
    return GradedRoll(
        roll=roll,
        details=details,
        profile=profile,
        summary=summary,
        widths=widths,
        cloth=cloth,
        grade=grade,
        series=_series(session, cloth.defects),
    )


def _with_line_s_limit(session: Session, roll: Roll, stored: StoredProfile) -> StoredProfile:
    """A line may ask for more coverage than the profile does, never for less."""
    limit = session.scalar(select(LineRow.coverage_limit).where(LineRow.name == roll.line))
    if limit is None or limit <= stored.profile.min_coverage:
        return stored
    return replace(stored, profile=stored.profile.model_copy(update={"min_coverage": limit}))


def crop_keys(session: Session, ids: list[int]) -> dict[int, str]:
    """Keys of the pictures of these defects' strongest fragments in the picture store, as far as they were kept."""
    peak = and_(FragmentRow.frame_id == DefectRow.frame_id, FragmentRow.number == DefectRow.fragment)
    rows = session.execute(select(DefectRow.id, FragmentRow.crop).join(FragmentRow, peak).where(DefectRow.id.in_(ids)))
    return {row.id: row.crop for row in rows if row.crop}


def _defects(session: Session, roll: Roll, runs: Runs) -> tuple[ClothDefect, ...]:
    rows = session.connection().execute(_DEFECTS, {"roll": roll.id}).all()
    series = standing(session, roll.id) if any(row.series_id is not None for row in rows) else set()
    zeros = {key: run.zero_mm for key, run in runs.items()}
    return tuple(
        ClothDefect(
            id=number,
            y0_mm=y0_mm - zeros[camera, counter],
            y1_mm=y1_mm - zeros[camera, counter],
            x0_mm=x0_mm,
            x1_mm=x1_mm,
            size_mm=size_mm,
            geometry=cast(Geometry, geometry),
            status=state_of(state),
            hole=bool(hole),
            severity=cast(Severity, severity),
            code=code,
            series=str(series_id) if series_id in series else "",
            strength=strength,
        )
        # taken apart by place, which costs less than to ask each row for its names
        for (
            number,
            camera,
            counter,
            y0_mm,
            y1_mm,
            x0_mm,
            x1_mm,
            size_mm,
            geometry,
            state,
            hole,
            severity,
            code,
            series_id,
            strength,
        ) in rows
    )


def _series(session: Session, defects: Sequence[ClothDefect]) -> tuple[RollSeries, ...]:
    hits: dict[int, list[float]] = defaultdict(list)
    for each in defects:
        if each.series and each.status != "rejected":
            hits[int(each.series)].append((each.y0_mm + each.y1_mm) / 2)
    rows = session.scalars(select(SeriesRow).where(SeriesRow.id.in_(hits))).all() if hits else ()
    found = [
        RollSeries(
            id=row.id,
            period_mm=row.period_mm,
            hits=row.hits,
            x_mm=row.x_mm,
            first_mm=min(hits[row.id]),
            last_mm=max(hits[row.id]),
            suspect=row.suspect,
        )
        for row in rows
    ]
    return tuple(sorted(found, key=lambda each: (each.first_mm, each.id)))


def _missed(session: Session, roll: Roll, runs: Runs, summary: RollSummary) -> tuple[MissedStretch, ...]:
    """Gaps of one camera and reason that follow each other become one; so does what waits or was never seen."""
    whole = sum(camera.x1_mm - camera.x0_mm for camera in summary.cameras)
    rows = ask_roll(session, _gaps, roll)
    lanes = {camera.camera: (camera.x0_mm, camera.x1_mm) for camera in summary.cameras}
    places: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        y0 = runs[row.camera, row.session].place(row.position_mm)
        places[row.camera, reason_in_words(row.reason)].append((y0, y0 + row.length_mm))
    for each in summary.unseen:
        places[each.camera, reason_in_words(each.reason)].append((each.y0_mm, each.y1_mm))
    return tuple(
        MissedStretch(
            y0_mm=y0,
            y1_mm=y1,
            share=(lanes[camera][1] - lanes[camera][0]) / whole if whole > 0 else 1.0,
            x0_mm=lanes[camera][0],
            x1_mm=lanes[camera][1],
            reason=reason,
        )
        for (camera, reason), found in sorted(places.items())
        for y0, y1 in _joined(found)
    )


def _joined(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for y0, y1 in sorted(places):
        if joined and y0 - joined[-1][1] <= TOUCH_MM:
            joined[-1] = (joined[-1][0], max(joined[-1][1], y1))
        else:
            joined.append((y0, y1))
    return joined


def _widths(session: Session, roll: Roll, details: RollDetails) -> Widths:
    entered = (details.width_start_mm, details.width_mid_mm, details.width_end_mm)
    if any(width is not None for width in entered):
        start, mid, end = entered
        return Widths(start_mm=start, mid_mm=mid, end_mm=end, entered=True)
    first, last = (ask_roll(session, time, roll).scalar() for time in (_first, _last))
    if first is None or last is None:
        return Widths(start_mm=None, mid_mm=None, end_mm=None, entered=False)
    return Widths(
        start_mm=_seen_width(session, roll, _from_start, since=first),
        mid_mm=_seen_width(session, roll, _from_start, since=first + (last - first) / 2),
        end_mm=_seen_width(session, roll, _from_end, since=first),
        entered=False,
    )


def _seen_width(
    session: Session, roll: Roll, frames_of: Callable[[RollBounds], Question], *, since: datetime
) -> float | None:
    """Between the outer fabric edges of all cameras, in a few frames of each."""
    frames: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in ask_roll(session, frames_of, roll, since=since):
        frames[row.camera].append((row.x_offset_mm, row.x_offset_mm + row.fabric_width_mm))
    edges = [
        (median(x0 for x0, _ in seen[:SAMPLED_FRAMES]), median(x1 for _, x1 in seen[:SAMPLED_FRAMES]))
        for seen in frames.values()
    ]
    return max(x1 for _, x1 in edges) - min(x0 for x0, _ in edges) if edges else None


def _gaps(roll: RollBounds) -> Question:
    columns = (GapRow.camera, GapRow.session, GapRow.position_mm, GapRow.length_mm, GapRow.reason)
    return select(*columns).where(in_roll(roll, GapRow))


def _first(roll: RollBounds) -> Question:
    """Along the index, as are the others."""
    return select(FrameRow.captured_at).where(in_roll(roll, FrameRow)).order_by(FrameRow.captured_at).limit(1)


def _last(roll: RollBounds) -> Question:
    return select(FrameRow.captured_at).where(in_roll(roll, FrameRow)).order_by(FrameRow.captured_at.desc()).limit(1)


def _from_start(roll: RollBounds) -> Question:
    return _edges(roll).order_by(FrameRow.captured_at)


def _from_end(roll: RollBounds) -> Question:
    return _edges(roll).order_by(FrameRow.captured_at.desc())


def _edges(roll: RollBounds) -> Question:
    since = FrameRow.captured_at >= bindparam("since", type_=UtcDateTime())
    columns = (FrameRow.camera, FrameRow.x_offset_mm, FrameRow.fabric_width_mm)
    return select(*columns).where(in_roll(roll, FrameRow), since).limit(64)


def _width_stretches(
    session: Session, roll: Roll, runs: Runs, details: RollDetails, length_mm: float, profile: AnyProfile
) -> tuple[WidthStretch, ...]:
    """Only where the profile asks for a least width: entered widths each for a third, else each unit's narrowest."""
    if profile.min_width_mm is None or length_mm <= 0:
        return ()
    entered = (details.width_start_mm, details.width_mid_mm, details.width_end_mm)
    if any(width is not None for width in entered):
        return tuple(
            WidthStretch(y0_mm=length_mm * third / 3, y1_mm=length_mm * (third + 1) / 3, width_mm=width)
            for third, width in enumerate(entered)
            if width is not None
        )
    rows = session.execute(
        select(
            FrameRow.camera, FrameRow.session, FrameRow.position_mm, FrameRow.x_offset_mm, FrameRow.fabric_width_mm
        ).where(in_roll(roll, FrameRow))
    )
    edges: dict[int, dict[str, tuple[float, float]]] = defaultdict(dict)
    for row in rows:
        unit = int(runs[row.camera, row.session].place(row.position_mm) / profile.unit_mm + 1e-9)
        x0, x1 = row.x_offset_mm, row.x_offset_mm + row.fabric_width_mm
        known = edges[unit].get(row.camera, (x0, x1))
        edges[unit][row.camera] = (max(known[0], x0), min(known[1], x1))
    cameras = max((len(seen) for seen in edges.values()), default=0)
    return tuple(
        WidthStretch(
            y0_mm=unit * profile.unit_mm,
            y1_mm=min(length_mm, (unit + 1) * profile.unit_mm),
            width_mm=max(x1 for _, x1 in seen.values()) - min(x0 for x0, _ in seen.values()),
        )
        for unit, seen in sorted(edges.items())
        if len(seen) == cameras and unit * profile.unit_mm < length_mm
    )
