"""Line: the wall screen."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from streamlit.testing.v1 import AppTest

from dashboard import data
from dashboard.pictures import shape_of
from storage.alarms.alarm_store import Signal, observe
from storage.alarms.rules import parse_rule
from storage.database import Database
from storage.live import Live
from storage.tables import AlarmRow, RollRow, UserRow
from tests.integration.dashboard.conftest import FOLDER, NAME, OpenPage, SignIn, text_of, wall_of
from tests.integration.dashboard.plausible_line import live_camera, strip_piece

pytestmark = pytest.mark.integration


@pytest.fixture
def live(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Live:
    """Both cameras, a moment ago, each with its newest frames."""
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    live, now = Live(redis_url), datetime.now(UTC)
    for camera in (0, 1):
        live.publish_camera(live_camera(camera, sequence=12, kinds=[], position_mm=3072.0))
        for sequence in (10, 11, 12):
            at = now - timedelta(seconds=12 - sequence)
            live.publish_strip(strip_piece(camera, sequence=sequence, kinds=[("stain", 1.5)], at=at))
    return live


def test_the_cloth_of_every_camera_runs_beside_the_roll_and_its_figures(
    line: Database, live: Live, open_page: OpenPage
) -> None:
    shown = wall_of(open_page("line"))
    assert [strip["says"] for strip in shown["strips"]] == [
        f"Cloth of camera {camera}, suspicious places coloured" for camera in ("cam-left", "cam-right")
    ]
    for strip in shown["strips"]:
        jpeg = base64.b64decode(strip["picture"].removeprefix("data:image/jpeg;base64,"))
        assert shape_of(jpeg) == (460, 420)
    assert shown["roll"] == "Roll R-1043 · plain ecru"
    assert [figure["name"] for figure in shown["figures"]] == [
        *("Speed", "Length", "Coverage", "Defects", "Points so far", "Points per 100 m²"),
    ]
    assert shown["figures"][0]["value"] == "12.0 m/min"
    assert [badge["text"] for badge in shown["badges"]] == ["Running", "No alarm is open"]
    found = shown["defects"]
    assert len(found) == 4
    assert all(defect["picture"].startswith("data:image/jpeg") and defect["state"]["text"] for defect in found)


def test_the_map_has_each_defect_and_gap_of_the_roll_at_its_place(line: Database, open_page: OpenPage) -> None:
    shown = wall_of(open_page("line"))
    [drawn] = shown["maps"]
    [defects] = [int(figure["value"]) for figure in shown["figures"] if figure["name"] == "Defects"]
    assert len([mark for mark in drawn["marks"] if not mark[5]]) == defects
    assert all(0 <= place <= 100 for mark in drawn["marks"] for place in mark[:2])
    assert drawn["says"] == f"Map of the roll: {len(drawn['marks'])} defects, {len(drawn['gaps'])} gaps"
    assert {gap[4] for gap in drawn["gaps"]} >= {"The camera skipped or lost frames"}
    assert len(drawn["lanes"]) == 2


def test_who_looks_second_is_shown_what_was_put_together_for_the_first(
    line: Database, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "refresh_s", lambda: 1e9)  # both look in the same turn
    first = open_page("line")
    with line.session() as session:
        session.execute(update(RollRow).where(RollRow.name == "R-1043").values(name="R-2000"))
    second = AppTest.from_file(str(FOLDER / "views" / "line.py"), default_timeout=60).run()
    assert wall_of(first) == wall_of(second)
    data.forget_reads()
    assert wall_of(second.run())["roll"].startswith("Roll R-2000 ·")


def test_each_sees_it_in_their_own_words(line: Database, open_page: OpenPage, sign_in: SignIn) -> None:
    english = wall_of(open_page("line"))
    with line.session() as session:
        session.execute(update(UserRow).values(language="de", units="imperial"))
    german = wall_of(open_page("line"))
    assert (english["latest"], german["latest"]) == ("Latest defects", "Neueste Fehler")
    assert german["figures"][1]["value"].endswith(" yd")


def test_what_people_typed_stays_as_they_typed_it(line: Database, open_page: OpenPage) -> None:
    with line.session() as session:
        session.execute(update(RollRow).where(RollRow.name == "R-1043").values(name="<b>*R*</b>"))
    assert wall_of(open_page("line"))["roll"] == "Roll <b>*R*</b> · plain ecru"


def test_without_redis_the_record_is_shown_and_the_pictures_are_said_to_be_away(
    line: Database, open_page: OpenPage
) -> None:
    shown = wall_of(open_page("line"))
    assert "Live pictures away" in [badge["text"] for badge in shown["badges"]]
    assert {strip["picture"] for strip in shown["strips"]} == {""}
    assert shown["figures"][1]["name"] == "Length"


def test_a_line_that_is_not_there_is_answered_with_one_that_is(line: Database, live: Live, open_page: OpenPage) -> None:
    page = open_page("line", line="line-9")
    assert page.title[0].value == "line\\-1"


def test_more_alarms_than_fit_are_opened_and_acknowledged_there(line: Database, open_page: OpenPage) -> None:
    rule = parse_rule({"name": "camera-down", "kind": "camera_down"})
    signals = [Signal(subject=f"cam-{n}", level="raise", text=f"camera cam-{n} is silent") for n in range(7)]
    with line.session() as session:
        observe(session, rule, line="line-1", signals=signals, at=datetime.now(UTC))
    page = open_page("line")

    def waiting(page: AppTest) -> int:
        return len([button for button in page.button if button.label == "Acknowledge"])

    assert waiting(page) == 3
    assert "No alarm is open" not in text_of(page)
    assert "4 more alarms" in [each.label for each in page.expander]
    page.session_state["alarms.more"] = True
    page.run()
    assert waiting(page) == 7
    [button for button in page.button if button.label == "Acknowledge"][-1].click().run()
    with line.reading() as session:
        assert len(session.scalars(select(AlarmRow).where(AlarmRow.acknowledged_by == NAME)).all()) == 1
