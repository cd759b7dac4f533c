"""Indices that answer every choice of defects that the screens offer.

Revision 0015, after 0014.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

OF_FILTERS = ["style", "geometry", "severity", "code", "camera", "fragments", "id"]
INDICES = (
    ("ix_defects_strength", "defects", ["strength", "state", *OF_FILTERS]),
    ("ix_defects_state_strength", "defects", ["state", "strength", *OF_FILTERS]),
    ("ix_reviews_by", "reviews", ["by", "act", "at", "defect_id"]),
)
REPLACED = (
    ("ix_defects_strength", "defects", ["strength"]),
    ("ix_defects_state_strength", "defects", ["state", "strength"]),
    ("ix_defects_style_strength", "defects", ["style", "strength"]),
)


def upgrade() -> None:
    for name, table, _ in REPLACED:
        op.drop_index(name, table_name=table)
    for name, table, columns in INDICES:
        op.create_index(name, table, columns, unique=False)


def downgrade() -> None:
    for name, table, _ in INDICES:
        op.drop_index(name, table_name=table)
    for name, table, columns in REPLACED:
        op.create_index(name, table, columns, unique=False)
