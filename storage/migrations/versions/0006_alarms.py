"""Alarms: rules, sinks, alarms with their events, the outbox of the sinks; and rules to begin with.

Revision 0006, after 0005.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What a mill would set up on its first day; a rule that is removed does not come back.
FIRST_RULES: tuple[dict[str, Any], ...] = (
    {"name": "severe-defect", "kind": "severe_defect"},
    {"name": "points-rate", "kind": "rate"},
    {"name": "periodic-defect", "kind": "periodic"},
    {"name": "running-defect", "kind": "running"},
    {"name": "coverage-lost", "kind": "coverage"},
    {"name": "score-drift", "kind": "drift", "priority": "medium"},
    {"name": "camera-down", "kind": "camera_down"},
    {"name": "worker-down", "kind": "worker_down", "after_s": 30.0},
)


def upgrade() -> None:
    op.create_table(
        "alarm_rules",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_rules"),
        sa.UniqueConstraint("name", "line", name="uq_alarm_rules_name_line"),
    )
    op.create_table(
        "alarm_sinks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_sinks"),
        sa.UniqueConstraint("name", name="uq_alarm_sinks_name"),
    )
    op.create_table(
        "alarms",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("priority", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_by", sa.String(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alarms"),
    )
    op.create_index("ix_alarms_open", "alarms", ["open", "raised_at"], unique=False)
    op.create_index("ix_alarms_rule_line", "alarms", ["rule", "line", "subject", "noticed_at"], unique=False)
    op.create_index(
        "uq_alarms_open",
        "alarms",
        ["rule", "line", "subject"],
        unique=True,
        sqlite_where=sa.text("open"),
        postgresql_where=sa.text("open"),
    )
    op.create_table(
        "alarm_occurrences",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("alarm_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarms.id"], name="fk_alarm_occurrences_alarm_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("rule", "key", name="pk_alarm_occurrences"),
    )
    op.create_index("ix_alarm_occurrences_alarm_id", "alarm_occurrences", ["alarm_id"], unique=False)
    op.create_table(
        "alarm_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("alarm_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarms.id"], name="fk_alarm_events_alarm_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_events"),
        sa.UniqueConstraint("uid", name="uq_alarm_events_uid"),
    )
    op.create_index("ix_alarm_events_alarm_id", "alarm_events", ["alarm_id"], unique=False)
    op.create_table(
        "alarm_deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sink", sa.String(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("problem", sa.String(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"], ["alarm_events.id"], name="fk_alarm_deliveries_event_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_deliveries"),
    )
    op.create_index("ix_alarm_deliveries_event_id", "alarm_deliveries", ["event_id"], unique=False)
    op.create_index("ix_alarm_deliveries_sink", "alarm_deliveries", ["sink", "state", "id"], unique=False)
    op.create_table(
        "alarm_service",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("gap_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_service"),
    )
    rules = sa.table(
        "alarm_rules",
        sa.column("name", sa.String()),
        sa.column("line", sa.String()),
        sa.column("content", sa.JSON()),
        sa.column("by", sa.String()),
        sa.column("updated_at", sa.DateTime(timezone=True)),
    )
    now = datetime.now(UTC)
    op.bulk_insert(
        rules,
        [
            {"name": rule["name"], "line": "", "content": rule, "by": "loomwatch", "updated_at": now}
            for rule in FIRST_RULES
        ],
    )


def downgrade() -> None:
    for table in (
        "alarm_deliveries",
        "alarm_events",
        "alarm_occurrences",
        "alarms",
        "alarm_sinks",
        "alarm_rules",
        "alarm_service",
    ):
        op.drop_table(table)
