"""Figures of some cloth: which was asked for, and what is told of it."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendFilter:
    """Which cloth: days of the plant, both included; an empty field asks for all. shift: days are then those on which
    it begins."""

    first: date
    last: date
    line: str = ""
    style: str = ""
    camera: str = ""
    shift: str = ""
    severity: str = ""
    geometry: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One period, line, style or camera. Measures that nothing is known for are None.

    inspected_m, missed_m: of all cameras together. false_alarm_rate: share of what staff decided about.
    coverage: inspected share of what passed. uptime: share of all minutes in which cloth passed, mean over the lines;
    None for a style. hours_to_review: mean from capture to staff's decision.
    """

    name: str
    start: datetime
    end: datetime
    frames: int
    inspected_m: float
    missed_m: float
    area_m2: float
    defects: int  # without false alarms
    confirmed: int
    false_alarms: int
    points: float  # of defects one by one, before the caps of a yard or metre
    reviewed: int
    defects_per_100_m2: float | None
    points_per_100_m2: float | None
    false_alarm_rate: float | None
    coverage: float | None
    uptime: float | None
    hours_to_review: float | None


def trend_of(name: str, start: datetime, end: datetime, row: dict[str, float], uptime: float | None) -> Trend:
    """row: sums by the columns of `ClothTotalRow`."""
    defects = int(row["found"] - row["rejected"])
    area, inspected, missed = row["inspected_mm2"] / 1e6, row["inspected_um"] / 1e6, row["gap_um"] / 1e6
    decided = row["confirmed"] + row["rejected"]
    return Trend(
        name=name,
        start=start,
        end=end,
        frames=int(row["frames"]),
        inspected_m=inspected,
        missed_m=missed,
        area_m2=area,
        defects=defects,
        confirmed=int(row["confirmed"]),
        false_alarms=int(row["rejected"]),
        points=row["points_1000"] / 1000,
        reviewed=int(row["reviewed"]),
        defects_per_100_m2=100 * defects / area if area > 0 else None,
        points_per_100_m2=row["points_1000"] / 10 / area if area > 0 else None,
        false_alarm_rate=float(row["rejected"] / decided) if decided else None,
        coverage=inspected / (inspected + missed) if inspected + missed > 0 else None,
        uptime=uptime,
        hours_to_review=row["review_s"] / row["reviewed"] / 3600 if row["reviewed"] else None,
    )
