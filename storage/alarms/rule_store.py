"""Alarm rules in the database, who changed what, and which of them watches a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import SettingsError
from storage import audit
from storage.alarms.rules import AnyRule, dump_rule, parse_rule
from storage.database import Database
from storage.tables import AlarmRuleRow


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRule:
    """A rule, and who gave it its present form."""

    rule: AnyRule
    by: str
    updated_at: datetime


def list_rules(database: Database) -> list[StoredRule]:
    """By name, that for all lines first."""
    with database.reading() as session:
        return rules_in(session)


def rules_in(session: Session) -> list[StoredRule]:
    rows = session.scalars(select(AlarmRuleRow).order_by(AlarmRuleRow.name, AlarmRuleRow.line))
    return [StoredRule(rule=parse_rule(row.content), by=row.by, updated_at=row.updated_at) for row in rows]


def rules_of(rules: Sequence[AnyRule], line: str) -> list[AnyRule]:
    """The rules that watch a line: its own, and those for all lines that it has none of the same name of."""
    own = {rule.name: rule for rule in rules if rule.line == line}
    found = {**{rule.name: rule for rule in rules if not rule.line}, **own}
    return [rule for rule in found.values() if rule.enabled]


def set_rule(
    database: Database, *, name: str, line: str, kind: str | None, changes: dict[str, Any], by: str
) -> AnyRule:
    """Makes a rule, or changes these fields of it. kind may be left out for one that is there.

    Raises `SettingsError` that names field and value; nothing is changed then.
    """
    with database.session() as session:
        database.lock(session, "alarm_rules")
        row = _row(session, name, line)
        if row is None and kind is None:
            where = f"line {line}" if line else "all lines"
            raise SettingsError(f"there is no rule {name} of {where}: name its --kind to make it")
        if row is not None and kind not in (None, row.content["kind"]):
            raise SettingsError(f"rule {name}: kind: is {row.content['kind']}, got {kind!r}: remove the rule first")
        before = dict(row.content) if row else {"kind": kind}
        rule = parse_rule({**before, **changes, "name": name, "line": line})
        content = dump_rule(rule)
        if row is not None and dump_rule(parse_rule(before)) == content:
            return rule
        now = datetime.now(UTC)
        if row is None:
            session.add(AlarmRuleRow(name=name, line=line, content=content, by=by, updated_at=now))
        else:
            row.content, row.by, row.updated_at = content, by, now
        audit.record(
            session,
            by=by,
            action="alarm_rule.set",
            subject=f"{name}@{line}" if line else name,
            detail={
                field: [before.get(field), value] for field, value in content.items() if before.get(field) != value
            },
        )
        return rule


def remove_rule(database: Database, *, name: str, line: str, by: str) -> None:
    """Its alarms clear. Raises `SettingsError` when there is none."""
    with database.session() as session:
        row = _row(session, name, line)
        if row is None:
            raise SettingsError(
                f"there is no rule {name} of {f'line {line}' if line else 'all lines'}: see loomwatch alarms rules list"
            )
        subject = f"{name}@{line}" if line else name
        audit.record(session, by=by, action="alarm_rule.remove", subject=subject, detail=dict(row.content))
        session.delete(row)


def _row(session: Session, name: str, line: str) -> AlarmRuleRow | None:
    return session.scalar(select(AlarmRuleRow).where(AlarmRuleRow.name == name, AlarmRuleRow.line == line))
