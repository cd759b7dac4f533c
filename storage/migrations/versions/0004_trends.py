"""Severity and points of defects, when they were reviewed, and totals for trends.

Revision 0004, after 0003. Defects that are there counted as major so far; no rule makes them minor now, so that no roll
is graded otherwise than before.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TOTALS = ("drift", "score_totals", "band_totals", "defect_totals", "cloth_totals")


def upgrade() -> None:
    op.add_column("defects", sa.Column("severity", sa.String(), nullable=False, server_default="major"))
    op.add_column("defects", sa.Column("severity_set", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("defects", sa.Column("points", sa.Float(), nullable=False, server_default="0"))
    op.add_column("defects", sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True))
    # Four-point as far as a row tells it: 4 for each yard of what is longer, holes 2 and 4, else by size.
    op.execute(
        """
        UPDATE defects SET points = CASE
            WHEN geometry = 'edge' THEN 0
            WHEN geometry = 'full_width' THEN 4
            WHEN y1_mm - y0_mm > 914.4 THEN 4 * round((y1_mm - y0_mm) / 914.4 + 0.4999)
            WHEN hole THEN CASE WHEN size_mm <= 25.4 THEN 2 ELSE 4 END
            WHEN size_mm <= 76.2 THEN 1
            WHEN size_mm <= 152.4 THEN 2
            WHEN size_mm <= 228.6 THEN 3
            ELSE 4 END
        """
    )
    op.execute("UPDATE defects SET severity = 'critical' WHERE points >= 4")
    op.execute(
        """
        UPDATE defects SET reviewed_at = (SELECT min(at) FROM reviews WHERE reviews.defect_id = defects.id)
        WHERE state <> 'unreviewed'
        """
    )
    _make_tables()
    from storage.trends.recount import recounts

    for statement in recounts(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    for name in TOTALS:
        op.drop_table(name)
    for name in ("reviewed_at", "points", "severity_set", "severity"):
        op.drop_column("defects", name)


def _make_tables() -> None:
    place = ("line", sa.String()), ("span", sa.Integer()), ("start", sa.Integer())
    found = (
        *((name, sa.Integer()) for name in ("found", "confirmed", "rejected")),
        ("points_1000", sa.BigInteger()),
        ("reviewed", sa.Integer()),
        ("review_s", sa.BigInteger()),
    )
    _table(
        "cloth_totals",
        (*place, ("camera", sa.String()), ("style", sa.String())),
        ("frames", sa.Integer()),
        *((name, sa.BigInteger()) for name in ("inspected_um", "inspected_mm2", "gap_um")),
        *found,
        ("minutes", sa.BigInteger()),
    )
    _table(
        "defect_totals",
        (*place, *((name, sa.String()) for name in ("camera", "style", "geometry", "severity", "code"))),
        *found,
    )
    _table(
        "band_totals",
        (("line", sa.String()), ("day", sa.Integer()), ("style", sa.String()), ("band", sa.Integer())),
        ("found", sa.Integer()),
    )
    camera = tuple((name, sa.String()) for name in ("line", "camera", "style"))
    _table(
        "score_totals",
        (*camera, ("model", sa.String()), ("day", sa.Integer()), ("bin", sa.Integer())),
        ("frames", sa.Integer()),
    )
    _table(
        "drift",
        (*camera, ("day", sa.Integer())),
        ("model", sa.String()),
        ("state", sa.String()),
        *((name, sa.Integer()) for name in ("frames", "reference_frames")),
        *((name, sa.Float()) for name in ("psi", "ks", "p_value")),
        ("judged_at", sa.DateTime(timezone=True)),
    )


def _table(name: str, key: tuple[tuple[str, Any], ...], *columns: tuple[str, Any]) -> None:
    op.create_table(
        name,
        *(sa.Column(column, kind, nullable=False) for column, kind in (*key, *columns)),
        sa.PrimaryKeyConstraint(*(column for column, _ in key), name=f"pk_{name}"),
    )
