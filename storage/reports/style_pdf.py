"""The report of a style over some days as PDF."""

from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import KeepTogether, Spacer

from storage.reports import paper, words
from storage.reports.paper import BODY, CAPTION, HEADING, SMALL, Story, listing, markup, paragraph, plain
from storage.reports.style_report import StyleReport
from storage.trends.trend import Trend

LISTED = 500  # rolls; the spreadsheet has all of them


def style_pdf(report: StyleReport, *, paper_size: str) -> bytes:
    """Figures of the style, its lines, kinds of defects, rolls, and the worst defects' pictures."""
    width = paper.page_width(paper_size)
    running = report.made_at < report.end
    made = report.made_at.astimezone(report.zone)
    story: Story = [
        paper.heading(
            report.title,
            plant=report.plant,
            kind=f"{words.day(report.first)} to {words.day(report.last)}",
            badge="UNTIL NOW" if running else "COMPLETE",
            color=paper.FAIR if running else paper.BRAND,
            width=width,
        ),
        Spacer(1, 6),
        _figures(report, width),
        *_lines(report, width),
        *_kinds(report, width),
        *_rolls(report, width),
        *_pictures(report, width),
        KeepTogether([Spacer(1, 12 * mm), paper.signatures(("Quality",), width=width)]),
    ]
    return paper.build(
        story,
        title=report.title,
        subject="rolls of a style and their defects",
        footer=f"{report.title}, {report.first} to {report.last} · made {made:%Y-%m-%d %H:%M %Z} · loomwatch",
        paper=paper_size,
        author=report.plant,
    )


def _figures(report: StyleReport, width: float) -> Any:
    whole, rolls = report.whole, report.rolls
    grades = " · ".join(f"{count} {grade}" for grade, count in report.count_grades().items())
    rates = " · ".join(f"{average.rate:.1f}" for average in report.averages)
    measures = " or ".join(sorted({words.MEASURES[average.measure] for average in report.averages}))
    shown = [
        ("Rolls ended", f"{len(rolls):,}", f"{sum(graded.length_mm for graded in rolls) / 1000:,.1f} m"),
        ("Coverage", _share(whole), f"{whole.area_m2:,.1f} m² inspected" if whole else ""),
        ("Defects", f"{whole.defects if whole else 0:,}", f"{_rate(whole)} per 100 m²" if whole else ""),
        ("Average rate", rates or "–", measures),
        ("Grades", grades or "–", f"{report.to_review:,} defects to review"),
    ]
    return paper.figures(shown, shares=(0.15, 0.18, 0.18, 0.21, 0.28), width=width)


def _share(trend: Trend | None) -> str:
    return "–" if trend is None or trend.coverage is None else words.share(trend.coverage)


def _rate(trend: Trend) -> str:
    return "–" if trend.defects_per_100_m2 is None else f"{trend.defects_per_100_m2:.1f}"


def _lines(report: StyleReport, width: float) -> Story:
    if not report.lines:
        return [Spacer(1, 8), paragraph("No roll of this style ended in these days.", BODY)]
    rows = [
        [
            line.name,
            f"{sum(graded.roll.line == line.name for graded in report.rolls):,}",
            f"{line.area_m2:,.1f} m²",
            _share(line),
            f"{line.defects:,}",
            _rate(line),
            words.number(line.points),
            f"{line.false_alarms:,}",
        ]
        for line in report.lines
    ]
    head = ["Line", "Rolls", "Inspected", "Coverage", "Defects", "Per 100 m²", "Points", "False alarms"]
    shares = (0.2, 0.08, 0.14, 0.12, 0.11, 0.13, 0.1, 0.12)
    return [
        paragraph("Lines", HEADING),
        listing(head, rows, widths=[width * share for share in shares], numbers=range(1, 8)),
    ]


def _kinds(report: StyleReport, width: float) -> Story:
    if report.whole is None or not report.kinds:
        return []
    total, area = sum(kind.defects for kind in report.kinds), report.whole.area_m2
    rows = [
        [
            words.kind(kind.code, kind.geometry),
            f"{kind.defects:,}",
            words.share(kind.defects / total),
            f"{100 * kind.defects / area:.2f}" if area > 0 else "–",
            words.number(kind.points),
        ]
        for kind in report.kinds
    ]
    head = ["Kind", "Defects", "Share", "Per 100 m²", "Points"]
    shares = (0.4, 0.15, 0.15, 0.15, 0.15)
    return [
        paragraph("Kinds of defects", HEADING),
        listing(head, rows, widths=[width * share for share in shares], numbers=range(1, 5)),
        Spacer(1, 3),
        paragraph("False alarms are left out. Points are of defects one by one, before the caps of a roll.", SMALL),
    ]


def _rolls(report: StyleReport, width: float) -> Story:
    if not report.rolls:
        return []
    rows = [
        [
            graded.roll.name,
            graded.roll.line,
            graded.lot,
            words.day(graded.roll.closed_at.astimezone(report.zone).date()) if graded.roll.closed_at else "",
            f"{graded.length_mm / 1000:,.2f} m",
            words.share(graded.coverage),
            f"{graded.defects:,}",
            words.number(graded.points),
            "–" if graded.rate is None else f"{graded.rate:.1f}",
            words.graded(graded),
        ]
        for graded in report.rolls[:LISTED]
    ]
    head = ["Roll", "Line", "Lot", "Ended", "Length", "Coverage", "Defects", "Points", "Rate", "Grade"]
    shares = (0.12, 0.08, 0.09, 0.12, 0.11, 0.1, 0.09, 0.08, 0.07, 0.14)
    story: Story = [
        paragraph("Rolls", HEADING),
        listing(head, rows, widths=[width * share for share in shares], numbers=(4, 5, 6, 7, 8)),
        Spacer(1, 3),
    ]
    if len(report.rolls) > LISTED:
        story.append(paragraph(f"The first {LISTED} of {len(report.rolls):,}: the spreadsheet has all of them.", SMALL))
    return [
        *story,
        paragraph("Whole rolls that ended in these days, with the points and grades of their certificates.", SMALL),
    ]


def _pictures(report: StyleReport, width: float) -> Story:
    cells = []
    for item in report.worst:
        picture = paper.picture(report.pictures.get(item.id, b""), width=width)
        if picture is not None:
            points = words.number(item.points)
            about = [
                markup(f"<b>{plain(words.kind(item.code, item.geometry))}, {words.size(item.size_mm)}</b>", CAPTION),
                paragraph(f"{item.roll.name if item.roll else ''} at {words.place(item.y_mm, 'metre')}", CAPTION),
                paragraph(f"{points} point{'' if points == '1' else 's'} · {words.STATUS[item.state]}", CAPTION),
            ]
            cells.append([picture, Spacer(1, 2), *about])
    return [paragraph("Worst defects", HEADING), paper.picture_grid(cells, width=width)] if cells else []
