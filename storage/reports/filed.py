"""Reports that are written by themselves into a folder: of every shift and day that has ended and had cloth, and of
every style that had rolls in a month that has ended.

What is due is told by the folder itself: a report whose file is there was written. So a report that was missed is
written once later, whoever looks, and one that somebody has taken away is written again while it is young.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

from sqlalchemy import and_, select

from inspection.settings import ReportSettings
from storage.database import Database
from storage.pictures import PictureStore
from storage.reports.period_report import read_period_report
from storage.reports.shifts import Period, day_period, shift_names, shift_period
from storage.reports.style_report import read_style_report, styles_ended
from storage.reports.written import Form, write_period, write_style
from storage.tables import FrameRow, GapRow, LineRow

CATCH_UP = timedelta(days=7)  # how far back a missed report is written
SETTLE = timedelta(minutes=10)  # after its end, so that frames which waited in a spool are in


def file_due(database: Database, pictures: PictureStore, settings: ReportSettings, *, at: datetime) -> list[Path]:
    """Writes what is due into `settings.folder` and returns the files. Raises `StorageError`, `OSError`."""
    if settings.folder is None:
        return []
    return [
        *_file_periods(database, settings, settings.folder, at),
        *_file_styles(database, pictures, settings, settings.folder, at),
    ]


def _file_periods(database: Database, settings: ReportSettings, folder: Path, at: datetime) -> list[Path]:
    written = []
    for period in ended_periods(settings, at):
        missing = _missing(settings, folder, partial(file_name, period))
        if missing and _has_cloth(database, period):
            report = read_period_report(database, period, settings, at=at)
            write = partial(write_period, report, paper_size=settings.paper, language=settings.language)
            for form, path in missing.items():
                put_in_place(path, write(form))
                written.append(path)
    return written


def _file_styles(
    database: Database, pictures: PictureStore, settings: ReportSettings, folder: Path, at: datetime
) -> list[Path]:
    written = []
    last = at.astimezone(ZoneInfo(settings.time_zone)).date().replace(day=1) - timedelta(days=1)
    first = last.replace(day=1)
    end = day_period(ZoneInfo(settings.time_zone), day=last).end
    if not at - CATCH_UP <= end <= at - SETTLE:
        return []
    for style in styles_ended(database, settings, first=first, last=last):
        missing = _missing(settings, folder, partial(style_file_name, style, first, last))
        if missing:
            report = read_style_report(database, pictures, style, settings, first=first, last=last, at=at)
            write = partial(write_style, report, paper_size=settings.paper, language=settings.language)
            for form, path in missing.items():
                put_in_place(path, write(form))
                written.append(path)
    return written


def _missing(settings: ReportSettings, folder: Path, name: Callable[[str], str]) -> dict[Form, Path]:
    paths = {form: folder / name(form) for form in settings.formats}
    return {form: path for form, path in paths.items() if not path.exists()}


def ended_periods(settings: ReportSettings, at: datetime) -> Iterator[Period]:
    """Shifts and days that ended within `CATCH_UP`, `SETTLE` ago or longer; the oldest first."""
    zone = ZoneInfo(settings.time_zone)
    today = at.astimezone(zone).date()
    for back in range(CATCH_UP.days + 1, -1, -1):
        day = today - timedelta(days=back)
        shifts = [shift_period(settings.shifts, zone, day=day, name=name) for name in shift_names(settings.shifts)]
        for period in [*shifts, day_period(zone, day=day)]:
            if at - CATCH_UP <= period.end <= at - SETTLE:
                yield period


def file_name(period: Period, form: str) -> str:
    """2026-03-14-early.pdf, 2026-03-14-day.pdf."""
    return f"{period.day.isoformat()}-{period.name or 'day'}.{form}"


def style_file_name(style: str, first: date, last: date, form: str) -> str:
    """2026-03-01-2026-03-31-twill.pdf; a style's name may hold what a file's may not."""
    return f"{first.isoformat()}-{last.isoformat()}-{quote(style, safe=' ')}.{form}"


def put_in_place(path: Path, data: bytes) -> None:
    """Aside and then into place: a paper is whole or not there. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _has_cloth(database: Database, period: Period) -> bool:
    with database.reading() as session:
        return any(
            session.scalar(
                select(table.id)
                .where(
                    and_(
                        table.line.in_(select(LineRow.name)),  # the index begins with the line
                        table.captured_at >= period.start,
                        table.captured_at < period.end,
                    )
                )
                .limit(1)
            )
            for table in (FrameRow, GapRow)
        )
