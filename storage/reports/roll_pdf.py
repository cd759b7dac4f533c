"""A roll's certificate as PDF: one page that a customer reads, then pictures and lists that prove it."""

from datetime import datetime
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import KeepTogether, PageBreak, Spacer, Table, TableStyle

from storage.grading.points import DefectPoints, count_by_rule
from storage.reports import paper, words
from storage.reports.paper import BODY, CAPTION, HEADING, SMALL, Story, facts, listing, markup, paragraph, plain
from storage.reports.roll_drawing import SHADES, RollMap
from storage.reports.roll_report import RollReport

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
            f"Roll {graded.roll.name}",
            plant=report.plant,
            kind="Roll certificate",
            badge="PROVISIONAL" if provisional else "FINAL",
            color=paper.FAIR if provisional else paper.BRAND,
            width=width,
        ),
        Spacer(1, 5),
        _facts(report, width),
        Spacer(1, 4),
        _grade(report, width),
        *_map(report, numbered, width),
        *_remarks(report),
        KeepTogether([Spacer(1, 12 * mm), paper.signatures(("Inspector", "Quality", "Customer"), width=width)]),
    ]
    pages = [*_cut_plan(report, width), *_pictures(report, numbered, width), *_lists(report, numbered, width)]
    if pages:
        story += [PageBreak(), *pages]
    made = report.made_at.astimezone(report.zone)
    return paper.build(
        story,
        title=f"Roll certificate {graded.roll.name}",
        subject=f"{grade.grade}, {grade.state}",
        footer=f"Roll {graded.roll.name} · made {made:%Y-%m-%d %H:%M %Z} · record {report.record} · loomwatch",
        paper=paper_size,
        author=report.plant,
        mark="PROVISIONAL" if provisional else "",
    )


def _facts(report: RollReport, width: float) -> Any:
    graded, details = report.graded, report.graded.details
    roll, unit = graded.roll, graded.profile.profile.unit
    widths = graded.widths
    ticketed = details.ticketed_mm
    difference = "" if ticketed is None else f" ({(graded.summary.length_mm - ticketed) / ticketed:+.1%})"
    pairs = [
        ("Customer", details.customer),
        ("Purchase order", details.po),
        ("Lot", details.lot),
        ("Dye lot", details.dye_lot),
        ("Style", roll.style),
        ("Construction", details.construction),
        ("Line", roll.line),
        ("Loom", details.loom),
        ("Begun", _clock(report, roll.opened_at)),
        ("Ended", _clock(report, roll.closed_at)),
        ("Shift", report.shift),
        ("Operator", details.operator),
        ("Ticketed length", words.length(ticketed, unit) if ticketed is not None else ""),
        ("Actual length", words.length(graded.summary.length_mm, unit) + difference),
        (
            "Cuttable width" if widths.entered else "Width, edge to edge",
            words.width(widths.mean_mm, unit) if widths.known else "unknown",
        ),
        (
            "At start · middle · end",
            " · ".join(
                "–" if each is None else _short_width(each, unit)
                for each in (widths.start_mm, widths.mid_mm, widths.end_mm)
            )
            if widths.known
            else "",
        ),
        ("Grading profile", str(graded.profile)),
        ("Model", ", ".join(report.models)),
        ("Re-inspection of", details.re_inspection_of),
        ("Cut from", details.parent_roll),
    ]
    return facts(pairs, columns=4, width=width)


def _short_width(width_mm: float, unit: str) -> str:
    return f"{width_mm:,.0f} mm" if unit == "metre" else f"{width_mm / 25.4:.1f} in"


def _clock(report: RollReport, at: datetime | None) -> str:
    return f"{at.astimezone(report.zone):%d %b %Y %H:%M}" if at else "still running"


def _white(text: str, size: float, lead: float = 1.25, *, bold: bool = False) -> Any:
    return markup(f'<font color="white">{plain(text)}</font>', paper.style(size, lead=lead, bold=bold))


