"""The report of a shift or a day as PDF."""

from collections.abc import Sequence
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import KeepTogether, Spacer

from storage.reports import paper, words
from storage.reports.paper import BODY, HEADING, SMALL, Story, listing, paragraph
from storage.reports.period_report import PeriodReport


def period_pdf(report: PeriodReport, *, paper_size: str) -> bytes:
    """Figures of the period, its lines, its rolls, its lots and what was not inspected."""
    width = paper.page_width(paper_size)
    start, end = (at.astimezone(report.zone) for at in (report.period.start, report.period.end))
    running = report.made_at < report.period.end
    made = report.made_at.astimezone(report.zone)
    story: Story = [
        paper.heading(
            report.title,
            plant=report.plant,
            kind=f"{start:%d %b %Y %H:%M} to {end:%d %b %Y %H:%M} {end:%Z}",
            badge="UNTIL NOW" if running else "COMPLETE",
            color=paper.FAIR if running else paper.BRAND,
            width=width,
        ),
        Spacer(1, 6),
        _figures(report, width),
        *_lines(report, width),
        *_rolls(report, width),
        *_lots(report, width),
        *_reasons(report, width),
        KeepTogether([Spacer(1, 12 * mm), paper.signatures(("Shift leader", "Quality"), width=width)]),
    ]
    return paper.build(
        story,
        title=report.title,
        subject="cloth inspected and rolls graded",
        footer=f"{report.title} · made {made:%Y-%m-%d %H:%M %Z} · loomwatch",
        paper=paper_size,
        author=report.plant,
    )


def _figures(report: PeriodReport, width: float) -> Any:
    inspected = sum(line.inspected_mm for line in report.lines)
    missed = sum(line.missed_mm for line in report.lines)
    area = sum(line.area_m2 for line in report.lines)
    defects = sum(line.defects for line in report.lines)
    grades = report.count_grades()
    shown = [
        ("Inspected", f"{inspected / 1000:,.1f} m", f"{area:,.1f} m²"),
        ("Coverage", words.share(inspected / (inspected + missed)) if inspected + missed else "–", _missed(missed)),
        ("Defects", f"{defects:,}", f"{100 * defects / area:.1f} per 100 m²" if area else ""),
        ("Rolls ended", f"{len(report.ended):,}", f"of {len(report.rolls):,} with cloth here"),
        ("Grades", " · ".join(f"{count} {grade}" for grade, count in grades.items()) or "–", "of the rolls that ended"),
    ]
    return paper.figures(shown, shares=(0.15, 0.21, 0.18, 0.18, 0.28), width=width)


def _missed(missed_mm: float) -> str:
    return f"{missed_mm / 1000:,.2f} m not inspected" if missed_mm else "all of it inspected"


def _lines(report: PeriodReport, width: float) -> Story:
    if not report.lines:
        return [Spacer(1, 8), paragraph("No cloth passed a camera in this time.", BODY)]
    rows = [
        [
            line.line,
            f"{line.inspected_mm / 1000:,.2f} m",
            f"{line.missed_mm / 1000:,.2f} m",
            words.share(line.coverage),
            f"{line.defects:,}",
            f"{line.defects_per_100_m2:.1f}",
            f"{line.to_review:,}",
            f"{line.false_alarms:,}",
        ]
        for line in report.lines
    ]
    head = ["Line", "Inspected", "Not inspected", "Coverage", "Defects", "Per 100 m²", "To review", "False alarms"]
    shares = (0.16, 0.14, 0.14, 0.11, 0.1, 0.12, 0.11, 0.12)
    return [paragraph("Lines", HEADING), _table(head, rows, shares, width, numbers=range(1, 8))]


def _rolls(report: PeriodReport, width: float) -> Story:
    if not report.rolls:
        return []
    rows = []
    for graded in report.rolls:
        roll = graded.roll
        ended = f"{roll.closed_at.astimezone(report.zone):%H:%M}" if roll.closed_at else "running"
        rows.append(
            [
                roll.name,
                roll.line,
                " · ".join(part for part in (roll.style, graded.lot) if part),
                ended if roll.id in report.ended or roll.closed_at is None else "later",
                f"{graded.length_mm / 1000:,.2f} m",
                words.share(graded.coverage),
                words.number(graded.points),
                "–" if graded.rate is None else f"{graded.rate:.1f}",
                words.graded(graded),
            ]
        )
    head = ["Roll", "Line", "Style · lot", "Ended", "Length", "Coverage", "Points", "Rate", "Grade"]
    shares = (0.12, 0.09, 0.15, 0.08, 0.11, 0.09, 0.07, 0.07, 0.22)
    measures = sorted({words.MEASURES[graded.measure] for graded in report.rolls})
    return [
        paragraph("Rolls", HEADING),
        _table(head, rows, shares, width, numbers=(4, 5, 6, 7)),
        Spacer(1, 3),
        paragraph(
            f"Length, points and grade are of the whole roll, also where a part of it passed at another time. "
            f"Rate: {' or '.join(measures)}, as the roll's profile says.",
            SMALL,
        ),
    ]


def _lots(report: PeriodReport, width: float) -> Story:
    rows = [
        [
            lot.lot,
            f"{lot.rolls:,}",
            f"{lot.rate:.1f}",
            "–" if lot.limit is None else f"{lot.limit:.1f}",
            {True: "within", False: "OVER", None: "no limit"}[lot.within],
        ]
        for lot in report.lots
    ]
    if not rows:
        return []
    head = ["Lot", "Rolls ended", "Average rate", "Limit", ""]
    return [
        paragraph("Lots", HEADING),
        _table(head, rows, (0.36, 0.16, 0.16, 0.16, 0.16), width, numbers=(1, 2, 3)),
    ]


def _reasons(report: PeriodReport, width: float) -> Story:
    rows = [
        [line, words_of[:1].upper() + words_of[1:], f"{mm_ / 1000:,.2f} m"] for line, words_of, mm_ in report.reasons
    ]
    if not rows:
        return []
    return [
        paragraph("Not inspected", HEADING),
        _table(["Line", "Why", "Length, all cameras"], rows, (0.2, 0.6, 0.2), width, numbers=(2,)),
    ]


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], shares: Sequence[float], width: float, *, numbers: Sequence[int]
) -> Any:
    return listing(head, rows, widths=[width * share for share in shares], numbers=numbers)
