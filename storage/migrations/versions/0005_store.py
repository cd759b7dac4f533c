"""Indices from what the screens ask; a defect's strength as a column; rolls on hold; what was pruned. Score grids take
half the bytes. On PostgreSQL frames and fragments lie in partitions by month (`storage.partitions`).

Revision 0005, on top of 0004.
"""

from collections.abc import Callable

import numpy as np
import sqlalchemy as sa
from alembic import op

from storage.partitions import add_partitions

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OF_ROLLS = ["camera", "session", "sequence", "position_mm", "length_mm", "x_offset_mm", "fabric_width_mm"]
INDICES = (
    ("ix_frames_line_time", "frames", ["line", "captured_at", *OF_ROLLS]),
    ("ix_frames_camera_time", "frames", ["camera", "captured_at"]),
    ("ix_gaps_camera_time", "gaps", ["camera", "captured_at"]),
    ("ix_rolls_line_opened", "rolls", ["line", "automatic", "opened_at"]),
    ("ix_defects_strength", "defects", ["strength"]),
    ("ix_defects_state_strength", "defects", ["state", "strength"]),
    ("ix_defects_style_strength", "defects", ["style", "strength"]),
    ("ix_samples_defect_id", "samples", ["defect_id"]),
)
REPLACED = (
    ("ix_frames_line_time", "frames", ["line", "captured_at"]),
    ("ix_rolls_line", "rolls", ["line"]),
    ("ix_defects_state", "defects", ["state"]),
)

KEY = "FOREIGN KEY ({0}) REFERENCES {1} ({2}){3}"
PLAIN = {
    "frames": {
        "pk_frames": "PRIMARY KEY (id)",
        "uq_frames_camera_session_sequence": "UNIQUE (camera, session, sequence)",
        "fk_frames_camera": KEY.format("camera", "cameras", "name", ""),
        "fk_frames_line": KEY.format("line", "lines", "name", ""),
    },
    "fragments": {
        "pk_fragments": "PRIMARY KEY (frame_id, number)",
        "fk_fragments_camera": KEY.format("camera", "cameras", "name", ""),
        "fk_fragments_defect_id": KEY.format("defect_id", "defects", "id", " ON DELETE CASCADE"),
        "fk_fragments_frame_id": KEY.format("frame_id", "frames", "id", " ON DELETE CASCADE"),
        "fk_fragments_roll_id": KEY.format("roll_id", "rolls", "id", ""),
    },
}
PARTITIONED = {  # every unique constraint holds the time of capture
    "frames": PLAIN["frames"]
    | {
        "pk_frames": "PRIMARY KEY (id, captured_at)",
        "uq_frames_camera_session_sequence": "UNIQUE (camera, session, sequence, captured_at)",
    },
    "fragments": PLAIN["fragments"]
    | {
        "pk_fragments": "PRIMARY KEY (frame_id, number, captured_at)",
        "fk_fragments_frame_id": KEY.format("frame_id, captured_at", "frames", "id, captured_at", " ON DELETE CASCADE"),
    },
}
INDEXED = {
    "frames": {"ix_frames_line_time": "line, captured_at"},
    "fragments": {"ix_fragments_defect_id": "defect_id", "ix_fragments_roll_place": "roll_id, y0_mm"},
}


def upgrade() -> None:
    connection = op.get_bind()
    op.add_column("defects", sa.Column("strength", sa.Float(), nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE defects SET strength = CASE WHEN threshold > 0 THEN score / threshold ELSE score END")
    _convert_grids(connection, lambda grid: np.frombuffer(grid, "<f4").astype("<f2").tobytes())
    if connection.dialect.name == "postgresql":
        op.drop_constraint("fk_defects_frame_id", "defects", type_="foreignkey")
        months = connection.execute(
            sa.text("SELECT DISTINCT to_char(captured_at AT TIME ZONE 'UTC', 'YYYY_MM') FROM frames")
        ).scalars()
        _exchange(PARTITIONED, partitioned=True, months=list(months))
    for name, table, _ in REPLACED:
        op.drop_index(name, table_name=table)
    for name, table, columns in INDICES:
        op.create_index(name, table, columns, unique=False)
    op.create_table(
        "roll_holds",
        sa.Column("roll_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["roll_id"], ["rolls.id"], name="fk_roll_holds_roll_id"),
        sa.PrimaryKeyConstraint("roll_id", name="pk_roll_holds"),
    )
    op.create_table(
        "prunings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("roll", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("gaps", sa.Integer(), nullable=False),
        sa.Column("defects", sa.Integer(), nullable=False),
        sa.Column("pictures", sa.Integer(), nullable=False),
        sa.Column("pictures_left", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prunings"),
    )
    op.create_table(
        "chores",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_chores"),
    )


def downgrade() -> None:
    connection = op.get_bind()
    op.drop_table("chores")
    op.drop_table("prunings")
    op.drop_table("roll_holds")
    for name, table, _ in INDICES:
        op.drop_index(name, table_name=table)
    for name, table, columns in REPLACED:
        op.create_index(name, table, columns, unique=False)
    if connection.dialect.name == "postgresql":
        _exchange(PLAIN, partitioned=False, months=[])
        op.create_foreign_key("fk_defects_frame_id", "defects", "frames", ["frame_id"], ["id"], ondelete="CASCADE")
    _convert_grids(connection, lambda grid: np.frombuffer(grid, "<f2").astype("<f4").tobytes())
    op.drop_column("defects", "strength")  # not as a batch: others refer to defects, and a copy would drop it


def _convert_grids(connection: sa.Connection, convert: Callable[[bytes], bytes]) -> None:
    last = 0
    while True:
        rows = connection.execute(
            sa.text("SELECT id, grid FROM frames WHERE id > :last ORDER BY id LIMIT 1000"), {"last": last}
        ).all()
        if not rows:
            return
        last = rows[-1].id
        connection.execute(
            sa.text("UPDATE frames SET grid = :grid WHERE id = :id"),
            [{"id": row.id, "grid": convert(bytes(row.grid))} for row in rows],
        )


def _exchange(constraints: dict[str, dict[str, str]], *, partitioned: bool, months: list[str]) -> None:
    """PostgreSQL alters no table into a partitioned one: each is copied into a new one, then indexed."""
    connection = op.get_bind()
    for table in constraints:
        op.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        how = "PARTITION BY RANGE (captured_at)" if partitioned else ""
        op.execute(f"CREATE TABLE {table} (LIKE old_{table} INCLUDING DEFAULTS) {how}")
    op.execute("ALTER SEQUENCE frames_id_seq OWNED BY frames.id")
    if partitioned:
        add_partitions(connection, months)
    for table in constraints:
        op.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")
    for table in reversed(constraints):  # fragments refer to frames
        op.execute(f"DROP TABLE old_{table}")
    for table, own in constraints.items():
        for name, definition in own.items():
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        for name, columns in INDEXED[table].items():
            op.execute(f"CREATE INDEX {name} ON {table} ({columns})")
