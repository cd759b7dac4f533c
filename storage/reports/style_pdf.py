"""The report of a style over some days as PDF."""

from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import KeepTogether, Spacer

from storage.reports import paper, words
from storage.reports.language import _, day, figure, moment, ngettext
from storage.reports.paper import BODY, CAPTION, HEADING, SMALL, Story, listing, markup, paragraph, plain
from storage.reports.sayings import said
from storage.reports.style_report import StyleReport
from storage.trends.trend import Trend

LISTED = 500  # rolls; the spreadsheet has all of them


def style_pdf(report: StyleReport, *, paper_size: str) -> bytes:
    """Figures of the style, its lines, kinds of defects, rolls, and the worst defects' pictures."""
    width = paper.page_width(paper_size)
    running = report.made_at < report.end
    made = report.made_at.astimezone(report.zone)
    title = _("Style report: {style}", style=report.style)
    days = _("{start} to {end}", start=day(report.first), end=day(report.last))
    dated = f"{title}, {days}"
    story: Story = [
        paper.heading(
            title,
            plant=report.plant,
            kind=days,
            badge=_("UNTIL NOW") if running else _("COMPLETE"),
            color=paper.FAIR if running else paper.BRAND,
            width=width,
        ),
        Spacer(1, 6),
        _figures(report, width),
        *_lines(report, width),
        *_kinds(report, width),
        *_rolls(report, width),
        *_pictures(report, width),
        KeepTogether([Spacer(1, 12 * mm), paper.signatures((_("Quality"),), width=width)]),
    ]
    return paper.build(
        story,
        title=title,
        subject=_("rolls of a style and their defects"),
        footer=_("{title} · made {time} · loomwatch", title=dated, time=moment(made, zone=True)),
        paper=paper_size,
        author=report.plant,
    )


def _figures(report: StyleReport, width: float) -> Any:
    whole, rolls = report.whole, report.rolls
    rates = " · ".join(figure(average.rate, ".1f") for average in report.averages)
    measures = _(" or ").join(sorted({_(words.MEASURES[average.measure]) for average in report.averages}))
    length_mm = sum(graded.length_mm for graded in rolls)
    inspected = _("{area} inspected", area=words.area(whole.area_m2)) if whole else ""
    shown = [
        (_("Rolls ended"), figure(len(rolls), ","), f"{figure(length_mm / 1000, ',.1f')} m"),
        (_("Coverage"), _share(whole), inspected),
        (
            _("Defects"),
            figure(whole.defects if whole else 0, ","),
            _("{number} per 100 m²", number=_rate(whole)) if whole else "",
        ),
        (_("Average rate"), rates or "–", measures),
        (
            _("Grades"),
            words.grades(report.count_grades()),
            ngettext("{number} defect to review", "{number} defects to review", report.to_review),
        ),
    ]
    return paper.figures(shown, shares=(0.15, 0.18, 0.18, 0.21, 0.28), width=width)


def _share(trend: Trend | None) -> str:
    return "–" if trend is None or trend.coverage is None else words.share(trend.coverage)


def _rate(trend: Trend) -> str:
    return "–" if trend.defects_per_100_m2 is None else figure(trend.defects_per_100_m2, ".1f")


def _lines(report: StyleReport, width: float) -> Story:
    if not report.lines:
        return [Spacer(1, 8), paragraph(_("No roll of this style ended in these days."), BODY)]
    rows = [
        [
            line.name,
            figure(sum(graded.roll.line == line.name for graded in report.rolls), ","),
            words.area(line.area_m2),
            _share(line),
            figure(line.defects, ","),
            _rate(line),
            words.number(line.points),
            figure(line.false_alarms, ","),
        ]
        for line in report.lines
    ]
    head = [
        _("Line"),
        _("Rolls"),
        _("Inspected"),
        _("Coverage"),
        _("Defects"),
        _("Per 100 m²"),
        _("Points"),
        _("False alarms"),
    ]
    shares = (0.2, 0.08, 0.14, 0.12, 0.11, 0.13, 0.1, 0.12)
    return [
        paragraph(_("Lines"), HEADING),
        listing(head, rows, widths=[width * share for share in shares], numbers=range(1, 8)),
    ]


def _kinds(report: StyleReport, width: float) -> Story:
    if report.whole is None or not report.kinds:
        return []
    total, area = sum(kind.defects for kind in report.kinds), report.whole.area_m2
    rows = [
        [
            words.kind(kind.code, kind.geometry),
            figure(kind.defects, ","),
            words.share(kind.defects / total),
            figure(100 * kind.defects / area, ".2f") if area > 0 else "–",
            words.number(kind.points),
        ]
        for kind in report.kinds
    ]
    head = [_("Kind"), _("Defects"), _("Share"), _("Per 100 m²"), _("Points")]
    shares = (0.4, 0.15, 0.15, 0.15, 0.15)
    return [
        paragraph(_("Kinds of defects"), HEADING),
        listing(head, rows, widths=[width * share for share in shares], numbers=range(1, 5)),
        Spacer(1, 3),
        paragraph(_("False alarms are left out. Points are of defects one by one, before the caps of a roll."), SMALL),
    ]


def _rolls(report: StyleReport, width: float) -> Story:
    if not report.rolls:
        return []
    rows = [
        [
            graded.roll.name,
            graded.roll.line,
            graded.lot,
            day(graded.roll.closed_at.astimezone(report.zone).date()) if graded.roll.closed_at else "",
            words.metres(graded.length_mm),
            words.share(graded.coverage),
            figure(graded.defects, ","),
            words.number(graded.points),
            "–" if graded.rate is None else figure(graded.rate, ".1f"),
            words.graded(graded),
        ]
        for graded in report.rolls[:LISTED]
    ]
    head = [
        _("Roll"),
        _("Line"),
        _("Lot"),
        _("Ended"),
        _("Length"),
        _("Coverage"),
        _("Defects"),
        _("Points"),
        _("Rate"),
        _("Grade"),
    ]
    shares = (0.12, 0.08, 0.09, 0.12, 0.1, 0.11, 0.09, 0.08, 0.07, 0.14)
    story: Story = [
        paragraph(_("Rolls"), HEADING),
        listing(head, rows, widths=[width * share for share in shares], numbers=(4, 5, 6, 7, 8)),
        Spacer(1, 3),
    ]
    if len(report.rolls) > LISTED:
        story.append(paragraph(words.first_of(LISTED, len(report.rolls)), SMALL))
    return [
        *story,
        paragraph(_("Whole rolls that ended in these days, with the points and grades of their certificates."), SMALL),
    ]


def _pictures(report: StyleReport, width: float) -> Story:
    cells = []
    for item in report.worst:
        picture = paper.picture(report.pictures.get(item.id, b""), width=width)
        if picture is not None:
            place = words.place(item.y_mm, "metre")
            about = [
                markup(f"<b>{plain(words.kind(item.code, item.geometry))}, {words.size(item.size_mm)}</b>", CAPTION),
                paragraph(_("{roll} at {place}", roll=item.roll.name if item.roll else "", place=place), CAPTION),
                paragraph(f"{words.points(item.points)} · {said(words.STATUS[item.state])}", CAPTION),
            ]
            cells.append([picture, Spacer(1, 2), *about])
    return [paragraph(_("Worst defects"), HEADING), paper.picture_grid(cells, width=width)] if cells else []
