"""Trends: figures of days, shifts, lines, styles and cameras, with control limits; kinds of defects; drift."""

import csv
import math
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from inspection.errors import SettingsError
from inspection.settings import ReportSettings, StoreSettings, load
from loomwatch.terminal import console, example, write_json
from storage.database import open_database

if TYPE_CHECKING:
    from storage.trends.reads import TrendFilter

WIDTH = 130  # characters of the table
SIGNALS = {"": "", "high": "above its limit", "low": "below its limit", "run": "long on one side"}


def register(app: typer.Typer) -> None:
    app.command(
        "trends",
        epilog=example(
            "loomwatch trends --days 30",
            "loomwatch trends --by style --first 2026-03-01 --last 2026-03-31 --csv march.csv",
        ),
    )(show_trends)


def show_trends(
    by: str = typer.Option("day", help="day, shift, shift_name, line, style, camera, loom; or kind, width, drift."),
    days: int = typer.Option(30, min=1, help="So many days until the last one."),
    first: str = typer.Option("", help="First day as YYYY-MM-DD, instead of --days."),
    last: str = typer.Option("", help="Last day; by default today, in the plant's time zone."),
    line: str = typer.Option("", help="Only this textile line."),
    style: str = typer.Option("", help="Only this fabric style."),
    camera: str = typer.Option("", help="Only this camera."),
    shift: str = typer.Option("", help="Only this shift."),
    severity: str = typer.Option("", help="Only defects that are minor, major or critical."),
    form: str = typer.Option("", help="Only defects of this form: point, warp_line, weft_line, diagonal, area, ..."),
    measure: str = typer.Option("defects_per_100_m2", help="What the control limits are of."),
    json_file: Path = typer.Option(None, "--json", help="Write all figures to this file."),
    csv_file: Path = typer.Option(None, "--csv", help="Write the table to this file."),
    data_dir: Path = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine."),
) -> None:
    """Show how quality goes: defects and points per 100 m2, false alarms, coverage, uptime, time to review."""
    from storage.defects.geometry import GEOMETRIES
    from storage.grading.severity import SEVERITIES
    from storage.trends.periods import Plant, today
    from storage.trends.reads import GROUPINGS, MEASURES, TrendFilter, line_names, read_drift, read_kinds, read_width

    plant = Plant.of(load(ReportSettings))
    _one_of("--by", by, (*GROUPINGS, "kind", "width", "drift"))
    _one_of("--measure", measure, MEASURES)
    _one_of("--severity", severity, ("", *SEVERITIES))
    _one_of("--form", form, ("", *GEOMETRIES))
    _one_of("--shift", shift, ("", *plant.shift_names))
    end = _day("--last", last) if last else today(plant, datetime.now(UTC))
    begin = _day("--first", first) if first else end - timedelta(days=days - 1)
    wanted = TrendFilter(
        first=begin,
        last=end,
        line=line,
        style=style,
        camera=camera,
        shift=shift,
        severity=severity,
        geometry=form,
    )
    with open_database(load(StoreSettings, data_dir=data_dir).database) as database:
        if line:
            _one_of("--line", line, tuple(line_names(database)))
        match by:
            case "kind":
                rows = [asdict(kind) for kind in read_kinds(database, plant, wanted)]
            case "width":
                table = read_width(database, wanted)
                columns = zip(table["day"], table["x_mm"], table["defects"], strict=True)
                rows = [
                    {"day": day.isoformat(), "x_mm": float(x_mm), "defects": int(count)} for day, x_mm, count in columns
                ]
            case "drift":
                rows = [
                    asdict(each) | {"day": each.day.isoformat(), "judged_at": each.judged_at.isoformat()}
                    for each in read_drift(database, wanted)
                ]
            case _:
                rows = _trend_rows(database, plant, wanted, by, measure)
    if json_file is not None:
        write_json(json_file, {"by": by, "filter": _plain(asdict(wanted)), "rows": [_plain(row) for row in rows]})
    if csv_file is not None:
        _write_csv(csv_file, rows)
    for written in (json_file, csv_file):
        if written is not None:
            console.print(f"{len(rows)} rows are written to {written}", markup=False, soft_wrap=True)
    if json_file is None and csv_file is None:
        _print(rows, wanted)


def _trend_rows(database: Any, plant: Any, wanted: "TrendFilter", by: Any, measure: Any) -> list[dict[str, Any]]:
    from storage.trends.reads import IN_TIME, chart_of, read_trends

    trends = read_trends(database, plant, wanted, by=by)
    rows = [asdict(trend) | {"start": trend.start.isoformat(), "end": trend.end.isoformat()} for trend in trends]
    if by in IN_TIME:
        chart = chart_of(trends, measure)
        for row, lower, upper, signal in zip(rows, chart.lower, chart.upper, chart.signals, strict=True):
            row |= {"lower_limit": float(lower), "center": chart.center, "upper_limit": float(upper), "signal": signal}
    return rows


def _print(rows: list[dict[str, Any]], wanted: "TrendFilter") -> None:
    if not rows:
        console.print(
            f"nothing passed from {wanted.first} to {wanted.last}: choose other days (--first, --last) or fewer filters"
        )
        return
    if "inspected_m" not in rows[0]:
        table = Table(*(name for name in rows[0] if name != "judged_at"))
        for row in rows:
            table.add_row(*(_text(value) for name, value in row.items() if name != "judged_at"))
        console.print(table)
        return
    headings = {
        "name": "",
        "inspected_m": "camera m",
        "area_m2": "m2",
        "defects": "defects",
        "defects_per_100_m2": "per 100 m2",
        "points_per_100_m2": "points",
        "false_alarm_rate": "false",
        "coverage": "coverage",
        "uptime": "uptime",
        "hours_to_review": "review h",
    }
    charted = "signal" in rows[0]
    table = Table(Column(no_wrap=True), *[*headings.values()][1:], *(["limits", "signal"] if charted else []))
    for row in rows:
        cells = [_text(row[name], share=name in ("false_alarm_rate", "coverage", "uptime")) for name in headings]
        if charted:
            limits = "" if math.isnan(row["center"]) else f"{_text(row['lower_limit'])} - {_text(row['upper_limit'])}"
            cells += [limits, SIGNALS[row["signal"]]]
        table.add_row(*cells)
    Console(width=max(WIDTH, console.width)).print(table)  # figures are whole, also where the terminal wraps lines


def _text(value: Any, *, share: bool = False) -> str:
    if value is None:
        return "-"
    if share:
        return f"{value:.1%}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON knows neither days nor not-a-number."""
    return {
        name: value.isoformat()
        if isinstance(value, date)
        else None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in row.items()
    }


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(
                {name: "" if value is None else value for name, value in _plain(row).items()} for row in rows
            )


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingsError(f"{option} is one of {', '.join(each for each in known if each)}, got {value!r}")


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{option} is a day such as 2026-03-14, got {text!r}") from error
