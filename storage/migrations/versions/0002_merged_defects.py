"""Defects become what fragments merge into: a fragment is what one frame shows, a defect all that belongs together.

Each stored defect becomes a fragment and a defect of that one fragment, with its number, reviews and samples. Back,
each fragment is a defect again, with the review of the defect that it was part of.

Revision 0002, on top of 0001.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.tables import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEPT = ("line", "camera", "captured_at", "x0_mm", "x1_mm", "y0_mm", "y1_mm", "score", "threshold", "style")
PIXELS = ("x0_px", "x1_px", "y0_px", "y1_px", "mask", "crop", "heat")


def upgrade() -> None:
    _refer_to_defects(False)
    op.add_column("lines", sa.Column("coverage_limit", sa.Float(), nullable=True))
    _make_tables()
    old = _old_defects()
    _tables.clear()
    _numbers.clear()
    with op.batch_alter_table("defects") as table:
        for index in ("frame_id", "line_time", "state"):
            table.drop_index(f"ix_defects_{index}")
    op.rename_table("defects", "old_defects")
    if op.get_bind().dialect.name == "postgresql":  # names of constraints are the schema's, not the table's
        for name in ("pk_defects", "fk_defects_camera", "fk_defects_frame_id", "fk_defects_line"):
            op.execute(f"ALTER TABLE old_defects RENAME CONSTRAINT {name} TO old_{name}")
        op.execute("ALTER SEQUENCE defects_id_seq RENAME TO old_defects_id_seq")
    _make_defects()
    connection = op.get_bind()
    defects, fragments = _table("defects"), _table("fragments")
    for rows in _batches(connection, sa.select(old).order_by(old.c.frame_id, old.c.id)):
        values = [_moved(connection, row) for row in rows]
        connection.execute(sa.insert(defects), [defect for defect, _ in values])
        connection.execute(sa.insert(fragments), [fragment for _, fragment in values])
    op.drop_table("old_defects")
    _set_sequence(connection)
    _refer_to_defects(True)


def downgrade() -> None:
    _refer_to_defects(False)
    connection = op.get_bind()
    defects, fragments = _table("defects"), _table("fragments")
    op.create_table(
        "old_defects",
        *_old_columns(),
        sa.PrimaryKeyConstraint("id", name="old_pk_defects"),
    )
    old = _table("old_defects")
    query = sa.select(
        fragments,
        defects.c.line,
        defects.c.state,
        defects.c.id.label("whole"),
        ((defects.c.frame_id == fragments.c.frame_id) & (defects.c.fragment == fragments.c.number)).label("is_peak"),
    ).join(defects, defects.c.id == fragments.c.defect_id)
    next_id = (connection.scalar(sa.select(sa.func.max(defects.c.id))) or 0) + 1
    for rows in _batches(connection, query.order_by(fragments.c.frame_id, fragments.c.number)):
        back = []
        for row in rows:
            pixels = (row.x1_px - row.x0_px) * (row.y1_px - row.y0_px)
            area = (row.x1_mm - row.x0_mm) * (row.y1_mm - row.y0_mm) * _filled(row.mask, pixels)
            values = {name: getattr(row, name) for name in (*KEPT, *PIXELS)}
            number = row.whole if row.is_peak else next_id
            next_id += not row.is_peak
            back.append({**values, "id": number, "frame_id": row.frame_id, "area_mm2": area, "state": row.state})
        connection.execute(sa.insert(old), back)
    for name in ("merged_defects", "fragments", "defects", "series", "machine_elements", "roll_widths"):
        op.drop_table(name)
    op.create_table(
        "defects",
        *_old_columns(),
        sa.ForeignKeyConstraint(["camera"], ["cameras.name"], name="fk_defects_camera"),
        sa.ForeignKeyConstraint(["frame_id"], ["frames.id"], name="fk_defects_frame_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_defects_line"),
        sa.PrimaryKeyConstraint("id", name="pk_defects"),
    )
    names = ", ".join(column.name for column in _old_columns())
    op.execute(f"INSERT INTO defects ({names}) SELECT {names} FROM old_defects")
    op.drop_table("old_defects")
    _set_sequence(connection)
    op.create_index("ix_defects_frame_id", "defects", ["frame_id"], unique=False)
    op.create_index("ix_defects_line_time", "defects", ["line", "captured_at"], unique=False)
    op.create_index("ix_defects_state", "defects", ["state"], unique=False)
    op.drop_column("lines", "coverage_limit")  # not as a batch: others refer to lines, and a copy would drop it
    _refer_to_defects(True)


def _refer_to_defects(yes: bool) -> None:
    """SQLite copies a table to alter it, and dropping the original would drop all that refers to it with CASCADE: so
    reviews and samples refer to nothing while that is done."""
    for name, action in (("reviews", "CASCADE"), ("samples", "SET NULL")):
        with op.batch_alter_table(name) as table:
            key = f"fk_{name}_defect_id"
            if yes:
                table.create_foreign_key(key, "defects", ["defect_id"], ["id"], ondelete=action)
            else:
                table.drop_constraint(key, type_="foreignkey")


def _set_sequence(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        op.execute(
            "SELECT setval(pg_get_serial_sequence('defects', 'id'), "
            "(SELECT coalesce(max(id), 0) + 1 FROM defects), false)"
        )


def _table(name: str) -> sa.Table:
    found = sa.Table(name, sa.MetaData(), autoload_with=op.get_bind())
    for column in found.columns:
        if isinstance(column.type, sa.DateTime):
            column.type = UtcDateTime()
    return found


def _old_defects() -> sa.Table:
    columns = _old_columns()
    return sa.Table("old_defects", sa.MetaData(), *columns)


def _batches(connection: sa.Connection, query: Any) -> Iterator[list[Any]]:
    rows = list(connection.execute(query))  # it fits: a mask is a few hundred bytes
    for start in range(0, len(rows), 1000):
        yield rows[start : start + 1000]


def _filled(mask: bytes, pixels: int) -> float:
    from storage.masks import decode_mask

    return float(decode_mask(mask).sum()) / max(pixels, 1)


_numbers: dict[int, int] = {}  # of the last frame: how many fragments it has


def _moved(connection: sa.Connection, row: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A stored defect as (defect, fragment)."""
    from storage.defects.geometry import form
    from storage.defects.outline import encode_outline, measure, outline_of
    from storage.defects.together import ends_of
    from storage.defects.whole import Verdict, columns_of, strength, whole_of_fragment
    from storage.masks import decode_mask

    frames, rolls = _table_once("frames"), _table_once("rolls")
    frame = connection.execute(
        sa.select(frames.c.session, frames.c.x_offset_mm, frames.c.fabric_width_mm, frames.c.mm_per_px).where(
            frames.c.id == row.frame_id
        )
    ).one()
    covering = (rolls.c.line == row.line) & (rolls.c.opened_at <= row.captured_at)
    roll_id = connection.scalar(
        sa.select(rolls.c.id)
        .where(covering & (rolls.c.closed_at.is_(None) | (rolls.c.closed_at > row.captured_at)))
        .order_by(rolls.c.automatic, rolls.c.id)
        .limit(1)
    )
    mask = decode_mask(row.mask)
    outline = outline_of(mask, x0_mm=row.x0_mm, y0_mm=row.y0_mm, mm_per_px=frame.mm_per_px)
    start_x_mm, end_x_mm = ends_of(mask, x0_mm=row.x0_mm, mm_per_px=frame.mm_per_px)
    number = _numbers.get(row.frame_id, 0)
    _numbers.clear()
    _numbers[row.frame_id] = number + 1
    fragment = {name: getattr(row, name) for name in (*KEPT, *PIXELS) if name != "line"} | {
        "frame_id": row.frame_id,
        "number": number,
        "defect_id": row.id,
        "roll_id": roll_id,
        "counter": frame.session,
        "right_mm": frame.x_offset_mm + frame.fabric_width_mm,
        "hole": None,
        "warp_line": form(measure(outline)) == "warp_line",
        "start_x_mm": start_x_mm,
        "end_x_mm": end_x_mm,
        "outline": encode_outline(outline),
    }
    seen = strength(row.score, row.threshold)
    verdict = Verdict(
        confirmed=row.state == "confirmed",
        rejected_strength=seen if row.state == "rejected" else None,
        unseen_strength=seen if row.state == "unreviewed" else None,
    )
    whole = whole_of_fragment(fragment, verdict)
    width = frame.x_offset_mm + frame.fabric_width_mm
    defect = columns_of(whole, cloth_width_mm=width) | {
        "id": row.id,
        "roll_id": roll_id,
        "line": row.line,
        "code": "",
        "series_id": None,
    }
    return {name: value for name, value in defect.items() if name in _table_once("defects").c}, fragment


