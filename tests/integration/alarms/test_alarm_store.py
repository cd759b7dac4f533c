"""Alarms, rules and the outbox on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from inspection.errors import SettingsError
from storage.alarms import alarm_store, rule_store, sink_store
from storage.alarms.alarm_store import Signal
from storage.alarms.outbox import backlog_of, finish, give_up, next_delivery
from storage.alarms.rules import parse_rule
from storage.tables import AlarmEventRow, AlarmRow, AuditRow

pytestmark = pytest.mark.integration
START = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
CAMERAS = parse_rule({"name": "cams", "kind": "camera_down", "rate_limit_s": 60, "escalate_s": 0})


def at(seconds):
    return START + timedelta(seconds=seconds)


def hook(database, name="hook", **fields):
    changes = {"url": "http://127.0.0.1/", "secret_file": "s", **fields}
    return sink_store.set_sink(database, name=name, kind="webhook", changes=changes, by="eva")


def observe(database, rule, *signals, when=0.0, line="line-1", keep_others=False):
    with database.session() as session:
        alarm_store.observe(session, rule, line=line, signals=signals, at=at(when), keep_others=keep_others)


def down(name):
    return Signal(subject=f"camera {name}", level="raise", text=f"camera {name} is silent")


def queued(database, sink="hook"):
    """Everything in a sink's outbox, which is emptied: (kind, state, subject)."""
    found = []
    while (delivery := next_delivery(database, sink)) is not None:
        alarm = delivery.content["alarm"]
        found.append((delivery.kind, alarm["state"], alarm["subject"]))
        finish(database, delivery.id, state="delivered")
    return found


def test_the_first_rules_are_there_and_a_removed_one_does_not_come_back(database, database_url):
    from storage.database import upgrade

    names = [stored.rule.name for stored in rule_store.list_rules(database)]
    assert sorted(stored.rule.kind for stored in rule_store.list_rules(database)) == sorted(
        ("severe_defect", "rate", "periodic", "running", "coverage", "drift", "camera_down", "worker_down")
    )
    rule_store.remove_rule(database, name="points-rate", line="", by="eva")
    upgrade(database_url)
    assert [stored.rule.name for stored in rule_store.list_rules(database)] == [n for n in names if n != "points-rate"]


def test_a_lines_own_rule_takes_the_place_of_that_for_all(sqlite_database):
    rule_store.set_rule(
        sqlite_database, name="points-rate", line="line-1", kind="rate", changes={"raise_at": 20}, by="eva"
    )
    rules = [stored.rule for stored in rule_store.list_rules(sqlite_database)]
    assert [each.raise_at for each in rule_store.rules_of(rules, "line-1") if each.name == "points-rate"] == [20]
    assert [each.raise_at for each in rule_store.rules_of(rules, "line-2") if each.name == "points-rate"] == [10]
    rule_store.set_rule(
        sqlite_database, name="points-rate", line="line-1", kind=None, changes={"enabled": "false"}, by="eva"
    )
    rules = [stored.rule for stored in rule_store.list_rules(sqlite_database)]
    assert "points-rate" not in [each.name for each in rule_store.rules_of(rules, "line-1")]


def test_a_change_of_a_rule_is_audited_and_a_wrong_one_changes_nothing(sqlite_database):
    rule_store.set_rule(sqlite_database, name="points-rate", line="", kind=None, changes={"raise_at": 12}, by="eva")
    with pytest.raises(SettingsError, match="clear_at must be below raise_at, 12, got 13"):
        rule_store.set_rule(sqlite_database, name="points-rate", line="", kind=None, changes={"clear_at": 13}, by="eva")
    with pytest.raises(SettingsError, match="kind: is rate, got 'drift'"):
        rule_store.set_rule(sqlite_database, name="points-rate", line="", kind="drift", changes={}, by="eva")
    with pytest.raises(SettingsError, match="there is no rule mine of line line-9: name its --kind"):
        rule_store.set_rule(sqlite_database, name="mine", line="line-9", kind=None, changes={}, by="eva")
    with pytest.raises(SettingsError, match="there is no rule mine"):
        rule_store.remove_rule(sqlite_database, name="mine", line="", by="eva")
    rule_store.remove_rule(sqlite_database, name="points-rate", line="", by="tom")
    with sqlite_database.reading() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.action.like("alarm_rule.%")).order_by(AuditRow.id)).all()
    assert [(row.by, row.action, row.subject) for row in rows] == [
        ("eva", "alarm_rule.set", "points-rate"),
        ("tom", "alarm_rule.remove", "points-rate"),
    ]
    assert rows[0].detail["raise_at"][1] == 12


