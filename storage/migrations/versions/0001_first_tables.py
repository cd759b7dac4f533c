"""The tables of the first loomwatch.

Revision 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_table(
        "lines",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lines"),
    )
    op.create_table(
        "styles",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_styles"),
    )
    op.create_table(
        "cameras",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_cameras_line"),
        sa.PrimaryKeyConstraint("name", name="pk_cameras"),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_models_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
    )
    op.create_table(
        "rolls",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_rolls_line"),
        sa.PrimaryKeyConstraint("id", name="pk_rolls"),
        sa.UniqueConstraint("line", "name", name="uq_rolls_line_name"),
    )
    op.create_index("ix_rolls_line", "rolls", ["line"], unique=False)
    op.create_table(
        "captures",
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("captured_mm", sa.Float(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["camera"], ["cameras.name"], name="fk_captures_camera"),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_captures_line"),
        sa.PrimaryKeyConstraint("camera", "session", name="pk_captures"),
    )
    op.create_table(
        "frames",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position_mm", sa.Float(), nullable=False),
        sa.Column("length_mm", sa.Float(), nullable=False),
        sa.Column("x_offset_mm", sa.Float(), nullable=False),
        sa.Column("fabric_width_mm", sa.Float(), nullable=False),
        sa.Column("mm_per_px", sa.Float(), nullable=False),
        sa.Column("tile_px", sa.Integer(), nullable=False),
        sa.Column("overlap_px", sa.Integer(), nullable=False),
        sa.Column("tiles", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("score_max", sa.Float(), nullable=False),
        sa.Column("score_p50", sa.Float(), nullable=False),
        sa.Column("scores", sa.LargeBinary(), nullable=False),
        sa.Column("grid", sa.LargeBinary(), nullable=False),
        sa.Column("grid_rows", sa.Integer(), nullable=False),
        sa.Column("grid_columns", sa.Integer(), nullable=False),
        sa.Column("quality_flags", sa.JSON(), nullable=False),
        sa.Column("inference_ms", sa.Float(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["camera"], ["cameras.name"], name="fk_frames_camera"),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_frames_line"),
        sa.PrimaryKeyConstraint("id", name="pk_frames"),
        sa.UniqueConstraint("camera", "session", "sequence", name="uq_frames_camera_session_sequence"),
    )
    op.create_index("ix_frames_line_time", "frames", ["line", "captured_at"], unique=False)
    op.create_table(
        "gaps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position_mm", sa.Float(), nullable=False),
        sa.Column("length_mm", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["camera"], ["cameras.name"], name="fk_gaps_camera"),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_gaps_line"),
        sa.PrimaryKeyConstraint("id", name="pk_gaps"),
        sa.UniqueConstraint("camera", "session", "sequence", name="uq_gaps_camera_session_sequence"),
    )
    op.create_index("ix_gaps_line_time", "gaps", ["line", "captured_at"], unique=False)
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_promotions_model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_promotions"),
    )
    op.create_table(
        "defects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("camera", sa.String(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("x0_mm", sa.Float(), nullable=False),
        sa.Column("x1_mm", sa.Float(), nullable=False),
        sa.Column("y0_mm", sa.Float(), nullable=False),
        sa.Column("y1_mm", sa.Float(), nullable=False),
        sa.Column("x0_px", sa.Integer(), nullable=False),
        sa.Column("x1_px", sa.Integer(), nullable=False),
        sa.Column("y0_px", sa.Integer(), nullable=False),
        sa.Column("y1_px", sa.Integer(), nullable=False),
        sa.Column("area_mm2", sa.Float(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("mask", sa.LargeBinary(), nullable=False),
        sa.Column("crop", sa.String(), nullable=False),
        sa.Column("heat", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["camera"], ["cameras.name"], name="fk_defects_camera"),
        sa.ForeignKeyConstraint(["frame_id"], ["frames.id"], name="fk_defects_frame_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["line"], ["lines.name"], name="fk_defects_line"),
        sa.PrimaryKeyConstraint("id", name="pk_defects"),
    )
    op.create_index("ix_defects_frame_id", "defects", ["frame_id"], unique=False)
    op.create_index("ix_defects_line_time", "defects", ["line", "captured_at"], unique=False)
    op.create_index("ix_defects_state", "defects", ["state"], unique=False)
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("defect_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["defect_id"], ["defects.id"], name="fk_reviews_defect_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )
    op.create_index("ix_reviews_defect_id", "reviews", ["defect_id"], unique=False)
    op.create_table(
        "samples",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("picture", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("roll_group", sa.String(), nullable=False),
        sa.Column("defect_id", sa.Integer(), nullable=True),
        sa.Column("mm_per_px", sa.Float(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["defect_id"], ["defects.id"], name="fk_samples_defect_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["style"], ["styles.name"], name="fk_samples_style"),
        sa.PrimaryKeyConstraint("id", name="pk_samples"),
        sa.UniqueConstraint("picture", name="uq_samples_picture"),
    )
    op.create_index("ix_samples_style", "samples", ["style"], unique=False)


def downgrade() -> None:
    op.drop_table("samples")
    op.drop_table("reviews")
    op.drop_table("defects")
    op.drop_table("promotions")
    op.drop_table("gaps")
    op.drop_table("frames")
    op.drop_table("captures")
    op.drop_table("rolls")
    op.drop_table("models")
    op.drop_table("cameras")
    op.drop_table("styles")
    op.drop_table("lines")
    op.drop_table("jobs")
    op.drop_table("audit")
