"""Grading profiles: the rules of one point system as data, checked at the door.

A profile is JSON; each field it leaves out has the default below. Fields follow the published summaries of ASTM D5430
(option A, four-point) and of the ten-point system; parties that agreed otherwise change a field, not the program.
`docs/grading.md` explains each one.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from inspection.errors import SettingsError
from storage.grading.cloth import Severity

YARD_MM = 914.4
UNIT_MM = {"yard": YARD_MM, "metre": 1000.0}

Unit = Literal["yard", "metre"]
Measure = Literal["100yd2", "100m2", "100yd", "100m"]  # what points are divided by
Outcome = Literal["first", "rework", "downgrade", "cut_and_upgrade"]

MEASURE_IN_SI: dict[Measure, tuple[str, float]] = {  # dimension, how many m2 or m
    "100yd2": ("area", 100 * 0.9144**2),
    "100m2": ("area", 100.0),
    "100yd": ("length", 100 * 0.9144),
    "100m": ("length", 100.0),
}

Millimetres = Annotated[float, Field(gt=0, le=1e7)]
Points = Annotated[float, Field(ge=0, le=1e6)]
Value = Annotated[float, Field(ge=0, le=1e6)]
Word = Annotated[str, Field(min_length=1, max_length=40)]


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Verdict(_Rules):
    """What a roll is called and what becomes of it. `value`: what a length of it brings, first quality brings 1."""

    grade: Word
    outcome: Outcome
    value: Value


class GradeLimit(Verdict):
    """A verdict for rolls with at most `max_points` (of `limits_per`)."""

    max_points: Points


class CutRules(_Rules):
    """How a roll may be cut into first-quality pieces."""

    min_piece_mm: Millimetres = 15 * YARD_MM
    cut_out_running: bool = True  # defects longer than a unit are cut out, whatever their points
    remnant_value: Value = 0.3  # of cloth between pieces, shorter than a piece


class Profile(_Rules):
    """What both systems share."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    description: str = Field("", max_length=500)
    unit: Unit = "yard"
    split: Literal["midpoint", "literal"] = "midpoint"
    running: Literal["exceeds", "touched"] = "exceeds"
    full_width_points: Points = 4
    per_unit_points: Points = 4
    narrow_points: Points = 4
    cap_per_unit: Points = 4
    cap_width: Literal["plain", "proportional"] = "plain"
    cap_reference_width_mm: Millimetres = 66 * 25.4
    counted: tuple[Severity, ...] = Field(("major", "critical"), min_length=1)
    minor_max_mm: float = Field(3.0, ge=0, le=1e6)
    minor_max_strength: float = Field(1.5, ge=0, le=1e6)
    critical_points: Points | None = 4
    critical_strength: float | None = Field(None, gt=0, le=1e6)
    edge_ignore_mm: float = Field(25.4, ge=0, le=1000)
    tubular: bool = False
    end_ignore_mm: float = Field(50.8, ge=0, le=10_000)
    per_unit_codes: tuple[str, ...] = ("shading", "barre", "crease", "uneven_finish")
    min_width_mm: Millimetres | None = None
    reject_running_mm: Millimetres | None = 10 * YARD_MM
    reject_full_width: int | None = Field(None, ge=0)
    min_coverage: float = Field(0.98, ge=0, le=1)
    limits_per: Measure
    grades: tuple[GradeLimit, ...] = Field(min_length=1)
    over_limits: Verdict = Verdict(grade="second", outcome="cut_and_upgrade", value=0.6)
    rejected: Verdict = Verdict(grade="reject", outcome="rework", value=0.3)
    shipment_max: Points | None = None
    cut: CutRules = CutRules()

    @property
    def unit_mm(self) -> float:
        return UNIT_MM[self.unit]

    @field_validator("per_unit_codes")
    @classmethod
    def _of_the_vocabulary(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        """Profiles once said "shade" for what staff name "shading" (`storage.defects.geometry.NAMES`)."""
        return tuple("shading" if code == "shade" else code for code in codes)

    @field_validator("grades")
    @classmethod
    def _ascending(cls, grades: tuple[GradeLimit, ...]) -> tuple[GradeLimit, ...]:
        limits = [grade.max_points for grade in grades]
        if limits != sorted(set(limits)):
            raise ValueError("max_points must grow from the best grade to the worst")
        return grades

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [grade.grade for grade in (*self.grades, self.over_limits, self.rejected)]
        for name in names:
            if names.count(name) > 1 or name in ("incomplete", "none"):
                raise ValueError(f"grade names must differ from each other and from incomplete and none, got {name!r}")
        return self

    @model_validator(mode="after")
    def _check_measure(self) -> Self:
        if MEASURE_IN_SI[self.limits_per][0] != MEASURE_IN_SI[natural_measure(self)][0]:
            raise ValueError(f"limits_per of this system is {natural_measure(self)} or its other unit")
        return self


def _ascending_sizes(sizes: tuple[float, ...]) -> tuple[float, ...]:
    if list(sizes) != sorted(set(sizes)):
        raise ValueError("sizes must grow")
    return sizes


class FourPointProfile(Profile):
    """ASTM D5430 option A. `bands_mm`: the largest sizes, inclusive, of 1, 2 and 3 points; 4 above."""

    system: Literal["four_point"]
    bands_mm: tuple[Millimetres, Millimetres, Millimetres] = (76.2, 152.4, 228.6)
    hole_rule: Literal["by_size", "all", "all_but_pinholes"] = "by_size"
    hole_limit_mm: Millimetres = 25.4
    pinhole_mm: Millimetres = 2.0
    limits_per: Measure = "100yd2"
    _growing = field_validator("bands_mm")(_ascending_sizes)


class TenPointProfile(Profile):
    """Ten-point. Warp: up to `warp_bands_mm` 1, 3, 5, then 10. Weft: up to `weft_bands_mm` 1, 3, then 5 up to half
    the width and 10 over it."""

    system: Literal["ten_point"]
    warp_bands_mm: tuple[Millimetres, Millimetres, Millimetres] = (25.4, 127.0, 254.0)
    weft_bands_mm: tuple[Millimetres, Millimetres] = (25.4, 127.0)
    hole_points: Points = 10
    full_width_points: Points = 10
    per_unit_points: Points = 10
    narrow_points: Points = 10
    cap_per_unit: Points = 10
    critical_points: Points | None = 10
    limits_per: Measure = "100yd"
    _growing = field_validator("warp_bands_mm", "weft_bands_mm")(_ascending_sizes)


AnyProfile = FourPointProfile | TenPointProfile
_PROFILE: TypeAdapter[AnyProfile] = TypeAdapter(Annotated[AnyProfile, Field(discriminator="system")])


def natural_measure(profile: Profile) -> Measure:
    """What a profile's points are divided by: of its own unit, so that no total is ever converted."""
    yards = profile.unit == "yard"
    if isinstance(profile, TenPointProfile):
        return "100yd" if yards else "100m"
    return "100yd2" if yards else "100m2"


def limit_in(profile: Profile, limit: float) -> float:
    """A limit of `limits_per` in the profile's natural measure: 1 per 100 yd2 is 1.19599 per 100 m2."""
    return limit * MEASURE_IN_SI[natural_measure(profile)][1] / MEASURE_IN_SI[profile.limits_per][1]


def parse_profile(text: str | bytes, *, source: str) -> AnyProfile:
    """A profile from JSON. Raises `SettingsError` that names `source`, the field and its value."""
    try:
        json.loads(text, object_pairs_hook=_refuse_twice)
        return _PROFILE.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("four_point", "ten_point"))
        value = "" if isinstance(first["input"], dict) else f", got {first['input']!r}"
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"profile {source}: {place or 'the file'}: {message}{value}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"profile {source} is no JSON: {error}") from error


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands there twice")
    return dict(pairs)


def dump_profile(profile: AnyProfile) -> dict[str, Any]:
    """All fields, as JSON knows them; `parse_profile` reads them back."""
    return profile.model_dump(mode="json")
