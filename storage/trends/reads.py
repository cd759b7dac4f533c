"""What the trends screen and `loomwatch trends` show: totals of periods, lines, styles, kinds; never a frame is read.

Hours are grouped by the database, and put into the plant's days and shifts here. A gap has no style; where styles are
told apart, an hour's gap of a camera is shared among the styles that it inspected in that hour.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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

PeriodKind = Literal["day", "shift"]
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


@dataclass(frozen=True, slots=True)
class Passed:
    """What passed in the days, of the lines and the camera of a filter, hour by hour: read once for all groupings that
    `kind_of` says the same of. styles, shifts: all of them."""

    calendar: Calendar
    lines: tuple[str, ...]
    cells: "_Cells"


def read_trends(
    database: Database, plant: Plant, wanted: TrendFilter, *, by: By, now: datetime | None = None
) -> list[Trend]:
    """In order of time, or worst first. Periods without any cloth are left out. Looms are those of the rolls that ended
    then (`storage.trends.looms`)."""
    kind = kind_of(wanted, by)
    if by == "loom":
        return read_looms(database, calendar_of(plant, kind, first=wanted.first, last=wanted.last), wanted)
    return trends_of(read_passed(database, plant, wanted, kind=kind), wanted, by, now=now)


def kind_of(wanted: TrendFilter, by: By) -> PeriodKind:
    """The periods that are told apart."""
    return "shift" if by in ("shift", "shift_name") or wanted.shift else "day"


def read_passed(database: Database, plant: Plant, wanted: TrendFilter, *, kind: PeriodKind) -> Passed:
    """wanted: its style and shift are left aside."""
    calendar = calendar_of(plant, kind, first=wanted.first, last=wanted.last)
    with database.reading() as session:
        lines = _lines(session, wanted)
        return Passed(calendar, tuple(lines), _read_cells(session, calendar, wanted, lines))


def trends_of(passed: Passed, wanted: TrendFilter, by: By, *, now: datetime | None = None) -> list[Trend]:
    """As `read_trends`, but of looms, of what was read for this filter and `kind_of` it."""
    calendar, cells = passed.calendar, passed.cells
    period = np.searchsorted(calendar.edges, cells.start, side="right") - 1
    asked = np.array([wanted.shift in ("", each.name) for each in calendar.periods])
    kept = asked[period]
    cells, period = cells.taken(kept), period[kept]
    if by == "style" or wanted.style:
        cells = _share_gaps(cells)
        if wanted.style:
            kept = cells.style == cells.number_of(wanted.style)
            cells, period = cells.taken(kept), period[kept]
    keys, names = period, [f"{each.day.isoformat()} {each.name}".strip() for each in calendar.periods]
    if by == "shift_name":
        names = sorted({each.name for each in calendar.periods})
        keys = np.array([names.index(each.name) for each in calendar.periods])[period]
    elif by not in IN_TIME:
        keys, names = {"line": cells.line, "style": cells.style, "camera": cells.camera}[by], list(cells.names)
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
            inside = [each for each in chosen if each.name == names[key]]
        there = 1 if by == "line" else max(1, len(passed.lines))
        minutes = _minutes(inside, now or datetime.now(UTC)) * there
        known = by != "style" and not wanted.style and minutes > 0
        trends.append(
            trend_of(
                names[key],
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
    calendar = calendar_of(plant, kind_of(wanted, "day"), first=wanted.first, last=wanted.last)
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
    return difference_of(before, after)


def difference_of(before: Trend | None, after: Trend | None) -> Difference | None:
    """None when nothing passed in one of them."""
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
    return whole_of(read_trends(database, plant, wanted, by="line"))


def line_names(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(LineRow.name).order_by(LineRow.name)))


# --- reading -------------------------------------------------------------------------------------------------------


def _lines(session: Session, wanted: TrendFilter) -> list[str]:
    """Named, because the totals' key begins with the line."""
    return [wanted.line] if wanted.line else list(session.scalars(select(LineRow.name).order_by(LineRow.name)))


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
        if wanted.geometry:
            parts.append(_D.geometry == wanted.geometry)
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
    (N, len(SUMS)). line, camera and style are numbers of `names`, which are in order."""

    start: NDArray[np.int64]
    line: NDArray[np.int64]
    camera: NDArray[np.int64]
    style: NDArray[np.int64]
    sums: NDArray[np.float64]
    minutes: NDArray[np.int64]
    names: tuple[str, ...]

    def taken(self, kept: NDArray[np.bool_]) -> "_Cells":
        places = self.start[kept], self.line[kept], self.camera[kept], self.style[kept]
        return _Cells(*places, self.sums[kept], self.minutes[kept], self.names)

    def number_of(self, name: str) -> int:
        """-1 for one that does not occur."""
        return self.names.index(name) if name in self.names else -1


def _read_cells(session: Session, calendar: Calendar, wanted: TrendFilter, lines: list[str]) -> _Cells:
    """With a severity or geometry the defects are those of `defect_totals`, which tells them apart, in cells of their
    own."""
    if wanted.severity or wanted.geometry:
        days = not any(edge % DAY_MIN for edge in calendar.edges)  # of UTC, which are kept
        times = _range(_D, calendar.edges[0], calendar.edges[-1]) if days else _hours(_D, calendar)
        rows = _rows(session, _C, SUMS[:CLOTH_SUMS], _hours(_C, calendar), wanted, lines)
        rows += _rows(session, _D, SUMS[CLOTH_SUMS:], times, wanted, lines)
    else:
        rows = _rows(session, _C, SUMS, _hours(_C, calendar), wanted, lines)
    start, line, camera, style, *sums, minutes = zip(*rows, strict=True) if rows else ((),) * (5 + len(SUMS))
    names = tuple(sorted({*line, *camera, *style}))
    numbers = {name: number for number, name in enumerate(names)}
    in_line, of_camera, of_style = (
        np.array([numbers[name] for name in column], np.int64) for column in (line, camera, style)
    )
    found = np.array(sums, np.float64).T
    return _Cells(np.array(start, np.int64), in_line, of_camera, of_style, found, np.array(minutes, np.int64), names)


def _rows(
    session: Session,
    table: type[ClothTotalRow] | type[DefectTotalRow],
    names: tuple[str, ...],
    times: Iterable[ColumnElement[bool]],
    wanted: TrendFilter,
    lines: list[str],
) -> list[Any]:
    """start, line, camera, style, the sums, minutes. names: the sums that the table is asked for; the others are 0."""
    place = [table.start, table.line, table.camera, table.style]
    sums: list[Any] = [getattr(table, name) if name in names else literal(0) for name in SUMS]
    query = select(*place, *sums, _C.minutes)
    if table is _D:
        sums = [func.sum(getattr(table, name)) if name in names else literal(0) for name in SUMS]
        query = select(*place, *sums, literal(0)).group_by(*place)
    rows: list[Any] = []
    for time in times:
        # the driver's own rows: to make SQLAlchemy's of tens of thousands takes as long as all the rest
        with session.connection().execute(query.where(time, *_chosen(table, wanted, lines))) as found:
            rows += found.cursor.fetchall() if found.cursor is not None else []
    return rows


def _share_gaps(cells: _Cells) -> _Cells:
    """Gaps go to the styles that their camera inspected in the same hour; to none where it inspected nothing."""
    inspected, gap = cells.sums[:, SUMS.index("inspected_um")], cells.sums[:, SUMS.index("gap_um")]
    _, place = np.unique(cells.start * len(cells.names) + cells.camera, return_inverse=True)  # unique in the plant
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
    order = np.lexsort((cells.start, cells.line, group))
    keys = np.stack([group[order], cells.line[order], cells.start[order]])
    firsts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
    masks = np.bitwise_or.reduceat(cells.minutes[order], firsts)
    bits = np.unpackbits(masks.view(np.uint8).reshape(len(masks), 8), axis=1).sum(axis=1)
    return np.bincount(keys[0, firsts], weights=bits, minlength=groups).astype(np.int64)


def whole_of(trends: list[Trend]) -> Trend | None:
    """Of lines: all of them together; None for none."""
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
