"""The mill's policy for models, as data: the gate's rules, and whether a model may be promoted by rule.

Each rule says how much worse than the running model a candidate may be; a rule that is left out is not asked. What each
means: docs/retraining.md. Judged by `retraining.gate`.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inspection.errors import SettingsError
from storage import audit
from storage.database import Database
from storage.tables import ModelPolicyRow


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FalseAlarmsRule(_Data):
    """On held-out normal fabric of all styles: at most the upper end of the running model's interval."""

    kind: Literal["false_alarms"] = "false_alarms"
    confidence: float = Field(0.95, gt=0, lt=1)


class RecallRule(_Data):
    """On confirmed defects of all styles: at most `drop` (0 to 1) less than the running model finds."""

    kind: Literal["recall"] = "recall"
    drop: float = Field(0.0, ge=0, le=1)


class StylesRule(_Data):
    """Both of the above for each style that a model is in charge of, and none of them unknown."""

    kind: Literal["styles"] = "styles"
    confidence: float = Field(0.95, gt=0, lt=1)
    drop: float = Field(0.0, ge=0, le=1)


class SpeedRule(_Data):
    """Tiles a second: at most `slower` (0 to 1) less than the running model."""

    kind: Literal["speed"] = "speed"
    slower: float = Field(0.05, ge=0, lt=1)


class ParityRule(_Data):
    """The runtimes that decide as the reference does for the running model do so for the candidate."""

    kind: Literal["parity"] = "parity"


Rule = Annotated[FalseAlarmsRule | RecallRule | StylesRule | SpeedRule | ParityRule, Field(discriminator="kind")]


class ShadowPlan(_Data):
    """share: of frames; budget: of a worker's time; metres: after which it is done."""

    share: float = Field(0.1, gt=0, le=1)
    budget: float = Field(0.1, gt=0, le=1)
    metres: float = Field(100.0, gt=0, le=1e7)


class ModelPolicy(_Data):
    """promotion: "staff", or by rule after a training: "gate", as soon as every rule is judged and passed; "shadow",
    after a shadow run besides, in which the share of alarms that both models raised is `agreement` or more."""

    rules: tuple[Rule, ...] = (FalseAlarmsRule(), RecallRule(), StylesRule(), SpeedRule(), ParityRule())
    promotion: Literal["staff", "gate", "shadow"] = "staff"
    shadow: ShadowPlan = ShadowPlan()
    agreement: float = Field(0.9, ge=0, le=1)


def read_policy(database: Database) -> ModelPolicy:
    """The one in force; the default until staff sets another."""
    with database.reading() as session:
        row = session.get(ModelPolicyRow, 1)
        return ModelPolicy() if row is None else ModelPolicy.model_validate(row.content)


def set_policy(database: Database, policy: ModelPolicy, *, by: str) -> None:
    content = policy.model_dump(mode="json")
    with database.session() as session:
        database.lock(session, "model_policy")
        row = session.get(ModelPolicyRow, 1)
        before = ModelPolicy().model_dump(mode="json") if row is None else row.content
        if row is None:
            session.add(ModelPolicyRow(id=1, content=content, by=by, updated_at=datetime.now(UTC)))
        else:
            row.content, row.by, row.updated_at = content, by, datetime.now(UTC)
        detail = {"changed": audit.changes(before, content)}
        audit.record(session, by=by, action="model.policy", subject="gate", detail=detail)


def parse_policy(path: Path) -> ModelPolicy:
    """From a JSON file. Raises `SettingsError` that names the field, `OSError` for a file that cannot be read."""
    try:
        content: Any = json.loads(path.read_text())
    except ValueError as error:
        raise SettingsError(f"{path} cannot be read as JSON: {error}") from error
    try:
        policy = ModelPolicy.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the policy"
        raise SettingsError(f"{path}: {place}: {first['msg']}, got {first['input']!r}") from error
    kinds = [rule.kind for rule in policy.rules]
    if len(set(kinds)) != len(kinds):
        raise SettingsError(f"{path}: each kind of rule is given once, got {', '.join(kinds)}")
    return policy
