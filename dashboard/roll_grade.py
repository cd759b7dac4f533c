"""A roll's grade and how it came about, point by point."""

import pandas as pd
import streamlit as st

from dashboard import shell, stored_words, words
from dashboard.language import _, figure, language, ngettext
from dashboard.stored_sentences import told
from dashboard.stored_words import said
from storage.defects.geometry import CODES
from storage.grading.cut_plan import CutPlan
from storage.grading.points import DefectPoints
from storage.grading.stored import GradedRoll
from storage.reports import words as paper_words
from storage.reports.language import speaking as on_paper


def show_grade(graded: GradedRoll, plan: CutPlan) -> None:
    grade, profile, cloth = graded.grade, graded.profile.profile, graded.cloth
    st.subheader(_("Grade"), anchor=False)
    measure = _("points per {measure}", measure=words.measure(grade.measure))
    name = words.plain(stored_words.sentence(grade.grade))
    by = _("profile **{name}** version {version}", name=words.plain(profile.name), version=graded.profile.version)
    lines = [_("**{name}**, {state}, by {by}", name=name, state=said(grade.state), by=by)]
    if grade.rate is not None:
        with on_paper(language()):
            formula = paper_words.formula(
                profile, grade.points.total, length_mm=cloth.length_mm, width_mm=cloth.width_mm, measure=grade.measure
            )
        own, own_measure = words.rate(grade.rate, grade.measure)
        also = (
            ""
            if own_measure == words.measure(grade.measure)
            else _(" ({rate} per {measure})", rate=own, measure=own_measure)
        )
        lines.append(f"{words.plain(formula)} = **{figure(grade.rate, '.2f')}** {measure}{also}")
    limits = ", ".join(
        _("{name} up to {limit}", name=words.plain(said(name)), limit=figure(limit, "g"))
        for name, limit in grade.limits
    )
    lines.append(_("Limits: {limits} {measure}", limits=limits, measure=measure))
    lines += [f"{words.plain(told(reason))}" for reason in grade.reasons]
    if plan.worthwhile:
        lines.append(
            _(
                "Cut plan: {cuts} would give {metres} of first quality",
                cuts=ngettext("{number} cut", "{number} cuts", plan.cuts),
                metres=words.metres(plan.first_mm),
            )
        )
    st.markdown("  \n".join(lines))
    show_points(graded)


@st.fragment
def show_points(graded: GradedRoll) -> None:
    """Put into words when somebody opens it: a long roll has thousands."""
    with shell.told():
        detail = st.expander(
            _("Point by point: {points} points", points=paper_points(graded.grade.points.total)),
            icon=":material/functions:",
            key="roll.points",
            on_change="rerun",
        )
        if detail.open:
            with detail:
                show_each(graded)


def show_each(graded: GradedRoll) -> None:
    grade, profile = graded.grade, graded.profile.profile
    counted = [each for each in grade.points.defects if not each.left_out]
    if not counted:
        st.caption(_("No defect that counts."))
    else:
        counted.sort(key=lambda each: (each.defect.y0_mm, each.defect.id))
        st.dataframe(
            pd.DataFrame([row_of(each, graded) for each in counted]),
            hide_index=True,
            alt=_("Points of each defect that counts"),
        )
    if grade.points.units:
        st.caption(
            _(
                "Points of each {unit}, {most} at most; the caps took {off} off.",
                unit=said(profile.unit),
                most=paper_points(grade.points.cap),
                off=paper_points(grade.points.capped_off),
            )
        )
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        stored_words.sentence(profile.unit): unit.unit + 1,
                        _("As they add up"): paper_points(unit.raw),
                        _("Counted"): paper_points(unit.points),
                    }
                    for unit in grade.points.units
                ]
            ),
            hide_index=True,
            alt=_("Points of each unit of length"),
        )
    left: dict[str, int] = {}
    for each in grade.points.defects:
        if each.left_out:
            left[each.left_out] = left.get(each.left_out, 0) + 1
    if left:
        st.caption(
            _("Left out: ")
            + ", ".join(
                f"{figure(number, ',')} {said(paper_words.LEFT_OUT[why])}" for why, number in sorted(left.items())
            )
        )


def paper_points(points: float) -> str:
    """3 and not 3.0."""
    return figure(points, ",.2f").rstrip("0").rstrip(".,")


def row_of(each: DefectPoints, graded: GradedRoll) -> dict[str, object]:
    profile, defect = graded.profile.profile, each.defect
    return {
        _("Defect"): defect.id,
        _("Place"): words.metres((defect.y0_mm + defect.y1_mm) / 2),
        _("What"): words.code(defect.code) if defect.code in CODES else words.geometry(defect.geometry),
        _("Size"): words.millimetres(defect.size_mm),
        _("Severity"): said(defect.severity),
        _("State"): words.state(defect.status),
        _("Rule"): told(paper_words.rule(each.rule, profile)),
        stored_words.sentence(profile.unit): ", ".join(str(score.unit + 1) for score in each.scores),
        _("Points"): paper_points(each.points),
    }
