"""The record of the cloth as facts, read by a cursor: what a look costs depends on what is new, not on what is stored.

Of each line the last metres are kept in memory, as many as the rules look back. A service that takes over reads them
anew from behind the stored cursor, and goes on with everything that was stored since: nothing that happened while no
service ran is left out.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, literal, select
from sqlalchemy.orm import Session

from alarms.facts import CameraFact, DefectFact, DriftFact, LineFacts, Passed, SeriesFact, WorkersFact
from inspection.types import Roll
from storage.live import LiveIngest
from storage.reads.roll_runs import Run, runs_in
from storage.rolls import rolls_by_id
from storage.tables import (
    CaptureRow,
    DefectRow,
    FragmentRow,
    FrameRow,
    GapRow,
    LineRow,
    MergedDefectRow,
    SeriesRow,
)
from storage.trends.drift import drift_states

BATCH = 60  # frames, and gaps, of one look: small, so that a rate that was high in between is seen
BEHIND = 200  # PostgreSQL may show a lower number after a higher one; so many are looked at again
MEMORY_RECORDS = 20_000  # of a camera, however far a rule looks back
MEMORY_DEFECTS = 2_000  # of a line
CHUNK = 500  # of numbers in one question
SESSIONS = 4  # of a camera, that a memory is filled from


@dataclass(slots=True)
class _Camera:
    passed: deque[Passed] = field(default_factory=lambda: deque(maxlen=MEMORY_RECORDS))
    length_mm: float = 0.0
    session: str = ""
    heard_at: datetime | None = None
    ended: bool = False


@dataclass(slots=True)
class _Line:
    cameras: dict[str, _Camera] = field(default_factory=dict)
    defects: dict[int, datetime] = field(default_factory=dict)  # number -> capture of its latest fragment
    places: "_Places" = field(default_factory=lambda: _Places())


class Record:
    """One reader of the record. `frame_id` and `gap_id` are how far it has read."""

    def __init__(self, *, frame_id: int, gap_id: int, reach_mm: float, behind: int = BEHIND) -> None:
        """reach_mm: how far rules look back. behind: 0 where numbers appear in their order, as in SQLite."""
        self.frame_id, self.gap_id, self.reach_mm = frame_id, gap_id, reach_mm
        self._behind = behind
        self._seen: dict[Any, deque[int]] = {table: deque(maxlen=4 * (behind + BATCH)) for table in (FrameRow, GapRow)}
        self._lines: dict[str, _Line] = {}

    def remember(self, session: Session) -> None:
        """Fills the memory with what lies before the cursor: of each camera as much as rules look back."""
        sessions: dict[tuple[str, str], dict[str, datetime]] = {}  # (line, camera) -> its sessions, the latest last
        for row in session.execute(
            select(
                CaptureRow.line, CaptureRow.camera, CaptureRow.session, CaptureRow.updated_at, CaptureRow.ended
            ).order_by(CaptureRow.updated_at)
        ):
            camera = self._camera(row.line, row.camera)
            camera.session, camera.heard_at, camera.ended = row.session, row.updated_at, row.ended
            sessions.setdefault((row.line, row.camera), {})[row.session] = row.updated_at
        for table, cursor in ((FrameRow, self.frame_id), (GapRow, self.gap_id)):
            rows = session.execute(
                _records(table).where(table.id <= cursor).order_by(table.id.desc()).limit(self._behind + BATCH)
            ).all()
            self._seen[table].extend(row.id for row in reversed(rows))
            for row in reversed(rows):  # of sessions that have not counted yet
                sessions.setdefault((row.line, row.camera), {}).setdefault(row.session, row.stored_at)
        records: list[Any] = []
        for (_, name), known in sessions.items():
            told_mm = 0.0
            for latest in sorted(known, key=known.__getitem__, reverse=True)[:SESSIONS]:
                if told_mm >= self.reach_mm:
                    break
                for table, cursor in ((FrameRow, self.frame_id), (GapRow, self.gap_id)):
                    part = self._latest(session, table, cursor, name, latest)
                    records += part
                    told_mm += sum(row.length_mm for row in part)
        self._take(session, sorted(records, key=lambda row: row.captured_at))

    def _latest(self, session: Session, table: Any, cursor: int, camera: str, name: str) -> list[Any]:
        """A camera session's records up to the cursor, backwards as far as rules look back."""
        found: list[Any] = []
        before: int | None = None
        while len(found) < MEMORY_RECORDS and sum(row.length_mm for row in found) < self.reach_mm:
            wanted = _records(table).where(table.camera == camera, table.session == name, table.id <= cursor)
            if before is not None:
                wanted = wanted.where(table.sequence < before)
            part = session.execute(wanted.order_by(table.sequence.desc()).limit(CHUNK)).all()
            found += part
            if len(part) < CHUNK:
                break
            before = part[-1].sequence
        return found

    def read(self, session: Session) -> int:
        """Takes the next records into memory: how many, at most `BATCH` frames and gaps each."""
        taken: list[Any] = []
        for table, cursor in ((FrameRow, self.frame_id), (GapRow, self.gap_id)):
            seen = self._seen[table]
            rows = session.execute(
                _records(table).where(table.id > cursor - self._behind).order_by(table.id).limit(self._behind + BATCH)
            ).all()
            known = set(seen)
            new = [row for row in rows if row.id not in known]
            seen.extend(row.id for row in new)
            taken += new
            if rows:
                last = max(cursor, rows[-1].id)
                self.frame_id, self.gap_id = (last, self.gap_id) if table is FrameRow else (self.frame_id, last)
        self._take(session, sorted(taken, key=lambda row: row.captured_at))
        return len(taken)

    def hear(self, ingestors: Iterable[LiveIngest]) -> None:
        """What ingest says of its cameras: one that lives is heard of, also while its cloth stands still."""
        for ingest in ingestors:
            for told in ingest.state.cameras:
                camera = self._camera(ingest.state.line, told.camera)
                at = datetime.fromtimestamp(ingest.at_ns / 1e9 - told.silent_s, UTC)
                camera.heard_at = max(camera.heard_at or at, at)
                if not camera.session:  # nothing of it was ever stored
                    camera.ended = told.state == "ended"

    def lines(self, session: Session) -> list[str]:
        """Those with something stored, or with cameras that ingest tells of."""
        return sorted({*session.scalars(select(LineRow.name)), *self._lines})

    def facts(
        self, session: Session, line: str, *, at: datetime, workers: WorkersFact, series: Iterable[int] = ()
    ) -> LineFacts:
        """Of one line. series: numbers to read besides those of the defects in memory."""
        memory = self._lines.setdefault(line, _Line())
        self._forget(memory)
        rows = _in_parts(session, select(*_DEFECT), DefectRow.id, list(memory.defects))
        wanted = {row.series_id for row in rows if row.series_id is not None} | set(series)
        found = _in_parts(session, select(*_SERIES).order_by(SeriesRow.id), SeriesRow.id, sorted(wanted))
        memory.places.of(session, {row.roll_id for row in (*rows, *found)})
        return LineFacts(
            line=line,
            at=at,
            workers=workers,
            passed={name: tuple(camera.passed) for name, camera in memory.cameras.items() if camera.passed},
            defects=_defects(session, rows, memory.places),
            series=_series(session, found, memory.places),
            cameras=[
                CameraFact(camera=name, heard_at=camera.heard_at, ended=camera.ended)
                for name, camera in sorted(memory.cameras.items())
                if self._hear(session, name, camera) and camera.heard_at is not None
            ],
            drift=[
                DriftFact(camera=drift.camera, style=drift.style, state=drift.state)
                for drift in drift_states(session, line)
            ],
        )

    def _camera(self, line: str, name: str) -> _Camera:
        return self._lines.setdefault(line, _Line()).cameras.setdefault(name, _Camera())

    def _take(self, session: Session, rows: Sequence[Any]) -> None:
        frames: dict[int, Any] = {}
        for row in rows:
            camera = self._camera(row.line, row.camera)
            if len(camera.passed) == camera.passed.maxlen:
                camera.length_mm -= camera.passed[0].length_mm
            camera.passed.append(
                Passed(
                    session=row.session,
                    captured_at=row.captured_at,
                    position_mm=row.position_mm,
                    length_mm=row.length_mm,
                    reason=row.reason,
                )
            )
            camera.length_mm += row.length_mm
            while camera.length_mm - camera.passed[0].length_mm > self.reach_mm:
                camera.length_mm -= camera.passed.popleft().length_mm
            camera.session, camera.ended = row.session, False
            camera.heard_at = max(camera.heard_at or row.stored_at, row.stored_at)
            if not row.reason:
                frames[row.id] = row
        numbers = list(frames)
        for start in range(0, len(numbers), CHUNK):
            for frame_id, defect_id in session.execute(
                select(FragmentRow.frame_id, FragmentRow.defect_id).where(
                    FragmentRow.frame_id.in_(numbers[start : start + CHUNK])
                )
            ):
                frame = frames[frame_id]
                known = self._lines[frame.line].defects
                known[defect_id] = max(known.get(defect_id, frame.captured_at), frame.captured_at)

    def _forget(self, memory: _Line) -> None:
        begins = [camera.passed[0].captured_at for camera in memory.cameras.values() if camera.passed]
        begin = min(begins, default=None)
        if begin is not None:
            memory.defects = {number: at for number, at in memory.defects.items() if at >= begin - timedelta(seconds=1)}
        if len(memory.defects) > MEMORY_DEFECTS:
            newest = sorted(memory.defects, key=memory.defects.__getitem__)[-MEMORY_DEFECTS:]
            memory.defects = {number: memory.defects[number] for number in newest}

    def _hear(self, session: Session, name: str, camera: _Camera) -> bool:
        """A camera's count, which says when it has ended."""
        row = session.execute(
            select(CaptureRow.updated_at, CaptureRow.ended).where(
                CaptureRow.camera == name, CaptureRow.session == camera.session
            )
        ).first()
        if row is not None:
            camera.heard_at = max(camera.heard_at or row.updated_at, row.updated_at)
            camera.ended = row.ended
        return True