def _color(outcome: str) -> Any:
    return {"first": paper.GOOD, "rework": paper.BAD, "inspect": paper.OPEN, "": paper.OPEN}.get(outcome, paper.FAIR)


def _grade(report: RollReport, width: float) -> Any:
    """The grade in a box; beside it how it came about."""
    graded, grade = report.graded, report.graded.grade
    profile = graded.profile.profile
    rate = "–" if grade.rate is None else f"{grade.rate:.1f}"
    box = [
        _white("Grade", 7),
        _white(grade.grade.upper(), 19 if len(grade.grade) <= 8 else 12, 1.2, bold=True),
        _white(words.OUTCOMES[grade.outcome] + (", provisional" if grade.state == "provisional" else ""), 7.5),
        Spacer(1, 6),
        _white(rate, 15, 1.2, bold=True),
        _white(words.MEASURES[grade.measure], 7),
        *(_white(f"{name} up to {limit:.1f}", 7) for name, limit in grade.limits),
        Spacer(1, 5),
        _white(f"Inspected {words.share(graded.cloth.coverage)}", 7.5),
        *([_white(f"{graded.cloth.waiting_mm / 1000:,.2f} m to be inspected", 7)] if graded.cloth.waiting_mm else []),
    ]
    rows = [
        [words.rule(rule, profile), f"{count:,}", words.number(points)]
        for rule, count, points in count_by_rule(grade.points)
    ]
    if grade.points.narrow:
        narrow = len(grade.points.narrow)
        rows.append(
            [
                f"narrower than {words.width(profile.min_width_mm, profile.unit)}",
                f"{narrow:,}",
                words.number(narrow * profile.narrow_points),
            ]
        )
    if grade.points.capped_off:
        rows.append(
            [
                f"over {words.number(grade.points.cap)} points in one {profile.unit}",
                "",
                "−" + words.number(grade.points.capped_off),
            ]
        )
    rows.append(["Points of the roll", "", words.number(grade.points.total)])
    left = {each: 0 for each in words.LEFT_OUT if each}
    for each in grade.points.defects:
        if each.left_out:
            left[each.left_out] += 1
    dropped = " · ".join(words.left_out(reason, count) for reason, count in left.items() if count)
    inner = width - 46 * mm - 6 * mm
    explained: Story = [
        listing(
            ["How it came about", "Defects", "Points"],
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
        explained.append(paragraph(f"{formula} = {grade.rate:.2f} {words.MEASURES[grade.measure]}", SMALL))
    if dropped:
        explained.append(paragraph(f"Not counted: {dropped}", SMALL))
    explained += [markup(f"<b>{plain(reason[:1].upper() + reason[1:])}.</b>", SMALL) for reason in grade.reasons]
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
        return [paragraph("Nothing was captured on this roll: there is no map.", BODY)]
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
    names = ("1 point", "2", "3", "4 or more")
    legend = "  ".join(
        f'<font color="#{shade.hexval()[2:]}">■</font> {name}' for shade, name in zip(SHADES, names, strict=True)
    )
    gaps = "  <font color='#8B929C'>■</font> not counted or, hatched, not inspected"
    cuts = "  Dashed: cuts of the plan, green above: first quality." if report.plan.worthwhile else ""
    return [
        paragraph("Map of the roll", HEADING),
        drawn,
        markup(f"{legend}{gaps}. {plain(drawn.caption())}{cuts}", SMALL),
    ]


def _remarks(report: RollReport) -> Story:
    remarks = report.graded.details.remarks
    return [Spacer(1, 5), markup(f"<b>Remarks:</b> {plain(remarks)}", BODY)] if remarks else []


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
            f"{piece.rate:.1f}",
            "first quality" if piece.first else "rest",
        ]
        for number, piece in enumerate(plan.pieces, start=1)
    ]
    length = graded.cloth.length_mm
    if plan.worthwhile:
        advice = "Cutting is worth it"
    elif plan.whole_value_mm > plan.value_mm:
        advice = "Selling the roll whole brings more"
    else:
        advice = "Selling the roll whole brings as much"
    said = (
        f"{advice}: {plan.first_mm / length:.0%} of the length becomes first quality. By the profile's values the "
        f"pieces bring {plan.value_mm / length:.0%} of a first-quality roll, sold whole it brings "
        f"{plan.whole_value_mm / length:.0%}."
    )
    shares = (0.06, 0.15, 0.15, 0.26, 0.1, 0.12, 0.16)
    table = listing(
        ["", "From", "To", "Length", "Points", "Rate", "Sold as"],
        rows,
        widths=[width * share for share in shares],
        numbers=(1, 2, 3, 4, 5),
    )
    return [paragraph("Cut plan", HEADING), paragraph(said, BODY), Spacer(1, 3), table]


