"""Shadow: a candidate that passed the gate scores a share of live frames beside the running model, without touching
results. Workers do it (`inference_worker.shadow`); here is which one runs, what they saw, and what it comes to.

At most one runs at a time, beside all models in charge; one that was trained for a single style beside that style's
model, on its cloth alone. It is done after its metres, or stopped: by staff, or because another model came in charge.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from inspection.types import FrameHeader
from storage import audit, registry
from storage.database import Database
from storage.gates import gate_row
from storage.in_force import LOCK, meant_for, standing
from storage.model_policy import ShadowPlan, read_policy
from storage.tables import ModelRow, ShadowFrameRow, ShadowRow

BY_RULE = "rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """style: the only one that it is compared on, "" for all; share: of frames; budget: of a worker's time; metres:
    after which it is done; path: the candidate's bundle."""

    id: int
    model: str
    against: str
    style: str
    path: str
    share: float
    budget: float
    metres: float
    state: str
    message: str
    by: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """An alarm that one model raised alone. x_mm, y_mm: its middle; strength: in units of its threshold; crop, heat:
    keys in the picture store."""

    side: Literal["running", "candidate"]
    camera: str
    style: str
    x_mm: float
    y_mm: float
    strength: float
    crop: str
    heat: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A frame by both models: alarms that both raised, and each alone."""

    header: FrameHeader
    style: str
    both: int
    only_running: int
    only_candidate: int
    spent_ms: float
    apart: tuple[Apart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowFigures:
    """What came of it so far, of one style or of all (""). agreement: share of all alarms that both raised, None
    without any."""

    style: str
    frames: int
    metres: float
    both: int
    only_running: int
    only_candidate: int
    spent_ms: float  # a frame, mean

    @property
    def agreement(self) -> float | None:
        alarms = self.both + self.only_running + self.only_candidate
        return self.both / alarms if alarms else None


def start_shadow(database: Database, name: str, plan: ShadowPlan, *, by: str) -> Shadow:
    """Raises `StorageError` for an unknown model, one that runs already, one that has not passed the gate beside the
    running model, and while another shadow runs."""
    with database.session() as session:
        database.lock(session, LOCK)
        row = session.scalar(select(ModelRow).where(ModelRow.name == name))
        if row is None:
            raise StorageError(f"there is no model {name}: see loomwatch models list")
        states = standing(session)[1]
        if not states:
            raise StorageError("no model is in charge: promote one, there is nothing to score beside")
        if row.id in states[-1].models:
            raise StorageError(f"model {name} is in charge already: there is nothing to score beside")
        gate = gate_row(session, row.id)
        if gate is None or gate.verdict != "passed" or gate.against_id != states[-1].model:
            raise StorageError(
                f"model {name} has not passed the gate beside the running one: loomwatch models gate {name}"
            )
        other = session.scalar(select(ShadowRow).where(ShadowRow.state == "running"))
        if other is not None:
            already = session.get_one(ModelRow, other.model_id).name
            raise StorageError(f"model {already} runs as shadow: stop it first (loomwatch models shadow stop)")
        shadow = ShadowRow(
            model_id=row.id,
            against_id=states[-1].of(meant_for(row.manifest)),
            share=plan.share,
            budget=plan.budget,
            metres=plan.metres,
            state="running",
            message="",
            by=by,
            started_at=datetime.now(UTC),
            ended_at=None,
        )
        session.add(shadow)
        session.flush()
        audit.record(session, by=by, action="model.shadow", subject=name, detail=plan.model_dump(mode="json"))
        return _shadow(session, shadow)


def stop_shadow(database: Database, *, by: str) -> Shadow:
    """Raises `StorageError` when none runs."""
    with database.session() as session:
        database.lock(session, LOCK)
        row = session.scalar(select(ShadowRow).where(ShadowRow.state == "running"))
        if row is None:
            raise StorageError("no model runs as shadow")
        _end(row, "stopped", f"stopped by {by}")
        name = session.get_one(ModelRow, row.model_id).name
        audit.record(session, by=by, action="model.shadow_stop", subject=name, detail={})
        return _shadow(session, row)


def running_shadow(database: Database) -> Shadow | None:
    """The one to score now."""
    with database.reading() as session:
        row = session.scalar(select(ShadowRow).where(ShadowRow.state == "running"))
        return None if row is None else _shadow(session, row)


def list_shadows(database: Database) -> list[Shadow]:
    """The latest first."""
    with database.reading() as session:
        return [_shadow(session, row) for row in session.scalars(select(ShadowRow).order_by(ShadowRow.id.desc()))]


def store_comparison(database: Database, shadow: Shadow, found: Comparison) -> bool:
    """Keeps what one frame showed; the same frame again is none. False when the shadow is over, by this frame or
    before: its metres are reached, or it was stopped. Where the policy says so, it is promoted in the transaction that
    ends it, or the end says why not."""
    header = found.header
    policy = read_policy(database)
    with database.session() as session:
        database.lock(session, LOCK)
        row = session.get_one(ShadowRow, shadow.id)
        if row.state != "running":
            return False
        database.insert_new(
            session,
            ShadowFrameRow,
            shadow_id=shadow.id,
            camera=header.camera,
            session=header.session,
            sequence=header.sequence,
            style=found.style,
            captured_at=header.captured_at,
            metres=header.length_mm / 1000,
            both=found.both,
            only_running=found.only_running,
            only_candidate=found.only_candidate,
            spent_ms=found.spent_ms,
            pictures=[asdict(each) for each in found.apart],
        )
        metres = session.scalar(select(func.sum(ShadowFrameRow.metres)).where(ShadowFrameRow.shadow_id == shadow.id))
        if (metres or 0.0) < row.metres:
            return True
        _end(row, "done", f"{metres:.1f} m were compared")
        if policy.promotion == "shadow":
            row.message += f", {_promote_by_rule(session, shadow, policy.agreement)}"
    return False


def shadow_figures(database: Database, shadow_id: int) -> list[ShadowFigures]:
    """All together first, then style by style."""
    with database.reading() as session:
        return _sum_up(session, shadow_id)


def _sum_up(session: Session, shadow_id: int) -> list[ShadowFigures]:
    query = (
        select(
            ShadowFrameRow.style,
            func.count(),
            func.sum(ShadowFrameRow.metres),
            func.sum(ShadowFrameRow.both),
            func.sum(ShadowFrameRow.only_running),
            func.sum(ShadowFrameRow.only_candidate),
            func.sum(ShadowFrameRow.spent_ms),
        )
        .where(ShadowFrameRow.shadow_id == shadow_id)
        .group_by(ShadowFrameRow.style)
        .order_by(ShadowFrameRow.style)
    )
    rows: Sequence[Any] = session.execute(query).all()
    whole = [sum(row[place] for row in rows) for place in range(1, 7)]
    return [_figures("", whole), *(_figures(row[0], row[1:]) for row in rows)]


def alarms_apart(database: Database, shadow_id: int) -> list[Apart]:
    """Alarms that one model raised alone, with pictures, the strongest first."""
    with database.reading() as session:
        rows = session.scalars(select(ShadowFrameRow.pictures).where(ShadowFrameRow.shadow_id == shadow_id))
        found = [Apart(**each) for pictures in rows for each in pictures]
    return sorted(found, key=lambda each: -each.strength)


def _promote_by_rule(session: Session, shadow: Shadow, asked: float) -> str:
    """-> what came of it. Two models that both raise nothing agree."""
    agreement = _sum_up(session, shadow.id)[0].agreement
    words = "no alarm by either" if agreement is None else f"{100 * agreement:.0f} % of the alarms the same"
    if agreement is not None and agreement < asked:
        return f"{words}, {100 * asked:g} % at least are asked for: not promoted"
    try:
        registry.verify_bundle(session, shadow.model)
        reason = f"passed the gate; on {shadow.metres:g} m {words}"
        registry.promote_within(session, shadow.model, by=BY_RULE, style=shadow.style, reason=reason)
    except StorageError as error:
        return f"{words}, not promoted: {error}"
    return f"{words}: promoted by rule"


def _end(row: ShadowRow, state: str, message: str) -> None:
    row.state, row.message, row.ended_at = state, message, datetime.now(UTC)


def _figures(style: str, sums: Sequence[float]) -> ShadowFigures:
    frames, metres, both, running, candidate, spent_ms = sums
    return ShadowFigures(
        style=style,
        frames=int(frames),
        metres=float(metres),
        both=int(both),
        only_running=int(running),
        only_candidate=int(candidate),
        spent_ms=float(spent_ms) / frames if frames else 0.0,
    )


def _shadow(session: Session, row: ShadowRow) -> Shadow:
    model, against = session.get_one(ModelRow, row.model_id), session.get_one(ModelRow, row.against_id)
    return Shadow(
        id=row.id,
        model=model.name,
        against=against.name,
        style=meant_for(model.manifest),
        path=model.path,
        share=row.share,
        budget=row.budget,
        metres=row.metres,
        state=row.state,
        message=row.message,
        by=row.by,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
