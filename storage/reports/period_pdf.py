"""The report of a shift or a day as PDF."""

from collections.abc import Sequence
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import KeepTogether, Spacer

from storage.reports import paper, words
from storage.reports.language import _, figure, moment
from storage.reports.paper import BODY, HEADING, SMALL, Story, listing, paragraph
from storage.reports.period_report import PeriodReport
from storage.reports.sayings import sentence


def period_pdf(report: PeriodReport, *, paper_size: str) -> bytes:
    """Figures of the period, its lines, its rolls, its lots and what was not inspected."""
    width = paper.page_width(paper_size)
    start, end = (at.astimezone(report.zone) for at in (report.period.start, report.period.end))
    running = report.made_at < report.period.end
    made = report.made_at.astimezone(report.zone)
    title = words.period_title(report.period)
    story: Story = [
        paper.heading(
            title,
            plant=report.plant,
            kind=_("{start} to {end}", start=moment(start), end=moment(end, zone=True)),
            badge=_("UNTIL NOW") if running else _("COMPLETE"),
            color=paper.FAIR if running else paper.BRAND,
            width=width,
        ),
        Spacer(1, 6),
        _figures(report, width),
        *_lines(report, width),
        *_rolls(report, width),
        *_lots(report, width),
        *_reasons(report, width),
        KeepTogether([Spacer(1, 12 * mm), paper.signatures((_("Shift leader"), _("Quality")), width=width)]),
    ]
    return paper.build(
        story,
        title=title,
        subject=_("cloth inspected and rolls graded"),
        footer=_("{title} · made {time} · loomwatch", title=title, time=moment(made, zone=True)),
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
        (_("Inspected"), f"{figure(inspected / 1000, ',.1f')} m", words.area(area)),
        (_("Coverage"), words.share(inspected / (inspected + missed)) if inspected + missed else "–", _missed(missed)),
        (
            _("Defects"),
            figure(defects, ","),
            _("{number} per 100 m²", number=figure(100 * defects / area, ".1f")) if area else "",
        ),
        (
            _("Rolls ended"),
            figure(len(report.ended), ","),
            _("of {number} with cloth here", number=figure(len(report.rolls), ",")),
        ),
        (_("Grades"), words.grades(grades), _("of the rolls that ended")),
    ]
    return paper.figures(shown, shares=(0.15, 0.21, 0.18, 0.18, 0.28), width=width)


def _missed(missed_mm: float) -> str:
    return _("{length} not inspected", length=words.metres(missed_mm)) if missed_mm else _("all of it inspected")


def _lines(report: PeriodReport, width: float) -> Story:
    if not report.lines:
        return [Spacer(1, 8), paragraph(_("No cloth passed a camera in this time."), BODY)]
    rows = [
        [
            line.line,
            words.metres(line.inspected_mm),
            words.metres(line.missed_mm),
            words.share(line.coverage),
            figure(line.defects, ","),
            figure(line.defects_per_100_m2, ".1f"),
            figure(line.to_review, ","),
            figure(line.false_alarms, ","),
        ]
        for line in report.lines
    ]
    head = [
        *(_("Line"), _("Inspected"), _("Not inspected"), _("Coverage"), _("Defects"), _("Per 100 m²")),
        *(_("To review"), _("False alarms")),
    ]
    shares = (0.16, 0.14, 0.14, 0.11, 0.1, 0.12, 0.11, 0.12)
    return [paragraph(_("Lines"), HEADING), _table(head, rows, shares, width, numbers=range(1, 8))]


def _rolls(report: PeriodReport, width: float) -> Story:
    if not report.rolls:
        return []
    rows = []
    for graded in report.rolls:
        roll = graded.roll
        ended = f"{roll.closed_at.astimezone(report.zone):%H:%M}" if roll.closed_at else _("running")
        rows.append(
            [
                roll.name,
                roll.line,
                " · ".join(part for part in (roll.style, graded.lot) if part),
                ended if roll.id in report.ended or roll.closed_at is None else _("later"),
                words.metres(graded.length_mm),
                words.share(graded.coverage),
                words.number(graded.points),
                "–" if graded.rate is None else figure(graded.rate, ".1f"),
                words.graded(graded),
            ]
        )
    head = [
        *(_("Roll"), _("Line"), _("Style · lot"), _("Ended"), _("Length"), _("Coverage"), _("Points")),
        *(_("Rate"), _("Grade")),
    ]
    shares = (0.12, 0.09, 0.15, 0.08, 0.1, 0.11, 0.08, 0.07, 0.2)
    measures = sorted({_(words.MEASURES[graded.measure]) for graded in report.rolls})
    return [
        paragraph(_("Rolls"), HEADING),
        _table(head, rows, shares, width, numbers=(4, 5, 6, 7)),
        Spacer(1, 3),
        paragraph(
            _(
                "Length, points and grade are of the whole roll, also where a part of it passed at another time. "
                "Rate: {measures}, as the roll's profile says.",
                measures=_(" or ").join(measures),
            ),
            SMALL,
        ),
    ]


def _lots(report: PeriodReport, width: float) -> Story:
    rows = [
        [
            lot.lot,
            figure(lot.rolls, ","),
            figure(lot.rate, ".1f"),
            "–" if lot.limit is None else figure(lot.limit, ".1f"),
            {True: _("within"), False: _("OVER"), None: _("no limit")}[lot.within],
        ]
        for lot in report.lots
    ]
    if not rows:
        return []
    head = [_("Lot"), _("Rolls ended"), _("Average rate"), _("Limit"), ""]
    return [
        paragraph(_("Lots"), HEADING),
        _table(head, rows, (0.36, 0.16, 0.16, 0.16, 0.16), width, numbers=(1, 2, 3)),
    ]


def _reasons(report: PeriodReport, width: float) -> Story:
    rows = [[line, sentence(reason), words.metres(length_mm)] for line, reason, length_mm in report.reasons]
    if not rows:
        return []
    return [
        paragraph(_("Not inspected"), HEADING),
        _table([_("Line"), _("Why"), _("Length, all cameras")], rows, (0.2, 0.6, 0.2), width, numbers=(2,)),
    ]


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], shares: Sequence[float], width: float, *, numbers: Sequence[int]
) -> Any:
    return listing(head, rows, widths=[width * share for share in shares], numbers=numbers)
