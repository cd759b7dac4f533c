"""Promotions of one style and their reasons, gates, the policy of models, shadows and what they saw.

Revision 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("promotions", sa.Column("style", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("promotions", sa.Column("reason", sa.String(), nullable=False, server_default=sa.text("''")))
    op.create_table(
        "model_policy",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_policy"),
    )
    op.create_table(
        "gates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("against_id", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_gates_model_id"),
        sa.ForeignKeyConstraint(["against_id"], ["models.id"], name="fk_gates_against_id"),
        sa.PrimaryKeyConstraint("id", name="pk_gates"),
    )
    op.create_index("ix_gates_model_id", "gates", ["model_id"])
    op.create_table(
        "shadows",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("against_id", sa.Integer(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("budget", sa.Float(), nullable=False),
        sa.Column("metres", sa.Float(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_shadows_model_id"),
        sa.ForeignKeyConstraint(["against_id"], ["models.id"], name="fk_shadows_against_id"),
        sa.PrimaryKeyConstraint("id", name="pk_shadows"),
    )
    op.create_table(
        "shadow_frames",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("shadow_id", sa.Integer(), nullable=False),
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("metres", sa.Float(), nullable=False),
        sa.Column("both", sa.Integer(), nullable=False),
        sa.Column("only_running", sa.Integer(), nullable=False),
        sa.Column("only_candidate", sa.Integer(), nullable=False),
        sa.Column("spent_ms", sa.Float(), nullable=False),
        sa.Column("pictures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["shadow_id"], ["shadows.id"], name="fk_shadow_frames_shadow_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_shadow_frames"),
        sa.UniqueConstraint(
            "shadow_id", "camera", "session", "sequence", name="uq_shadow_frames_shadow_id_camera_session_sequence"
        ),
    )


def downgrade() -> None:
    for name in ("shadow_frames", "shadows", "gates", "model_policy"):
        op.drop_table(name)
    with op.batch_alter_table("promotions") as table:
        table.drop_column("reason")
        table.drop_column("style")
