"""Alarm sinks as data, checked at the door: where notices of alarms go. `docs/alarms.md` explains each field.

A secret is never among the data: `password_file`, `secret_file` and `key_file` name a file in the folder of
secrets of the alarm service.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from inspection.errors import SettingsError
from storage.alarms.rules import NAME, AlarmData, Priority, Seconds, explain

EventKind = Literal["raised", "recurred", "escalated", "acknowledged", "cleared"]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)


def _plain_name(name: str) -> str:
    if name and PurePath(name).name != name:
        raise ValueError("names a file in the folder of secrets, without folders")
    return name


def _check_pair(certificate_file: str, key_file: str) -> None:
    if bool(certificate_file) != bool(key_file):
        raise ValueError("certificate_file and key_file go together: name both or none")


SecretFile = Annotated[str, Field(max_length=120), AfterValidator(_plain_name)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Sink(AlarmData):
    """What every sink has. lines: none is all; events: which are told; what could not be told for `max_age_s`, or is
    more than `max_waiting`, is recorded as missed."""

    name: str = Field(pattern=NAME)
    enabled: bool = True
    lines: tuple[str, ...] = ()
    min_priority: Priority = "low"
    events: tuple[EventKind, ...] = Field(EVENT_KINDS, min_length=1)
    max_age_s: Seconds = 86_400.0
    max_waiting: int = Field(10_000, ge=1, le=1_000_000)
    timeout_s: float = Field(5.0, gt=0, le=60)


class MqttSink(Sink):
    """Publishes each notice as JSON, quality of service 1, to TOPIC/LINE/alarms/RULE."""

    kind: Literal["mqtt"]
    host: str = Field(min_length=1, max_length=253)
    port: Port = 1883
    topic: str = Field("loomwatch", pattern=r"^[^+#\x00/][^+#\x00]{0,200}$")
    client_id: str = Field("", max_length=60)
    version: Literal["3.1.1", "5"] = "3.1.1"
    tls: bool = False
    ca_file: str = ""
    certificate_file: str = ""
    key_file: SecretFile = ""
    username: str = Field("", max_length=200)
    password_file: SecretFile = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_pair(self.certificate_file, self.key_file)
        if self.password_file and not self.username:
            raise ValueError("password_file goes with username: name both")
        if (self.ca_file or self.certificate_file) and not self.tls:
            field = "ca_file" if self.ca_file else "certificate_file"
            raise ValueError(f"{field} is for TLS: set tls=true, or leave it out")
        return self


class WebhookSink(Sink):
    """Posts each notice as JSON, signed as Standard Webhooks have it."""

    kind: Literal["webhook"]
    url: str = Field(max_length=2000)
    secret_file: SecretFile = Field(min_length=1)
    ca_file: str = ""

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        try:
            parts = urlsplit(self.url)
            bad = parts.scheme not in ("http", "https") or not parts.hostname or (parts.port or 1) < 1
        except ValueError:
            bad = True
        if bad:
            raise ValueError("url: must be http://HOST/... or https://HOST/...")
        if parts.username or parts.password:
            raise ValueError("url: must hold no password")
        return self


class ModbusSink(Sink):
    """Sets a coil over Modbus TCP while alarms are `on`, for a stop lamp. Never a safety stop."""

    kind: Literal["modbus"]
    host: str = Field(min_length=1, max_length=253)
    port: Port = 502
    unit: int = Field(1, ge=0, le=255)
    coil: int = Field(0, ge=0, le=65535)
    on: Literal["unacknowledged", "active", "open"] = "open"
    life_coil: int | None = Field(None, ge=0, le=65535)
    refresh_s: float = Field(5.0, ge=0.2, le=3600)

    @model_validator(mode="after")
    def _two_coils(self) -> Self:
        if self.life_coil == self.coil:
            raise ValueError(f"life_coil must differ from coil, {self.coil}, got {self.life_coil}")
        return self


class OpcUaSink(Sink):
    """Serves OPC UA: each notice is an event, the numbers of open alarms are variables."""

    kind: Literal["opcua"]
    endpoint: str = Field("opc.tcp://127.0.0.1:4840/loomwatch", pattern=r"^opc\.tcp://[^/@]+:\d+(/.*)?$")
    allow_plain: bool = False
    certificate_file: str = ""
    key_file: SecretFile = ""
    clients_dir: str = ""
    username: str = Field("", max_length=200)
    password_file: SecretFile = ""
    refresh_s: float = Field(1.0, ge=0.2, le=3600)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_pair(self.certificate_file, self.key_file)
        if self.clients_dir and not self.certificate_file:
            raise ValueError("clients_dir is for encrypted connections: name certificate_file and key_file too")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file go together: name both or none")
        host = urlsplit(self.endpoint).hostname or ""
        if not (self.certificate_file or self.allow_plain or host in ("127.0.0.1", "localhost", "::1")):
            raise ValueError(
                f"endpoint: {self.endpoint} is open to the network: name certificate_file and key_file, "
                "or set allow_plain=true"
            )
        return self


AnySink = Annotated[MqttSink | WebhookSink | ModbusSink | OpcUaSink, Field(discriminator="kind")]
SINK_KINDS: dict[str, type[Sink]] = {
    "mqtt": MqttSink,
    "webhook": WebhookSink,
    "modbus": ModbusSink,
    "opcua": OpcUaSink,
}
_SINKS: TypeAdapter[AnySink] = TypeAdapter(AnySink)


def parse_sink(content: Mapping[str, Any]) -> AnySink:
    """Raises `SettingsError` that names field and value."""
    name = content.get("name", "?")
    if content.get("kind") not in SINK_KINDS:
        raise SettingsError(f"sink {name}: kind: must be one of {', '.join(SINK_KINDS)}, got {content.get('kind')!r}")
    try:
        return _SINKS.validate_python(dict(content))
    except ValidationError as error:
        raise SettingsError(f"sink {name}: {explain(error, SINK_KINDS[content['kind']])}") from error


def dump_sink(sink: Sink) -> dict[str, Any]:
    content: dict[str, Any] = sink.model_dump(mode="json")
    return content
