"""A roll's certificate as PDF: one page that a customer reads, then pictures and lists that prove it."""

from datetime import datetime
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import KeepTogether, PageBreak, Spacer, Table, TableStyle

from storage.grading.points import DefectPoints, count_by_rule
from storage.reports import paper, words
from storage.reports.language import _, figure, moment
from storage.reports.paper import BODY, CAPTION, HEADING, SMALL, Story, facts, listing, markup, paragraph, plain
from storage.reports.roll_drawing import SHADES, RollMap
from storage.reports.roll_report import RollReport
from storage.reports.sayings import said, sentence, told

MAP_HEIGHT = 108 * mm
LISTED = 500  # defects; the spreadsheet has all of them


def roll_pdf(report: RollReport, *, paper_size: str) -> bytes:
    """The certificate. A provisional one says so across each page."""
    graded, grade = report.graded, report.graded.grade
    width = paper.page_width(paper_size)
    provisional = grade.state == "provisional"
    numbered = {each.defect.id: number for number, each in enumerate(report.worst, start=1)}
    story: Story = [
        paper.heading(
            _("Roll {name}", name=graded.roll.name),
            plant=report.plant,
            kind=_("Roll certificate"),
            badge=_("PROVISIONAL") if provisional else _("FINAL"),
            color=paper.FAIR if provisional else paper.BRAND,
            width=width,
        ),
        Spacer(1, 5),
        _facts(report, width),
        Spacer(1, 4),
        _grade(report, width),
        *_map(report, numbered, width),
        *_remarks(report),
        KeepTogether(
            [Spacer(1, 12 * mm), paper.signatures((_("Inspector"), _("Quality"), _("Customer")), width=width)]
        ),
    ]
    pages = [*_cut_plan(report, width), *_pictures(report, numbered, width), *_lists(report, numbered, width)]
    if pages:
        story += [PageBreak(), *pages]
    made = report.made_at.astimezone(report.zone)
    return paper.build(
        story,
        title=_("Roll certificate {name}", name=graded.roll.name),
        subject=f"{said(grade.grade)}, {said(grade.state)}",
        footer=_(
            "Roll {name} · made {time} · record {record} · loomwatch",
            name=graded.roll.name,
            time=moment(made, zone=True),
            record=report.record,
        ),
        paper=paper_size,
        author=report.plant,
        mark=_("PROVISIONAL") if provisional else "",
    )


def _facts(report: RollReport, width: float) -> Any:
    graded, details = report.graded, report.graded.details
    roll, profile, widths = graded.roll, graded.profile, graded.widths
    unit = profile.profile.unit
    ticketed = details.ticketed_mm
    difference = "" if ticketed is None else f" ({figure((graded.summary.length_mm - ticketed) / ticketed, '+.1%')})"
    pairs = [
        (_("Customer"), details.customer),
        (_("Purchase order"), details.po),
        (_("Lot"), details.lot),
        (_("Dye lot"), details.dye_lot),
        (_("Style"), roll.style),
        (_("Construction"), details.construction),
        (_("Line"), roll.line),
        (_("Loom"), details.loom),
        (_("Begun"), _clock(report, roll.opened_at)),
        (_("Ended"), _clock(report, roll.closed_at)),
        (_("Shift"), report.shift),
        (_("Operator"), details.operator),
        (_("Ticketed length"), words.length(ticketed, unit) if ticketed is not None else ""),
        (_("Actual length"), words.length(graded.summary.length_mm, unit) + difference),
        (
            _("Cuttable width") if widths.entered else _("Width, edge to edge"),
            words.width(widths.mean_mm, unit) if widths.known else _("unknown"),
        ),
        (
            _("At start · middle · end"),
            " · ".join(
                "–" if each is None else _short_width(each, unit)
                for each in (widths.start_mm, widths.mid_mm, widths.end_mm)
            )
            if widths.known
            else "",
        ),
        (_("Grading profile"), _("{name} version {version}", name=profile.profile.name, version=profile.version)),
        (_("Model"), ", ".join(report.models)),
        (_("Re-inspection of"), details.re_inspection_of),
        (_("Cut from"), details.parent_roll),
    ]
    return facts(pairs, columns=4, width=width)


