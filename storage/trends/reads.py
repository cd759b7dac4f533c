"""What the trends screen and `loomwatch trends` show: totals of periods, lines, styles, kinds; never a frame is read.

Hours are grouped by the database, and put into the plant's days and shifts here. A gap has no style; where styles are
told apart, an hour's gap of a camera is shared among the styles that it inspected in that hour.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, and_, func, literal, or_, select
from sqlalchemy.orm import Session

from storage.database import Database
from storage.reports.shifts import Period
from storage.tables import BandTotalRow, ClothTotalRow, DefectTotalRow, LineRow
from storage.trends.control import Chart, individuals_chart, u_chart
from storage.trends.drift import EPOCH, DriftState, drift_days
from storage.trends.looms import read_looms
from storage.trends.periods import Calendar, Plant, calendar_of
from storage.trends.totals import BAND_MM, DAY_MIN, KIND_SPANS, minute_of
from storage.trends.trend import Trend as Trend
from storage.trends.trend import TrendFilter as TrendFilter
from storage.trends.trend import trend_of

By = Literal["day", "shift", "shift_name", "line", "style", "camera", "loom"]
GROUPINGS: tuple[By, ...] = get_args(By)
Measure = Literal[
    "defects_per_100_m2", "points_per_100_m2", "false_alarm_rate", "coverage", "uptime", "hours_to_review"
]
MEASURES: tuple[Measure, ...] = get_args(Measure)
IN_TIME: tuple[By, ...] = ("day", "shift")  # whose order is that of time, so that control limits mean something
CLOTH_SUMS = 4
SUMS = (
    "frames", "inspected_um", "inspected_mm2", "gap_um",
    "found", "confirmed", "rejected", "points_1000", "reviewed", "review_s",
)  # fmt: skip
CHUNK = 200  # hours that are read by the minute, a question

_C, _D = ClothTotalRow, DefectTotalRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Defects of one name, or of one form where they have none; false alarms left out."""

    geometry: str
    code: str
    defects: int
    points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Defects of two stretches of cloth. ratio: of the rates, second by first. p_value: that as unequal counts come by
    chance, exact and conditional on their sum (J. Przyborowski and H. Wilenski, Biometrika 31, 1940)."""

    first: Trend
    second: Trend
    ratio: float | None
    p_value: float | None


# --- questions -----------------------------------------------------------------------------------------------------


def read_trends(
    database: Database, plant: Plant, wanted: TrendFilter, *, by: By, now: datetime | None = None
) -> list[Trend]:
    """In order of time, or worst first. Periods without any cloth are left out. Looms are those of the rolls that ended
    then (`storage.trends.looms`)."""
    calendar = _calendar(plant, wanted, by)
    if by == "loom":
        return read_looms(database, calendar, wanted)
    with database.reading() as session:
        lines = _lines(session, wanted)
        cells = _read_cells(session, calendar, wanted, lines)
    period = np.searchsorted(calendar.edges, cells.start, side="right") - 1
    asked = np.array([wanted.shift in ("", each.name) for each in calendar.periods])
    kept = asked[period]
    cells, period = cells.taken(kept), period[kept]
    if by == "style" or wanted.style:
        cells = _share_gaps(cells)
        kept = cells.style == wanted.style if wanted.style else np.ones(len(cells.start), bool)
        cells, period = cells.taken(kept), period[kept]
    names = {"line": cells.line, "style": cells.style, "camera": cells.camera}
    if by in IN_TIME:
        keys: Any = period
    elif by == "shift_name":
        keys = np.array([each.name for each in calendar.periods], object)[period]
    else:
        keys = names[by]
    groups, group = np.unique(keys, return_inverse=True)
    sums = {
        name: np.bincount(group, weights=cells.sums[:, number], minlength=len(groups))
        for number, name in enumerate(SUMS)
    }
    ran = _minutes_run(cells, group, len(groups))
    chosen = [each for each, yes in zip(calendar.periods, asked, strict=True) if yes]
    trends = []
    for number, key in enumerate(groups):
        inside = [calendar.periods[key]] if by in IN_TIME else chosen
        if by == "shift_name":
            inside = [each for each in chosen if each.name == key]
        there = 1 if by == "line" else max(1, len(lines))
        minutes = _minutes(inside, now or datetime.now(UTC)) * there
        known = by != "style" and not wanted.style and minutes > 0
        name = " ".join((inside[0].day.isoformat(), inside[0].name)).strip() if by in IN_TIME else str(key)
        trends.append(
            trend_of(
                name,
                inside[0].start,
                inside[-1].end,
                {each: float(values[number]) for each, values in sums.items()},
                min(1.0, float(ran[number]) / minutes) if known else None,
            )
        )
    if by not in IN_TIME:
        trends.sort(key=lambda trend: (-(trend.defects_per_100_m2 or 0.0), trend.name))
    return trends


def chart_of(trends: list[Trend], measure: Measure) -> Chart:
    """The control chart of a measure over periods: a u-chart for defects, individuals for everything else."""
    if measure == "defects_per_100_m2":
        return u_chart([trend.defects for trend in trends], [trend.area_m2 / 100 for trend in trends])
    return individual_chart_of(trends, measure)


def individual_chart_of(trends: list[Trend], measure: Measure) -> Chart:
    values = [getattr(trend, measure) for trend in trends]
    shares = measure in ("false_alarm_rate", "coverage", "uptime")
    return individuals_chart(
        [float("nan") if value is None else value for value in values], highest=1.0 if shares else np.inf
    )


def read_kinds(database: Database, plant: Plant, wanted: TrendFilter) -> list[Kind]:
    """For the Pareto chart: the most frequent first."""
    calendar = _calendar(plant, wanted, "shift" if wanted.shift else "day")
    keys: list[Any] = [_D.geometry, _D.code]
    sums = [func.sum(_D.found - _D.rejected), func.sum(_D.points_1000)]
    found: dict[tuple[str, str], list[float]] = {}
    with database.reading() as session:
        lines = _lines(session, wanted)
        if wanted.shift:
            times = _hours(_D, calendar)
            keys = [_D.start, *keys]
        else:
            times = _range(_D, calendar.edges[0], calendar.edges[-1])
        for time in times:
            condition = and_(time, *_chosen(_D, wanted, lines))
            for *start, geometry, code, count, points in session.execute(
                select(*keys, *sums).where(condition).group_by(*keys)
            ):
                if start and calendar.periods[calendar.place(start[0])].name != wanted.shift:
                    continue
                total = found.setdefault((geometry, code), [0, 0])
                total[0] += count
                total[1] += points
    kinds = [
        Kind(geometry=geometry, code=code, defects=int(count), points=float(points) / 1000)
        for (geometry, code), (count, points) in found.items()
        if count
    ]
    return sorted(kinds, key=lambda kind: (-kind.defects, kind.code, kind.geometry))


def read_width(database: Database, wanted: TrendFilter) -> pd.DataFrame:
    """Where across the cloth defects lie, a day (UTC): day, x_mm (where a band of `BAND_MM` begins), defects."""
    with database.reading() as session:
        condition = and_(
            BandTotalRow.line.in_(_lines(session, wanted)),
            BandTotalRow.day >= (wanted.first - EPOCH).days,
            BandTotalRow.day <= (wanted.last - EPOCH).days,
        )
        if wanted.style:
            condition = and_(condition, BandTotalRow.style == wanted.style)
        found = func.sum(BandTotalRow.found)
        rows = session.execute(
            select(BandTotalRow.day, BandTotalRow.band, found)
            .where(condition)
            .group_by(BandTotalRow.day, BandTotalRow.band)
            .order_by(BandTotalRow.day, BandTotalRow.band)
        ).all()
    return pd.DataFrame(
        [(EPOCH + timedelta(days=day), band * BAND_MM, int(count)) for day, band, count in rows if count],
        columns=["day", "x_mm", "defects"],
    )


def read_drift(database: Database, wanted: TrendFilter) -> list[DriftState]:
    """Judged days in order of time."""
    with database.reading() as session:
        found = drift_days(
            session, lines=tuple(_lines(session, wanted)), start=wanted.first, end=wanted.last + timedelta(days=1)
        )
    return [
        each
        for each in found
        if (not wanted.camera or each.camera == wanted.camera) and (not wanted.style or each.style == wanted.style)
    ]


def compare_cloth(database: Database, plant: Plant, first: TrendFilter, second: TrendFilter) -> Difference | None:
    """Two stretches of cloth; None when one of them has none."""
    before, after = (read_whole(database, plant, wanted) for wanted in (first, second))
    if before is None or after is None or before.area_m2 <= 0 or after.area_m2 <= 0:
        return None
    from scipy.stats import binomtest  # slow to import, and needed by nobody else

    together = before.defects + after.defects
    share = after.area_m2 / (before.area_m2 + after.area_m2)
    ratio = after.defects / after.area_m2 / (before.defects / before.area_m2) if before.defects else None
    chance = float(binomtest(after.defects, together, share).pvalue) if together else None
    return Difference(first=before, second=after, ratio=ratio, p_value=chance)


def read_whole(database: Database, plant: Plant, wanted: TrendFilter) -> Trend | None:
    """All lines together; None when nothing passed."""
    return _whole(read_trends(database, plant, wanted, by="line"))


def line_names(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(LineRow.name).order_by(LineRow.name)))


# --- reading -------------------------------------------------------------------------------------------------------


def _lines(session: Session, wanted: TrendFilter) -> list[str]:
    """Named, because the totals' key begins with the line."""
    return [wanted.line] if wanted.line else list(session.scalars(select(LineRow.name).order_by(LineRow.name)))


