"""Alarm rules as data, checked at the door. `docs/alarms.md` explains each kind and field.

Every rule has a level that raises and one that clears (hysteresis), between which an alarm stays as it is; a delay, an
escalation and a rate limit. A rule belongs to one line or, with line "", to all; a line's own rule of the same name
takes the place of the one for all.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from inspection.errors import SettingsError
from storage.defects.geometry import Geometry
from storage.grading.cloth import Severity

Priority = Literal["low", "medium", "high", "critical"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
Seconds = Annotated[float, Field(ge=0, le=7 * 86_400)]
Metres = Annotated[float, Field(gt=0, le=10_000)]


class AlarmData(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Rule(AlarmData):
    """What every rule has. after_s: the condition must hold so long; escalate_s: unacknowledged so long, 0 never;
    rate_limit_s: at least so long between two notices of raises, of one line; sinks: their names, none is all."""

    name: str = Field(pattern=NAME)
    line: str = Field("", max_length=64)
    enabled: bool = True
    priority: Priority = "high"
    after_s: Seconds = 0.0
    escalate_s: Seconds = 600.0
    escalate_priority: Priority = "critical"
    rate_limit_s: Seconds = 60.0
    sinks: tuple[str, ...] = ()


class SevereDefectRule(Rule):
    """One severe defect. A defect is severe when all that is named here holds. The alarm is active until `clear_m`
    passed without a further one."""

    kind: Literal["severe_defect"]
    severities: tuple[Severity, ...] = Field(("critical",), min_length=1)
    min_size_mm: float = Field(0.0, ge=0, le=1e6)
    min_strength: float = Field(0.0, ge=0, le=1e6)
    geometries: tuple[Geometry, ...] = ()
    clear_m: Metres = 5.0


class RateRule(Rule):
    """Points or defects in the last `over_m` of a line's cloth."""

    kind: Literal["rate"]
    measure: Literal["points", "defects"] = "points"
    over_m: Metres = 100.0
    raise_at: float = Field(10.0, gt=0, le=1e6)
    clear_at: float = Field(5.0, ge=0, le=1e6)

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.clear_at >= self.raise_at:
            raise ValueError(f"clear_at must be below raise_at, {self.raise_at:g}, got {self.clear_at:g}")
        return self


class PeriodicRule(Rule):
    """A series of defects at equal spaces, one alarm each; active until its fourth slot in a row is missed."""

    kind: Literal["periodic"]
    min_hits: int = Field(4, ge=4, le=1000)


class RunningRule(Rule):
    """A defect longer than `raise_m` along the roll; active until `clear_m` passed since the last one ended."""

    kind: Literal["running"]
    raise_m: Metres = 1.0
    clear_m: Metres = 1.0


class CoverageRule(Rule):
    """Inspected share of the last `over_m` that passed a camera, 0 to 1. `not_inspectable`: cloth that was judged so
    (too dark, blurred, a seam) counts as lost too."""

    kind: Literal["coverage"]
    over_m: Metres = 10.0
    raise_below: float = Field(0.9, gt=0, le=1)
    clear_above: float = Field(0.98, gt=0, le=1)
    not_inspectable: bool = True

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.clear_above < self.raise_below:
            raise ValueError(
                f"clear_above must be at least raise_below, {self.raise_below:g}, got {self.clear_above:g}"
            )
        return self


class DriftRule(Rule):
    """The scores of normal fabric of a camera and style, against calibration. `watch` in between holds."""

    kind: Literal["drift"]
    raise_at: Literal["watch", "drifted"] = "drifted"


class CameraDownRule(Rule):
    """A camera of which nothing was heard for `raise_s`: nothing was stored, its driver gave ingest no sign of life.
    Not one that has said that it ended; after `forget_s` it is taken to be out of service. after_s: until ingest, when
    all start together, has told of its cameras."""

    kind: Literal["camera_down"]
    after_s: Seconds = 5.0
    raise_s: float = Field(60.0, gt=0, le=86_400)
    clear_s: float = Field(15.0, gt=0, le=86_400)
    forget_s: float = Field(86_400.0, gt=0, le=30 * 86_400)

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if not self.clear_s <= self.raise_s <= self.forget_s:
            raise ValueError(
                f"clear_s, raise_s and forget_s must grow, got {self.clear_s:g}, {self.raise_s:g}, {self.forget_s:g}"
            )
        return self


class WorkerDownRule(Rule):
    """Fewer inspection workers run than `min_workers`."""

    kind: Literal["worker_down"]
    min_workers: int = Field(1, ge=1, le=1000)


AnyRule = Annotated[
    SevereDefectRule
    | RateRule
    | PeriodicRule
    | RunningRule
    | CoverageRule
    | DriftRule
    | CameraDownRule
    | WorkerDownRule,
    Field(discriminator="kind"),
]
KINDS: dict[str, type[Rule]] = {
    "severe_defect": SevereDefectRule,
    "rate": RateRule,
    "periodic": PeriodicRule,
    "running": RunningRule,
    "coverage": CoverageRule,
    "drift": DriftRule,
    "camera_down": CameraDownRule,
    "worker_down": WorkerDownRule,
}
_RULES: TypeAdapter[AnyRule] = TypeAdapter(AnyRule)


def parse_rule(content: Mapping[str, Any]) -> AnyRule:
    """Raises `SettingsError` that names field and value."""
    name = content.get("name", "?")
    if content.get("kind") not in KINDS:
        raise SettingsError(f"rule {name}: kind: must be one of {', '.join(KINDS)}, got {content.get('kind')!r}")
    try:
        return _RULES.validate_python(dict(content))
    except ValidationError as error:
        raise SettingsError(f"rule {name}: {explain(error, KINDS[content['kind']])}") from error


def dump_rule(rule: Rule) -> dict[str, Any]:
    content: dict[str, Any] = rule.model_dump(mode="json")
    return content


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong, with field and value; a field that is not known with those that are."""
    first = error.errors()[0]
    field = next((str(part) for part in first["loc"] if part in model.model_fields), "")
    if first["type"] == "extra_forbidden":
        unknown = str(first["loc"][-1])
        return f"{unknown}: there is no such field, there are {', '.join(model.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{first['loc'][-1]}: must be given"
    return f"{field}: {message}, got {first['input']!r}" if field else message


def parse_fields(model: type[BaseModel], pairs: list[str]) -> dict[str, Any]:
    """`FIELD=VALUE` as typed at a terminal; a list is separated by commas. Raises `SettingsError`."""
    given: dict[str, Any] = {}
    for pair in pairs:
        field, equals, text = pair.partition("=")
        if not equals or not field:
            raise SettingsError(f"write FIELD=VALUE, got {pair!r}: there are {', '.join(model.model_fields)}")
        annotation = model.model_fields[field].annotation if field in model.model_fields else None
        if "tuple" in str(annotation):
            given[field] = [part.strip() for part in text.split(",") if part.strip()]
        elif text == "" and "None" in str(annotation):
            given[field] = None
        else:
            given[field] = text
    return given


def as_text(value: object) -> str:
    """A field's value as `parse_fields` reads it."""
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
