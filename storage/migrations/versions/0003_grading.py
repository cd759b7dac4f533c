"""Grading profiles, which style is graded by which, and what papers say of a roll.

Revision 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "grading_profiles",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_grading_profiles"),
        sa.UniqueConstraint("name", "version", name="uq_grading_profiles_name_version"),
    )
    op.create_table(
        "grading_choices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_grading_choices"),
    )
    op.create_index("ix_grading_choices_style", "grading_choices", ["style"], unique=False)
    op.create_table(
        "roll_details",
        sa.Column("roll_id", sa.Integer(), nullable=False),
        sa.Column("lot", sa.String(), nullable=False),
        sa.Column("dye_lot", sa.String(), nullable=False),
        sa.Column("po", sa.String(), nullable=False),
        sa.Column("customer", sa.String(), nullable=False),
        sa.Column("construction", sa.String(), nullable=False),
        sa.Column("loom", sa.String(), nullable=False),
        sa.Column("operator", sa.String(), nullable=False),
        sa.Column("ticketed_mm", sa.Float(), nullable=True),
        sa.Column("width_start_mm", sa.Float(), nullable=True),
        sa.Column("width_mid_mm", sa.Float(), nullable=True),
        sa.Column("width_end_mm", sa.Float(), nullable=True),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("profile_version", sa.Integer(), nullable=False),
        sa.Column("re_inspection_of", sa.String(), nullable=False),
        sa.Column("parent_roll", sa.String(), nullable=False),
        sa.Column("remarks", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["roll_id"], ["rolls.id"], name="fk_roll_details_roll_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("roll_id", name="pk_roll_details"),
    )


def downgrade() -> None:
    op.drop_table("roll_details")
    op.drop_table("grading_choices")
    op.drop_table("grading_profiles")