class _Places:
    """Where positions lie on their rolls, as `storage.reads.roll_runs` has it. A roll's runs are read once, and anew
    once a run is twice as long as it was then: until late frames of its beginning are there, its zero may move."""

    def __init__(self) -> None:
        self._rolls: dict[int, Roll] = {}
        self._runs: dict[tuple[int, str, str], Run] = {}  # roll, camera, session

    def of(self, session: Session, rolls: Iterable[int]) -> None:
        """Reads the rolls with their boundaries as they are now; forgets all others."""
        now = rolls_by_id(session, set(rolls))
        same = {number for number, roll in now.items() if self._rolls.get(number) == roll}
        self._rolls = now
        self._runs = {key: run for key, run in self._runs.items() if key[0] in same}

    def place(self, session: Session, row: Any, y_mm: float) -> tuple[str, float]:
        """The roll of a row (of defects or series) and mm along it; mm on the counter where no cloth of it is kept."""
        roll, key = self._rolls[row.roll_id], (row.roll_id, row.camera, row.counter)
        run = self._runs.get(key)
        if run is None or y_mm > 2 * run.end_mm - run.start_mm:
            self._runs |= {(roll.id, run.camera, run.session): run for run in runs_in(session, roll)}
            run = self._runs.get(key)
        return roll.name, run.place(y_mm) if run else y_mm


