"""Each sink against a real server of its kind: told in order, away and back, missed, and never one for another."""

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from alarms.trial import try_out
from storage.alarms.outbox import backlog_of
from storage.alarms.sink_store import read_sink
from tests.integration.alarms.conftest import machine, need
from tests.ports import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.integration


class Receiver:
    """A webhook's other end. answers: status codes to give first; then 204."""

    def __init__(self, port=0, answers=(), delay_s=0.0):
        self.requests, self.answers = [], list(answers)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests.append((dict(self.headers), body))
                time.sleep(delay_s)
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def told(self):
        return [(json.loads(body)["event"], json.loads(body)["alarm"]["subject"]) for _, body in self.requests]


def hook(line, port, *, name="sink", **changes):
    line.sink("webhook", name=name, url=f"http://127.0.0.1:{port}/alarms", secret_file="key", **changes)


def delivered(line, name="sink"):
    backlog = backlog_of(line.database, name)
    return backlog.waiting == 0 and backlog.delivered_at is not None


# --- webhook -------------------------------------------------------------------------------------------------------


def test_a_webhook_is_told_in_order_and_its_signature_is_right(line):
    with Receiver() as receiver:
        hook(line, receiver.port)
        line.set("a")
        line.set("b")
        line.set("a", "clear")
        line.acknowledge_all()
        wait_for(lambda: len(receiver.told) == 5 and delivered(line))
    assert receiver.told == [("raised", "a"), ("raised", "b"), ("cleared", "a"), *receiver.told[3:]]
    assert sorted(receiver.told[3:]) == [("acknowledged", "a"), ("acknowledged", "b")]
    for headers, body in receiver.requests:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(b"secret key of the mil", signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
        assert headers["webhook-id"] == json.loads(body)["id"]
        assert abs(time.time() - int(headers["webhook-timestamp"])) < 300
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 5


def test_a_webhook_that_fails_is_told_again_with_the_same_id_and_nothing_overtakes(line):
    with Receiver(answers=[500, 429, 302, 401]) as receiver:
        hook(line, receiver.port)
        line.set("a")
        line.set("b")
        wait_for(lambda: len(receiver.told) == 6 and delivered(line))
    assert receiver.told == [("raised", "a")] * 5 + [("raised", "b")]
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 2


def test_what_a_webhook_will_never_take_is_missed_and_the_next_is_told(line):
    with Receiver(answers=[422]) as receiver:
        hook(line, receiver.port)
        line.set("a")
        line.set("b")
        wait_for(lambda: delivered(line))
    assert backlog_of(line.database, "sink").missed == 1


def test_a_sink_that_is_down_holds_no_other_and_hears_later_what_it_missed(line):
    port = free_port()
    with Receiver() as other, Receiver(delay_s=3.0) as slow:
        hook(line, port)
        hook(line, other.port, name="other")
        hook(line, slow.port, name="slow", timeout_s=0.3)
        line.set("a")
        line.set("b")
        wait_for(lambda: other.told == [("raised", "a"), ("raised", "b")])
        wait_for(lambda: backlog_of(line.database, "sink").problem)
        assert backlog_of(line.database, "sink").waiting == 2
        wait_for(lambda: "no answer" in backlog_of(line.database, "slow").problem)
        with Receiver(port=port) as receiver:
            wait_for(lambda: delivered(line))
        assert receiver.told == [("raised", "a"), ("raised", "b")]
        line.couriers.close()


def test_what_waited_too_long_is_recorded_as_missed(line):
    hook(line, free_port(), max_age_s=1)
    line.set("a")
    wait_for(lambda: backlog_of(line.database, "sink").missed == 1)
    assert backlog_of(line.database, "sink").waiting == 0


def test_a_missing_secret_is_said_and_the_notice_waits_for_it(line):
    with Receiver() as receiver:
        (line.secrets / "key").rename(line.secrets / "other")
        hook(line, receiver.port)
        line.set("a")
        wait_for(lambda: "cannot read the secret" in backlog_of(line.database, "sink").problem)
        assert receiver.told == []
        (line.secrets / "other").rename(line.secrets / "key")
        wait_for(lambda: delivered(line))


def test_couriers_end_where_another_service_acts_and_a_changed_sink_gets_a_new_one(line):
    with Receiver() as first, Receiver() as second:
        hook(line, first.port)
        line.couriers.keep(False)
        line.set("a")
        line.sink("webhook", url=f"http://127.0.0.1:{second.port}/")
        wait_for(lambda: line.couriers.keep(True) or delivered(line))
        assert (first.told, second.told) == ([], [("raised", "a")])


# --- MQTT ----------------------------------------------------------------------------------------------------------


@contextmanager
def subscriber(port, username="", password=""):
    """Messages as (topic, payload)."""
    import paho.mqtt.client as mqtt

    found, ready = [], threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="subscriber")
    if username:
        client.username_pw_set(username, password)
    client.reconnect_delay_set(1, 1)

    def connected(client, *_):
        client.subscribe("loomwatch/#", qos=1)

    client.on_connect = connected
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _client, _data, message: found.append((message.topic, message.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(60)
        yield found, ready
    finally:
        client.disconnect()
        client.loop_stop()


def notices(found):
    told = [json.loads(payload) for topic, payload in found if "/alarms/" in topic]
    return [(each["event"], each["alarm"]["subject"]) for each in told]


def test_mqtt_is_told_in_order_on_its_topics_with_a_status(line):
    need("amqtt")
    port = free_port()
    with machine("mqtt_broker.py", port), subscriber(port) as (found, _):
        line.sink("mqtt", host="127.0.0.1", port=port)
        line.set("a")
        line.set("a", "clear")
        wait_for(lambda: len(notices(found)) == 2)
        assert notices(found) == [("raised", "a"), ("cleared", "a")]
        assert {topic for topic, _ in found} == {"loomwatch/status", "loomwatch/line-1/alarms/cams"}
        assert ("loomwatch/status", b"online") in found
        assert try_out(read_sink(line.database, "sink"), line.secrets, []) == ""
        wait_for(lambda: any(topic.startswith("loomwatch/test/") for topic, _ in found))
        line.couriers.close()
        wait_for(lambda: ("loomwatch/status", b"offline") in found)


def test_a_broker_that_is_killed_midway_hears_the_rest_when_it_is_back(line):
    need("amqtt")
    port = free_port()
    with machine("mqtt_broker.py", port), subscriber(port) as (found, _):
        line.sink("mqtt", host="127.0.0.1", port=port, timeout_s=1)
        line.set("a")
        wait_for(lambda: delivered(line))
        wait_for(lambda: notices(found) == [("raised", "a")])
    for camera in ("b", "c", "d"):
        line.set(camera)
    wait_for(lambda: backlog_of(line.database, "sink").problem)
    assert backlog_of(line.database, "sink").waiting == 3
    line.sink("mqtt", enabled=False)  # until somebody listens
    with machine("mqtt_broker.py", port), subscriber(port) as (found, _):
        line.sink("mqtt", enabled=True)
        wait_for(lambda: line.couriers.keep(True) or delivered(line))
        wait_for(lambda: len(notices(found)) >= 3)
    assert list(dict.fromkeys(notices(found))) == [("raised", "b"), ("raised", "c"), ("raised", "d")]


def test_a_broker_that_asks_for_a_password_gets_it_from_the_file_and_logs_never_hold_it(line, tmp_path, caplog):
    need("amqtt")
    from pwdlib import PasswordHash

    port, listed = free_port(), tmp_path / "users"
    listed.write_text(f"mill:{PasswordHash.recommended().hash('loom-secret')}\n")
    with caplog.at_level(logging.DEBUG), machine("mqtt_broker.py", port, "--passwords", listed):
        line.sink("mqtt", host="127.0.0.1", port=port, username="mill", password_file="key", timeout_s=2)
        line.set("a")
        wait_for(lambda: "does not let loomwatch in" in backlog_of(line.database, "sink").problem)
        line.sink("mqtt", password_file="password")
        wait_for(lambda: line.couriers.keep(True) or delivered(line))
    assert "loom-secret" not in caplog.text
    assert "whsec" not in caplog.text


# --- Modbus --------------------------------------------------------------------------------------------------------


def coils(port):
    from pymodbus.client import ModbusTcpClient

    with ModbusTcpClient("127.0.0.1", port=port) as client:
        return client.read_coils(0, count=16, device_id=1).bits


def test_a_lamp_is_on_while_alarms_are_open_and_its_life_coil_moves(line):
    need("pymodbus")
    port = free_port()
    with machine("modbus_device.py", port):
        line.sink("modbus", host="127.0.0.1", port=port, coil=3, life_coil=5, refresh_s=0.2)
        wait_for(lambda: coils(port)[5])
        wait_for(lambda: not coils(port)[5])
        assert not coils(port)[3]
        line.set("a")
        wait_for(lambda: coils(port)[3])
        line.set("a", "clear")
        wait_for(lambda: delivered(line))
        assert coils(port)[3]  # latched: nobody has acknowledged it
        line.acknowledge_all()
        wait_for(lambda: not coils(port)[3])
        assert [number for number, on in enumerate(coils(port)) if on and number != 5] == []


def test_a_controller_that_comes_back_shows_what_is_so_now(line):
    need("pymodbus")
    port = free_port()
    line.sink("modbus", host="127.0.0.1", port=port, coil=3, refresh_s=0.2, on="unacknowledged")
    line.set("a")
    line.set("b")
    wait_for(lambda: "no Modbus device" in backlog_of(line.database, "sink").problem)
    line.acknowledge_all()
    line.set("c")
    with machine("modbus_device.py", port):
        wait_for(lambda: coils(port)[3])
        line.acknowledge_all()
        wait_for(lambda: not coils(port)[3])
    with machine("modbus_device.py", port):  # it was restarted, with every coil off
        line.set("d")
        wait_for(lambda: coils(port)[3])


# --- OPC UA --------------------------------------------------------------------------------------------------------


class Panel:
    """An OPC UA client's handler."""

    def __init__(self):
        self.events = []

    def event_notification(self, event):
        self.events.append(event)

    def status_change_notification(self, status):
        pass


@contextmanager
def panel(endpoint, username="", password=""):
    from asyncua.sync import Client

    client = Client(endpoint)
    if username:
        client.set_user(username)
        client.set_password(password)
    wait_for(lambda: _connects(client))
    handler = Panel()
    try:
        kind = client.nodes.base_event_type.get_child(["2:LoomwatchAlarmType"])
        subscription = client.create_subscription(50, handler)
        subscription.subscribe_events(client.nodes.server, kind)
        yield client, handler
        subscription.delete()
    finally:
        client.disconnect()


def _connects(client):
    try:
        client.connect()
    except (OSError, TimeoutError):
        return False
    return True


def test_opc_ua_clients_with_the_password_hear_events_in_order_and_read_the_numbers(line):
    need("asyncua")
    from asyncua import ua

    endpoint = f"opc.tcp://127.0.0.1:{free_port()}/loomwatch"
    line.sink("opcua", endpoint=endpoint, username="mill", password_file="password", refresh_s=0.2)
    line.set("a")
    wait_for(lambda: "no OPC UA client has subscribed" in backlog_of(line.database, "sink").problem)
    line.set("b")
    with pytest.raises(ua.UaStatusCodeError), panel(endpoint):
        pass
    with panel(endpoint, "mill", "loom-secret") as (client, handler):
        wait_for(lambda: delivered(line))
        wait_for(lambda: len(handler.events) >= 2)
        first = handler.events[0]
        assert [event.Subject for event in handler.events] == ["a", "b"]  # what it missed, in order
        assert (first.Notice, first.Rule, first.Line, first.State) == ("raised", "cams", "line-1", "raised")
        assert (first.SourceName, first.Severity) == ("line-1", 700)
        assert first.Message.Text == "raised: camera a is silent"
        assert len({event.NoticeId for event in handler.events}) == 2
        place = client.nodes.objects.get_child(["2:Loomwatch"])
        wait_for(lambda: place.get_child(["2:OpenAlarms"]).read_value() == 2)
        line.acknowledge_all()
        wait_for(lambda: place.get_child(["2:UnacknowledgedAlarms"]).read_value() == 0)
    line.couriers.close()


def test_a_port_in_use_is_said_and_holds_nothing(line):
    need("asyncua")
    with Receiver() as other:
        line.sink("opcua", endpoint=f"opc.tcp://127.0.0.1:{other.port}/")
        hook(line, other.port, name="hook")
        line.set("a")
        wait_for(lambda: "cannot serve" in backlog_of(line.database, "sink").problem)
        wait_for(lambda: delivered(line, "hook"))
        line.couriers.close()
