"""Line: the wall screen."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from storage.alarms.alarm_store import Signal, observe
from storage.alarms.rules import parse_rule
from storage.database import Database
from storage.live import Live
from storage.tables import AlarmRow
from tests.integration.dashboard.conftest import NAME, OpenPage, text_of
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
    page = open_page("line")
    words = text_of(page)
    assert sum("Cloth of camera" in str(image.proto.imgs[0]) for image in page.image) == 2
    for told in (
        "Roll R\\-1043",
        "Speed: 12.0 m/min",
        "Coverage: ",
        "Points so far: ",
        "Points per 100 m²: ",
        "No alarm",
    ):
        assert told in words, told
    assert page.get("arrow_vega_lite_chart") or page.get("vega_lite_chart"), "the roll's map"


def test_without_redis_the_record_is_shown_and_the_pictures_are_said_to_be_away(
    line: Database, open_page: OpenPage
) -> None:
    words = text_of(open_page("line"))
    assert "Live pictures away" in words
    assert "no cloth to show at the moment" in words
    assert "Length: " in words


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

    assert waiting(page) == 4
    assert "3 more alarms" in [each.label for each in page.expander]
    page.session_state["alarms.more"] = True
    page.run()
    assert waiting(page) == 7
    [button for button in page.button if button.label == "Acknowledge"][-1].click().run()
    with line.reading() as session:
        assert len(session.scalars(select(AlarmRow).where(AlarmRow.acknowledged_by == NAME)).all()) == 1
