"""A roll's grade and how it came about, point by point."""

import pandas as pd
import streamlit as st

from dashboard import words
from storage.defects.geometry import CODES
from storage.grading.cut_plan import CutPlan
from storage.grading.points import DefectPoints
from storage.grading.stored import GradedRoll
from storage.reports import words as paper_words


def show_grade(graded: GradedRoll, plan: CutPlan) -> None:
    grade, profile, cloth = graded.grade, graded.profile.profile, graded.cloth
    st.subheader("Grade", anchor=False)
    measure = paper_words.MEASURES[grade.measure]
    name = words.plain(words.sentence(grade.grade))
    by = f"profile **{words.plain(profile.name)}** version {graded.profile.version}"
    lines = [f"**{name}**, {grade.state}, by {by}"]
    if grade.rate is not None:
        formula = paper_words.formula(
            profile, grade.points.total, length_mm=cloth.length_mm, width_mm=cloth.width_mm, measure=grade.measure
        )
        lines.append(f"{words.plain(formula)} = **{grade.rate:.2f}** {measure}")
    limits = ", ".join(f"{words.plain(name)} up to {limit:g}" for name, limit in grade.limits)
    lines.append(f"Limits: {limits} {measure}")
    lines += [f"{words.plain(words.sentence(reason))}" for reason in grade.reasons]
    if plan.worthwhile:
        lines.append(
            f"Cut plan: {words.count(plan.cuts, 'cut')} would give {words.metres(plan.first_mm)} of first quality"
        )
    st.markdown("  \n".join(lines))
    counted = [each for each in grade.points.defects if not each.left_out]
    with st.expander(f"Point by point: {paper_words.number(grade.points.total)} points", icon=":material/functions:"):
        if not counted:
            st.caption("No defect that counts.")
        else:
            counted.sort(key=lambda each: (each.defect.y0_mm, each.defect.id))
            st.dataframe(
                pd.DataFrame([row_of(each, graded) for each in counted]),
                hide_index=True,
                alt="Points of each defect that counts",
            )
        if grade.points.units:
            st.caption(
                f"Points of each {profile.unit}, {paper_words.number(grade.points.cap)} at most; the caps took "
                f"{paper_words.number(grade.points.capped_off)} off."
            )
            st.dataframe(
                pd.DataFrame(
                    [
                        {
                            words.sentence(profile.unit): unit.unit + 1,
                            "As they add up": paper_words.number(unit.raw),
                            "Counted": paper_words.number(unit.points),
                        }
                        for unit in grade.points.units
                    ]
                ),
                hide_index=True,
                alt="Points of each unit of length",
            )
        left: dict[str, int] = {}
        for each in grade.points.defects:
            if each.left_out:
                left[each.left_out] = left.get(each.left_out, 0) + 1
        if left:
            st.caption(
                "Left out: " + ", ".join(paper_words.left_out(why, number) for why, number in sorted(left.items()))
            )


def row_of(each: DefectPoints, graded: GradedRoll) -> dict[str, object]:
    profile, defect = graded.profile.profile, each.defect
    return {
        "Defect": defect.id,
        "Place": paper_words.place((defect.y0_mm + defect.y1_mm) / 2, profile.unit),
        "What": words.sentence(CODES[defect.code].words) if defect.code in CODES else words.FORMS[defect.geometry],
        "Size": paper_words.size(defect.size_mm),
        "Severity": defect.severity,
        "State": words.STATE_WORDS[defect.status],
        "Rule": paper_words.rule(each.rule, profile),
        words.sentence(profile.unit): ", ".join(str(score.unit + 1) for score in each.scores),
        "Points": paper_words.number(each.points),
    }
