"""Review: filters that a link reproduces, verdicts that change the database, others at the same time, undo."""

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from dashboard import defect_cards
from dashboard.language import speaking
from inspection.settings import StoreSettings
from storage.accounts import users
from storage.database import Database
from storage.defects.geometry import propose_names
from storage.pictures import PictureStore
from storage.reads.defects import DefectFilter, list_defects, read_defect
from storage.reviews import review_defect
from storage.samples import list_samples
from storage.tables import AuditRow, DefectRow
from tests.integration.dashboard.conftest import NAME, OpenPage, text_of

pytestmark = pytest.mark.integration


def press(page: AppTest, label: str) -> AppTest:
    button = next(button for button in page.button if str(button.label).startswith(label))
    assert not button.disabled, label
    return button.click().run()


def cards(page: AppTest, name: str) -> list[int]:
    """Numbers of the defects that are shown as cards."""
    keys = [str(button.key) for button in page.button]
    return [int(key.rpartition(".")[2]) for key in keys if key.startswith(f"{name}.open.")]


def box(page: AppTest, label: str):  # type: ignore[no-untyped-def]
    return next(each for each in page.selectbox if each.label == label)


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
    page = open_page("review")
    order = waiting(line)
    assert shown(page) == order[0]
    assert page.query_params["defect"] == str(order[0])
    assert cards(page, "queue") == order[1:]
    assert f"1 of {len(order)}, worst first" in text_of(page)


def test_crop_heat_and_outline_stand_side_by_side(line: Database, open_page: OpenPage) -> None:
    captions = [image.proto.imgs[0].caption for image in open_page("review").image]
    assert captions[:3] == ["As the camera saw it", "What is unusual: brighter is stronger", "Outline of the defect"]


def test_confirming_is_kept_in_the_name_of_who_did_it_and_goes_on_to_the_next(
    line: Database, open_page: OpenPage
) -> None:
    page = open_page("review")
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
    page = open_page("review")
    press(page, "False alarm: learn as normal")
    assert state_of(line, first) == "rejected"
    [sample] = [sample for sample in list_samples(line) if sample.id not in before]
    assert (sample.defect_id, sample.source, sample.by) == (first, "review", NAME)
    assert PictureStore(store.pictures).exists(sample.picture)
    page = open_page("review", state="all", defect=str(first))
    assert "Learned as normal" in text_of(page)


def test_undo_takes_the_last_verdict_back_and_shows_that_defect(line: Database, open_page: OpenPage) -> None:
    samples = len(list_samples(line))
    page = open_page("review")
    first, second = waiting(line)[:2]
    press(page, "False alarm")
    press(page, "Confirm defect")
    press(page, "Undo")
    assert shown(page) == second
    assert (state_of(line, first), state_of(line, second)) == ("rejected", "unreviewed")
    press(page, "Undo")
    assert shown(page) == first
    assert state_of(line, first) == "unreviewed"
    assert len(list_samples(line)) == samples


def test_a_verdict_of_another_day_can_be_taken_back(line: Database, open_page: OpenPage) -> None:
    confirmed = list_defects(line, DefectFilter(state="confirmed"), limit=1)[0][0].id
    page = open_page("review", state="all", defect=str(confirmed))
    press(page, "Undo")
    assert state_of(line, confirmed) == "unreviewed"
    assert "Taken back" in text_of(page)


def test_previous_and_next_walk_the_queue(line: Database, open_page: OpenPage) -> None:
    order = waiting(line)
    page = open_page("review")
    assert next(button for button in page.button if button.label == "Previous").disabled
    press(page, "Next")
    assert shown(page) == order[1]
    press(page, "Previous")
    assert shown(page) == order[0]


def test_reviewing_all_of_them_ends_in_a_word_of_success(line: Database, open_page: OpenPage) -> None:
    page = open_page("review")
    for _ in waiting(line):
        press(page, "Confirm defect")
    assert "Everything is reviewed" in text_of(page)
    press(page, "Undo")
    assert len(waiting(line)) == 1


def test_a_link_reproduces_the_filters(line: Database, open_page: OpenPage) -> None:
    roll = list_defects(line, DefectFilter(style="twill navy"), limit=1)[0][0].roll
    assert roll is not None
    page = open_page(
        "review", roll=str(roll.id), camera="cam-left", style="twill navy", state="all", strength="1.25", view="grid"
    )
    expected = list_defects(
        line, DefectFilter(roll=roll, camera="cam-left", style="twill navy", min_strength=1.25), limit=50
    )[0]
    assert cards(page, "grid") == [item.id for item in expected]
    assert len(expected) == 2
    boxes = {box.label: box.value for box in page.selectbox}
    assert (boxes["Roll"], boxes["Style"], boxes["Camera"]) == (str(roll.id), "twill navy", "cam-left")
    assert boxes["Strength (× limit)"] == "1.25"


