"""Live: cameras, services, warnings."""

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import delete, func, select, update
from streamlit.testing.v1 import AppTest

from storage.database import Database
from storage.live import Live, LiveIngest, ServiceState
from storage.tables import CaptureRow, FrameRow, PromotionRow
from tests.integration.dashboard.conftest import FOLDER, OpenPage, SignIn, text_of
from tests.integration.dashboard.plausible_line import live_camera, service
from tests.states import camera_state, ingest_state, live_worker

pytestmark = pytest.mark.integration


@pytest.fixture
def live(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Live:
    """Both cameras and both services, a moment ago."""
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    live = Live(redis_url)
    for camera in (0, 1):
        kinds = [("hole", 1.7)] if camera == 0 else []
        live.publish_camera(live_camera(camera, sequence=12, kinds=kinds, position_mm=3072.0))
    live.publish_service(service("worker", "running", "cras-2024-05-19"))
    live.publish_service(service("trainer", "waiting"))
    return live


def test_each_camera_is_shown_with_its_picture_and_figures(line: Database, live: Live, open_page: OpenPage) -> None:
    page = open_page("live")
    words = text_of(page)
    for camera in ("cam\\-left", "cam\\-right"):
        assert camera in words
    assert "Speed: 12.0 m/min" in words
    assert "Delay: 376 ms" in words
    assert "cras\\-2024\\-05\\-19" in words
    assert "× limit** (score" in words
    assert sum("Last frame of camera" in str(image.proto.imgs[0]) for image in page.image) == 2
    assert not page.warning


def test_capture_and_inspection_are_shown_with_their_counts(line: Database, live: Live, open_page: OpenPage) -> None:
    now_ns = time.time_ns()
    gaps = {"spool_full": 2, "camera_lost": 1, "too_dark": 4}
    left = camera_state("cam-left", frames_per_s=4.9, pixels_per_s=50e6, waiting=6, reconnects=3, gaps=gaps)
    right = camera_state("cam-right", state="away")
    state = ingest_state(cameras=(left, right), credit=5, memory_bytes=3, memory_limit_bytes=10, disk_limit_bytes=10)
    live.publish_ingest(LiveIngest(state=state, at_ns=now_ns), part="cam-left")
    live.publish_worker(live_worker(name="gpu-1", model="cras-2024-05-19", at_ns=now_ns))
    words = text_of(open_page("live"))
    capture = "4.9 frames/s · 50.0 Mpx/s · 6 waiting · spool 15 % full · credit 5 · 7 gaps · 3 dropped · 3 reconnects"
    assert capture in words
    assert "away, being opened again" in words
    assert "gpu-1" in words
    assert "openvino-bf16" in words


def test_the_services_are_named(line: Database, live: Live, open_page: OpenPage) -> None:
    words = text_of(open_page("live"))
    assert "Cameras 2 of 2" in words
    assert "Inspection on" in words
    assert "Training ready" in words


def test_the_running_roll_and_the_latest_defects_are_shown(line: Database, live: Live, open_page: OpenPage) -> None:
    words = text_of(open_page("live"))
    assert "Roll R\\-1043" in words
    assert "7 defects, 6 to review" in words
    assert "% inspected" in words
    assert "along," in words


def test_without_redis_the_page_shows_what_the_database_knows(line: Database, open_page: OpenPage) -> None:
    page = open_page("live")
    words = text_of(page)
    assert "Live pictures and service states are away" in page.warning[0].value
    assert "cam\\-left" in words
    assert "No live picture at the moment" in words
    assert "Speed: 12.0 m/min" in words
    assert "Roll R\\-1043" in words


def test_no_promoted_model_is_a_visible_warning(line: Database, live: Live, open_page: OpenPage) -> None:
    with line.session() as session:
        session.execute(delete(PromotionRow))
    assert "No model is in charge" in open_page("live").warning[0].value


def test_a_silent_camera_is_a_visible_warning(line: Database, live: Live, open_page: OpenPage) -> None:
    with line.session() as session:
        long_ago = datetime.now(UTC) - timedelta(minutes=7)
        session.execute(update(FrameRow).where(FrameRow.camera == "cam-left").values(stored_at=long_ago))
    page = open_page("live")
    [warning] = page.warning
    assert "cam\\-left for 7 min" in warning.value
    assert "cam\\-right" not in warning.value
    assert "Cameras 1 of 2" in text_of(page)


def test_a_camera_on_a_standing_line_is_not_called_silent(line: Database, live: Live, open_page: OpenPage) -> None:
    """An hour without cloth, while its driver answers ingest."""
    with line.session() as session:
        session.execute(update(FrameRow).values(stored_at=datetime.now(UTC) - timedelta(hours=1)))
    cameras = (camera_state("cam-left", silent_s=0.5), camera_state("cam-right", state="away", silent_s=1800.0))
    live.publish_ingest(LiveIngest(state=ingest_state(cameras=cameras), at_ns=time.time_ns()), part="cam-left")
    [warning] = [one.value for one in open_page("live").warning if "silent" in one.value]
    assert "cam\\-right for 30 min" in warning
    assert "cam\\-left" not in warning


def test_what_keeps_the_alarm_service_from_telling_a_sink_is_shown(
    line: Database, live: Live, open_page: OpenPage
) -> None:
    detail = "sink plant: the broker at broker.plant:8883: its certificate is not accepted: certificate has expired"
    live.publish_service(
        ServiceState(name="alarms-1", kind="alarms", state="problem", detail=detail, at_ns=time.time_ns())
    )
    [warning] = [one.value for one in open_page("live").warning if "Sink plant" in one.value]
    assert "certificate has expired" in warning
    assert "model" not in warning


def test_a_camera_that_has_finished_is_not_called_silent(line: Database, live: Live, open_page: OpenPage) -> None:
    with line.session() as session:
        session.execute(update(CaptureRow).values(ended=True))
        session.execute(update(FrameRow).values(stored_at=datetime.now(UTC) - timedelta(hours=2)))
    page = open_page("live")
    assert not page.warning
    assert "Cameras finished" in text_of(page)


def test_a_model_that_did_not_load_is_told_with_its_reason(line: Database, live: Live, open_page: OpenPage) -> None:
    live.publish_service(service("worker", "problem", "model x does not load: weights.safetensors is damaged"))
    page = open_page("live")
    assert "weights\\.safetensors is damaged" in page.warning[0].value
    assert "Inspection: problem" in text_of(page)


def test_a_missing_worker_is_told(line: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    page = AppTest.from_file(str(FOLDER / "views" / "live.py"), default_timeout=60).run()
    assert "No inspection process answers" in page.warning[0].value
    assert "Inspection is off" in text_of(page)


def test_what_people_named_is_never_taken_for_markup(line: Database, live: Live, open_page: OpenPage) -> None:
    live.publish_service(service("worker", "problem", "<b>bold</b> **loud** [link](http://example.org)"))
    warning = open_page("live").warning[0].value
    assert "\\<b\\>" in warning
    assert "\\*\\*loud" in warning
    assert "\\[link\\]\\(" in warning


def test_a_defect_leads_to_its_review(line: Database, live: Live, open_page: OpenPage) -> None:
    app = AppTest.from_file(str(FOLDER / "app.py"), default_timeout=60).run().switch_page("views/live.py").run()
    look = next(link.proto for link in app.get("page_link") if link.proto.label == "Look")
    assert look.page == "review"
    asked = dict(parse_qsl(look.query_string))
    review = open_page("review", **asked)
    assert review.title[0].value == "Review"
    assert review.subheader[0].value == f"Defect {asked['defect']}"


def test_a_cameras_warning_is_visible_until_a_frame_comes_without_it(
    line: Database, live: Live, open_page: OpenPage
) -> None:
    latest = select(func.max(FrameRow.id)).where(FrameRow.camera == "cam-left").scalar_subquery()
    flags = ["reversed", "dirty_lens: camera column 812"]
    with line.session() as session:
        session.execute(update(FrameRow).where(FrameRow.id == latest).values(quality_flags=flags))
    [warning] = [one for one in open_page("live").warning if "Camera cam" in one.value]
    assert "Camera cam\\-left" in warning.value
    assert "clean the lens" in warning.value
    assert "camera column 812" in warning.value
    assert "reversed" not in warning.value
    with line.session() as session:
        session.execute(update(FrameRow).where(FrameRow.id == latest).values(quality_flags=[]))
    assert not any("clean the lens" in warning.value for warning in open_page("live").warning)


def test_an_alarm_stands_on_the_page_until_somebody_acknowledges_it(
    line: Database, live: Live, open_page: OpenPage, sign_in: SignIn
) -> None:
    from storage.alarms import alarm_store
    from storage.alarms.alarm_store import Signal
    from storage.alarms.rules import parse_rule

    rule = parse_rule({"name": "camera-down", "kind": "camera_down"})
    told = [Signal(subject=name, level="raise", text=f"camera *{name}* is silent") for name in ("a", "b")]
    with line.session() as session:
        alarm_store.observe(session, rule, line="line-1", signals=told, at=datetime.now(UTC))
    sign_in(line, "viewer", name="Wall")
    page = open_page("live")
    assert "Camera \\*a\\* is silent" in text_of(page)
    assert {alarm.seen_by for alarm in alarm_store.list_alarms(line)} == {""}  # a wall screen sees nothing
    assert all(button.disabled for button in page.button if button.label == "Acknowledge")
    sign_in(line, "operator", name="Eva")
    page.run()
    assert {alarm.seen_by for alarm in alarm_store.list_alarms(line)} == {"Eva"}
    first = alarm_store.list_alarms(line)[0]
    page.button(key=f"acknowledge.{first.id}").click().run()
    after = next(alarm for alarm in alarm_store.list_alarms(line) if alarm.id == first.id)
    assert (after.state, after.acknowledged_by) == ("acknowledged", "Eva")
    words = text_of(page)
    assert "acknowledged by Eva" in words
    assert [str(button.key) for button in page.button if button.label == "Acknowledge"] == [
        f"acknowledge.{alarm.id}" for alarm in alarm_store.list_alarms(line) if alarm.id != first.id
    ]
