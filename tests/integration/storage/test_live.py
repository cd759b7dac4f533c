"""Live figures through a real Redis, and without one."""

import logging
import threading
from dataclasses import replace

import pytest
import redis

from inspection.endpoints import REDIS_SOCKET, socket_path
from inspection.errors import ServiceError, StorageError
from storage.live import STRIP_PIECES, Live, LiveCamera, ServiceState, StripPiece
from storage.redis_client import place
from storage.redis_server import start_private_redis
from tests.waiting import wait_for

pytestmark = pytest.mark.integration

CAMERA = LiveCamera(
    line="line-1",
    camera="left",
    overlay_jpeg=bytes(range(256)) * 1200,
    position_mm=1234.5,
    speed_m_min=6.0,
    latency_ms=40.0,
    tiles_per_s=12.0,
    score=0.4,
    threshold=0.5,
    model="first",
    at_ns=1,
)
WORKER = ServiceState(name="w1", kind="worker", state="running", detail="first", at_ns=1)


@pytest.fixture
def live(redis_url):
    live = Live(redis_url, retry_s=0.0)
    yield live
    live.close()


def test_what_is_published_is_read_back_the_latest_only(live):
    assert (live.cameras(), live.services()) == ([], [])
    other = replace(CAMERA, camera="right", line="line-0")
    assert live.publish_camera(CAMERA)
    assert live.publish_camera(replace(CAMERA, position_mm=2.0))
    assert live.publish_camera(other)
    assert live.cameras() == [other, replace(CAMERA, position_mm=2.0)]
    assert live.publish_service(WORKER)
    assert live.publish_service(replace(WORKER, kind="trainer"))
    assert live.services() == [replace(WORKER, kind="trainer"), WORKER]


def test_a_strip_holds_the_newest_frames_each_once_in_the_order_of_capture(live):
    piece = StripPiece(
        line="l", camera="c", captured_at_ns=0, position_mm=0.0, length_mm=1.0, x0_mm=0.0, x1_mm=1.0, jpeg=b"a"
    )
    for at in reversed(range(STRIP_PIECES + 3)):
        assert live.publish_strip(replace(piece, captured_at_ns=at * 10**9))
    again = replace(piece, captured_at_ns=5 * 10**9, jpeg=b"inspected again by another worker")
    assert live.publish_strip(again)
    found = live.strip("l", "c")
    assert [each.captured_at_ns // 10**9 for each in found] == list(range(3, STRIP_PIECES + 3))
    assert found[2] == again
    assert live.strip("l", "other") == []


def test_names_with_any_character_do_not_mix(live):
    names = [("a:b", "c"), ("a", "b:c"), ("a/b", "c"), ("ü", "\n")]
    for line, camera in names:
        live.publish_camera(replace(CAMERA, line=line, camera=camera))
    assert sorted((camera.line, camera.camera) for camera in live.cameras()) == sorted(names)


def test_what_nobody_renews_expires(live, redis_url):
    live.publish_camera(CAMERA)
    live.publish_service(WORKER)
    client = redis.Redis.from_url(redis_url)
    keys = [key for key in client.keys("*") if client.type(key) == b"string"]
    assert len(keys) == 2
    assert all(0 < client.ttl(key) <= 30 for key in keys)
    client.delete(*keys)
    client.close()
    assert (live.cameras(), live.services()) == ([], [])


def test_figures_of_another_version_are_a_clear_error(live, redis_url):
    live.publish_service(WORKER)
    client = redis.Redis.from_url(redis_url)
    (key,) = [key for key in client.keys("*") if client.type(key) == b"string"]
    client.set(key, b"\x81\xa1x\x01")
    client.close()
    with pytest.raises(StorageError, match="of another loomwatch"):
        live.services()


def test_a_writer_goes_on_without_redis_and_says_so_once(tmp_path, caplog):
    server = start_private_redis(tmp_path, tmp_path / "redis.log")
    live = Live(server.url, retry_s=0.0)
    try:
        assert live.publish_service(WORKER)
        server.stop()
        with caplog.at_level(logging.INFO, logger="storage.live"):
            assert [live.publish_service(WORKER) for _ in range(3)] == [False] * 3
            assert not live.publish_camera(CAMERA)
            with pytest.raises(StorageError, match="check that it runs"):
                live.services()
            with start_private_redis(tmp_path, tmp_path / "redis.log"):
                wait_for(lambda: live.publish_service(WORKER))
                assert live.services() == [WORKER]
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    finally:
        live.close()


def test_a_publisher_that_was_refused_does_not_ask_again_at_once(tmp_path):
    live = Live(f"unix://{tmp_path / 'none.sock'}", retry_s=60.0)
    try:
        assert not live.publish_service(WORKER)
        with start_private_redis(tmp_path, tmp_path / "redis.log") as server:
            other = Live(server.url, retry_s=0.0)
            assert other.publish_service(WORKER)
            other.close()
        assert not live.publish_service(WORKER)
    finally:
        live.close()


def test_a_wrong_url_is_refused_without_its_password():
    assert place("redis://user:secret@host:6379/0") == "redis://host:6379/0"
    with pytest.raises(StorageError, match="http://host") as caught:
        Live("http://user:secret@host")
    assert "secret" not in str(caught.value)


def test_the_private_server_listens_on_its_socket_only_and_leaves_nothing(tmp_path):
    with start_private_redis(tmp_path, tmp_path / "redis.log") as server:
        client = redis.Redis.from_url(server.url)
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("save") == {"save": ""}
        assert socket_path(tmp_path, REDIS_SOCKET).stat().st_mode & 0o077 == 0
        client.set("a", "b")
        client.close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "redis.log"]


def test_a_second_server_in_the_same_folder_is_refused(tmp_path):
    with start_private_redis(tmp_path, tmp_path / "redis.log") as server:
        with pytest.raises(ServiceError, match="another loomwatch uses"):
            start_private_redis(tmp_path, tmp_path / "redis.log")
        client = redis.Redis.from_url(server.url)
        assert client.ping()
        client.close()


def test_a_folder_too_long_for_a_socket_gets_one_elsewhere(tmp_path):
    folder = tmp_path / ("long" * 40) / "redis"
    with start_private_redis(folder, tmp_path / "redis.log") as server:
        assert len(server.url.removeprefix("unix://")) < 104
        client = redis.Redis.from_url(server.url)
        assert client.ping()
        client.close()


def test_a_server_started_by_a_thread_outlives_that_thread(tmp_path):
    """The kernel's parent-death signal belongs to the thread that starts a child."""
    servers = []
    thread = threading.Thread(target=lambda: servers.append(start_private_redis(tmp_path, tmp_path / "redis.log")))
    thread.start()
    thread.join()
    client = redis.Redis.from_url(servers[0].url)
    try:
        assert client.ping()
        assert client.ping()
    finally:
        client.close()
        servers[0].stop()


def test_a_server_that_cannot_start_says_where_to_look(tmp_path):
    (tmp_path / "log-folder").mkdir()
    with pytest.raises(ServiceError, match=r"ended with 1 while it started: see .*log-folder"):
        start_private_redis(tmp_path / "redis", tmp_path / "log-folder")
