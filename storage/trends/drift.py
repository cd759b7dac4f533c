"""Drift: whether normal fabric still scores as it did when its model took over, a camera and style.

A frame gives one number, its median tile score in units of its threshold: the median tile is normal fabric also where
a frame shows a defect, and tiles of one frame are too alike to count as samples of their own. A day's numbers are
compared with the reference: those of the first days of the same model, until `REFERENCE_FRAMES` are together. Of the
scores its thresholds were set by the bundle holds the highest of single tiles, and they are of other pictures than the
line's; another model's scores differ on the same cloth, also in units of its threshold. What the model began with on
this camera is what staff saw when they promoted it. So what creeps in over many models is not seen here.

Two measures, on the same bins. Population stability index: sum over bins of (p - q) ln(p / q), here over the tenths of
the reference; below 0.1 is no change, above 0.25 a large one (N. Siddiqi, Credit Risk Scorecards, 2006). Two-sample
Kolmogorov-Smirnov: the largest distance of the two cumulative distributions, its probability by the asymptotic
distribution. Of many thousand frames the test sees any trifle, and of few the index sees chance: a state needs both.
"""

import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.tables import DriftRow, ScoreTotalRow

BINS_PER_UNIT = 80  # of the threshold
LAST_BIN = 127  # holds all that is higher
REFERENCE_FRAMES = 1000
LEAST_FRAMES = 300  # on both sides; fewer say nothing
JUDGE_EVERY = 100  # frames of a camera
GROUPS = 10
WATCH_PSI, DRIFTED_PSI = 0.1, 0.25
CHANCE = 0.01

State = Literal["gathering", "steady", "watch", "drifted"]
STATES: tuple[State, ...] = get_args(State)
Counts = NDArray[np.int64]  # (LAST_BIN + 1,) frames a bin
EPOCH = date(1970, 1, 1)

