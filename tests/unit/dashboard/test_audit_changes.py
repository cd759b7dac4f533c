"""How something was changed is told in words, in each language."""

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

import dashboard
from dashboard.audit_changes import CHOICES, FIELDS, MOST_CHARS, SHARES, VALUES, change_in_words
from dashboard.language import speaking
from dashboard.stored_words import KNOWN
from storage.alarms import rules, sinks
from storage.defects.machine import KINDS as PARTS
from storage.grading import profile
from storage.model_policy import FalseAlarmsRule, ModelPolicy, ParityRule, RecallRule, ShadowPlan, SpeedRule, StylesRule
from storage.roll_details import RollDetails
from storage.schedules import Rule as ScheduleRule

ROOT = Path(dashboard.__file__).parent.parent
MODELS: tuple[type[BaseModel], ...] = (
    *rules.KINDS.values(),
    *(sinks.MqttSink, sinks.WebhookSink, sinks.ModbusSink, sinks.OpcUaSink),
    *(profile.FourPointProfile, profile.TenPointProfile, profile.GradeLimit, profile.Verdict, profile.CutRules),
    *(FalseAlarmsRule, RecallRule, StylesRule, SpeedRule, ParityRule, ShadowPlan, ModelPolicy, ScheduleRule),
)
NAMES_OF_THEIR_OWN = {"mqtt", "webhook", "modbus", "opcua"}
NOT_SHOWN = {"before", "after", "changed"}


def written_down() -> set[str]:
    """Fields of what `audit.record` is given, where it is written as a dictionary."""
    found = set()
    for path in (ROOT / "storage").rglob("*.py"):
        tree = ast.parse(path.read_text())
        if "audit.record(" not in ast.unparse(tree):
            continue
        values = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "detail"]
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                values += [node.value] if ast.unparse(target) == "detail" else []
        for value in values:
            for part in ast.walk(value):
                if isinstance(part, ast.Dict):
                    found |= {key.value for key in part.keys if isinstance(key, ast.Constant)}
    return found - NOT_SHOWN


def literals(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (each for each in get_args(annotation) if isinstance(each, str))
    for part in get_args(annotation):
        yield from literals(part)


def test_every_setting_has_words() -> None:
    of_models = {name for model in MODELS for name in model.model_fields}
    of_rolls, of_parts = (
        {field.name for field in fields(RollDetails)},
        {name for part in PARTS.values() for name in part},
    )
    recorded = written_down()
    assert {"reason", "limit", "roll_group", "override"} <= recorded
    assert (of_models | of_rolls | of_parts | recorded) - FIELDS.keys() == set()
    assert set(SHARES) | set(CHOICES) <= FIELDS.keys()


def test_every_choice_has_words() -> None:
    choices = {
        value
        for model in MODELS
        for name, field in model.model_fields.items()
        if name in CHOICES
        for value in literals(field.annotation)
    }
    assert {"staff", "cut_and_upgrade", "escalated"} <= choices
    assert choices - VALUES.keys() - {*KNOWN} - NAMES_OF_THEIR_OWN == set()


@pytest.mark.parametrize(
    ("action", "detail", "english", "german"),
    [
        (
            "alarm_rule.set",
            {"priority": ["high", "critical"], "sinks": [[], ["mail", "lamp"]], "escalate_s": [600.0, 90.5]},
            "Priority: high → critical; alarm sinks: – → mail, lamp; escalated after: 600 s → 90.5 s",
            "Priorität: hoch → kritisch; Alarmziele: – → mail, lamp; eskaliert nach: 600 s → 90,5 s",
        ),
        (
            "alarm_rule.set",
            {"name": [None, "few"], "min_workers": [None, 2], "sinks": [None, []], "enabled": [None, False]},
            "Name: few; workers at least: 2; in force: no",
            "Name: few; Worker mindestens: 2; in Kraft: nein",
        ),
        (
            "line.coverage",
            {"limit": 0.985, "previous": 0.95},
            "Least coverage: 95 % → 98.5 %",
            "Mindestabdeckung: 95 % → 98,5 %",
        ),
        (
            "defect.review",
            {"previous": "unreviewed", "state": "rejected"},
            "State: To review → False alarm",
            "Stand: Zu prüfen → Fehlalarm",
        ),
        (
            "roll.correct",
            {
                "line": "line-1",
                "before": {"opened_at": "2024-03-05T06:00:00+00:00", "closed_at": None},
                "after": {"opened_at": "2024-03-05T06:00:00+00:00", "closed_at": "2024-03-05T08:15:00+00:00"},
            },
            "Line: line-1; closed at: 5 Mar 2024, 08:15",
            "Linie: line-1; geschlossen um: 5. März 2024, 08:15",
        ),
        (
            "profile.add",
            {"version": 2, "changed": {"hole_rule": ["by_size", "all"], "bands_mm": [[76.2, 152.4], [80.0, 152.4]]}},
            "Which holes count as holes: by size → all; "
            "largest sizes by points: 76.2 mm, 152.4 mm → 80 mm, 152.4 mm; version: 2",
            "Welche Löcher als Löcher gelten: nach Größe → alle; "
            "größte Längen nach Punkten: 76,2 mm, 152,4 mm → 80 mm, 152,4 mm; Version: 2",
        ),
        (
            "model.policy",
            {"changed": {"rules": [[{"kind": "recall", "drop": 0.0}], [{"kind": "recall", "drop": 0.02}]]}},
            "Rules: defects found (defects that may be lost 0 %) → defects found (defects that may be lost 2 %)",
            "Regeln: gefundene Fehler (Fehler, die verloren gehen dürfen 0 %) → "
            "gefundene Fehler (Fehler, die verloren gehen dürfen 2 %)",
        ),
        (
            "alarm.acknowledge",
            {"id": 7, "rule": "fine", "text": "stopped by Otto", "line": "", "note": "high"},
            "Alarm: Stopped by Otto; note: high",
            "Alarm: Angehalten von Otto; Notiz: high",
        ),
        ("user.disable", {}, "", ""),
        ("loom.oiled", {"oil_l": 2, "by": "Otto"}, "Oil l: 2; by: Otto", "Oil l: 2; von: Otto"),
    ],
)
def test_a_change_is_told_with_what_was_and_what_is(
    action: str, detail: dict[str, Any], english: str, german: str
) -> None:
    assert change_in_words(action, detail) == english
    with speaking("de"):
        assert change_in_words(action, detail) == german


def test_what_people_wrote_stays_and_has_a_bound() -> None:
    shown = change_in_words("roll.hold", {"line": "line-1", "reason": "<b>held</b>\n" + "x" * 5000})
    assert shown.startswith("Line: line-1; reason: <b>held</b> xxx")
    assert shown.endswith("…")
    many = {f"setting_{number}": "y" * 300 for number in range(50)}
    assert len(change_in_words("training.request", {"parameters": many})) == MOST_CHARS
