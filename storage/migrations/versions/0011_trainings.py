"""Trainings that are held, cancelled, tried again and followed; schedules; leases.

Revision 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind, default in (
        ("style", sa.String(), "''"),
        ("device", sa.String(), "''"),
        ("reason", sa.String(), "''"),
        ("time_limit_s", sa.Float(), "86400"),
        ("tries", sa.Integer(), "0"),
        ("holder", sa.String(), "''"),
    ):
        op.add_column("jobs", sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
    for name in ("not_before", "heartbeat_at", "ends_at"):
        op.add_column("jobs", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in ("losses", "log"):
        op.add_column("jobs", sa.Column(name, sa.JSON(), nullable=True))
    op.create_table(
        "schedules",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_job_id", sa.String(), nullable=True),
        sa.Column("next_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_schedules"),
        sa.UniqueConstraint("name", name="uq_schedules_name"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )


def downgrade() -> None:
    op.drop_table("leases")
    op.drop_table("schedules")
    op.execute("UPDATE jobs SET state = 'failed' WHERE state = 'cancelled'")
    with op.batch_alter_table("jobs") as table:
        for name in (
            "style", "device", "reason", "time_limit_s", "tries", "holder", "losses", "log", "not_before",
            "heartbeat_at", "ends_at",
        ):  # fmt: skip
            table.drop_column(name)
