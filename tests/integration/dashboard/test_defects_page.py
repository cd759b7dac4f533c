"""Defects: filters that a link reproduces, verdicts that change the database, undo."""

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from inspection.settings import StoreSettings
from storage.database import Database
from storage.defects.geometry import propose_names
from storage.pictures import PictureStore
from storage.reads.defects import DefectFilter, list_defects, read_defect
from storage.samples import list_samples
from storage.tables import AuditRow, DefectRow
from tests.integration.dashboard.conftest import NAME, OpenPage, text_of

pytestmark = pytest.mark.integration


def press(page: AppTest, label: str) -> AppTest:
    button = next(button for button in page.button if str(button.label).startswith(label))
    assert not button.disabled, label
    return button.click().run()


def shown(page: AppTest) -> int:
    """The defect in view."""
    assert not page.exception
    return int(str(page.subheader[0].value).removeprefix("Defect "))


def waiting(database: Database) -> list[int]:
    return [item.id for item in list_defects(database, DefectFilter(state="unreviewed"), limit=100)[0]]


def state_of(database: Database, defect_id: int) -> str:
    with database.reading() as session:
        return session.scalars(select(DefectRow.state).where(DefectRow.id == defect_id)).one()


def test_the_queue_begins_with_the_worst_that_waits_for_review(line: Database, open_page: OpenPage) -> None:
    page = open_page("defects")
    order = waiting(line)
    assert shown(page) == order[0]
    assert page.query_params["defect"] == str(order[0])
    [queue] = page.dataframe
    assert list(queue.value["Defect"]) == order
    assert f"1 of {len(order)}, worst first" in text_of(page)
    assert all(str(value).startswith("data:image/jpeg") for value in queue.value["Picture"])


def test_crop_heat_and_outline_stand_side_by_side(line: Database, open_page: OpenPage) -> None:
    captions = [image.proto.imgs[0].caption for image in open_page("defects").image]
    assert captions == ["As the camera saw it", "What is unusual: brighter is stronger", "Outline of the defect"]


def test_confirming_is_kept_in_the_name_of_who_did_it_and_goes_on_to_the_next(
    line: Database, open_page: OpenPage
) -> None:
    page = open_page("defects")
    first, second = waiting(line)[:2]
    press(page, "Confirm defect")
    assert state_of(line, first) == "confirmed"
    assert shown(page) == second
    detail = read_defect(line, first)
    assert detail is not None
    assert (detail.history[-1].state, detail.history[-1].by) == ("confirmed", NAME)
    with line.reading() as session:
        audit = session.scalars(select(AuditRow).order_by(AuditRow.id.desc())).first()
    assert audit is not None
    assert (audit.action, audit.by) == ("defect.review", NAME)


def test_rejecting_makes_the_crop_a_sample_of_normal_fabric(
    line: Database, store: StoreSettings, open_page: OpenPage
) -> None:
    before = {sample.id for sample in list_samples(line)}
    first = waiting(line)[0]
    page = open_page("defects")
    press(page, "False alarm: learn as normal")
    assert state_of(line, first) == "rejected"
    [sample] = [sample for sample in list_samples(line) if sample.id not in before]
    assert (sample.defect_id, sample.source, sample.by) == (first, "review", NAME)
    assert PictureStore(store.pictures).exists(sample.picture)
    page = open_page("defects", state="all", defect=str(first))
    assert "Learned as normal" in text_of(page)


def test_undo_takes_the_last_verdict_back_and_shows_that_defect(line: Database, open_page: OpenPage) -> None:
    samples = len(list_samples(line))
    page = open_page("defects")
    first, second = waiting(line)[:2]
    press(page, "False alarm")
    press(page, "Confirm defect")
    press(page, "Undo defect")
    assert shown(page) == second
    assert (state_of(line, first), state_of(line, second)) == ("rejected", "unreviewed")
    press(page, "Undo defect")
    assert shown(page) == first
    assert state_of(line, first) == "unreviewed"
    assert len(list_samples(line)) == samples


def test_a_verdict_of_another_day_can_be_taken_back(line: Database, open_page: OpenPage) -> None:
    confirmed = list_defects(line, DefectFilter(state="confirmed"), limit=1)[0][0].id
    page = open_page("defects", state="all", defect=str(confirmed))
    press(page, "Undo review")
    assert state_of(line, confirmed) == "unreviewed"
    assert "Taken back" in text_of(page)


