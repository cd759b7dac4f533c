"""A roll in figures: how long, how much of it inspected, what was found, camera by camera."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inspection.types import Roll
from storage.coverage import Unseen, lane_of, unseen_in
from storage.database import Database
from storage.reads.review_state import STATES, State
from storage.reads.roll_runs import Run, runs_in
from storage.rolls import Question, RollBounds, ask_roll, in_roll
from storage.tables import DefectRow, FrameRow, GapRow

UNKNOWN_WIDTH_MM = 1.0  # of a roll with nothing but gaps, whose fabric edges nobody saw


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraCoverage:
    """One camera's share of a roll. Inspected, gaps and what waits add up to what passed it.

    gap_mm: with what passed while it was silent, which is in none of the `gaps`. waiting_mm: captured, and not told of.
    """

    camera: str
    x0_mm: float  # across the cloth
    x1_mm: float
    frames: int
    inspected_mm: float
    gaps: int
    gap_mm: float
    waiting_mm: float

    @property
    def captured_mm(self) -> float:
        return self.inspected_mm + self.gap_mm + self.waiting_mm


@dataclass(frozen=True, slots=True, kw_only=True)
class RollSummary:
    """Lengths in mm, `width_mm` from the cloth's left edge to the rightmost fabric seen."""

    roll: Roll
    length_mm: float
    width_mm: float
    cameras: tuple[CameraCoverage, ...]
    unseen: tuple[Unseen, ...]
    by_state: dict[State, int]  # how many defects

    @property
    def defects(self) -> int:
        """Found and not rejected."""
        return self.by_state["unreviewed"] + self.by_state["confirmed"]

    @property
    def inspected_mm(self) -> float:
        """Mean over the cameras, which look at the same metres side by side."""
        return _mean(camera.inspected_mm for camera in self.cameras)

    @property
    def gap_mm(self) -> float:
        return _mean(camera.gap_mm for camera in self.cameras)

    @property
    def waiting_mm(self) -> float:
        return _mean(camera.waiting_mm for camera in self.cameras)

    @property
    def captured_mm(self) -> float:
        return self.inspected_mm + self.gap_mm + self.waiting_mm

    @property
    def coverage(self) -> float:
        return self.inspected_mm / self.captured_mm if self.captured_mm > 0 else 0.0

    @property
    def defects_per_100_m(self) -> float:
        """Over inspected metres; 0 before the first."""
        return self.defects / (self.inspected_mm / 100_000) if self.inspected_mm > 0 else 0.0


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0


def roll_summary(database: Database, roll: Roll) -> RollSummary:
    """All of one moment."""
    with database.reading() as session:
        return summarize(session, roll, runs_in(session, roll))


def summarize(session: Session, roll: Roll, runs: Sequence[Run]) -> RollSummary:
    frames = {row[0]: row for row in ask_roll(session, _frames, roll)}
    unseen = unseen_in(session, roll, runs, {camera: (row[3], row[4]) for camera, row in frames.items()})
    cameras = _coverage(session, roll, frames, unseen)
    states = {state: count for state, count in ask_roll(session, _states, roll)}  # noqa: C416 - for the type checker
    return RollSummary(
        roll=roll,
        length_mm=max((*(run.place(run.end_mm) for run in runs), *(each.y1_mm for each in unseen)), default=0.0),
        width_mm=max((camera.x1_mm for camera in cameras), default=0.0),
        cameras=cameras,
        unseen=unseen,
        by_state={state: states.get(state, 0) for state in STATES},
    )


def _coverage(
    session: Session, roll: Roll, frames: Mapping[str, Any], unseen: Sequence[Unseen]
) -> tuple[CameraCoverage, ...]:
    gaps = {row[0]: row for row in ask_roll(session, _gaps, roll)}
    # a camera that has not delivered a frame yet has no edges of its own: it is taken for the whole width
    right = max((row[4] for row in frames.values()), default=UNKNOWN_WIDTH_MM)
    found = []
    for camera in sorted(frames.keys() | gaps.keys() | {each.camera for each in unseen}):
        own = [each for each in unseen if each.camera == camera]
        if camera in frames:
            _, count, inspected, x0, x1 = frames[camera]
        else:
            count, inspected = 0, 0.0
            x0, x1 = lane_of(session, camera=camera, before=roll.opened_at) or (0.0, right)
        _, gap_count, gap_mm = gaps.get(camera, (camera, 0, 0.0))
        found.append(
            CameraCoverage(
                camera=camera,
                x0_mm=x0,
                x1_mm=x1,
                frames=count,
                inspected_mm=inspected,
                gaps=gap_count,
                gap_mm=gap_mm + sum(each.length_mm for each in own if each.reason == "camera_silent"),
                waiting_mm=sum(each.length_mm for each in own if each.reason == "waiting"),
            )
        )
    return tuple(found)


def _frames(roll: RollBounds) -> Question:
    right = func.max(FrameRow.x_offset_mm + FrameRow.fabric_width_mm)
    sums = (func.count(FrameRow.id), func.sum(FrameRow.length_mm), func.min(FrameRow.x_offset_mm), right)
    return select(FrameRow.camera, *sums).where(in_roll(roll, FrameRow)).group_by(FrameRow.camera)


def _gaps(roll: RollBounds) -> Question:
    sums = (func.count(GapRow.id), func.sum(GapRow.length_mm))
    return select(GapRow.camera, *sums).where(in_roll(roll, GapRow)).group_by(GapRow.camera)


def _states(roll: RollBounds) -> Question:
    counted = select(DefectRow.state, func.count(DefectRow.id)).where(in_roll(roll, DefectRow))
    return counted.group_by(DefectRow.state)
