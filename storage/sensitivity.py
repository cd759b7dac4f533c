"""How sensitive a style's inspection is: the threshold that its model came with, moved by staff by a factor. It belongs
to the model: another one comes in charge with thresholds of its own. Workers take it between two frames."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.registry import Model, in_force
from storage.tables import SensitivityRow

LEAST, MOST = 0.5, 3.0  # of the model's own threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Of one style. `own`: the threshold its model came with; `factor`: of that, now."""

    style: str
    model: Model
    own: float
    factor: float

    @property
    def threshold(self) -> float:
        return self.own * self.factor


def factors(database: Database) -> dict[int, dict[str, float]]:
    """Model id -> style -> factor, of those that differ from 1."""
    latest = select(func.max(SensitivityRow.id)).group_by(SensitivityRow.model_id, SensitivityRow.style)
    found: dict[int, dict[str, float]] = {}
    with database.reading() as session:
        for row in session.scalars(select(SensitivityRow).where(SensitivityRow.id.in_(latest))):
            if row.factor != 1.0:
                found.setdefault(row.model_id, {})[row.style] = row.factor
    return found


def sensitivities(database: Database) -> list[Sensitivity]:
    """Of every style that a model in charge knows, by name."""
    force = in_force(database)
    if force is None:
        return []
    moved = factors(database)
    found = []
    for style in sorted({*force.model.manifest["styles"], *force.styles}):
        model = force.styles.get(style, force.model)
        own = float(model.manifest["styles"][style]["threshold"])
        found.append(Sensitivity(style=style, model=model, own=own, factor=moved.get(model.id, {}).get(style, 1.0)))
    return found


def set_sensitivity(
    database: Database, style: str, *, factor: float, per_100m: float | None, metres: float, reason: str, by: str
) -> None:
    """Moves the threshold of a style's model to `factor` of its own. per_100m: false alarms that were asked for;
    metres: of cloth that the change was replayed on.

    Raises `StorageError` for a style that no model in charge knows, a factor out of bounds, and without a reason.
    """
    if not LEAST <= factor <= MOST:
        raise StorageError(f"a limit is moved to {LEAST:g} to {MOST:g} times the model's own, got {factor:g}")
    if not reason.strip():
        raise StorageError("a change of the sensitivity needs a reason")
    own = next((each for each in sensitivities(database) if each.style == style), None)
    if own is None:
        raise StorageError(f"no model in charge knows style {style}")
    with database.session() as session:
        session.add(
            SensitivityRow(
                model_id=own.model.id,
                style=style,
                factor=factor,
                per_100m=per_100m,
                metres=metres,
                reason=reason.strip(),
                by=by,
                at=datetime.now(UTC),
            )
        )
        detail = {"model": own.model.name, "factor": factor, "previous": own.factor, "reason": reason.strip()}
        audit.record(session, by=by, action="style.sensitivity", subject=style, detail=detail)
