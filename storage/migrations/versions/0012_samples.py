"""Samples with their provenance, the guard's word on them, captures, frozen sets, sensitivities of styles.

Samples that are there were given or confirmed by staff, and stay accepted.

Revision 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_WORDS = ("decided_by", "why", "line", "roll", "day", "camera", "counter", "model", "look")
_NUMBERS = ("x0_mm", "x1_mm", "y0_mm", "y1_mm", "score", "threshold", "priority")


def upgrade() -> None:
    op.create_table(
        "sample_captures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("metres", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sample_captures"),
    )
    with op.batch_alter_table("samples") as table:
        table.add_column(sa.Column("state", sa.String(), nullable=False, server_default="accepted"))
        table.add_column(sa.Column("reasons", sa.JSON(), nullable=True))
        for name in _WORDS:
            table.add_column(sa.Column(name, sa.String(), nullable=False, server_default=sa.text("''")))
        for name in _NUMBERS:
            table.add_column(sa.Column(name, sa.Float(), nullable=True))
        for name in ("decided_at", "captured_at"):
            table.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("capture_id", sa.Integer(), nullable=True))
        table.create_foreign_key("fk_samples_capture_id", "sample_captures", ["capture_id"], ["id"])
    op.execute("UPDATE samples SET reasons = '[]'")
    with op.batch_alter_table("samples") as table:
        table.alter_column("reasons", nullable=False)
    op.create_index("ix_samples_state", "samples", ["state"])
    op.create_index("ix_samples_capture_id", "samples", ["capture_id"])
    op.create_table(
        "sample_sets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sample_sets"),
    )
    op.create_table(
        "sensitivities",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("factor", sa.Float(), nullable=False),
        sa.Column("per_100m", sa.Float(), nullable=True),
        sa.Column("metres", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_sensitivities_model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sensitivities"),
    )
    op.create_index("ix_sensitivities_model_id", "sensitivities", ["model_id"])


def downgrade() -> None:
    """An earlier loomwatch learns from all that is active: what is not accepted is taken out."""
    op.drop_table("sensitivities")
    op.drop_table("sample_sets")
    op.execute("UPDATE samples SET active = false WHERE state <> 'accepted'")
    op.drop_index("ix_samples_capture_id", "samples")
    op.drop_index("ix_samples_state", "samples")
    with op.batch_alter_table("samples") as table:
        table.drop_constraint("fk_samples_capture_id", type_="foreignkey")
        for name in ("state", "reasons", *_WORDS, *_NUMBERS, "decided_at", "captured_at", "capture_id"):
            table.drop_column(name)
    op.drop_table("sample_captures")
