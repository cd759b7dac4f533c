"""`loomwatch status`: what is published is shown, also when it is old, in parts, or not there."""

import json
import time

import pytest

from loomwatch.cli import run
from storage.live import Live, LiveIngest, ServiceState
from tests.states import camera_state, ingest_state, live_worker


@pytest.fixture
def live(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Live:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    monkeypatch.setattr("loomwatch.terminal.console.width", 220)
    return Live(redis_url)


def publish(live: Live, *, age_s: float = -3600.0) -> None:
    """From an hour ahead, so that it is fresh however long a busy machine takes."""
    at_ns = time.time_ns() - int(age_s * 1e9)
    left = camera_state("left", frames_per_s=4.9, pixels_per_s=50.2e6, position_mm=12_340, gaps={"spool_full": 3})
    right = camera_state("right", state="away", reconnects=7, warnings=("dirty_lens: camera column 812",))
    for camera in (left, right):  # as a process of many cameras tells them, in parts
        state = ingest_state(name="host-1", cameras=(camera,), workers=1, credit=2, refused=5)
        live.publish_ingest(LiveIngest(state=state, at_ns=at_ns), part=camera.camera)
    live.publish_worker(live_worker(name="gpu-1", model="denim-3", at_ns=at_ns))
    live.publish_service(ServiceState(name="gpu-1", kind="worker", state="running", detail="", at_ns=at_ns))
    live.publish_service(ServiceState(name="host-2", kind="trainer", state="waiting", detail="", at_ns=at_ns))


def test_everything_is_shown_once(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    publish(live)
    assert run(["status", "--once"]) == 0
    shown = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    assert lines["left"][1:8] == ["running", "4.9", "50.2", "0.0", "12.34", "2", "0"]
    assert "away" in lines["right"]
    assert "dirty_lens" in lines["right"]
    assert lines["gpu-1"][1:4] == ["running", "denim-3", "openvino-bf16"]
    assert lines["host-2"][1:3] == ["trainer", "waiting"]
    assert shown.count("host-1") == 1
    assert "clean the lens" in shown
    assert "3 because inspection could not keep up" in shown


def test_json_tells_the_same(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    publish(live)
    assert run(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [camera["camera"] for camera in told["cameras"]] == ["left", "right"]
    assert told["cameras"][0]["dropped"] == 3
    assert told["cameras"][1]["reconnects"] == 7
    assert [ingest["refused"] for ingest in told["ingest"]] == [5]
    assert told["workers"][0]["latency_p95_ms"] == 300.0


def test_what_is_old_is_not_shown_as_running(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    publish(live, age_s=3600)
    run(["status", "--once"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    for name in ("left", "right", "host-1", "gpu-1"):
        assert "silent for 36" in lines[name]
        assert "running" not in lines[name]


def test_nothing_there_is_said(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--once"]) == 0
    shown = capsys.readouterr().out
    assert "no worker is heard of" in shown
    assert "no ingest process is heard of" in shown


def test_redis_away_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", "unix:///nowhere/redis.sock")
    assert run(["status", "--once"]) == 2
    assert "Redis at" in capsys.readouterr().err
