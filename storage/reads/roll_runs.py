"""Where each camera session lies on a roll, so that places are told in mm from the roll's own start ("roll mm").

A camera counts in mm since its counter was reset; a restart may reset it in the middle of a roll, and two cameras of
a line may or may not share a counter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inspection.types import Roll
from storage.database import Database
from storage.rolls import Question, RollBounds, ask_roll, in_roll, list_rolls
from storage.tables import FrameRow, GapRow

SAME_COUNTER_MM = 1000.0  # cameras whose counters start a roll this close to each other share its zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The part of a camera session that lies in a roll: positions [start_mm, end_mm), put on the roll at `zero_mm`."""

    camera: str
    session: str
    start_mm: float
    end_mm: float
    started_at: datetime
    zero_mm: float  # roll mm = position - zero_mm

    def place(self, position_mm: float) -> float:
        return position_mm - self.zero_mm


def roll_runs(database: Database, roll: Roll) -> list[Run]:
    """Where each camera session lies on the roll, in order of time."""
    with database.reading() as session:
        return runs_in(session, roll)


def runs_in(session: Session, roll: Roll) -> list[Run]:
    spans: dict[tuple[str, str], tuple[float, float, datetime]] = {}
    for spans_of in (_spans_of_frames, _spans_of_gaps):
        rows = ask_roll(session, spans_of, roll)
        for camera, name, start, end, at in rows:
            known = spans.get((camera, name), (start, end, at))
            spans[camera, name] = (min(known[0], start), max(known[1], end), min(known[2], at))
    return place_runs(
        [
            Run(camera=camera, session=name, start_mm=start, end_mm=end, started_at=at, zero_mm=start)
            for (camera, name), (start, end, at) in spans.items()
        ]
    )


def _spans_of_frames(roll: RollBounds) -> Question:
    return _spans(roll, FrameRow)


def _spans_of_gaps(roll: RollBounds) -> Question:
    return _spans(roll, GapRow)


def _spans(roll: RollBounds, table: type[FrameRow] | type[GapRow]) -> Question:
    end = func.max(table.position_mm + table.length_mm)
    columns = (table.camera, table.session, func.min(table.position_mm), end, func.min(table.captured_at))
    return select(*columns).where(in_roll(roll, table)).group_by(table.camera, table.session)


def place_runs(runs: Sequence[Run]) -> list[Run]:
    """Gives each run its zero. A camera's first run starts the roll; a later one goes on counting where its counter
    went on, and is put behind the one before where its counter was reset. Cameras whose counters agree share a zero."""
    ordered = sorted(runs, key=lambda run: (run.started_at, run.camera, run.session))
    firsts: dict[str, Run] = {}
    for run in ordered:
        firsts.setdefault(run.camera, run)
    starts = [run.start_mm for run in firsts.values()]
    shared = min(starts) if starts and max(starts) - min(starts) <= SAME_COUNTER_MM else None
    placed: list[Run] = []
    last: dict[str, Run] = {}
    for run in ordered:
        before = last.get(run.camera)
        if before is None:
            zero_mm = run.start_mm if shared is None else shared
        elif run.start_mm >= before.end_mm:
            zero_mm = before.zero_mm
        else:
            zero_mm = run.start_mm - before.place(before.end_mm)
        last[run.camera] = replace(run, zero_mm=zero_mm)
        placed.append(last[run.camera])
    return placed


def rolls_to_choose(database: Database, *, at: datetime) -> list[Roll]:
    """All rolls: running ones first, those staff opened before automatic ones, then the latest."""
    rolls = sorted(list_rolls(database), key=lambda roll: roll.opened_at, reverse=True)
    return sorted(rolls, key=lambda roll: (0, roll.automatic) if is_running(roll, at=at) else (1, False))


def is_running(roll: Roll, *, at: datetime) -> bool:
    """Whether cloth captured at `at` may still come to this roll (an automatic one ends with its day)."""
    return roll.closed_at is None or at < roll.closed_at
