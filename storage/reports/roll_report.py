"""What a roll's certificate says, whatever it is written as."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from inspection.errors import StorageError
from inspection.settings import ReportSettings
from inspection.types import Roll
from storage.database import Database
from storage.grading.cut_plan import CutPlan, plan_cuts
from storage.grading.points import DefectPoints
from storage.grading.stored import GradedRoll, crop_keys, grade_in
from storage.pictures import PictureStore
from storage.reports.shifts import shift_at
from storage.rolls import in_roll
from storage.tables import FrameRow

SHOWN_DEFECTS = 12  # with a picture


@dataclass(frozen=True, slots=True, kw_only=True)
class RollReport:
    """A graded roll with what surrounds it. `worst`: the worst defects that count, `pictures` theirs by defect id."""

    graded: GradedRoll
    plan: CutPlan
    worst: tuple[DefectPoints, ...]
    pictures: dict[int, bytes]
    models: tuple[str, ...]
    shift: str
    plant: str
    zone: ZoneInfo
    made_at: datetime

    @property
    def roll(self) -> Roll:
        return self.graded.roll

    @property
    def record(self) -> str:
        """A fingerprint of everything stated: two papers with the same one state the same."""
        stated = {key: value for key, value in roll_facts(self).items() if key != "made_at"}
        return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:12]


def read_roll_report(
    database: Database, pictures: PictureStore, roll: Roll, settings: ReportSettings, *, at: datetime | None = None
) -> RollReport:
    """Grades a roll and gathers its certificate. A picture that cannot be read is left out. Raises `StorageError`."""
    zone = ZoneInfo(settings.time_zone)
    with database.reading() as session:
        graded = grade_in(session, roll)
        worst = worst_defects(graded)
        keys = crop_keys(session, [each.defect.id for each in worst])
        models = session.scalars(select(FrameRow.model).where(in_roll(roll, FrameRow)).distinct()).all()
    return RollReport(
        graded=graded,
        plan=plan_cuts(graded.profile.profile, graded.cloth, graded.grade),
        worst=worst,
        pictures={number: png for number, key in keys.items() if (png := kept_picture(pictures, key))},
        models=tuple(sorted(models)),
        shift=shift_at(settings.shifts, zone, roll.closed_at or roll.opened_at).name,
        plant=settings.plant,
        zone=zone,
        made_at=at or datetime.now(UTC),
    )


def worst_defects(graded: GradedRoll) -> tuple[DefectPoints, ...]:
    counted = [each for each in graded.grade.points.defects if not each.left_out]
    counted.sort(key=lambda each: (-each.points, -each.defect.size_mm, -each.defect.strength, each.defect.id))
    return tuple(counted[:SHOWN_DEFECTS])


def roll_facts(report: RollReport) -> dict[str, Any]:
    """The certificate as JSON knows it. Lengths in mm, times in the plant's zone."""
    graded, grade = report.graded, report.graded.grade
    roll, summary = graded.roll, graded.summary
    return {
        "document": "loomwatch roll certificate",
        "made_at": _time(report, report.made_at),
        "plant": report.plant,
        "roll": {
            "name": roll.name,
            "line": roll.line,
            "style": roll.style,
            "opened_at": _time(report, roll.opened_at),
            "closed_at": _time(report, roll.closed_at),
            "shift": report.shift,
            "models": list(report.models),
            "length_mm": summary.length_mm,
            "inspected_mm": summary.inspected_mm,
            "not_inspected_mm": summary.gap_mm,
            "not_inspected_yet_mm": summary.waiting_mm,
            "coverage": graded.cloth.coverage,
            "cuttable_width_mm": graded.widths.mean_mm,
            "width_start_mm": graded.widths.start_mm,
            "width_mid_mm": graded.widths.mid_mm,
            "width_end_mm": graded.widths.end_mm,
            "widths_are": "entered" if graded.widths.entered else "measured edge to edge",
        }
        | {name: value for name, value in asdict(graded.details).items() if not name.startswith(("width_", "profile"))},
        "profile": {"name": graded.profile.profile.name, "version": graded.profile.version},
        "grade": {
            "grade": grade.grade,
            "outcome": grade.outcome,
            "state": grade.state,
            "points": grade.points.total,
            "points_per": grade.measure,
            "rate": grade.rate,
            "limits": [{"grade": name, "max": limit} for name, limit in grade.limits],
            "reasons": list(grade.reasons),
            "defects_to_review": grade.unreviewed,
        },
        "defects": [_defect_facts(each) for each in grade.points.defects],
        "periodic": [asdict(each) for each in graded.series],
        "units": [
            {"unit": each.unit, "points_before_cap": each.raw, "points": each.points} for each in grade.points.units
        ],
        "not_inspected": [
            {"y0_mm": gap.y0_mm, "y1_mm": gap.y1_mm, "share_of_width": gap.share, "reason": gap.reason}
            for gap in graded.cloth.missed
        ],
        "cut_plan": {
            "pieces": [asdict(piece) for piece in report.plan.pieces],
            "first_mm": report.plan.first_mm,
            "value_mm": report.plan.value_mm,
            "whole_value_mm": report.plan.whole_value_mm,
            "worthwhile": report.plan.worthwhile,
        },
    }


def _defect_facts(each: DefectPoints) -> dict[str, Any]:
    return {
        **asdict(each.defect),
        "points": each.points,
        "rule": each.rule,
        "units": [score.unit for score in each.scores],
        "left_out": each.left_out,
    }


def _time(report: RollReport, at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(report.zone).isoformat(timespec="seconds")


def kept_picture(pictures: PictureStore, key: str) -> bytes:
    """b"" for one that was not kept or is gone."""
    try:
        return pictures.get(key) if key else b""
    except StorageError:
        return b""
