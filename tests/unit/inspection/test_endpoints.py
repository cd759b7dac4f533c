import pytest

from inspection.endpoints import is_this_machine, parse_endpoint, refuse_plain, without_password
from inspection.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("tcp://cams:5701", ("tcp://cams:5701", "cams", "5701", "ingest")),
        ("tcp://10.0.0.7:5701#left", ("tcp://10.0.0.7:5701", "10.0.0.7", "5701", "left")),
        ("tcp://[fe80::1]:5701", ("tcp://[fe80::1]:5701", "fe80::1", "5701", "ingest")),
        ("tcp://*:5701", ("tcp://*:5701", "*", "5701", "ingest")),
        ("ipc:///run/i#x", ("ipc:///run/i#x", "", "", "")),
    ],
)
def test_an_address_is_its_parts(text: str, parsed: tuple[str, ...]) -> None:
    assert tuple(parse_endpoint(text)) == parsed


@pytest.mark.parametrize(
    "text", ["tcp://", "tcp://cams", "tcp://cams:", "tcp://:5701", "tcp://fe80::1:5701", "tcp://a b:1"]
)
def test_an_address_without_host_or_port_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="write tcp://HOST:PORT"):
        parse_endpoint(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["*", "0.0.0.0", "::", "10.0.0.1", "127.evil.example", "localhost.example", "cams"])
def test_anything_else_may_be_reached_from_outside(host: str) -> None:
    assert not is_this_machine(host)


def test_plain_tcp_beyond_this_machine_needs_keys_or_a_setting_that_says_so() -> None:
    far, near, file = (parse_endpoint(each) for each in ("tcp://*:5701", "tcp://127.0.0.1:5701", "ipc:///x"))
    with pytest.raises(SettingsError, match=r"anyone on the network.*LOOMWATCH_INGEST_ALLOW_PLAIN_TCP=true"):
        refuse_plain(far, keys=False, allow_plain_tcp=False, prefix="LOOMWATCH_INGEST_")
    refuse_plain(far, keys=True, allow_plain_tcp=False, prefix="")
    refuse_plain(far, keys=False, allow_plain_tcp=True, prefix="")
    refuse_plain(near, keys=False, allow_plain_tcp=False, prefix="")
    refuse_plain(file, keys=False, allow_plain_tcp=False, prefix="")


def test_passwords_are_not_shown() -> None:
    shown = without_password("rtsp://staff:secret@10.0.0.9:554/stream?x=1")
    assert shown == "rtsp://staff:***@10.0.0.9:554/stream?x=1"
    assert without_password("rtsp://10.0.0.9/stream") == "rtsp://10.0.0.9/stream"
    assert without_password("/frames/left") == "/frames/left"
