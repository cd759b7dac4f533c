"""The OPC UA sink: loomwatch serves, and MES, SCADA and panels subscribe.

An inspection system is the server in OPC UA, as in the companion specification for machine vision (OPC 40100-1): other
machines find it, browse it and choose what to hear. Each notice is an event of the type `LoomwatchAlarmType` from the
Server object; `OpenAlarms` and `UnacknowledgedAlarms` are variables. A notice counts as told when at least one client
that subscribed to events was sent it; until one has, notices wait.
"""

import asyncio
import hmac
import logging
import socket
import threading
from collections.abc import Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from asyncua import Server, ua
from asyncua.server.user_managers import User, UserManager, UserRole

from alarms.opcua_identity import Identity, ListedClients, read_identity
from alarms.sender import NobodyListens, SinkAway, read_secret
from storage.alarms.alarm_store import Alarm
from storage.alarms.outbox import Delivery
from storage.alarms.sinks import OpcUaSink

NAMESPACE = "urn:loomwatch:alarms"
SEVERITY = {"low": 200, "medium": 400, "high": 700, "critical": 1000}  # 1 to 1000, OPC 10000-5
FIELDS = {  # of the event type, beyond those that every event has
    "NoticeId": ua.VariantType.String,
    "Notice": ua.VariantType.String,
    "AlarmId": ua.VariantType.Int64,
    "Rule": ua.VariantType.String,
    "Kind": ua.VariantType.String,
    "Line": ua.VariantType.String,
    "Subject": ua.VariantType.String,
    "State": ua.VariantType.String,
    "Occurrences": ua.VariantType.Int64,
}
START_S = 120.0  # a server builds its thousands of standard nodes first, seconds on a busy machine
T = TypeVar("T")

for noisy in ("asyncua", "asyncua.server"):
    logging.getLogger(noisy).setLevel(logging.ERROR)


class OpcUaSender:
    """A server in a thread of its own, started with the first notice or refresh."""

    def __init__(self, sink: OpcUaSink, secrets: Path) -> None:
        self._sink, self._secrets = sink, secrets
        self.refresh_s = sink.refresh_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._served: _Served | None = None

    def send(self, delivery: Delivery, alarms: Sequence[Alarm]) -> None:
        served = self._serve()
        self._run(served.show(alarms))
        if not served.subscribers():
            raise NobodyListens("no OPC UA client has subscribed to events")
        self._run(served.tell(delivery))

    def refresh(self, alarms: Sequence[Alarm]) -> None:
        self._run(self._serve().show(alarms))

    def close(self) -> None:
        loop, thread, served = self._loop, self._thread, self._served
        self._loop = self._thread = self._served = None
        if loop is None or thread is None:
            return
        try:
            if served is not None:
                asyncio.run_coroutine_threadsafe(served.server.stop(), loop).result(5.0)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5.0)
            loop.close()

    def _serve(self) -> "_Served":
        if self._served is None:
            sink = self._sink
            self._check_port()
            password = read_secret(self._secrets, sink.password_file) if sink.password_file else ""
            identity = clients = None
            if sink.certificate_file:
                identity = read_identity(sink.name, Path(sink.certificate_file), self._secrets / sink.key_file)
                clients = ListedClients(sink.name, Path(sink.clients_dir)) if sink.clients_dir else None
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="opcua", daemon=True)
                self._thread.start()
            self._served = self._run(_start(sink, password, identity, clients))
        return self._served

    def _check_port(self) -> None:
        """Before the nodes are built, as all that may be wrong: a try must cost little."""
        parts = urlsplit(self._sink.endpoint)
        try:
            socket.create_server((parts.hostname or "", parts.port or 4840)).close()
        except OSError as error:
            raise SinkAway(f"cannot serve {self._sink.endpoint}: {error.strerror}") from error

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)
        except TimeoutError as error:
            raise SinkAway(f"the OPC UA server at {self._sink.endpoint} does not answer") from error
        except OSError as error:
            raise SinkAway(f"cannot serve {self._sink.endpoint}: {error.strerror or error}") from error


class _Users(UserManager):  # type: ignore[misc]
    """One user, or anybody where none is named."""

    def __init__(self, username: str, password: str) -> None:
        self._username, self._password = username, password

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        given, wanted = f"{username}\0{password}", f"{self._username}\0{self._password}"
        if self._username and not hmac.compare_digest(given.encode(), wanted.encode()):
            return None
        return User(role=UserRole.User)


class _Served:
    """The running server with its nodes."""

    def __init__(self, server: Server, generator: Any, counts: tuple[Any, ...]) -> None:
        self.server, self._generator, self._counts = server, generator, counts

    def subscribers(self) -> int:
        """Subscriptions that hear the Server object's events."""
        server_id = ua.NodeId(ua.ObjectIds.Server)
        found = self.server.iserver.subscription_service.subscriptions.values()
        return sum(server_id in each.monitored_item_srv._monitored_events for each in found)

    async def tell(self, delivery: Delivery) -> None:
        alarm, event = delivery.content["alarm"], self._generator.event
        event.Severity = SEVERITY[alarm["priority"]]
        event.SourceName = alarm["line"] or "plant"
        event.NoticeId, event.Notice, event.AlarmId = delivery.uid, delivery.kind, alarm["id"]
        event.Rule, event.Kind, event.Line = alarm["rule"], alarm["kind"], alarm["line"]
        event.Subject, event.State, event.Occurrences = alarm["subject"], alarm["state"], alarm["occurrences"]
        at: datetime = delivery.at
        await self._generator.trigger(time_attr=at, message=f"{delivery.kind}: {alarm['text']}")

    async def show(self, alarms: Sequence[Alarm]) -> None:
        unseen = sum(alarm.state in ("raised", "cleared") for alarm in alarms)
        for node, value in zip(self._counts, (len(alarms), unseen), strict=True):
            await node.write_value(value, ua.VariantType.UInt32)


async def _start(sink: OpcUaSink, password: str, identity: Identity | None, clients: ListedClients | None) -> _Served:
    server = Server(user_manager=_Users(sink.username, password))
    await server.init()
    server.set_endpoint(sink.endpoint)
    server.set_server_name("loomwatch")
    if identity is not None:
        await server.load_certificate(identity.certificate)
        await server.load_private_key(identity.key)
        await server.set_application_uri(identity.uri)
        if clients is not None:
            server.set_certificate_validator(clients)
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    else:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    place = await server.nodes.objects.add_object(index, "Loomwatch")
    counts = tuple(
        [
            await place.add_variable(index, name, 0, ua.VariantType.UInt32)
            for name in ("OpenAlarms", "UnacknowledgedAlarms")
        ]
    )
    kind = await server.create_custom_event_type(
        index, "LoomwatchAlarmType", ua.ObjectIds.BaseEventType, list(FIELDS.items())
    )
    generator = await server.get_event_generator(kind, ua.ObjectIds.Server)
    await server.start()
    return _Served(server, generator, counts)
