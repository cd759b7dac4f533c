"""Roll: choice, acts, papers, figures, map, gaps."""

import json
import re
from datetime import UTC, datetime

import pytest
import streamlit as st
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from dashboard import data, roll_names
from storage import reviews
from storage.accounts import users
from storage.database import Database
from storage.grading.stored import grade_roll
from storage.reads.defects import DefectFilter, list_defects
from storage.reports.written import FORMS
from storage.retention import is_held
from storage.roll_details import read_details, set_details
from storage.rolls import close_roll, list_rolls, open_roll, roll_figures
from storage.tables import DefectRow, SeriesRow
from tests.integration.dashboard.conftest import NAME, OpenPage, text_of

pytestmark = pytest.mark.integration


def roll_named(database: Database, name: str):  # type: ignore[no-untyped-def]
    return next(roll for roll in list_rolls(database) if roll.name == name)


def test_the_running_roll_is_shown_first(line: Database, open_page: OpenPage) -> None:
    page = open_page("roll")
    assert "R-1043" in page.selectbox[0].options[0]
    assert page.selectbox[0].value == str(roll_named(line, "R-1043").id)
    assert "Running" in text_of(page)


def test_the_address_chooses_a_roll_and_follows_the_choice(line: Database, open_page: OpenPage) -> None:
    older, other = roll_named(line, "R-1041"), roll_named(line, "R-1042")
    page = open_page("roll", roll=str(older.id))
    assert page.selectbox[0].value == str(older.id)
    page.selectbox[0].set_value(str(other.id)).run()
    assert page.query_params["roll"] == str(other.id)
    page.selectbox[0].set_value(page.selectbox[0].options and str(roll_named(line, "R-1043").id)).run()
    assert page.query_params["roll"] == str(roll_named(line, "R-1043").id)


def test_a_link_to_the_latest_roll_shows_it_when_another_is_the_latest(line: Database, open_page: OpenPage) -> None:
    shown = open_page("roll").query_params["roll"]
    close_roll(line, line="line-1", by="a")
    open_roll(line, line="line-1", name="R-1044", style="", by="a", at=datetime.now(UTC))
    assert open_page("roll").selectbox[0].value == str(roll_named(line, "R-1044").id)
    assert open_page("roll", roll=shown).selectbox[0].value == shown == str(roll_named(line, "R-1043").id)


def test_an_address_of_no_roll_shows_the_running_one(line: Database, open_page: OpenPage) -> None:
    assert open_page("roll", roll="999").selectbox[0].value == str(roll_named(line, "R-1043").id)


def test_an_older_roll_than_those_listed_is_found_by_its_name(
    line: Database, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll_names, "LISTED", 1)
    older = roll_named(line, "R-1041")
    page = open_page("roll")
    assert len(page.selectbox[0].options) == 1
    page = type_name(page, " r-1041 ")
    assert (page.query_params["roll"], page.selectbox[0].value) == (str(older.id), str(older.id))
    assert "R-1041" in page.selectbox[0].options[1]
    page = type_name(page, "R-<9>")
    assert [each.value for each in page.toast] == ["There is no roll R\\-\\<9\\>."]
    assert (page.query_params["roll"], page.selectbox[0].value) == (str(older.id), str(older.id))
    page.selectbox[0].set_value(str(roll_named(line, "R-1043").id)).run()
    assert page.query_params["roll"] == str(roll_named(line, "R-1043").id)
    review = type_name(open_page("review"), "R-1041")
    assert (review.query_params["roll"], review.selectbox[0].value) == (str(older.id), str(older.id))


def type_name(page: AppTest, typed: str) -> AppTest:
    """What is none of the options, as a browser sends it."""
    box = page.selectbox[0]
    box.options.append(typed)
    return box.set_value(typed).run()


def test_the_figures_are_those_of_the_database(line: Database, open_page: OpenPage) -> None:
    roll = roll_named(line, "R-1041")
    sums = roll_figures(line, roll)
    metrics = {metric.label: metric.value for metric in open_page("roll", roll=str(roll.id)).metric}
    assert metrics["Inspected"] == f"{sums.inspected_mm / 2 / 1000:.2f} m"  # two cameras side by side
    assert metrics["Not inspected"] == f"{sums.gap_mm / 2 / 1000:.2f} m"
    assert metrics["Length"] == f"{sums.captured_mm / 2 / 1000:.2f} m"
    assert metrics["Coverage"] == f"{int(sums.coverage * 1000) / 10:.1f} %"
    assert metrics["Defects"] == str(sums.defects)
    assert metrics["Grade"] == grade_roll(line, roll).grade.grade.capitalize()


def test_what_was_read_of_a_roll_that_ended_is_kept_until_something_of_it_changes(line: Database) -> None:
    roll = roll_named(line, "R-1041")
    drawn, graded = data.roll_map(roll), data.graded_roll(roll)
    st.cache_data.clear()
    assert data.roll_map(roll) is drawn
    assert data.graded_roll(roll) is graded
    real = drawn.defects[drawn.defects["state"] != "rejected"]
    reviews.review_defect(line, data.store().pictures, int(real["id"].iloc[0]), state="rejected", by="another")
    st.cache_data.clear()
    assert (data.roll_map(roll).defects["state"] != "rejected").sum() == len(real) - 1
    assert data.graded_roll(roll).summary.defects == graded.summary.defects - 1