def test_a_changed_filter_is_in_the_address_and_begins_at_its_worst(line: Database, open_page: OpenPage) -> None:
    page = open_page("review", state="all")
    box(page, "Camera").set_value("cam-right").run()
    assert page.query_params["camera"] == "cam-right"
    expected = list_defects(line, DefectFilter(camera="cam-right"), limit=1)[0][0].id
    assert shown(page) == expected
    box(page, "Camera").set_value("").run()
    assert "camera" not in page.query_params


def test_a_day_and_a_line_of_the_address_choose_what_was_captured_then(line: Database, open_page: OpenPage) -> None:
    with line.reading() as session:
        days = {row.captured_at.date() for row in session.scalars(select(DefectRow))}
    page = open_page("review", view="grid", state="all", day=max(days).isoformat(), line="line-1")
    assert not page.info
    page = open_page("review", view="grid", state="all", day="2020-01-02")
    assert "No defect fits these filters" in page.info[0].value
    assert not open_page("review", day="yesterday", line="line-9").exception


def test_nonsense_in_the_address_is_left_aside(line: Database, open_page: OpenPage) -> None:
    page = open_page("review", roll="x", style="<b>", state="maybe", defect="-1", page="many", strength="9e9")
    assert shown(page) == waiting(line)[0]


def test_a_defect_that_is_gone_is_told(line: Database, open_page: OpenPage) -> None:
    page = open_page("review", defect="12345")
    assert "There is no defect 12345 any more" in text_of(page)
    assert shown(page) == waiting(line)[0]


def test_filters_that_nothing_fits_say_what_to_do(line: Database, open_page: OpenPage) -> None:
    words = text_of(open_page("review", style="plaid red", strength="2", camera="cam-left", state="rejected"))
    assert "No defect fits these filters" in words


def test_a_lost_picture_leaves_place_and_size(line: Database, store: StoreSettings, open_page: OpenPage) -> None:
    first = list_defects(line, DefectFilter(state="unreviewed"), limit=1)[0][0]
    PictureStore(store.pictures).delete(first.crop)
    words = text_of(open_page("review"))
    assert "were not kept or are gone" in words
    assert f"{first.y_mm / 1000:.2f}" in words.replace("\\", "")


def test_a_worse_defect_that_comes_in_does_not_slip_under_the_buttons(line: Database, open_page: OpenPage) -> None:
    page = open_page("review")
    looked_at, other = waiting(line)[:2]
    with line.session() as session:
        session.get_one(DefectRow, other).score = 0.999
        session.get_one(DefectRow, other).threshold = 0.01
    press(page, "Confirm defect")
    assert state_of(line, looked_at) == "confirmed"
    assert state_of(line, other) == "unreviewed"


def test_a_name_and_a_severity_have_a_key_each_and_are_taken_back_one_by_one(
    line: Database, open_page: OpenPage
) -> None:
    page = open_page("review")
    item = list_defects(line, DefectFilter(state="unreviewed"), limit=1)[0][0]
    fitting = propose_names(item.geometry, hole=item.hole)
    press(page, fitting[1].words.capitalize())
    press(page, "Major → critical")
    press(page, "Confirm defect")
    detail = read_defect(line, item.id)
    assert detail is not None
    assert (detail.item.code, detail.item.severity, detail.item.state) == (fitting[1].code, "critical", "confirmed")
    assert [act.act for act in detail.history] == ["name", "severity", "verdict"]
    for expected in ((fitting[1].code, "critical"), (fitting[1].code, "major"), ("", "major")):
        press(page, "Undo")
        assert shown(page) == item.id
        now = read_defect(line, item.id)
        assert now is not None
        assert (now.item.state, now.item.code, now.item.severity) == ("unreviewed", *expected)
    assert not now.item.severity_set
    assert next(button for button in page.button if button.label == "Undo").disabled


def test_the_second_of_two_is_told_what_the_first_chose(
    line: Database, store: StoreSettings, open_page: OpenPage
) -> None:
    page = open_page("review")
    first = waiting(line)[0]
    review_defect(line, PictureStore(store.pictures), first, state="rejected", by="Anna")
    press(page, "Confirm defect")
    assert state_of(line, first) == "rejected"
    assert shown(page) == first
    assert f"Anna called defect {first} a false alarm meanwhile" in page.warning[0].value.replace("\\", "")
    press(page, "Confirm defect")  # having seen it
    assert state_of(line, first) == "confirmed"


def test_undo_does_not_undo_what_another_did(line: Database, store: StoreSettings, open_page: OpenPage) -> None:
    page = open_page("review")
    first = waiting(line)[0]
    press(page, "Confirm defect")
    review_defect(line, PictureStore(store.pictures), first, state="rejected", by="Anna")
    press(page, "Undo")
    assert state_of(line, first) == "rejected"
    assert "Not taken back: Anna" in page.warning[0].value.replace("\\", "")


