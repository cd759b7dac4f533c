"""Rules and sinks as data: what is wrong is named with field and value."""

import pytest

from inspection.errors import SettingsError
from storage.alarms.rules import KINDS, as_text, dump_rule, parse_fields, parse_rule
from storage.alarms.sinks import dump_sink, parse_sink


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_defaults_and_survives_the_database(kind):
    rule = parse_rule({"name": "r", "kind": kind})
    assert parse_rule(dump_rule(rule)) == rule


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_listed_can_be_typed_again(kind):
    rule = parse_rule({"name": "r", "kind": kind, "sinks": ["a", "b"]})
    typed = [f"{field}={as_text(value)}" for field, value in dump_rule(rule).items()]
    assert parse_rule(parse_fields(KINDS[kind], typed)) == rule


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"kind": "rate", "raise_at": -1}, "raise_at: Input should be greater than 0, got -1"),
        ({"kind": "rate", "raise_at": "many"}, "raise_at: .*got 'many'"),
        ({"kind": "rate", "raise_at": "nan"}, "raise_at: .*got 'nan'"),
        ({"kind": "rate", "raise_at": 5, "clear_at": 5}, "clear_at must be below raise_at, 5, got 5"),
        ({"kind": "coverage", "raise_below": 0.9, "clear_above": 0.8}, "clear_above must be at least raise_below"),
        ({"kind": "camera_down", "raise_s": 5, "clear_s": 15}, "clear_s, raise_s and forget_s must grow, got 15, 5"),
        ({"kind": "drift", "raise_at": "steady"}, "raise_at: .*got 'steady'"),
        ({"kind": "severe_defect", "severities": []}, "severities: "),
        ({"kind": "severe_defect", "geometries": ["blob"]}, "geometries: .*got 'blob'"),
        ({"kind": "periodic", "hits": 4}, "hits: there is no such field, there are name, line.*min_hits"),
        ({"kind": "running", "escalate_s": -1}, "escalate_s: .*got -1"),
        ({"kind": "earthquake"}, "kind: must be one of severe_defect, rate.*got 'earthquake'"),
        ({"kind": "rate", "name": "../up"}, "name: .*got '../up'"),
    ],
)
def test_a_wrong_rule_is_refused_with_field_and_value(fields, told):
    with pytest.raises(SettingsError, match=told) as caught:
        parse_rule({"name": "mine", **fields})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"kind": "mqtt"}, "sink s: host: must be given"),
        ({"kind": "mqtt", "host": "h", "topic": "a/#"}, "topic: .*got 'a/#'"),
        (
            {"kind": "mqtt", "host": "h", "password_file": "../../etc/passwd"},
            "password_file: names a file in the folder",
        ),
        ({"kind": "mqtt", "host": "h", "password_file": "p"}, "password_file goes with username"),
        ({"kind": "mqtt", "host": "h", "ca_file": "ca.pem"}, "ca_file is for TLS: set tls=true"),
        (
            {"kind": "mqtt", "host": "h", "tls": True, "certificate_file": "c.pem"},
            "certificate_file and key_file go together",
        ),
        ({"kind": "webhook", "url": "ftp://x", "secret_file": "s"}, "url: must be http"),
        ({"kind": "webhook", "url": "https://u:hidden@x/", "secret_file": "s"}, "url: must hold no password"),
        ({"kind": "webhook", "url": "https://x/"}, "secret_file: must be given"),
        ({"kind": "modbus", "host": "h", "coil": 70000}, "coil: .*got 70000"),
        ({"kind": "modbus", "host": "h", "coil": 3, "life_coil": 3}, "life_coil must differ from coil, 3"),
        ({"kind": "opcua", "endpoint": "opc.tcp://0.0.0.0:4840/"}, "is open to the network: name certificate_file"),
        ({"kind": "opcua", "username": "eva"}, "username and password_file go together"),
        ({"kind": "opcua", "clients_dir": "clients"}, "clients_dir is for encrypted connections"),
        ({"kind": "pager"}, "kind: must be one of mqtt, webhook, modbus, opcua, got 'pager'"),
    ],
)
def test_a_wrong_sink_is_refused_with_its_field_and_no_password(fields, told):
    with pytest.raises(SettingsError, match=told) as caught:
        parse_sink({"name": "s", **fields})
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sink_survives_the_database():
    sink = parse_sink({"name": "lamp", "kind": "modbus", "host": "h", "life_coil": 9, "lines": ["line-1"]})
    assert parse_sink(dump_sink(sink)) == sink


def test_a_field_without_a_value_is_refused():
    with pytest.raises(SettingsError, match="write FIELD=VALUE, got 'raise_at'"):
        parse_fields(KINDS["rate"], ["raise_at"])
