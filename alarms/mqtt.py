"""The MQTT sink: each notice is published as JSON to TOPIC/LINE/alarms/RULE with quality of service 1.

A notice is delivered when the broker has acknowledged it (PUBACK). TOPIC/status is retained: `online`, or `offline`
from the broker itself when the service is gone (last will).
"""

import json
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from alarms.sender import SinkAway, read_secret
from alarms.tls import client_context, why_refused
from storage.alarms.alarm_store import Alarm
from storage.alarms.outbox import Delivery
from storage.alarms.sinks import MqttSink

KEEPALIVE_S = 30
HUNG_UP = "it closed the connection"
ASKS = "; does it ask for a certificate? name certificate_file and key_file"


class MqttSender:
    """One connection, made with the first notice and made anew after each failure."""

    refresh_s = KEEPALIVE_S / 2  # so that a connection that broke is made again, and `offline` does not stay

    def __init__(self, sink: MqttSink, secrets: Path) -> None:
        self._sink, self._secrets = sink, secrets
        self._client: mqtt.Client | None = None

    def send(self, delivery: Delivery, alarms: Sequence[Alarm]) -> None:
        alarm = delivery.content["alarm"]
        place = "/".join((_level(alarm["line"] or "plant"), "alarms", _level(alarm["rule"])))
        self._publish(place, json.dumps(delivery.content, separators=(",", ":")))

    def refresh(self, alarms: Sequence[Alarm]) -> None:
        if self._client is None or not self._client.is_connected():
            self._publish("status", "online", retain=True)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected():
            client.publish(f"{self._sink.topic}/status", "offline", qos=1, retain=True).wait_for_publish(1.0)
        client.disconnect()
        client.loop_stop()

    def _publish(self, place: str, payload: str, *, retain: bool = False) -> None:
        if self._client is None:
            self._client = self._connect()
            if place != "status":
                self._client.publish(f"{self._sink.topic}/status", "online", qos=1, retain=True)
        told = self._client.publish(f"{self._sink.topic}/{place}", payload, qos=1, retain=retain)
        try:
            told.wait_for_publish(self._sink.timeout_s)
        except (RuntimeError, ValueError) as error:
            raise SinkAway(f"the broker at {self._where} is gone") from error
        if not told.is_published():
            raise SinkAway(f"the broker at {self._where} does not acknowledge")

    def _connect(self) -> mqtt.Client:
        sink = self._sink
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=sink.client_id or f"loomwatch-{sink.name}",
            protocol=mqtt.MQTTv5 if sink.version == "5" else mqtt.MQTTv311,
        )
        if sink.username:
            password = read_secret(self._secrets, sink.password_file) if sink.password_file else None
            client.username_pw_set(sink.username, password)
        if sink.tls:
            key = self._secrets / sink.key_file if sink.key_file else None
            context = client_context(sink.name, ca_file=sink.ca_file, certificate_file=sink.certificate_file, key=key)
            client.tls_set_context(context)
        client.will_set(f"{sink.topic}/status", "offline", qos=1, retain=True)
        client.connect_timeout = sink.timeout_s
        refused: list[str] = []

        def connected(_client: object, _data: object, _flags: object, reason: object, _properties: object) -> None:
            if getattr(reason, "is_failure", False):
                refused.append(str(reason))

        def disconnected(*_: object) -> None:  # before it let us in
            refused.append(HUNG_UP + (ASKS if sink.tls and not sink.certificate_file else ""))

        client.on_connect = connected
        client.on_disconnect = disconnected
        try:
            client.connect(sink.host, sink.port, keepalive=KEEPALIVE_S)
        except ssl.SSLError as error:
            raise SinkAway(f"the broker at {self._where}: {why_refused(error)}") from error
        except (OSError, ValueError) as error:
            raise SinkAway(f"no broker at {self._where}: {getattr(error, 'strerror', None) or error}") from error
        client.loop_start()
        deadline = time.monotonic() + sink.timeout_s
        while not client.is_connected() and not refused and time.monotonic() < deadline:
            time.sleep(0.01)
        if not client.is_connected():
            client.disconnect()
            client.loop_stop()
            reason = refused[0] if refused else "no answer"
            raise SinkAway(f"the broker at {self._where} does not let loomwatch in: {reason}")
        client.on_disconnect = None
        return client

    @property
    def _where(self) -> str:
        return f"{self._sink.host}:{self._sink.port}"


def _level(name: str) -> str:
    """A name as one level of a topic."""
    return "".join("_" if sign in "+#/\0$" else sign for sign in name)