def _short_width(width_mm: float, unit: str) -> str:
    return words.millimetres(width_mm) if unit == "metre" else words.inches(width_mm)


def _clock(report: RollReport, at: datetime | None) -> str:
    return moment(at.astimezone(report.zone)) if at else _("still running")


def _white(text: str, size: float, lead: float = 1.25, *, bold: bool = False) -> Any:
    return markup(f'<font color="white">{plain(text)}</font>', paper.style(size, lead=lead, bold=bold))


def _color(outcome: str) -> Any:
    return {"first": paper.GOOD, "rework": paper.BAD, "inspect": paper.OPEN, "": paper.OPEN}.get(outcome, paper.FAIR)


def _grade(report: RollReport, width: float) -> Any:
    """The grade in a box; beside it how it came about."""
    graded, grade = report.graded, report.graded.grade
    profile = graded.profile.profile
    rate = "–" if grade.rate is None else figure(grade.rate, ".1f")
    name = said(grade.grade)
    waiting = _("{length} to be inspected", length=words.metres(graded.cloth.waiting_mm))
    box = [
        _white(_("Grade"), 7),
        _white(name.upper(), 19 if len(name) <= 8 else 12, 1.2, bold=True),
        _white(_(words.OUTCOMES[grade.outcome]) + (_(", provisional") if grade.state == "provisional" else ""), 7.5),
        Spacer(1, 6),
        _white(rate, 15, 1.2, bold=True),
        _white(_(words.MEASURES[grade.measure]), 7),
        *(
            _white(_("{grade} up to {limit}", grade=said(each), limit=figure(limit, ".1f")), 7)
            for each, limit in grade.limits
        ),
        Spacer(1, 5),
        _white(_("Inspected {share}", share=words.share(graded.cloth.coverage)), 7.5),
        *([_white(waiting, 7)] if graded.cloth.waiting_mm else []),
    ]
    rows = [
        [told(words.rule(rule, profile)), figure(count, ","), words.number(points)]
        for rule, count, points in count_by_rule(grade.points)
    ]
    if grade.points.narrow:
        narrow = len(grade.points.narrow)
        rows.append(
            [
                _("narrower than {width}", width=words.width(profile.min_width_mm, profile.unit)),
                figure(narrow, ","),
                words.number(narrow * profile.narrow_points),
            ]
        )
    if grade.points.capped_off:
        rows.append(
            [
                _("over {number} points in one {unit}", number=words.number(grade.points.cap), unit=said(profile.unit)),
                "",
                "−" + words.number(grade.points.capped_off),
            ]
        )
    rows.append([_("Points of the roll"), "", words.number(grade.points.total)])
    left = {each: 0 for each in words.LEFT_OUT if each}
    for each in grade.points.defects:
        if each.left_out:
            left[each.left_out] += 1
    dropped = " · ".join(words.left_out(reason, count) for reason, count in left.items() if count)
    inner = width - 46 * mm - 6 * mm
    explained: Story = [
        listing(
            [_("How it came about"), _("Defects"), _("Points")],
            rows,
            widths=[inner - 38 * mm, 18 * mm, 20 * mm],
            numbers=(1, 2),
            total=True,
        ),
        Spacer(1, 3),
    ]
    if grade.rate is not None:
        formula = words.formula(
            profile,
            grade.points.total,
            length_mm=graded.cloth.length_mm,
            width_mm=graded.cloth.width_mm,
            measure=grade.measure,
        )
        explained.append(
            paragraph(f"{formula} = {figure(grade.rate, '.2f')} {_(words.MEASURES[grade.measure])}", SMALL)
        )
    if dropped:
        explained.append(paragraph(_("Not counted: {defects}", defects=dropped), SMALL))
    explained += [markup(f"<b>{plain(sentence(reason))}.</b>", SMALL) for reason in grade.reasons]
    table = Table([[box, "", explained]], colWidths=[46 * mm, 6 * mm, inner])
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (0, 0), _color(grade.outcome)),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (0, 0), 9),
                ("TOPPADDING", (0, 0), (0, 0), 6),
                ("BOTTOMPADDING", (0, 0), (0, 0), 8),
                ("LEFTPADDING", (2, 0), (2, 0), 0),
                ("RIGHTPADDING", (2, 0), (2, 0), 0),
                ("TOPPADDING", (2, 0), (2, 0), 0),
            ]
        )
    )
    return table