def _records(table: type[FrameRow] | type[GapRow]) -> Any:
    return select(
        table.id,
        table.line,
        table.camera,
        table.session,
        table.sequence,
        table.captured_at,
        table.stored_at,
        table.position_mm,
        table.length_mm,
        GapRow.reason if table is GapRow else literal("").label("reason"),
    )


def _in_parts(session: Session, wanted: Select[*tuple[Any, ...]], column: Any, numbers: Sequence[int]) -> list[Any]:
    parts = [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]
    return [row for part in parts for row in session.execute(wanted.where(column.in_(part)))]


def _defects(session: Session, rows: Sequence[Any], places: _Places) -> tuple[DefectFact, ...]:
    merged: dict[int, list[int]] = {}
    also = select(MergedDefectRow.id, MergedDefectRow.into_id)
    for number, into in _in_parts(session, also, MergedDefectRow.into_id, [row.id for row in rows]):
        merged.setdefault(into, []).append(number)
    return tuple(_defect(row, tuple(merged.get(row.id, ())), *places.place(session, row, row.y0_mm)) for row in rows)


_DEFECT = (
    DefectRow.id,
    DefectRow.roll_id,
    DefectRow.camera,
    DefectRow.counter,
    DefectRow.captured_at,
    DefectRow.x0_mm,
    DefectRow.x1_mm,
    DefectRow.y0_mm,
    DefectRow.y1_mm,
    DefectRow.size_mm,
    DefectRow.geometry,
    DefectRow.hole,
    DefectRow.severity,
    DefectRow.points,
    DefectRow.strength,
    DefectRow.state,
    DefectRow.series_id,
)


def _defect(row: Any, also: tuple[int, ...], roll: str, at_mm: float) -> DefectFact:
    return DefectFact(
        id=row.id,
        also=also,
        camera=row.camera,
        counter=row.counter,
        captured_at=row.captured_at,
        x_mm=(row.x0_mm + row.x1_mm) / 2,
        y0_mm=row.y0_mm,
        y1_mm=row.y1_mm,
        roll=roll,
        at_mm=at_mm,
        size_mm=row.size_mm,
        geometry=row.geometry,
        severity=row.severity,
        points=row.points,
        strength=row.strength,
        rejected=row.state == "rejected",
        series_id=row.series_id,
    )


def _series(session: Session, rows: Sequence[Any], places: _Places) -> tuple[SeriesFact, ...]:
    found = []
    for row in rows:
        roll, next_mm = places.place(session, row, row.last_mm + row.period_mm)
        found.append(
            SeriesFact(
                id=row.id,
                roll=roll,
                x_mm=row.x_mm,
                period_mm=row.period_mm,
                next_mm=next_mm,
                hits=row.hits,
                suspect=row.suspect,
                open=row.open,
            )
        )
    return tuple(found)


_SERIES = (
    SeriesRow.id,
    SeriesRow.roll_id,
    SeriesRow.camera,
    SeriesRow.counter,
    SeriesRow.x_mm,
    SeriesRow.period_mm,
    SeriesRow.last_mm,
    SeriesRow.hits,
    SeriesRow.suspect,
    SeriesRow.open,
)