def test_many_at_once_and_back(line: Database, store: StoreSettings, open_page: OpenPage) -> None:
    order = waiting(line)
    page = open_page("review", view="grid")
    assert cards(page, "grid") == order
    press(page, "Tick this page")
    next(each for each in page.checkbox if each.label == f"Choose {order[2]}").uncheck().run()
    review_defect(line, PictureStore(store.pictures), order[0], state="confirmed", by="Anna")
    press(page, "False alarms")
    assert [state_of(line, number) for number in order[:3]] == ["confirmed", "rejected", "unreviewed"]
    assert "1 defect left alone: Anna confirmed" in page.warning[0].value.replace("\\", "")
    press(page, "Undo")
    assert [state_of(line, number) for number in order[:3]] == ["confirmed", "unreviewed", "unreviewed"]


def test_what_was_left_alone_is_told_in_german(line: Database, store: StoreSettings, open_page: OpenPage) -> None:
    users.set_preferences(line, by=NAME, language="de", units="metric")
    first = waiting(line)[0]
    page = open_page("review", view="grid")
    with speaking("de"):  # in which AppTest reads what is chosen
        press(page, "Diese Seite ankreuzen")
        review_defect(line, PictureStore(store.pictures), first, state="rejected", by="Anna")
        press(page, "Bestätigen")
    assert (
        page.warning[0]
        .value.replace("\\", "")
        .startswith(f"1 Fehler unverändert: Anna hat Fehler {first} inzwischen einen Fehlalarm genannt")
    )


def test_all_that_a_filter_lets_through_at_once(line: Database, open_page: OpenPage) -> None:
    page = open_page("review", view="grid", camera="cam-left")
    left = [item.id for item in list_defects(line, DefectFilter(camera="cam-left", state="unreviewed"), limit=99)[0]]
    page.toggle[0].set_value(True).run()
    press(page, "Confirm")
    assert {state_of(line, number) for number in left} == {"confirmed"}
    assert waiting(line)


def test_merged_from_nearby_and_parted_again(line: Database, open_page: OpenPage) -> None:
    page = open_page("review", show="near")
    whole = shown(page)
    other = cards(page, "near")[0]
    next(each for each in page.checkbox if each.label == f"Choose {other}").check().run()
    press(page, f"Merge with defect {whole}")
    kept = shown(page)
    assert kept == min(whole, other)
    detail = read_defect(line, kept)
    assert detail is not None
    assert detail.item.fragments == 2
    page = open_page("review", show="pieces", defect=str(kept), state="all")
    page.checkbox[0].check().run()
    press(page, "Split off 1 piece")
    assert len(waiting(line)) == 6
    press(page, "Undo")
    assert read_defect(line, kept).item.fragments == 2  # type: ignore[union-attr]


def test_similar_ones_are_those_that_look_alike(line: Database, open_page: OpenPage) -> None:
    """The stains of the seeded line are found by a stain."""
    stain = list_defects(line, DefectFilter(style="plain ecru"), limit=1)[0][0]
    page = open_page("review", show="similar", state="all", defect=str(stain.id))
    first = read_defect(line, cards(page, "similar")[0])
    assert first is not None
    assert (first.item.geometry, first.item.id != stain.id) == ("area", True)


def test_who_reviewed_is_a_filter(line: Database, open_page: OpenPage) -> None:
    page = open_page("review", state="all", by="j.weber", view="grid")
    expected = [item.id for item in list_defects(line, DefectFilter(by="j.weber"), limit=9)[0]]
    assert cards(page, "grid") == expected
    assert len(expected) == 1


def test_what_is_ticked_stays_so_on_other_pages_of_the_grid(
    line: Database, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defect_cards, "PAGE_CARDS", 3)
    page = open_page("review", view="grid", state="unreviewed")
    first = cards(page, "grid")[0]
    page.checkbox(key=tick_of(page, first)).check().run()
    page.query_params["page"] = "2"
    second = cards(page.run(), "grid")[0]
    assert second != first
    page.checkbox(key=tick_of(page, second)).check().run()
    assert "**2 defects chosen**, 1 of them on other pages" in text_of(page)
    del page.query_params["page"]
    page.run()
    assert page.checkbox(key=tick_of(page, first)).value
    press(page, "Confirm")
    assert (state_of(line, first), state_of(line, second)) == ("confirmed", "confirmed")
    assert "**0 defects chosen**" in text_of(page)


def tick_of(page: AppTest, defect_id: int) -> str:
    return next(str(box.key) for box in page.checkbox if str(box.key).startswith(f"grid.tick.{defect_id}."))