def _map(report: RollReport, numbered: dict[int, int], width: float) -> Story:
    graded = report.graded
    if graded.cloth.length_mm <= 0:
        return [paragraph(_("Nothing was captured on this roll: there is no map."), BODY)]
    profile = graded.profile.profile
    drawn = RollMap(
        graded.cloth,
        graded.grade.points.defects,
        numbered,
        report.plan,
        unit_mm=profile.unit_mm,
        unit="yd" if profile.unit == "yard" else "m",
        width=width,
        height=MAP_HEIGHT,
    )
    names = (_("1 point"), "2", "3", _("4 or more"))
    legend = "  ".join(
        f'<font color="#{shade.hexval()[2:]}">■</font> {name}' for shade, name in zip(SHADES, names, strict=True)
    )
    gaps = "  <font color='#8B929C'>■</font> " + _("not counted or, hatched, not inspected")
    cuts = "  " + _("Dashed: cuts of the plan, green above: first quality.") if report.plan.worthwhile else ""
    return [
        paragraph(_("Map of the roll"), HEADING),
        drawn,
        markup(f"{legend}{gaps}. {plain(drawn.caption())}{cuts}", SMALL),
    ]


def _remarks(report: RollReport) -> Story:
    remarks, label = report.graded.details.remarks, _("Remarks:")
    return [Spacer(1, 5), markup(f"<b>{label}</b> {plain(remarks)}", BODY)] if remarks else []


def _cut_plan(report: RollReport, width: float) -> Story:
    plan, graded = report.plan, report.graded
    if graded.grade.is_first or not plan.pieces or not plan.first_mm:
        return []
    unit = graded.profile.profile.unit
    rows = [
        [
            str(number),
            words.place(piece.y0_mm, unit),
            words.place(piece.y1_mm, unit),
            words.length(piece.length_mm, unit),
            words.number(piece.points),
            figure(piece.rate, ".1f"),
            _("first quality") if piece.first else _("rest"),
        ]
        for number, piece in enumerate(plan.pieces, start=1)
    ]
    length = graded.cloth.length_mm
    if plan.worthwhile:
        advice = _("Cutting is worth it")
    elif plan.whole_value_mm > plan.value_mm:
        advice = _("Selling the roll whole brings more")
    else:
        advice = _("Selling the roll whole brings as much")
    worth = _(
        "{advice}: {share} of the length becomes first quality. By the profile's values the pieces bring {pieces} of a "
        "first-quality roll, sold whole it brings {whole}.",
        advice=advice,
        share=figure(plan.first_mm / length, ".0%"),
        pieces=figure(plan.value_mm / length, ".0%"),
        whole=figure(plan.whole_value_mm / length, ".0%"),
    )
    shares = (0.06, 0.15, 0.15, 0.26, 0.1, 0.12, 0.16)
    table = listing(
        ["", _("From"), _("To"), _("Length"), _("Points"), _("Rate"), _("Sold as")],
        rows,
        widths=[width * share for share in shares],
        numbers=(1, 2, 3, 4, 5),
    )
    return [paragraph(_("Cut plan"), HEADING), paragraph(worth, BODY), Spacer(1, 3), table]


