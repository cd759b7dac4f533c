"""Papers: roll certificates, reports of shifts, days and styles."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import typer

from inspection.errors import SettingsError
from inspection.settings import ReportSettings, StoreSettings, load
from loomwatch.terminal import console, example
from storage.database import open_database

if TYPE_CHECKING:
    from storage.reports.period_report import PeriodReport
    from storage.reports.shifts import Period
    from storage.reports.style_report import StyleReport
    from storage.reports.written import Form

DATA_DIR = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine.")
FORMAT = typer.Option("", "--format", help="pdf, xlsx, csv or json; by default what the file's name ends in.")
OUT = typer.Option(..., "--out", "-o", help="File to write.")
LANGUAGE = typer.Option("", "--language", help="Of PDF and XLSX: en or de; by default LOOMWATCH_REPORT_LANGUAGE.")
LINE = typer.Option(None, "--line", help="Only this textile line.")
DAY = typer.Option("", "--date", help="Day as YYYY-MM-DD in the plant's time zone; by default today.")


def register(app: typer.Typer) -> None:
    report = typer.Typer(
        help="Write a roll's certificate, or the report of a shift, day or style.", no_args_is_help=True
    )
    report.command("roll", epilog=example("loomwatch report roll R-1042 --out R-1042.pdf"))(report_roll)
    report.command("shift", epilog=example("loomwatch report shift early --date 2026-03-14 --out early.pdf"))(
        report_shift
    )
    report.command("day", epilog=example("loomwatch report day --date 2026-03-14 --format xlsx --out day.xlsx"))(
        report_day
    )
    report.command(
        "style", epilog=example("loomwatch report style twill --from 2026-03-01 --to 2026-03-31 --out twill.pdf")
    )(report_style)
    app.add_typer(report, name="report")


def report_roll(
    name: str = typer.Argument(help="Name of the roll."),
    out: Path = OUT,
    form: str = FORMAT,
    language: str = LANGUAGE,
    line: str = LINE,
    data_dir: Path = DATA_DIR,
) -> None:
    """Write a roll's certificate: map, grade and how it came about, coverage, worst defects, signature lines."""
    from storage.pictures import PictureStore
    from storage.reports.filed import put_in_place
    from storage.reports.roll_report import read_roll_report
    from storage.reports.written import write_roll
    from storage.roll_details import find_roll

    chosen, settings = _form(form, out), load(ReportSettings)
    spoken = _language(language, settings)
    store = load(StoreSettings, data_dir=data_dir)
    with open_database(store.database) as database:
        roll = find_roll(database, name=name, line=line)
        report = read_roll_report(database, PictureStore(store.pictures), roll, settings)
    put_in_place(out, write_roll(report, chosen, paper_size=settings.paper, language=spoken))
    grade = report.graded.grade
    console.print(f"roll {roll.name}: {grade.grade} ({grade.state}), written to {out}", markup=False, soft_wrap=True)


def report_shift(
    shift: str = typer.Argument("", help="Name of the shift; by default the one that runs now."),
    out: Path = OUT,
    form: str = FORMAT,
    language: str = LANGUAGE,
    day: str = DAY,
    line: str = LINE,
    data_dir: Path = DATA_DIR,
) -> None:
    """Write a shift's report: its cloth, rolls, lots and what was not inspected. A shift has the date it begins on."""
    from storage.reports.shifts import shift_at, shift_period

    settings = load(ReportSettings)
    zone = ZoneInfo(settings.time_zone)
    if not shift and day:
        raise SettingsError(f"name the shift of {day}: {', '.join(each.partition('=')[0] for each in settings.shifts)}")
    period = (
        shift_period(settings.shifts, zone, day=_day(day, zone), name=shift)
        if shift
        else shift_at(settings.shifts, zone, datetime.now(UTC))
    )
    _period(period, settings, out=out, form=form, language=language, line=line, data_dir=data_dir)


def report_day(
    out: Path = OUT,
    form: str = FORMAT,
    language: str = LANGUAGE,
    day: str = DAY,
    line: str = LINE,
    data_dir: Path = DATA_DIR,
) -> None:
    """Write a day's report, from midnight to midnight."""
    from storage.reports.shifts import day_period

    settings = load(ReportSettings)
    zone = ZoneInfo(settings.time_zone)
    _period(
        day_period(zone, day=_day(day, zone)),
        settings,
        out=out,
        form=form,
        language=language,
        line=line,
        data_dir=data_dir,
    )


def report_style(
    style: str = typer.Argument(help="Name of the style."),
    out: Path = OUT,
    form: str = FORMAT,
    language: str = LANGUAGE,
    first: str = typer.Option("", "--from", help="First day as YYYY-MM-DD; by default 30 days up to the last."),
    last: str = typer.Option("", "--to", help="Last day; by default today, in the plant's time zone."),
    line: str = LINE,
    data_dir: Path = DATA_DIR,
) -> None:
    """Write a style's report: its rolls that ended in these days, their grades, kinds of defects, the worst ones."""
    from storage.pictures import PictureStore
    from storage.reports.filed import put_in_place
    from storage.reports.style_report import read_style_report
    from storage.reports.written import write_style

    chosen, settings = _form(form, out), load(ReportSettings)
    spoken = _language(language, settings)
    zone = ZoneInfo(settings.time_zone)
    until = _day(last, zone, option="--to")
    since = _day(first, zone, option="--from") if first else until - timedelta(days=29)
    store = load(StoreSettings, data_dir=data_dir)
    with open_database(store.database) as database:
        report = read_style_report(
            database, PictureStore(store.pictures), style, settings, first=since, last=until, line=line or ""
        )
    put_in_place(out, write_style(report, chosen, paper_size=settings.paper, language=spoken))
    _say(report, out)


def _period(
    period: "Period",
    settings: ReportSettings,
    *,
    out: Path,
    form: str,
    language: str,
    line: str | None,
    data_dir: Path | None,
) -> None:
    from storage.reports.filed import put_in_place
    from storage.reports.period_report import read_period_report
    from storage.reports.written import write_period

    chosen, spoken = _form(form, out), _language(language, settings)
    store = load(StoreSettings, data_dir=data_dir)
    with open_database(store.database) as database:
        report = read_period_report(database, period, settings, line=line)
    put_in_place(out, write_period(report, chosen, paper_size=settings.paper, language=spoken))
    _say(report, out)


def _say(report: "PeriodReport | StyleReport", out: Path) -> None:
    rolls = "1 roll" if len(report.rolls) == 1 else f"{len(report.rolls):,} rolls"
    console.print(f"{report.title}: {rolls}, written to {out}", markup=False, soft_wrap=True)


def _form(form: str, out: Path) -> "Form":
    from storage.reports.written import FORMS

    asked = (form or out.suffix.removeprefix(".")).lower()
    for known in FORMS:
        if asked == known:
            return known
    raise SettingsError(f"--format is one of {', '.join(FORMS)}, got {asked or out.name!r}")


def _language(code: str, settings: ReportSettings) -> str:
    from inspection.language import LANGUAGES

    if code and code not in LANGUAGES:
        raise SettingsError(f"--language is one of {', '.join(LANGUAGES)}, got {code!r}")
    return code or settings.language


def _day(text: str, zone: ZoneInfo, *, option: str = "--date") -> date:
    if not text:
        return datetime.now(zone).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{option} is a day such as 2026-03-14, got {text!r}") from error