_tables: dict[str, sa.Table] = {}


def _table_once(name: str) -> sa.Table:
    if name not in _tables:
        _tables[name] = _table(name)
    return _tables[name]


def _old_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("captured_at", UtcDateTime(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("x0_mm", "x1_mm", "y0_mm", "y1_mm")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("x0_px", "x1_px", "y0_px", "y1_px")),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("area_mm2", "score", "threshold")),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("mask", sa.LargeBinary(), nullable=False),
        sa.Column("crop", sa.String(), nullable=False),
        sa.Column("heat", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
    ]


def _make_tables() -> None:
    op.create_table(
        "roll_widths",
        sa.Column("roll_id", sa.Integer(), nullable=False),
        sa.Column("width_mm", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["roll_id"], ["rolls.id"], name="fk_roll_widths_roll_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("roll_id", name="pk_roll_widths"),
    )
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("roll_id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("counter", sa.String(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("x_mm", sa.Float(), nullable=False),
        sa.Column("period_mm", sa.Float(), nullable=False),
        sa.Column("zero_mm", sa.Float(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("first_mm", sa.Float(), nullable=False),
        sa.Column("last_mm", sa.Float(), nullable=False),
        sa.Column("suspect", sa.String(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["camera"], ["cameras.name"], name="fk_series_camera"),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_series_line"),
        sa.ForeignKeyConstraint(["roll_id"], ["rolls.id"], name="fk_series_roll_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
    )
    op.create_index("ix_series_roll", "series", ["roll_id", "open"], unique=False)
    op.create_table(
        "machine_elements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("period_mm", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_machine_elements_line"),
        sa.PrimaryKeyConstraint("id", name="pk_machine_elements"),
        sa.UniqueConstraint("line", "name", name="uq_machine_elements_line_name"),
    )


def _make_defects() -> None:
    op.create_table(
        "defects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("roll_id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("fragment", sa.Integer(), nullable=False),
        sa.Column("fragments", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("counter", sa.String(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("x0_mm", sa.Float(), nullable=False),
        sa.Column("x1_mm", sa.Float(), nullable=False),
        sa.Column("y0_mm", sa.Float(), nullable=False),
        sa.Column("y1_mm", sa.Float(), nullable=False),
        sa.Column("area_mm2", sa.Float(), nullable=False),
        sa.Column("size_mm", sa.Float(), nullable=False),
        sa.Column("length_mm", sa.Float(), nullable=False),
        sa.Column("width_mm", sa.Float(), nullable=False),
        sa.Column("angle_deg", sa.Float(), nullable=False),
        sa.Column("geometry", sa.String(), nullable=False),
        sa.Column("hole", sa.Boolean(), nullable=True),
        sa.Column("right_mm", sa.Float(), nullable=False),
        sa.Column("right_reach_mm", sa.Float(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("peak_x_mm", sa.Float(), nullable=False),
        sa.Column("peak_y_mm", sa.Float(), nullable=False),
        sa.Column("outline", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("rejected_strength", sa.Float(), nullable=True),
        sa.Column("unseen_strength", sa.Float(), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["camera"], ["cameras.name"], name="fk_defects_camera"),
        sa.ForeignKeyConstraint(["frame_id"], ["frames.id"], name="fk_defects_frame_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_defects_line"),
        sa.ForeignKeyConstraint(["roll_id"], ["rolls.id"], name="fk_defects_roll_id"),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_defects_series_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_defects"),
    )
    op.create_index("ix_defects_frame_id", "defects", ["frame_id"], unique=False)
    op.create_index("ix_defects_line_time", "defects", ["line", "captured_at"], unique=False)
    op.create_index("ix_defects_roll_lane", "defects", ["roll_id", "lane", "y0_mm"], unique=False)
    op.create_index("ix_defects_series_id", "defects", ["series_id"], unique=False)
    op.create_index("ix_defects_state", "defects", ["state"], unique=False)
    op.create_table(
        "fragments",
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("defect_id", sa.Integer(), nullable=False),
        sa.Column("roll_id", sa.Integer(), nullable=False),
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("counter", sa.String(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("x0_mm", sa.Float(), nullable=False),
        sa.Column("x1_mm", sa.Float(), nullable=False),
        sa.Column("y0_mm", sa.Float(), nullable=False),
        sa.Column("y1_mm", sa.Float(), nullable=False),
        sa.Column("x0_px", sa.Integer(), nullable=False),
        sa.Column("x1_px", sa.Integer(), nullable=False),
        sa.Column("y0_px", sa.Integer(), nullable=False),
        sa.Column("y1_px", sa.Integer(), nullable=False),
        sa.Column("right_mm", sa.Float(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("hole", sa.Boolean(), nullable=True),
        sa.Column("warp_line", sa.Boolean(), nullable=False),
        sa.Column("start_x_mm", sa.Float(), nullable=False),
        sa.Column("end_x_mm", sa.Float(), nullable=False),
        sa.Column("outline", sa.LargeBinary(), nullable=False),
        sa.Column("mask", sa.LargeBinary(), nullable=False),
        sa.Column("crop", sa.String(), nullable=False),
        sa.Column("heat", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["camera"], ["cameras.name"], name="fk_fragments_camera"),
        sa.ForeignKeyConstraint(["defect_id"], ["defects.id"], name="fk_fragments_defect_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["frame_id"], ["frames.id"], name="fk_fragments_frame_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["roll_id"], ["rolls.id"], name="fk_fragments_roll_id"),
        sa.PrimaryKeyConstraint("frame_id", "number", name="pk_fragments"),
    )
    op.create_index("ix_fragments_defect_id", "fragments", ["defect_id"], unique=False)
    op.create_index("ix_fragments_roll_place", "fragments", ["roll_id", "y0_mm"], unique=False)
    op.create_table(
        "merged_defects",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("into_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["into_id"], ["defects.id"], name="fk_merged_defects_into_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_merged_defects"),
    )
    op.create_index("ix_merged_defects_into_id", "merged_defects", ["into_id"], unique=False)
