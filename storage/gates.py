"""What the gate found, kept with the model: each rule's verdict, by how much, and pictures of what decided it.

`retraining.gate` judges; here is what it leaves behind, for the screens and for `storage.registry.promote`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.tables import GateRow, ModelRow

Verdict = Literal["passed", "failed", "unjudged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePicture:
    """picture, heat: keys in the picture store, each the same place; words: what is seen."""

    picture: str
    heat: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """One rule. unjudged: there was nothing to judge by, and `words` say what is missing. value, limit: the
    candidate's figure and the most or the least it may be, None when unjudged."""

    rule: str
    style: str  # "" for all together
    verdict: Verdict
    value: float | None
    limit: float | None
    words: str
    pictures: tuple[GatePicture, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """verdict: failed when a rule did, else passed. against: the model that ran then, "" when none did."""

    id: int
    model: str
    against: str
    verdict: Verdict
    rules: tuple[RuleResult, ...]
    by: str
    at: datetime

    @property
    def failed(self) -> list[RuleResult]:
        return [rule for rule in self.rules if rule.verdict == "failed"]

    @property
    def whole(self) -> bool:
        """Every rule was judged and passed."""
        return all(rule.verdict == "passed" for rule in self.rules)


def save_gate(database: Database, *, model: str, against: str, rules: Sequence[RuleResult], by: str) -> Gate:
    """Raises `StorageError` for an unknown model."""
    verdict = "failed" if any(rule.verdict == "failed" for rule in rules) else "passed"
    with database.session() as session:
        ids = {name: _id_of(session, name) for name in (model, against) if name}
        row = GateRow(
            model_id=ids[model],
            against_id=ids.get(against),
            verdict=verdict,
            rules=[asdict(rule) for rule in rules],
            by=by,
            at=datetime.now(UTC),
        )
        session.add(row)
        session.flush()
        detail = {"against": against, "verdict": verdict, "failed": [r.words for r in rules if r.verdict == "failed"]}
        audit.record(session, by=by, action="model.gate", subject=model, detail=detail)
        return _gate(session, row)


def latest_gate(database: Database, model: str) -> Gate | None:
    """The latest of a model, None when it was never judged."""
    with database.reading() as session:
        row = gate_row(session, _id_of(session, model))
        return None if row is None else _gate(session, row)


def latest_gates(database: Database) -> dict[str, Gate]:
    """Of every model that was judged, by its name."""
    with database.reading() as session:
        gates = [_gate(session, row) for row in session.scalars(select(GateRow).order_by(GateRow.id))]
        return {gate.model: gate for gate in gates}


def gate_row(session: Session, model_id: int) -> GateRow | None:
    return session.scalar(select(GateRow).where(GateRow.model_id == model_id).order_by(GateRow.id.desc()).limit(1))


def _id_of(session: Session, name: str) -> int:
    found = session.scalar(select(ModelRow.id).where(ModelRow.name == name))
    if found is None:
        raise StorageError(f"there is no model {name}: see loomwatch models list")
    return found


def _gate(session: Session, row: GateRow) -> Gate:
    wanted = [row.model_id, row.against_id or row.model_id]
    models = session.scalars(select(ModelRow).where(ModelRow.id.in_(wanted)))
    names = {model.id: model.name for model in models}
    return Gate(
        id=row.id,
        model=names[row.model_id],
        against=names[row.against_id] if row.against_id is not None else "",
        verdict="failed" if row.verdict == "failed" else "passed",
        rules=tuple(_rule(values) for values in row.rules),
        by=row.by,
        at=row.at,
    )


def _rule(values: dict[str, Any]) -> RuleResult:
    pictures = tuple(GatePicture(**picture) for picture in values["pictures"])
    return RuleResult(**{**values, "pictures": pictures})