def _calendar(plant: Plant, wanted: TrendFilter, by: By) -> Calendar:
    kind: Literal["day", "shift"] = "shift" if by in ("shift", "shift_name") or wanted.shift else "day"
    return calendar_of(plant, kind, first=wanted.first, last=wanted.last)


def _chosen(
    table: type[ClothTotalRow] | type[DefectTotalRow], wanted: TrendFilter, lines: list[str]
) -> list[ColumnElement[bool]]:
    parts: list[ColumnElement[bool]] = [table.line.in_(lines)]
    if wanted.camera:
        parts.append(table.camera == wanted.camera)
    if table is _D:
        if wanted.style:
            parts.append(_D.style == wanted.style)
        if wanted.severity:
            parts.append(_D.severity == wanted.severity)
    return parts


def _hours(table: type[ClothTotalRow] | type[DefectTotalRow], calendar: Calendar) -> Iterator[ColumnElement[bool]]:
    """All hours of a calendar; of those that its periods divide, the minutes."""
    first, last, split = calendar.edges[0], calendar.edges[-1], calendar.split_hours
    within = and_(table.span == 60, table.start > first - 60, table.start < last)
    yield and_(within, table.start.not_in(split)) if split else within
    for number in range(0, len(split), CHUNK):
        hours = (and_(table.start >= hour, table.start < hour + 60) for hour in split[number : number + CHUNK])
        yield and_(table.span == 1, table.start >= first, table.start < last, or_(*hours))