def test_each_subject_has_an_alarm_of_its_own_and_those_not_mentioned_are_over(database):
    hook(database)
    observe(database, CAMERAS, down("a"), down("b"))
    observe(database, CAMERAS, down("b"), when=5)
    found = {alarm.subject: alarm.state for alarm in alarm_store.list_alarms(database)}
    assert found == {"camera a": "cleared", "camera b": "raised"}
    observe(database, CAMERAS, when=6, keep_others=True)
    assert {alarm.subject: alarm.state for alarm in alarm_store.list_alarms(database)} == found
    assert queued(database) == [
        ("raised", "raised", "camera a"),
        ("raised", "raised", "camera b"),
        ("cleared", "cleared", "camera a"),
    ]


def test_two_open_alarms_of_one_thing_cannot_be_stored(database):
    observe(database, CAMERAS, down("a"))
    with database.reading() as session:
        row = session.scalars(select(AlarmRow)).one()
        values = {
            column.name: getattr(row, column.name)
            for column in AlarmRow.__table__.columns
            if column.name not in ("id", "message")
        }
    with pytest.raises(IntegrityError), database.session() as session:
        session.add(AlarmRow(**values, message=""))


def test_a_flapping_camera_is_told_once_within_the_rate_limit_and_then_as_it_is(database):
    hook(database)
    for second in range(0, 40, 10):
        observe(database, CAMERAS, down("a"), when=second)
        observe(database, CAMERAS, Signal(subject="camera a", level="clear"), when=second + 5)
    assert queued(database) == [("raised", "raised", "camera a"), ("cleared", "cleared", "camera a")]
    with database.session() as session:
        alarm_store.pass_time(session, line="line-1", rules=[CAMERAS], at=at(50))
    assert queued(database) == []
    with database.session() as session:
        alarm_store.pass_time(session, line="line-1", rules=[CAMERAS], at=at(61))
    assert queued(database) == [("cleared", "cleared", "camera a")]  # the latest of what was held back
    [alarm] = alarm_store.list_alarms(database)
    assert alarm.occurrences == 4
    with database.reading() as session:
        assert len(session.scalars(select(AlarmEventRow.id)).all()) == 8  # all of it is recorded


def test_an_escalation_raises_the_priority_and_reaches_who_hears_only_the_urgent(database):
    rule = parse_rule({"name": "cams", "kind": "camera_down", "priority": "medium", "escalate_s": 300})
    hook(database)
    hook(database, "boss", min_priority="critical")
    observe(database, rule, down("a"))
    with database.session() as session:
        for when in (299, 300, 700):
            alarm_store.pass_time(session, line="line-1", rules=[rule], at=at(when))
    assert [kind for kind, *_ in queued(database)] == ["raised", "escalated"]
    assert [kind for kind, *_ in queued(database, "boss")] == ["escalated"]
    [alarm] = alarm_store.list_alarms(database)
    assert (alarm.priority, alarm.escalated_at) == ("critical", at(300))


def test_sinks_hear_of_their_lines_rules_and_events(sqlite_database):
    changes = {"sinks": ["one", "two", "four"]}
    rule = rule_store.set_rule(sqlite_database, name="cams", line="", kind="camera_down", changes=changes, by="eva")
    hook(sqlite_database, "one")
    hook(sqlite_database, "two", lines=["line-2"])
    hook(sqlite_database, "three")
    hook(sqlite_database, "four", events=["acknowledged"])
    hook(sqlite_database, "five", enabled=False)
    observe(sqlite_database, rule, down("a"))
    [alarm] = alarm_store.list_alarms(sqlite_database)
    alarm_store.acknowledge_alarm(sqlite_database, alarm.id, by="eva", note="plugged in")
    told = {
        name: [kind for kind, *_ in queued(sqlite_database, name)] for name in ("one", "two", "three", "four", "five")
    }
    assert told["one"] == ["raised", "acknowledged"]
    assert told["four"] == ["acknowledged"]
    assert told["two"] == told["three"] == told["five"] == []


