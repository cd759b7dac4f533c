"""What a sink's sender is, the ways in which it fails, and secrets from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from inspection.errors import SettingsError
from storage.alarms.alarm_store import Alarm
from storage.alarms.outbox import Delivery
from storage.alarms.sinks import AnySink, ModbusSink, MqttSink, OpcUaSink, WebhookSink


class SinkAway(Exception):
    """The sink could not be told now: it is tried again. The text says why, without a secret."""


class NobodyListens(SinkAway):
    """The sink itself serves, and nobody has come yet: it goes on serving."""


class SinkRefused(Exception):
    """The sink will never take this notice: it is recorded as missed."""


class Sender(Protocol):
    """Tells one sink. Used by one thread."""

    refresh_s: float  # between refreshes of what shows the present state; 0: nothing to refresh

    def send(self, delivery: Delivery, alarms: Sequence[Alarm]) -> None:
        """Returns when the sink has taken the notice. alarms: those that are open now and concern the sink.

        Raises `SinkAway`, `SinkRefused`, or `SettingsError` for a missing package or secret.
        """

    def refresh(self, alarms: Sequence[Alarm]) -> None:
        """Shows the present state. Raises as `send`."""

    def close(self) -> None: ...


def make_sender(sink: AnySink, secrets: Path) -> Sender:
    """Connects to nothing yet. Raises `SettingsError` when the sink's package is not installed."""
    try:
        match sink:
            case MqttSink():
                from alarms.mqtt import MqttSender

                return MqttSender(sink, secrets)
            case WebhookSink():
                from alarms.webhook import WebhookSender

                return WebhookSender(sink, secrets)
            case ModbusSink():
                from alarms.modbus import ModbusSender

                return ModbusSender(sink)
            case OpcUaSink():
                from alarms.opcua import OpcUaSender

                return OpcUaSender(sink, secrets)
    except ImportError as error:
        raise SettingsError(
            f"sink {sink.name} needs the package {error.name}: pip install 'loomwatch[{sink.kind}]'"
        ) from error


def read_secret(secrets: Path, name: str) -> str:
    """The content of a secret's file. Raises `SettingsError` that names the file."""
    path = secrets / name
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"cannot read the secret {path}: {reason}: put it there, or name another folder") from error
    if not text:
        raise SettingsError(f"the secret {path} is empty: write it into the file")
    return text