def _pictures(report: RollReport, numbered: dict[int, int], width: float) -> Story:
    cells = []
    for each in report.worst:
        picture = paper.picture(report.pictures.get(each.defect.id, b""), width=width)
        if picture is not None:
            cells.append([picture, Spacer(1, 2), *_caption(report, each, numbered[each.defect.id])])
    if not cells:
        return []
    return [paragraph("Worst defects", HEADING), paper.picture_grid(cells, width=width)]


def _caption(report: RollReport, each: DefectPoints, number: int) -> Story:
    defect, unit = each.defect, report.graded.profile.profile.unit
    points = words.number(each.points)
    name = defect.code.replace("_", " ") or ("hole" if defect.hole else words.geometry(defect.geometry))
    return [
        markup(f"<b>{number} · {plain(name)}, {words.size(defect.size_mm)}</b>", CAPTION),
        paragraph(
            f"at {words.place(defect.y0_mm, unit)}, {(defect.x0_mm + defect.x1_mm) / 2:,.0f} mm from left", CAPTION
        ),
        paragraph(f"{points} point{'' if points == '1' else 's'} · {words.STATUS[defect.status]}", CAPTION),
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
            paragraph("Periodic defects", HEADING),
            listing(
                ["Every", "Times", "First at", "Last at", "From left selvedge", "Suspect"],
                [
                    [
                        f"{each.period_mm:,.1f} mm",
                        f"{each.hits:,}",
                        words.place(each.first_mm, unit),
                        words.place(each.last_mm, unit),
                        f"{each.x_mm:,.0f} mm",
                        each.suspect or "unknown",
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
                f"{each.defect.x0_mm:,.0f}–{each.defect.x1_mm:,.0f} mm",
                each.defect.code.replace("_", " ")
                or words.geometry(each.defect.geometry) + (", hole" if each.defect.hole else ""),
                words.size(each.defect.size_mm),
                words.STATUS[each.defect.status],
                words.LEFT_OUT[each.left_out] or words.number(each.points),
            ]
            for each in scored[:LISTED]
        ]
        shares = (0.06, 0.14, 0.2, 0.2, 0.13, 0.13, 0.14)
        story += [
            paragraph("Defects", HEADING),
            listing(
                ["", "At", "From left selvedge", "Kind", "Size", "Review", "Points"],
                rows,
                widths=[width * share for share in shares],
                numbers=(1, 2, 4, 6),
            ),
        ]
        if len(scored) > LISTED:
            story.append(paragraph(f"The first {LISTED} of {len(scored):,}: the spreadsheet has all of them.", SMALL))
    missed = graded.cloth.missed
    if missed:
        columns = (0.15, 0.15, 0.2, 0.15, 0.35)
        story += [
            paragraph("Not inspected", HEADING),
            listing(
                ["From", "To", "Length", "Of the width", "Why"],
                [
                    [
                        words.place(gap.y0_mm, unit),
                        words.place(gap.y1_mm, unit),
                        words.length(gap.y1_mm - gap.y0_mm, unit),
                        words.share(gap.share),
                        gap.reason,
                    ]
                    for gap in sorted(missed, key=lambda gap: gap.y0_mm)[:LISTED]
                ],
                widths=[width * share for share in columns],
                numbers=(0, 1, 2, 3),
            ),
        ]
    return story
