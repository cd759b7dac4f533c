"""Rolls: choice, figures, map, gaps."""

from datetime import UTC, datetime

import pytest

from storage.database import Database
from storage.grading.stored import grade_roll
from storage.reads.defects import DefectFilter, list_defects
from storage.rolls import close_roll, list_rolls, open_roll, roll_figures
from tests.integration.dashboard.conftest import OpenPage, text_of

pytestmark = pytest.mark.integration


def roll_named(database: Database, name: str):  # type: ignore[no-untyped-def]
    return next(roll for roll in list_rolls(database) if roll.name == name)


def test_the_running_roll_is_shown_first(line: Database, open_page: OpenPage) -> None:
    page = open_page("rolls")
    assert "R-1043" in page.selectbox[0].options[0]
    assert page.selectbox[0].value == str(roll_named(line, "R-1043").id)
    assert "Running" in text_of(page)


def test_the_address_chooses_a_roll_and_follows_the_choice(line: Database, open_page: OpenPage) -> None:
    older, other = roll_named(line, "R-1041"), roll_named(line, "R-1042")
    page = open_page("rolls", roll=str(older.id))
    assert page.selectbox[0].value == str(older.id)
    page.selectbox[0].set_value(str(other.id)).run()
    assert page.query_params["roll"] == str(other.id)
    page.selectbox[0].set_value(page.selectbox[0].options and str(roll_named(line, "R-1043").id)).run()
    assert "roll" not in page.query_params


def test_an_address_of_no_roll_shows_the_running_one(line: Database, open_page: OpenPage) -> None:
    assert open_page("rolls", roll="999").selectbox[0].value == str(roll_named(line, "R-1043").id)


def test_the_figures_are_those_of_the_database(line: Database, open_page: OpenPage) -> None:
    roll = roll_named(line, "R-1041")
    sums = roll_figures(line, roll)
    metrics = {metric.label: metric.value for metric in open_page("rolls", roll=str(roll.id)).metric}
    assert metrics["Inspected"] == f"{sums.inspected_mm / 2 / 1000:.2f} m"  # two cameras side by side
    assert metrics["Not inspected"] == f"{sums.gap_mm / 2 / 1000:.2f} m"
    assert metrics["Length"] == f"{sums.captured_mm / 2 / 1000:.2f} m"
    assert metrics["Coverage"] == f"{int(sums.coverage * 1000) / 10:.1f} %"
    assert metrics["Defects"] == str(sums.defects)
    assert metrics["Grade"] == grade_roll(line, roll).grade.grade.capitalize()


def test_each_gap_is_listed_with_its_reason(line: Database, open_page: OpenPage) -> None:
    cameras, gaps = open_page("rolls", roll=str(roll_named(line, "R-1041").id)).dataframe
    assert list(cameras.value["Camera"]) == ["cam-left", "cam-right"]
    assert list(gaps.value["Why"]) == [
        "The frame was too dark",
        "The picture could not be read (frame 8812 ends too early)",
    ]
    assert list(gaps.value["Length"]) == ["0.77 m", "0.26 m"]


def test_a_roll_without_gaps_says_so(line: Database, open_page: OpenPage) -> None:
    words = text_of(open_page("rolls", roll=str(roll_named(line, "R-1042").id)))
    assert "Every millimetre that passed the cameras was inspected" in words
    assert "Coverage: 100 %" in words


def test_a_picked_defect_is_shown_below_the_map(line: Database, open_page: OpenPage) -> None:
    roll = roll_named(line, "R-1041")
    item = list_defects(line, DefectFilter(roll=roll), limit=1)[0][0]
    page = open_page("rolls", roll=str(roll.id), defect=str(item.id))
    words = text_of(page)
    assert f"Defect {item.id}" in words
    assert f"At **{item.y_mm / 1000:.2f} m** along the roll" in words
    next(button for button in page.button if button.label == "Close").click().run()
    assert "defect" not in page.query_params
    assert f"Defect {item.id}" not in text_of(page)


def test_a_defect_of_another_roll_is_not_shown(line: Database, open_page: OpenPage) -> None:
    other = list_defects(line, DefectFilter(roll=roll_named(line, "R-1042")), limit=1)[0][0]
    page = open_page("rolls", roll=str(roll_named(line, "R-1041").id), defect=str(other.id))
    assert f"Defect {other.id}" not in text_of(page)


def test_a_roll_with_nothing_on_it_yet_says_so(line: Database, open_page: OpenPage) -> None:
    close_roll(line, line="line-1", by="a")
    open_roll(line, line="line-1", name="brand new", style="", by="a", at=datetime.now(UTC))
    words = text_of(open_page("rolls"))
    assert "Nothing was captured on this roll yet" in words
    assert "Coverage: –" in words
