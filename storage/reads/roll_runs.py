"""Where each camera session lies on a roll, so that places are told in mm from the roll's own start ("roll mm").

A camera counts in mm since its counter was reset; a restart may reset it in the middle of a roll, and two cameras of
a line may or may not share a counter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inspection.types import Roll
from storage.database import Database
from storage.rolls import Question, RollBounds, ask_roll, in_roll, list_rolls
from storage.tables import FrameRow, GapRow

SAME_COUNTER_MM = 1000.0  # cameras whose counters start a roll this close to each other share its zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The part of a camera session that lies in a roll: positions [start_mm, end_mm), put on the roll at `zero_mm`.

    records: frames and gaps that are stored; first, last: the lowest and the highest of their sequence numbers.
    """

    camera: str
    session: str
    start_mm: float
    end_mm: float
    started_at: datetime
    ended_at: datetime
    records: int
    first: int
    last: int
    zero_mm: float  # roll mm = position - zero_mm

    def place(self, position_mm: float) -> float:
        return position_mm - self.zero_mm

    @property
    def pace(self) -> timedelta:
        """From one record to the next."""
        return (self.ended_at - self.started_at) / max(self.last - self.first, 1)


def roll_runs(database: Database, roll: Roll) -> list[Run]:
    """Where each camera session lies on the roll, in order of time."""
    with database.reading() as session:
        return runs_in(session, roll)


def runs_in(session: Session, roll: Roll) -> list[Run]:
    spans: dict[tuple[str, str], Run] = {}
    for spans_of in (_spans_of_frames, _spans_of_gaps):
        for camera, name, start, end, begun, ended, records, first, last in ask_roll(session, spans_of, roll):
            run = Run(
                camera=camera,
                session=name,
                start_mm=start,
                end_mm=end,
                started_at=begun,
                ended_at=ended,
                records=records,
                first=first,
                last=last,
                zero_mm=start,
            )
            known = spans.get((camera, name))
            spans[camera, name] = run if known is None else _both(known, run)
    return place_runs(list(spans.values()))


def _both(one: Run, other: Run) -> Run:
    return replace(
        one,
        start_mm=min(one.start_mm, other.start_mm),
        end_mm=max(one.end_mm, other.end_mm),
        started_at=min(one.started_at, other.started_at),
        ended_at=max(one.ended_at, other.ended_at),
        records=one.records + other.records,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
    )


def _spans_of_frames(roll: RollBounds) -> Question:
    return _spans(roll, FrameRow)


def _spans_of_gaps(roll: RollBounds) -> Question:
    return _spans(roll, GapRow)


def _spans(roll: RollBounds, table: type[FrameRow] | type[GapRow]) -> Question:
    end = func.max(table.position_mm + table.length_mm)
    times = (func.min(table.captured_at), func.max(table.captured_at))
    records = (func.count(), func.min(table.sequence), func.max(table.sequence))
    columns = (table.camera, table.session, func.min(table.position_mm), end, *times, *records)
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