def test_who_saw_and_who_acknowledged_is_recorded_with_the_time(database):
    observe(database, CAMERAS, down("a"))
    [alarm] = alarm_store.list_alarms(database)
    alarm_store.see_alarms(database, [alarm.id], by="eva")
    alarm_store.see_alarms(database, [alarm.id], by="tom")
    alarm_store.acknowledge_alarm(database, alarm.id, by="ann", note="cable")
    [alarm] = alarm_store.list_alarms(database)
    assert (alarm.seen_by, alarm.acknowledged_by, alarm.note, alarm.state) == ("eva", "ann", "cable", "acknowledged")
    assert alarm.seen_at <= alarm.acknowledged_at
    observe(database, CAMERAS, when=9)
    assert alarm_store.list_alarms(database) == []
    [over] = alarm_store.list_alarms(database, past=5)
    assert over.state == "closed"
    with database.reading() as session:
        assert list(session.scalars(select(AlarmEventRow.kind).order_by(AlarmEventRow.id))) == [
            "raised",
            "seen",
            "acknowledged",
            "cleared",
        ]
    with pytest.raises(SettingsError, match=r"alarm \d+ is acknowledged by ann already"):
        alarm_store.acknowledge_alarm(database, alarm.id, by="tom")
    with pytest.raises(SettingsError, match="there is no alarm 999"):
        alarm_store.acknowledge_alarm(database, 999, by="tom")


def test_a_defect_that_was_merged_into_another_number_does_not_raise_again(sqlite_database):
    rule = parse_rule({"name": "holes", "kind": "severe_defect"})
    observe(sqlite_database, rule, Signal(level="raise", keys=(("defect 5",),)))
    observe(sqlite_database, rule, Signal(level="raise", keys=(("defect 3", "defect 5"),)), when=1)
    observe(sqlite_database, rule, Signal(level="raise", keys=(("defect 3",),)), when=2)
    [alarm] = alarm_store.list_alarms(sqlite_database)
    assert alarm.occurrences == 1
    alarm_store.acknowledge_alarm(sqlite_database, alarm.id, by="eva")
    observe(sqlite_database, rule, Signal(level="raise", keys=(("defect 3",), ("defect 8",))), when=3)
    [alarm] = alarm_store.list_alarms(sqlite_database)
    assert (alarm.state, alarm.occurrences) == ("raised", 2)


def test_what_came_and_went_between_two_looks_is_raised_and_waits_for_a_person(sqlite_database):
    rule = parse_rule({"name": "holes", "kind": "severe_defect"})
    observe(sqlite_database, rule, Signal(level="clear", text="a hole", keys=(("defect 5",),)))
    [alarm] = alarm_store.list_alarms(sqlite_database)
    assert (alarm.state, alarm.text) == ("cleared", "a hole")
    observe(sqlite_database, rule, Signal(level="clear", text="a hole", keys=(("defect 5",),)), when=1)
    assert len(alarm_store.list_alarms(sqlite_database, past=9)) == 1


def test_alarms_of_a_removed_rule_clear(sqlite_database):
    observe(sqlite_database, CAMERAS, down("a"))
    with sqlite_database.session() as session:
        alarm_store.clear_orphans(session, line="line-1", rules=[], at=at(5))
    assert [alarm.state for alarm in alarm_store.list_alarms(sqlite_database)] == ["cleared"]


def test_what_waited_too_long_or_is_too_much_is_recorded_as_missed_oldest_first(database):
    sink = hook(database, max_age_s=100, max_waiting=3)
    for number in range(6):
        observe(database, CAMERAS, down(str(number)), when=number, keep_others=True)
    assert give_up(database, sink, at=at(10)) == 3
    assert backlog_of(database, "hook").missed == 3
    assert next_delivery(database, "hook").content["alarm"]["subject"] == "camera 3"
    assert give_up(database, sink, at=at(104)) == 1
    backlog = backlog_of(database, "hook")
    assert (backlog.waiting, backlog.missed) == (2, 4)
    sink_store.remove_sink(database, name="hook", by="eva")
    assert backlog_of(database, "hook").missed == 6
