"""Confirmed defects outlive their rolls.

Revision 0016, after 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "confirmed_defects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("defect_id", sa.Integer(), nullable=False),
        sa.Column("strongest", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("style", "line", "camera", "counter")),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("x0_mm", "x1_mm", "y0_mm", "y1_mm")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("x0_px", "x1_px", "y0_px", "y1_px")),
        sa.Column("fabric_width_px", sa.Integer(), nullable=False),
        sa.Column("fabric_length_px", sa.Integer(), nullable=False),
        sa.Column("mm_per_px", sa.Float(), nullable=False),
        sa.Column("mask", sa.LargeBinary(), nullable=False),
        sa.Column("crop", sa.String(), nullable=False),
        sa.Column("likeness", sa.LargeBinary(), nullable=True),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_confirmed_defects"),
    )
    op.create_index("ix_confirmed_defects_place", "confirmed_defects", ["camera", "counter", "y0_mm"])


def downgrade() -> None:
    op.drop_table("confirmed_defects")