def test_previous_and_next_walk_the_queue(line: Database, open_page: OpenPage) -> None:
    order = waiting(line)
    page = open_page("defects")
    assert next(button for button in page.button if button.label == "Previous").disabled
    press(page, "Next")
    assert shown(page) == order[1]
    press(page, "Previous")
    assert shown(page) == order[0]


def test_reviewing_all_of_them_ends_in_a_word_of_success(line: Database, open_page: OpenPage) -> None:
    page = open_page("defects")
    for _ in waiting(line):
        press(page, "Confirm defect")
    assert "Everything is reviewed" in text_of(page)
    press(page, "Undo defect")
    assert len(waiting(line)) == 1


def test_a_link_reproduces_the_filters(line: Database, open_page: OpenPage) -> None:
    roll = list_defects(line, DefectFilter(style="twill navy"), limit=1)[0][0].roll
    assert roll is not None
    page = open_page("defects", roll=str(roll.id), camera="cam-left", style="twill navy", state="all", strength="1.25")
    [queue] = page.dataframe
    expected = list_defects(
        line, DefectFilter(roll=roll, camera="cam-left", style="twill navy", min_strength=1.25), limit=50
    )[0]
    assert list(queue.value["Defect"]) == [item.id for item in expected]
    assert len(expected) == 2
    filters = [box.value for box in page.selectbox if box.label not in ("Name", "Severity")]
    assert filters == [str(roll.id), "twill navy", "cam-left", "1.25"]


def test_a_changed_filter_is_in_the_address_and_begins_at_its_worst(line: Database, open_page: OpenPage) -> None:
    page = open_page("defects", state="all")
    page.selectbox[2].set_value("cam-right").run()
    assert page.query_params["camera"] == "cam-right"
    expected = list_defects(line, DefectFilter(camera="cam-right"), limit=1)[0][0].id
    assert shown(page) == expected
    page.selectbox[2].set_value("").run()
    assert "camera" not in page.query_params


def test_nonsense_in_the_address_is_left_aside(line: Database, open_page: OpenPage) -> None:
    page = open_page("defects", roll="x", style="<b>", state="maybe", defect="-1", page="many", strength="9e9")
    assert shown(page) == waiting(line)[0]


def test_a_defect_that_is_gone_is_told(line: Database, open_page: OpenPage) -> None:
    page = open_page("defects", defect="12345")
    assert "There is no defect 12345 any more" in text_of(page)
    assert shown(page) == waiting(line)[0]


def test_filters_that_nothing_fits_say_what_to_do(line: Database, open_page: OpenPage) -> None:
    words = text_of(open_page("defects", style="plaid red", strength="2", camera="cam-left", state="rejected"))
    assert "No defect fits these filters" in words


def test_a_lost_picture_leaves_place_and_size(line: Database, store: StoreSettings, open_page: OpenPage) -> None:
    first = list_defects(line, DefectFilter(state="unreviewed"), limit=1)[0][0]
    PictureStore(store.pictures).delete(first.crop)
    words = text_of(open_page("defects"))
    assert "were not kept or are gone" in words
    assert f"{first.y_mm / 1000:.2f}" in words.replace("\\", "")


def test_a_worse_defect_that_comes_in_does_not_slip_under_the_buttons(line: Database, open_page: OpenPage) -> None:
    page = open_page("defects")
    looked_at, other = waiting(line)[:2]
    with line.session() as session:
        session.get_one(DefectRow, other).score = 0.999
        session.get_one(DefectRow, other).threshold = 0.01
    press(page, "Confirm defect")
    assert state_of(line, looked_at) == "confirmed"
    assert state_of(line, other) == "unreviewed"


def test_staff_choose_one_of_the_names_that_fit_the_form(line: Database, open_page: OpenPage) -> None:
    page = open_page("defects")
    item = list_defects(line, DefectFilter(state="unreviewed"), limit=1)[0][0]
    [box] = [box for box in page.selectbox if box.label == "Name"]
    fitting = [name.code for name in propose_names(item.geometry, hole=item.hole)]
    assert len(box.options) == 1 + len(fitting)
    box.set_value(fitting[0]).run()
    assert list_defects(line, DefectFilter(state="unreviewed"), limit=1)[0][0].code == fitting[0]