_SCORES = ScoreTotalRow.__table__.c
_OF_CAMERA = (
    (_SCORES.line == bindparam("line"))
    & (_SCORES.camera == bindparam("camera"))
    & (_SCORES.style == bindparam("style"))
)
_MODELS = (
    select(_SCORES.model, func.sum(_SCORES.frames))
    .where(_OF_CAMERA, _SCORES.day == bindparam("day"))
    .group_by(_SCORES.model)
)
_DAYS = (
    select(_SCORES.day, func.sum(_SCORES.frames))
    .where(_OF_CAMERA, _SCORES.model == bindparam("model"))
    .group_by(_SCORES.day)
    .order_by(_SCORES.day)
    .limit(62)  # a camera that shows a style on fewer than 1000 frames in two months has no reference
)
_COUNTS = (
    select(_SCORES.bin, func.sum(_SCORES.frames))
    .where(
        _OF_CAMERA,
        _SCORES.model == bindparam("model"),
        _SCORES.day >= bindparam("first"),
        _SCORES.day <= bindparam("last"),
    )
    .group_by(_SCORES.bin)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """psi, ks, p_value: see above; 0, 0 and 1 while gathering."""

    state: State
    psi: float
    ks: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftState:
    """Of one camera and style on one day (UTC)."""

    line: str
    camera: str
    style: str
    day: date
    model: str
    state: State
    frames: int
    reference_frames: int
    psi: float
    ks: float
    p_value: float
    judged_at: datetime


def compare(reference: Counts, current: Counts) -> Comparison:
    """Two distributions as frames a bin, in the order of the bins."""
    before, now = int(reference.sum()), int(current.sum())
    if min(before, now) < LEAST_FRAMES:
        return Comparison(state="gathering", psi=0.0, ks=0.0, p_value=1.0)
    index = stability_index(reference, current)
    distance = float(np.abs(np.cumsum(reference) / before - np.cumsum(current) / now).max())
    chance = float(kolmogorov(distance * np.sqrt(before * now / (before + now))))
    sure = chance < CHANCE
    state: State = "drifted" if sure and index >= DRIFTED_PSI else "watch" if sure and index >= WATCH_PSI else "steady"
    return Comparison(state=state, psi=index, ks=distance, p_value=chance)


def stability_index(reference: Counts, current: Counts) -> float:
    """Over the tenths of the reference, as near as whole bins allow. Half a frame stands for none."""
    group = np.minimum((np.cumsum(reference) - reference) * GROUPS // reference.sum(), GROUPS - 1)
    p, q = (np.bincount(group, weights=counts, minlength=GROUPS) for counts in (current, reference))
    filled = (p > 0) | (q > 0)
    p, q = (np.maximum(counts[filled], 0.5) / counts.sum() for counts in (p, q))
    return float(((p - q) * np.log(p / q)).sum())


def judge_drift(session: Session, *, line: str, camera: str, style: str, day: int) -> None:
    """Compares a day (since 1970, UTC) as far as it is known, and keeps what came out."""
    place = {"line": line, "camera": camera, "style": style}
    connection = session.connection()
    models = connection.execute(_MODELS, {**place, "day": day}).all()
    if not models:
        return
    model = max(models, key=lambda found: (found[1], found[0]))[0]
    reference, current = distributions(session, **place, model=model, day=day)
    found = compare(reference, current)
    values = {
        "model": model,
        "state": found.state,
        "frames": int(current.sum()),
        "reference_frames": int(reference.sum()),
        "psi": found.psi,
        "ks": found.ks,
        "p_value": found.p_value,
        "judged_at": datetime.now(UTC),
    }
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    key = ["line", "camera", "style", "day"]
    statement = insert(DriftRow).values(**place, day=day, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


def distributions(
    session: Session, *, line: str, camera: str, style: str, model: str, day: int
) -> tuple[Counts, Counts]:
    """The reference of a model on a camera and style, and the day's."""
    place = {"line": line, "camera": camera, "style": style, "model": model}
    connection = session.connection()
    days = connection.execute(_DAYS, place).all()
    enough = (number for number, sums in enumerate(itertools.accumulate(frames for _, frames in days), start=1)
              if sums >= REFERENCE_FRAMES)  # fmt: skip
    reference = [each for each, _ in days[: next(enough, len(days))]]
    found = []
    for begin, end in ((min(reference, default=0), max(reference, default=-1)), (day, day)):
        counts = np.zeros(LAST_BIN + 1, np.int64)
        for number, frames in connection.execute(_COUNTS, {**place, "first": begin, "last": end}):
            counts[number] = frames
        found.append(counts)
    return found[0], found[1]


def drift_states(session: Session, line: str) -> list[DriftState]:
    """The latest of each camera and style of a line."""
    newest = (
        select(DriftRow.camera, DriftRow.style, func.max(DriftRow.day).label("day"))
        .where(DriftRow.line == line)
        .group_by(DriftRow.camera, DriftRow.style)
        .subquery()
    )
    rows = session.scalars(
        select(DriftRow)
        .join(
            newest,
            (DriftRow.camera == newest.c.camera) & (DriftRow.style == newest.c.style) & (DriftRow.day == newest.c.day),
        )
        .where(DriftRow.line == line)
        .order_by(DriftRow.camera, DriftRow.style)
    )
    return [_state(row) for row in rows]


def drift_days(session: Session, *, lines: tuple[str, ...], start: date, end: date) -> list[DriftState]:
    """All that was judged of the days from start up to, but not, end; in order of time."""
    rows = session.scalars(
        select(DriftRow)
        .where(DriftRow.line.in_(lines), DriftRow.day >= (start - EPOCH).days, DriftRow.day < (end - EPOCH).days)
        .order_by(DriftRow.day, DriftRow.camera, DriftRow.style)
    )
    return [_state(row) for row in rows]


def _state(row: DriftRow) -> DriftState:
    return DriftState(
        line=row.line,
        camera=row.camera,
        style=row.style,
        day=EPOCH + timedelta(days=row.day),
        model=row.model,
        state=cast(State, row.state),
        frames=row.frames,
        reference_frames=row.reference_frames,
        psi=row.psi,
        ks=row.ks,
        p_value=row.p_value,
        judged_at=row.judged_at,
    )
