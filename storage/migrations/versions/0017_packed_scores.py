"""Scores of frames are packed; those stored before stay as they are, which is read too.

Revision 0017, after 0016.
"""

import sqlalchemy as sa
from alembic import op

from storage.packed_scores import unpack_scores

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What is packed says so by its length."""


def downgrade() -> None:
    connection = op.get_bind()
    last = 0
    while rows := connection.execute(
        sa.text(
            "SELECT id, tiles, scores, grid, grid_rows * grid_columns AS cells FROM frames WHERE id > :last "
            "ORDER BY id LIMIT 1000"
        ),
        {"last": last},
    ).all():
        last = rows[-1].id
        connection.execute(
            sa.text("UPDATE frames SET scores = :scores, grid = :grid WHERE id = :id"),
            [
                {
                    "id": row.id,
                    "scores": _plain(row.scores, row.tiles, "<f4"),
                    "grid": _plain(row.grid, row.cells, "<f2"),
                }
                for row in rows
            ],
        )


def _plain(data: bytes, count: int, kind: str) -> bytes:
    return unpack_scores(bytes(data), count).astype(kind).tobytes() if data else b""
