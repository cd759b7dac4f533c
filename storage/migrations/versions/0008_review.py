"""Review by several: versions of defects, all acts in their history, defects joined and parted by hand, likeness;
rolls that were suspended.

Revision 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("defects", sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("fragments", sa.Column("likeness", sa.LargeBinary(), nullable=True))
    op.add_column("reviews", sa.Column("act", sa.String(), nullable=False, server_default="verdict"))
    op.create_table(
        "defect_cuts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("defect_id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("y0_mm", sa.Float(), nullable=False),
        sa.Column("y1_mm", sa.Float(), nullable=False),
        sa.Column("pieces", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["defect_id"], ["defects.id"], name="fk_defect_cuts_defect_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_defect_cuts_line"),
        sa.PrimaryKeyConstraint("id", name="pk_defect_cuts"),
    )
    op.create_index("ix_defect_cuts_defect_id", "defect_cuts", ["defect_id"], unique=False)
    op.create_index("ix_defect_cuts_line_place", "defect_cuts", ["line", "y0_mm"], unique=False)
    op.create_table(
        "defect_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("defect_id", sa.Integer(), nullable=False),
        sa.Column("frame_a", sa.Integer(), nullable=False),
        sa.Column("number_a", sa.Integer(), nullable=False),
        sa.Column("frame_b", sa.Integer(), nullable=False),
        sa.Column("number_b", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["defect_id"], ["defects.id"], name="fk_defect_links_defect_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_defect_links"),
    )
    op.create_index("ix_defect_links_defect_id", "defect_links", ["defect_id"], unique=False)
    op.create_table(
        "suspensions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("roll_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("remark", sa.String(), nullable=False),
        sa.Column("cleared_by", sa.String(), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["roll_id"], ["rolls.id"], name="fk_suspensions_roll_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_suspensions"),
    )
    op.create_index("ix_suspensions_roll_id", "suspensions", ["roll_id"], unique=False)


def downgrade() -> None:
    op.drop_table("suspensions")
    op.drop_table("defect_links")
    op.drop_table("defect_cuts")
    op.execute("DELETE FROM reviews WHERE act <> 'verdict'")  # a verdict's history knows nothing else
    op.drop_column("reviews", "act")
    op.drop_column("fragments", "likeness")
    op.drop_column("defects", "version")