def _pictures(report: RollReport, numbered: dict[int, int], width: float) -> Story:
    cells = []
    for each in report.worst:
        picture = paper.picture(report.pictures.get(each.defect.id, b""), width=width)
        if picture is not None:
            cells.append([picture, Spacer(1, 2), *_caption(report, each, numbered[each.defect.id])])
    if not cells:
        return []
    return [paragraph(_("Worst defects"), HEADING), paper.picture_grid(cells, width=width)]


def _caption(report: RollReport, each: DefectPoints, number: int) -> Story:
    defect, unit = each.defect, report.graded.profile.profile.unit
    name = _("hole") if defect.hole and not defect.code else words.kind(defect.code, defect.geometry)
    return [
        markup(f"<b>{number} · {plain(name)}, {words.size(defect.size_mm)}</b>", CAPTION),
        paragraph(
            _(
                "at {place}, {across} from left",
                place=words.place(defect.y0_mm, unit),
                across=words.millimetres((defect.x0_mm + defect.x1_mm) / 2),
            ),
            CAPTION,
        ),
        paragraph(f"{words.points(each.points)} · {said(words.STATUS[defect.status])}", CAPTION),
    ]


def _lists(report: RollReport, numbered: dict[int, int], width: float) -> Story:
    story: Story = []
    graded = report.graded
    unit = graded.profile.profile.unit
    scored = sorted(
        (each for each in graded.grade.points.defects if each.left_out != "false_alarm"),
        key=lambda each: (each.defect.y0_mm, each.defect.id),
    )
    if graded.series:
        parts = (0.16, 0.1, 0.16, 0.16, 0.18, 0.24)
        story += [
            paragraph(_("Periodic defects"), HEADING),
            listing(
                [_("Every"), _("Times"), _("First at"), _("Last at"), _("From left selvedge"), _("Suspect")],
                [
                    [
                        f"{figure(each.period_mm, ',.1f')} mm",
                        figure(each.hits, ","),
                        words.place(each.first_mm, unit),
                        words.place(each.last_mm, unit),
                        words.millimetres(each.x_mm),
                        each.suspect or _("unknown"),
                    ]
                    for each in graded.series
                ],
                widths=[width * share for share in parts],
                numbers=(0, 1, 2, 3, 4),
            ),
        ]
    if scored:
        rows = [
            [
                str(numbered.get(each.defect.id, "")),
                words.place(each.defect.y0_mm, unit),
                f"{figure(each.defect.x0_mm, ',.0f')}–{words.millimetres(each.defect.x1_mm)}",
                words.kind(each.defect.code, each.defect.geometry)
                + (_(", hole") if each.defect.hole and not each.defect.code else ""),
                words.size(each.defect.size_mm),
                said(words.STATUS[each.defect.status]),
                said(words.LEFT_OUT[each.left_out]) or words.number(each.points),
            ]
            for each in scored[:LISTED]
        ]
        shares = (0.06, 0.14, 0.2, 0.2, 0.13, 0.13, 0.14)
        story += [
            paragraph(_("Defects"), HEADING),
            listing(
                ["", _("At"), _("From left selvedge"), _("Kind"), _("Size"), _("Review"), _("Points")],
                rows,
                widths=[width * share for share in shares],
                numbers=(1, 2, 4, 6),
            ),
        ]
        if len(scored) > LISTED:
            story.append(paragraph(words.first_of(LISTED, len(scored)), SMALL))
    missed = graded.cloth.missed
    if missed:
        columns = (0.15, 0.15, 0.2, 0.15, 0.35)
        story += [
            paragraph(_("Not inspected"), HEADING),
            listing(
                [_("From"), _("To"), _("Length"), _("Of the width"), _("Why")],
                [
                    [
                        words.place(gap.y0_mm, unit),
                        words.place(gap.y1_mm, unit),
                        words.length(gap.y1_mm - gap.y0_mm, unit),
                        words.share(gap.share),
                        told(gap.reason),
                    ]
                    for gap in sorted(missed, key=lambda gap: gap.y0_mm)[:LISTED]
                ],
                widths=[width * share for share in columns],
                numbers=(0, 1, 2, 3),
            ),
        ]
    return story
