"""What a service answers over HTTP: alive, ready or why not, its metrics."""

import http.client
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from inspection.monitor import MOST_REQUESTS, Monitor
from tests.ports import free_port
from tests.waiting import wait_for


@pytest.fixture
def port() -> int:
    return free_port()


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_service_is_not_ready_until_nothing_is_wrong_any_more(port: int) -> None:
    wrong = ["no camera is open"]
    with Monitor("ingest", host="127.0.0.1", port=port, problems=lambda: wrong):
        wait_for(lambda: json.loads(get(port, "/ready")[1])["problems"] == wrong)
        assert get(port, "/ready")[0] == 503
        assert get(port, "/health") == (200, b'{"service": "ingest"}\n')  # alive all the same
        wrong.clear()
        wait_for(lambda: get(port, "/ready")[0] == 200)
        assert json.loads(get(port, "/ready")[1]) == {"service": "ingest", "ready": True, "problems": []}


def test_a_check_that_fails_is_a_problem_and_not_the_end(port: int) -> None:
    def broken() -> list[str]:
        raise ValueError("nobody thought of this")

    with Monitor("worker", host="127.0.0.1", port=port, problems=broken):
        wait_for(lambda: b"nobody thought of this" in get(port, "/ready")[1])
        assert get(port, "/ready")[0] == 503


def test_prometheus_reads_the_metrics(port: int) -> None:
    def more() -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("loomwatch_test_looms", "Looms.", value=3)

    with Monitor("worker", host="127.0.0.1", port=port, problems=list, collect=more):
        wait_for(lambda: get(port, "/ready")[0] == 200)
        status, body = get(port, "/metrics")
    assert status == 200
    found = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert found["loomwatch_test_looms"].samples[0].value == 3
    assert found["loomwatch_ready"].samples[0].value == 1
    assert found["process_resident_memory_bytes"].samples[0].value > 0
    assert found["loomwatch_build_info"].samples[0].labels["service"] == "worker"


def test_other_paths_and_methods_get_nothing(port: int) -> None:
    with Monitor("worker", host="127.0.0.1", port=port, problems=list):
        assert get(port, "/")[0] == 404
        assert get(port, "/metrics/../../etc/passwd")[0] == 404
        assert get(port, "/health", "POST")[0] == 501
        assert get(port, "/health", "HEAD") == (200, b"")
        assert get(port, "/health?probe=1")[0] == 200


def test_a_taken_port_is_told_and_taken_later(
    port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspection.monitor.LOOK_S", 0.02)
    monkeypatch.setattr("inspection.monitor.BIND_S", 0.05)
    with socket.create_server(("127.0.0.1", port)) as other, caplog.at_level(logging.WARNING):
        stack = ExitStack()
        stack.enter_context(Monitor("ingest", host="127.0.0.1", port=port, problems=list))
        assert "LOOMWATCH_INGEST_MONITOR_PORT" in caplog.text
        other.close()
    with stack:
        wait_for(lambda: not refused(port))
        assert get(port, "/health")[0] == 200


def refused(port: int) -> bool:
    try:
        get(port, "/health")
    except OSError:
        return True
    return False


def test_port_0_listens_nowhere() -> None:
    with Monitor("worker", host="127.0.0.1", port=0, problems=list) as monitor:
        assert monitor.problems == ("it starts",)


def test_many_who_say_nothing_do_not_fill_the_process(port: int) -> None:
    with Monitor("worker", host="127.0.0.1", port=port, problems=list), ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(MOST_REQUESTS)]
        beyond = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert beyond.recv(1) == b""  # shut at once, while the others may still speak
        for each in silent:
            each.close()
        wait_for(lambda: not refused(port))