def test_periodic_defects_are_listed_with_pitch_and_suspect(line: Database, open_page: OpenPage) -> None:
    roll = roll_named(line, "R-1041")
    with line.session() as session:
        rows = session.scalars(
            select(DefectRow).where(DefectRow.roll_id == roll.id, DefectRow.state != "rejected")
        ).all()
        one = rows[0]
        session.add(
            series := SeriesRow(
                **{name: getattr(one, name) for name in ("roll_id", "line", "camera", "counter", "lane")},
                **{"x_mm": 120.0, "period_mm": 62.8, "zero_mm": 0.0, "first_mm": 0.0, "last_mm": 0.0, "slots": 9},
                **{"hits": len(rows), "suspect": "guide roller", "open": True, "opened_at": one.captured_at},
            )
        )
        session.flush()
        for row in rows:
            row.series_id = series.id
    assert len(rows) >= 4
    table = next(each.value for each in open_page("roll", roll=str(roll.id)).dataframe if "Suspect" in each.value)
    [told] = table.to_dict("records")
    graded = [each for each in grade_roll(line, roll).cloth.defects if each.series]
    assert (told["Every"], told["Times"], told["From left"]) == ("62.8 mm", len(rows), "120 mm")
    assert told["First one"] == f"{min((each.y0_mm + each.y1_mm) / 2 for each in graded) / 1000:.2f} m"
    assert told["Suspect"] == "guide roller"


def test_each_gap_is_listed_with_its_reason(line: Database, open_page: OpenPage) -> None:
    *_, cameras, gaps = open_page("roll", roll=str(roll_named(line, "R-1041").id)).dataframe
    assert list(cameras.value["Camera"]) == ["cam-left", "cam-right"]
    assert list(gaps.value["Why"]) == [
        "The frame was too dark",
        "The picture could not be read (frame 8812 ends too early)",
    ]
    assert list(gaps.value["Length"]) == ["0.77 m", "0.26 m"]


def test_a_roll_without_gaps_says_so(line: Database, open_page: OpenPage) -> None:
    words = text_of(open_page("roll", roll=str(roll_named(line, "R-1042").id)))
    assert "Every millimetre that passed the cameras was inspected" in words
    assert "Coverage: 100 %" in words


def test_a_picked_defect_is_shown_below_the_map(line: Database, open_page: OpenPage) -> None:
    roll = roll_named(line, "R-1041")
    item = list_defects(line, DefectFilter(roll=roll), limit=1)[0][0]
    page = open_page("roll", roll=str(roll.id), defect=str(item.id))
    words = text_of(page)
    assert f"Defect {item.id}" in words
    assert f"At **{item.y_mm / 1000:.2f} m** along the roll" in words
    next(button for button in page.button if button.label == "Close").click().run()
    assert "defect" not in page.query_params
    assert f"Defect {item.id}" not in text_of(page)


def test_a_defect_of_another_roll_is_not_shown(line: Database, open_page: OpenPage) -> None:
    other = list_defects(line, DefectFilter(roll=roll_named(line, "R-1042")), limit=1)[0][0]
    page = open_page("roll", roll=str(roll_named(line, "R-1041").id), defect=str(other.id))
    assert f"Defect {other.id}" not in text_of(page)


def test_a_roll_with_nothing_on_it_yet_says_so(line: Database, open_page: OpenPage) -> None:
    close_roll(line, line="line-1", by="a")
    open_roll(line, line="line-1", name="brand new", style="", by="a", at=datetime.now(UTC))
    words = text_of(open_page("roll"))
    assert "Nothing was captured on this roll yet" in words
    assert "Coverage: –" in words


def press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def write(page: AppTest, label: str, text: str) -> None:
    next(box for box in page.text_input if box.label == label).set_value(text).run()


def test_the_grade_is_told_point_by_point(line: Database, open_page: OpenPage) -> None:
    roll = roll_named(line, "R-1041")
    graded = grade_roll(line, roll)
    page = open_page("roll", roll=str(roll.id))
    page.session_state["roll.points"] = True  # opened
    page.run()
    points, units, *_ = page.dataframe
    counted = {each.defect.id: each.points for each in graded.grade.points.defects if not each.left_out}
    assert dict(zip(points.value["Defect"], points.value["Points"].astype(float), strict=True)) == counted
    assert units.value["Counted"].astype(float).sum() == graded.grade.points.total
    assert f"= **{graded.grade.rate:.2f}**" in text_of(page)


def test_a_roll_is_closed_and_the_next_one_opened(line: Database, open_page: OpenPage) -> None:
    page = open_page("roll")
    press(page, r"Close roll R\-1043")
    assert roll_named(line, "R-1043").closed_at is not None
    assert r"Roll R\-1043 is closed" in text_of(page)
    write(page, "Roll number", " R-1044 ")
    press(page, "Open it")
    opened = roll_named(line, "R-1044")
    assert (opened.line, opened.closed_at) == ("line-1", None)
    assert page.selectbox[0].value == str(opened.id)
    assert "Nothing was captured on this roll yet" in text_of(page)


