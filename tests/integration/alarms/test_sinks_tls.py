"""Encrypted sinks: MQTT over TLS with certificates on both sides, OPC UA signed and encrypted, and what is said when a
certificate, a key or a password is not right. The test makes the certificates."""

import contextlib
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.alarms.outbox import backlog_of
from tests.integration.alarms.certificates import Authority, Issued
from tests.integration.alarms.conftest import machine, need
from tests.ports import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    need("cryptography")
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Another authority, which nobody here trusts."""
    return Authority(tmp_path_factory.mktemp("elsewhere"), "stranger")


def problem(line):
    return backlog_of(line.database, "sink").problem


def delivered(line):
    backlog = backlog_of(line.database, "sink")
    return backlog.waiting == 0 and backlog.delivered_at is not None


def in_secrets(line, issued: Issued, name: str = "sink.key") -> str:
    shutil.copy(issued.key, line.secrets / name)
    return name


# --- MQTT ----------------------------------------------------------------------------------------------------------


@contextmanager
def broker(server: Issued, authority: Authority, passwords: Path):
    port = free_port()
    passwords_of = ("--passwords", passwords)
    with machine("mqtt_broker.py", port, *passwords_of, "--tls", server.certificate, server.key, authority.file):
        yield port


@pytest.fixture
def passwords(tmp_path):
    need("amqtt")
    from pwdlib import PasswordHash

    listed = tmp_path / "users"
    listed.write_text(f"mill:{PasswordHash.recommended().hash('loom-secret')}\n")
    return listed


def test_mqtt_over_tls_with_a_certificate_a_user_and_a_password(line, authority, passwords):
    server, mine = authority.issue("broker"), authority.issue("loomwatch")
    given = {"host": "127.0.0.1", "tls": True, "username": "mill", "password_file": "password", "timeout_s": 2}
    with broker(server, authority, passwords) as port:
        line.sink("mqtt", port=port, ca_file=str(authority.file), **given)
        line.set("a")
        wait_for(lambda: "does it ask for a certificate? name certificate_file and key_file" in problem(line))
        key = in_secrets(line, mine)
        line.sink("mqtt", certificate_file=str(mine.certificate), key_file=key)
        wait_for(lambda: line.couriers.keep(True) or delivered(line))
        line.sink("mqtt", password_file="key")  # a wrong one
        line.set("b")
        wait_for(lambda: line.couriers.keep(True) or "does not let loomwatch in" in problem(line))
        line.sink("mqtt", password_file="password")
        wait_for(lambda: line.couriers.keep(True) or delivered(line))
        line.couriers.close()


def test_a_brokers_certificate_that_is_not_right_is_told_of_and_nothing_is_sent(line, authority, stranger, passwords):
    mine = authority.issue("loomwatch-2")
    key = in_secrets(line, mine)
    line.set("a")
    with broker(authority.issue("elsewhere", host="127.0.0.9"), authority, passwords) as port:
        line.sink(
            "mqtt", host="127.0.0.1", port=port, tls=True, ca_file=str(stranger.file), timeout_s=2,
            certificate_file=str(mine.certificate), key_file=key,
        )  # fmt: skip
        line.set("b")
        wait_for(lambda: "name its authority in ca_file" in problem(line))
        line.sink("mqtt", ca_file=str(authority.file))
        wait_for(lambda: line.couriers.keep(True) or "IP address mismatch" in problem(line))
    with broker(authority.issue("old", days=-1), authority, passwords) as port:
        line.sink("mqtt", port=port)
        wait_for(lambda: line.couriers.keep(True) or "certificate has expired" in problem(line))
    assert backlog_of(line.database, "sink").delivered_at is None
    line.couriers.close()


def test_files_that_are_no_certificates_or_do_not_belong_together_are_named(line, authority, tmp_path):
    need("paho")
    mine, other = authority.issue("loomwatch-3"), authority.issue("loomwatch-4")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    good = {"ca_file": str(authority.file), "certificate_file": str(mine.certificate), "key_file": "sink.key"}
    in_secrets(line, other)
    line.sink("mqtt", host="127.0.0.1", port=free_port(), tls=True, **good)
    line.set("a")
    for changes, told in (
        ({}, "key values mismatch"),
        ({"ca_file": str(nonsense)}, f"ca_file {nonsense} cannot be used"),
        ({"ca_file": "/nowhere.pem"}, "ca_file /nowhere.pem cannot be used: No such file"),
        ({"certificate_file": "/nowhere.pem"}, "there is no file /nowhere.pem"),
        ({"certificate_file": str(nonsense)}, f"certificate {nonsense} and key"),
        ({"key_file": "missing.key"}, f"there is no file {line.secrets / 'missing.key'}"),
    ):
        line.sink("mqtt", **(good | changes))
        wait_for(lambda told=told: line.couriers.keep(True) or told in problem(line), seconds=20)
        assert "\n" not in problem(line)
    line.couriers.close()


# --- OPC UA --------------------------------------------------------------------------------------------------------


@contextmanager
def connected(endpoint: str):
    """A client that is made ready in the block; it is closed whatever comes of it."""
    from asyncua.sync import Client

    client = Client(endpoint)
    client.application_uri = "urn:test:panel"
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # it may never have been let in
            client.disconnect()


@contextmanager
def panel(endpoint: str, server: Issued, mine: Issued, username: str = "", password: str = ""):
    """A client that signs and encrypts; the subjects of the events it hears."""
    heard: list[str] = []

    class Handler:
        def event_notification(self, event):
            heard.append(event.Subject)

        def status_change_notification(self, status):
            pass

    with connected(endpoint) as client:
        client.set_security_string(f"Basic256Sha256,SignAndEncrypt,{mine.certificate},{mine.key},{server.certificate}")
        if username:
            client.set_user(username)
            client.set_password(password)
        client.connect()
        kind = client.nodes.base_event_type.get_child(["2:LoomwatchAlarmType"])
        subscription = client.create_subscription(50, Handler())
        subscription.subscribe_events(client.nodes.server, kind)
        yield client, heard
        subscription.delete()


def why_refused(*given: object) -> str:
    """What a panel is told that is not let in."""
    from asyncua import ua

    with pytest.raises((ua.UaError, ConnectionError, TimeoutError)) as caught, panel(*given):
        pass
    return type(caught.value).__name__


def test_opc_ua_signed_and_encrypted_lets_in_only_listed_clients_with_the_password(line, authority, stranger, tmp_path):
    need("asyncua")
    from asyncua import ua

    server = authority.issue("server", uri="urn:mill:loomwatch")
    listed, other = authority.issue("panel", uri="urn:test:panel"), stranger.issue("other", uri="urn:test:panel")
    clients = tmp_path / "clients"
    clients.mkdir()
    shutil.copy(listed.certificate, clients / "panel.pem")
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}/loomwatch"
    line.sink(
        "opcua", endpoint=endpoint, certificate_file=str(server.certificate), key_file=in_secrets(line, server),
        clients_dir=str(clients), username="mill", password_file="password", refresh_s=0.2,
    )  # fmt: skip
    line.set("a")
    wait_for(lambda: "no OPC UA client has subscribed" in problem(line))
    with connected(endpoint) as plain, pytest.raises((ua.UaError, ConnectionError, TimeoutError)):
        plain.connect()
    assert why_refused(endpoint, server, other, "mill", "loom-secret") == "BadCertificateUntrusted"
    assert why_refused(endpoint, server, listed, "mill", "wrong") == "BadUserAccessDenied"
    assert why_refused(endpoint, server, listed) == "BadUserAccessDenied"
    with panel(endpoint, server, listed, "mill", "loom-secret") as (client, heard):
        wait_for(lambda: delivered(line))
        wait_for(lambda: heard == ["a"])
        [encrypted] = client.get_endpoints()
        assert encrypted.SecurityPolicyUri.endswith("#Basic256Sha256")
        assert encrypted.SecurityMode.name == "SignAndEncrypt"
        assert encrypted.Server.ApplicationUri == "urn:mill:loomwatch"
    shutil.copy(other.certificate, clients / "other.pem")  # without a restart
    with panel(endpoint, server, other, "mill", "loom-secret"):
        pass
    line.couriers.close()


def test_an_opc_ua_certificate_or_key_that_is_not_right_is_named(line, authority, tmp_path):
    need("asyncua")
    good = authority.issue("good", uri="urn:mill:loomwatch")
    old = authority.issue("expired", uri="urn:mill:loomwatch", days=-1)
    nameless, weak = authority.issue("nameless"), authority.issue("weak", uri="urn:mill:loomwatch", bits=1024)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}/loomwatch"
    in_secrets(line, good)
    line.sink("opcua", endpoint=endpoint, certificate_file="/nowhere.pem", key_file="sink.key")
    line.set("a")
    (line.secrets / "nonsense.key").write_text("no key")
    for issued, changes, told in (
        (good, {"certificate_file": "/nowhere.pem"}, "cannot read /nowhere.pem: No such file"),
        (good, {"certificate_file": str(nonsense)}, f"{nonsense} is no certificate"),
        (good, {"key_file": "nonsense.key"}, "nonsense.key is no private key"),
        (good, {"certificate_file": str(nameless.certificate)}, "does not belong to certificate"),
        (old, {}, "is valid from"),
        (nameless, {}, "names no application: OPC UA clients want a URI"),
        (weak, {}, "must be an RSA key of 2048 to 4096 bits"),
        (good, {"clients_dir": "/nowhere"}, "clients_dir names /nowhere, which is no folder"),
    ):
        in_secrets(line, issued)
        given = {"certificate_file": str(issued.certificate), "key_file": "sink.key", "clients_dir": ""}
        line.sink("opcua", **(given | changes))
        wait_for(lambda told=told: line.couriers.keep(True) or told in problem(line), seconds=20)
        assert "\n" not in problem(line)
    line.couriers.close()