def _range(table: type[DefectTotalRow], first: int, last: int) -> Iterator[ColumnElement[bool]]:
    """The minutes from first up to last, as whole days, and hours and minutes before and behind them."""
    outer: list[tuple[int, int]] = [(first, last)]
    for span in reversed(KIND_SPANS):
        rest: list[tuple[int, int]] = []
        for begin, end in outer:
            inner_begin, inner_end = -(-begin // span) * span, end // span * span
            if inner_begin >= inner_end:
                rest.append((begin, end))
                continue
            yield and_(table.span == span, table.start >= inner_begin, table.start < inner_end)
            rest += [(begin, inner_begin), (inner_end, end)]
        outer = [(begin, end) for begin, end in rest if begin < end]


@dataclass(frozen=True, slots=True)
class _Cells:
    """Hours (minutes, where hours are divided; days, of defects alone) of cameras and styles: (N,) each, sums
    (N, len(SUMS))."""

    start: NDArray[np.int64]
    line: NDArray[np.object_]
    camera: NDArray[np.object_]
    style: NDArray[np.object_]
    sums: NDArray[np.float64]
    minutes: NDArray[np.int64]

    def taken(self, kept: NDArray[np.bool_]) -> "_Cells":
        return _Cells(*(getattr(self, field.name)[kept] for field in fields(self)))


def _read_cells(session: Session, calendar: Calendar, wanted: TrendFilter, lines: list[str]) -> _Cells:
    """With a severity the defects are those of `defect_totals`, which tells severities apart, in cells of their own."""
    if not wanted.severity:
        return _cells(session, _C, SUMS, _hours(_C, calendar), wanted, lines)
    cloth = _cells(session, _C, SUMS[:CLOTH_SUMS], _hours(_C, calendar), wanted, lines)
    days = not any(edge % DAY_MIN for edge in calendar.edges)  # of UTC, which are kept
    times = _range(_D, calendar.edges[0], calendar.edges[-1]) if days else _hours(_D, calendar)
    found = _cells(session, _D, SUMS[CLOTH_SUMS:], times, wanted, lines)
    names = [field.name for field in fields(_Cells)]
    return _Cells(*(np.concatenate([getattr(cloth, name), getattr(found, name)]) for name in names))


def _cells(
    session: Session,
    table: type[ClothTotalRow] | type[DefectTotalRow],
    names: tuple[str, ...],
    times: Iterable[ColumnElement[bool]],
    wanted: TrendFilter,
    lines: list[str],
) -> _Cells:
    """names: the sums that the table is asked for; the others are 0."""
    place = [table.start, table.line, table.camera, table.style]
    sums = [getattr(table, name) for name in names]
    query = select(*place, *sums, _C.minutes)
    if table is _D:
        query = select(*place, *map(func.sum, sums), literal(0)).group_by(*place)
    rows: list[Any] = []
    for time in times:
        # past the ORM, which is slow over tens of thousands of rows
        rows += session.connection().execute(query.where(time, *_chosen(table, wanted, lines))).all()
    start, line, camera, style, *values, minutes = zip(*rows, strict=True) if rows else ((),) * (5 + len(names))
    found = np.zeros((len(rows), len(SUMS)))
    for name, column in zip(names, values, strict=True):
        found[:, SUMS.index(name)] = column
    return _Cells(
        np.array(start, np.int64),
        np.array(line, object),
        np.array(camera, object),
        np.array(style, object),
        found,
        np.array(minutes, np.int64),
    )


def _share_gaps(cells: _Cells) -> _Cells:
    """Gaps go to the styles that their camera inspected in the same hour; to none where it inspected nothing."""
    inspected, gap = cells.sums[:, SUMS.index("inspected_um")], cells.sums[:, SUMS.index("gap_um")]
    _, camera = np.unique(cells.camera, return_inverse=True)
    _, place = np.unique(cells.start * (camera.max(initial=0) + 1) + camera, return_inverse=True)  # unique in the plant
    seen, missed = np.bincount(place, weights=inspected), np.bincount(place, weights=gap)
    share = np.divide(inspected, seen[place], out=np.zeros(len(inspected)), where=seen[place] > 0)
    sums = cells.sums.copy()
    sums[:, SUMS.index("gap_um")] = np.where(seen[place] > 0, share * missed[place], gap)
    return replace(cells, sums=sums)


def _minutes(periods: list[Period], now: datetime) -> int:
    """That periods had until now."""
    end = minute_of(now) + 1
    return sum(max(0, min(minute_of(period.end), end) - minute_of(period.start)) for period in periods)


def _minutes_run(cells: _Cells, group: NDArray[np.intp], groups: int) -> NDArray[np.int64]:
    """(groups,) minutes in which cloth passed, of a line's cameras together."""
    if not len(group):
        return np.zeros(groups, np.int64)
    _, line = np.unique(cells.line, return_inverse=True)
    order = np.lexsort((cells.start, line, group))
    keys = np.stack([group[order], line[order], cells.start[order]])
    firsts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
    masks = np.bitwise_or.reduceat(cells.minutes[order], firsts)
    bits = np.unpackbits(masks.view(np.uint8).reshape(len(masks), 8), axis=1).sum(axis=1)
    return np.bincount(keys[0, firsts], weights=bits, minlength=groups).astype(np.int64)


def _whole(trends: list[Trend]) -> Trend | None:
    """All lines together."""
    if not trends:
        return None
    sums = {
        "found": sum(trend.defects + trend.false_alarms for trend in trends),
        "rejected": sum(trend.false_alarms for trend in trends),
        "confirmed": sum(trend.confirmed for trend in trends),
        "inspected_mm2": sum(trend.area_m2 for trend in trends) * 1e6,
        "inspected_um": sum(trend.inspected_m for trend in trends) * 1e6,
        "gap_um": sum(trend.missed_m for trend in trends) * 1e6,
        "frames": sum(trend.frames for trend in trends),
        "points_1000": sum(trend.points for trend in trends) * 1000,
        "reviewed": sum(trend.reviewed for trend in trends),
        "review_s": sum((trend.hours_to_review or 0.0) * trend.reviewed * 3600 for trend in trends),
    }
    known = [trend.uptime for trend in trends if trend.uptime is not None]
    uptime = sum(known) / len(known) if known else None
    return trend_of("all", min(each.start for each in trends), max(each.end for each in trends), sums, uptime)
