"""Grades kept with their rolls, and how often what they rest on has changed.

Revision 0014, after 0013.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "roll_grades",
        sa.Column("roll_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("found_at_changes", sa.Integer(), nullable=True),
        sa.Column("program", sa.String(), nullable=False, server_default=sa.text("''")),
        sa.Column("content", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["roll_id"], ["rolls.id"], name="fk_roll_grades_roll_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("roll_id", name="pk_roll_grades"),
    )


def downgrade() -> None:
    op.drop_table("roll_grades")
