"""What staff ask a running camera for: a golden roll of a style, a frame a metre, or its next frame. Workers take it
(`inference_worker.collecting`); each metre is one sample, whichever worker saw it first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.names import check_name
from storage.tables import CameraRow, SampleCaptureRow, SampleRow, StyleRow

GOLDEN_METRES = (20, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCapture:
    """`taken`: metres so far, each one sample; `state`: running, done, stopped, or failed, and `why` says of what."""

    id: int
    source: str
    line: str
    camera: str
    style: str
    metres: int
    taken: int
    state: str
    why: str
    by: str
    started_at: datetime
    ended_at: datetime | None


def start_capture(
    database: Database, *, camera: str, style: str, by: str, metres: int = 0, why: str = "", line: str = ""
) -> SampleCapture:
    """A golden roll of 20 to 50 `metres`; 0: the camera's next frame. line: of a camera that may not have delivered
    anything yet, which somebody is setting up.

    Raises `StorageError` for an unknown camera, a style without a name, another length, and while a golden roll of the
    camera runs.
    """
    least, most = GOLDEN_METRES
    if metres and not least <= metres <= most:
        raise StorageError(f"a golden roll has {least} m to {most} m, got {metres} m")
    if not style.strip():
        raise StorageError("a capture needs the name of its style")
    check_name("style", style)
    source = "roll" if metres else "frame"
    with database.session() as session:
        database.lock(session, "sample_captures")
        known = session.get(CameraRow, camera)
        if known is None and not line:
            raise StorageError(f"there is no camera {camera}: see the page Line")
        running = session.scalar(_running().where(SampleCaptureRow.camera == camera, SampleCaptureRow.source == source))
        if running is not None:
            what = f"a golden roll of {running.style}" if metres else "a frame"
            raise StorageError(f"camera {camera} takes {what} already: stop it first, or wait for its end")
        database.insert_new(session, StyleRow, name=style, created_at=datetime.now(UTC))
        row = SampleCaptureRow(
            source=source,
            line=known.line if known is not None else line,
            camera=camera,
            style=style,
            metres=metres or 1,
            state="running",
            why=why,
            by=by,
            started_at=datetime.now(UTC),
            ended_at=None,
        )
        session.add(row)
        session.flush()
        detail = {"camera": camera, "style": style, "metres": metres}
        audit.record(session, by=by, action="sample.capture", subject=f"capture {row.id}", detail=detail)
        return _capture(row, 0)


def stop_capture(database: Database, capture_id: int, *, by: str) -> None:
    """What was taken so far stays. Raises `StorageError` for one that does not run."""
    with database.session() as session:
        if not _end(session, capture_id, "stopped"):
            raise StorageError(f"capture {capture_id} does not run any more")
        audit.record(session, by=by, action="sample.capture.stop", subject=f"capture {capture_id}", detail={})


def get_capture(database: Database, capture_id: int) -> SampleCapture:
    """Raises `StorageError` for an unknown one."""
    with database.reading() as session:
        row = session.get(SampleCaptureRow, capture_id)
        if row is None:
            raise StorageError(f"there is no capture {capture_id}")
        return _capture(row, _taken(session, [capture_id]).get(capture_id, 0))


def end_capture(database: Database, capture_id: int, *, state: str, why: str = "") -> None:
    """By who takes it: done, or failed, and why. One that does not run any more stays as it is."""
    with database.session() as session:
        if _end(session, capture_id, state) and why:
            session.get_one(SampleCaptureRow, capture_id).why = why


def list_captures(database: Database, *, running: bool = False, limit: int = 20) -> list[SampleCapture]:
    """The latest first."""
    with database.reading() as session:
        query = _running() if running else select(SampleCaptureRow)
        rows = session.scalars(query.order_by(SampleCaptureRow.id.desc()).limit(limit)).all()
        taken = _taken(session, [row.id for row in rows])
        return [_capture(row, taken.get(row.id, 0)) for row in rows]


def count_taken(database: Database, capture_id: int) -> int:
    """Metres so far; a capture that has all of them is done."""
    with database.session() as session:
        taken = _taken(session, [capture_id]).get(capture_id, 0)
        if taken >= session.get_one(SampleCaptureRow, capture_id).metres:
            _end(session, capture_id, "done")
        return taken


def is_taken(database: Database, capture_id: int, *, counter: str, metre: int) -> bool:
    """Whether another worker took this metre of a golden roll."""
    with database.reading() as session:
        found = session.scalar(
            select(SampleRow.id).where(
                SampleRow.capture_id == capture_id,
                SampleRow.counter == counter,
                SampleRow.y0_mm >= 1000.0 * metre,
                SampleRow.y0_mm < 1000.0 * (metre + 1),
            )
        )
        return found is not None


def _running() -> Select[SampleCaptureRow]:
    return select(SampleCaptureRow).where(SampleCaptureRow.state == "running")


def _end(session: Session, capture_id: int, state: str) -> bool:
    statement = (
        update(SampleCaptureRow)
        .where(SampleCaptureRow.id == capture_id, SampleCaptureRow.state == "running")
        .values(state=state, ended_at=datetime.now(UTC))
    )
    return session.connection().execute(statement).rowcount == 1


def _taken(session: Session, ids: Sequence[int]) -> dict[int, int]:
    rows = session.execute(
        select(SampleRow.capture_id, func.count(SampleRow.id))
        .where(SampleRow.capture_id.in_(ids))
        .group_by(SampleRow.capture_id)
    )
    return {number: count for number, count in rows if number is not None}


def _capture(row: SampleCaptureRow, taken: int) -> SampleCapture:
    return SampleCapture(
        id=row.id,
        source=row.source,
        line=row.line,
        camera=row.camera,
        style=row.style,
        metres=row.metres,
        taken=taken,
        state=row.state,
        why=row.why,
        by=row.by,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