def test_a_name_is_written_as_it_is_on_what_is_pressed_and_said(line: Database, open_page: OpenPage) -> None:
    name, shown = "**R** [9](x) :red[z]", r"\*\*R\*\* \[9\]\(x\) \:red\[z\]"
    close_roll(line, line="line-1", by="a")
    page = open_page("roll")
    write(page, "Roll number", name)
    press(page, "Open it")
    toasts = [page.toast[0].value]
    write(page, "Why is it put aside?", "shade")
    toasts.append(press(page, "Suspend").toast[0].value)
    write(page, "Remark", "as before")
    toasts.append(press(page, "Clear it").toast[0].value)
    write(page, "Why must its pictures be kept?", "claim")
    toasts.append(press(page, "Hold").toast[0].value)
    toasts.append(press(page, "Release from hold").toast[0].value)
    toasts.append(press(page, f"Close roll {shown}").toast[0].value)
    ends = ("is open", "is suspended", "is cleared", "is on hold", "is released", "is closed")
    assert all(shown in toast and end in toast for toast, end in zip(toasts, ends, strict=True))
    assert not any(name in str(button.label) for button in page.button)


def test_a_second_roll_on_a_line_is_refused_in_words(line: Database, open_page: OpenPage) -> None:
    page = open_page("roll")
    write(page, "Roll number", "R-1044")
    press(page, "Open it")
    assert "is open on line line" in page.warning[0].value.replace("\\", "")
    assert "R-1044" not in [roll.name for roll in list_rolls(line)]


def test_a_roll_is_suspended_and_cleared_held_and_released_and_noted(line: Database, open_page: OpenPage) -> None:
    roll = roll_named(line, "R-1041")
    assert grade_roll(line, roll).grade.state == "final"
    page = open_page("roll", roll=str(roll.id))
    write(page, "Why is it put aside?", "shade to be <b>compared</b>")
    press(page, "Suspend")
    graded = grade_roll(line, roll).grade
    assert graded.state == "provisional"
    assert graded.reasons[-1] == f"the roll is suspended by {NAME}: shade to be <b>compared</b>"
    assert "shade to be \\<b\\>compared" in text_of(page)
    write(page, "Remark", "as the lot before")
    press(page, "Clear it")
    assert grade_roll(line, roll).grade.state == "final"
    press(page, "Suspend")
    assert "is needed" in page.warning[0].value
    write(page, "Why must its pictures be kept?", "claim")
    press(page, "Hold")
    assert is_held(line, roll) == "claim"
    press(page, "Release from hold")
    assert is_held(line, roll) == ""
    write(page, "Note", "seam at the end")
    press(page, "Keep the note")
    assert "seam at the end" in text_of(page)


def test_a_roll_gets_its_loom_and_lot_on_its_page(line: Database, open_page: OpenPage) -> None:
    roll = roll_named(line, "R-1041")
    page = open_page("roll", roll=str(roll.id))
    write(page, "Loom", "W-12")
    press(page, "Keep the loom")
    write(page, "Lot", "L-7")
    press(page, "Keep the lot")
    with line.reading() as session:
        details = read_details(session, roll.id)
    assert (details.loom, details.lot) == ("W-12", "L-7")


def test_a_grade_is_worked_out_with_german_figures(line: Database, open_page: OpenPage) -> None:
    users.set_preferences(line, by=NAME, language="de", units="metric")
    page = open_page("roll", roll=str(roll_named(line, "R-1041").id))
    [worked_out] = [each.value for each in page.markdown if " × " in each.value and " = **" in each.value]
    assert re.search(r"\(\d+,\d\d in × \d+,\d\d yd\) = \*\*\d+,\d\d\*\*", worked_out.replace("\\", ""))


def test_papers_have_room_for_the_longest_names(line: Database, open_page: OpenPage) -> None:
    close_roll(line, line="line-1", by="Anna")
    roll = open_roll(line, line="line-1", name="W" * 120, style="M" * 120, by="Anna")
    set_details(line, roll, by="Anna", remarks="W" * 2000, lot="M" * 200, loom="W" * 200)
    for form in FORMS:
        assert data.roll_paper(roll, form, "de")()


def test_every_paper_is_made_as_the_record_is(line: Database, open_page: OpenPage) -> None:
    page = open_page("roll")
    assert len(list(page.get("download_button"))) == 4
    roll = roll_named(line, "R-1041")
    papers = {form: data.roll_paper(roll, form, "en")() for form in FORMS}
    assert papers["pdf"].startswith(b"%PDF")
    assert papers["xlsx"].startswith(b"PK")
    facts = json.loads(papers["json"])
    assert facts["grade"]["grade"] == grade_roll(line, roll).grade.grade
    assert len(papers["csv"].splitlines()) == 1 + len(facts["defects"])
