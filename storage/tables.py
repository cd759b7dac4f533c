"""The tables. SQLAlchemy 2, for SQLite and PostgreSQL; changed only through a migration in `storage/migrations`.

A frame or gap names no roll: the roll is found by line and time of capture (`storage.rolls`), so a late frame still
lands on its own roll and a corrected boundary takes its frames with it.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, also on SQLite, which keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be stored: {value}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    metadata = MetaData(  # every constraint has a name, without which SQLite's could not be altered later
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(column_0_N_label)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        str: String,
        bytes: LargeBinary,
        float: Float,
    }


class LineRow(Table):
    """A textile line. Rows appear with the first frame, gap or roll that names the line."""

    __tablename__ = "lines"
    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    coverage_limit: Mapped[float | None]  # a roll inspected less is incomplete, 0 to 1; None: `coverage.LIMIT`


class CameraRow(Table):
    """A camera; its name is unique in the plant."""

    __tablename__ = "cameras"
    name: Mapped[str] = mapped_column(primary_key=True)
    line: Mapped[str] = mapped_column(ForeignKey("lines.name"))
    created_at: Mapped[datetime]


class StyleRow(Table):
    """A fabric style that rolls, samples and models refer to by name."""

    __tablename__ = "styles"
    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class RollRow(Table):
    """A roll covers its line's cloth captured in [opened_at, closed_at); an automatic one, what no other covers."""

    __tablename__ = "rolls"
    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[str] = mapped_column(ForeignKey("lines.name"))
    name: Mapped[str]
    style: Mapped[str]  # "" when none was entered
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    automatic: Mapped[bool]
    __table_args__ = (Unique("line", "name"), Index("ix_rolls_line_opened", "line", "automatic", "opened_at"))


class RollHoldRow(Table):
    """A roll that retention must not touch, and why."""

    __tablename__ = "roll_holds"
    roll_id: Mapped[int] = mapped_column(ForeignKey("rolls.id"), primary_key=True)
    reason: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime]


class RollGradeRow(Table):
    """How often what a roll's grade rests on has changed (`storage.roll_changes`), and the grade as it was last kept
    (`storage.grading.kept`); without a row nothing has since the roll is there."""

    __tablename__ = "roll_grades"
    roll_id: Mapped[int] = mapped_column(
        ForeignKey("rolls.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    changes: Mapped[int]
    found_at_changes: Mapped[int | None]  # the grade holds while these are the changes; None: there is none
    program: Mapped[str] = mapped_column(server_default=text("''"))  # version of loomwatch that found it
    content: Mapped[dict[str, Any] | None]


class SuspensionRow(Table):
    """A roll that staff put aside, until they cleared it: its grade is not final meanwhile."""

    __tablename__ = "suspensions"
    id: Mapped[int] = mapped_column(primary_key=True)
    roll_id: Mapped[int] = mapped_column(ForeignKey("rolls.id", ondelete="CASCADE"), index=True)
    reason: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime]
    remark: Mapped[str]  # why it was cleared, "" while it is not
    cleared_by: Mapped[str]
    cleared_at: Mapped[datetime | None]


class PruningRow(Table):
    """A roll whose cloth was forgotten (`storage.retention`): what there was of it, and why it went."""

    __tablename__ = "prunings"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    by: Mapped[str]
    reason: Mapped[str]
    line: Mapped[str]
    roll: Mapped[str]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime]
    frames: Mapped[int]
    gaps: Mapped[int]
    defects: Mapped[int]
    pictures: Mapped[int]
    pictures_left: Mapped[list[Any]]  # keys of those the picture store has not removed yet


class RollDetailRow(Table):
    """What papers say of a roll and no camera can see. "" and None: not entered."""

    __tablename__ = "roll_details"
    roll_id: Mapped[int] = mapped_column(ForeignKey("rolls.id", ondelete="CASCADE"), primary_key=True)
    lot: Mapped[str]
    dye_lot: Mapped[str]
    po: Mapped[str]
    customer: Mapped[str]
    construction: Mapped[str]
    loom: Mapped[str]
    operator: Mapped[str]
    ticketed_mm: Mapped[float | None]
    width_start_mm: Mapped[float | None]  # cuttable
    width_mid_mm: Mapped[float | None]
    width_end_mm: Mapped[float | None]
    profile: Mapped[str]  # its own grading profile, "" for the style's
    profile_version: Mapped[int]  # 0 for the newest when the roll was closed
    re_inspection_of: Mapped[str]
    parent_roll: Mapped[str]
    remarks: Mapped[str]


class GradingProfileRow(Table):
    """One version of a grading profile; never changed, a change is a further version."""

    __tablename__ = "grading_profiles"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[int]  # from 1
    content: Mapped[dict[str, Any]]
    by: Mapped[str]
    created_at: Mapped[datetime]
    __table_args__ = (Unique("name", "version"),)


class GradingChoiceRow(Table):
    """From when on a style (all styles: "") is graded by which profile."""

    __tablename__ = "grading_choices"
    id: Mapped[int] = mapped_column(primary_key=True)
    style: Mapped[str] = mapped_column(index=True)
    profile: Mapped[str]
    by: Mapped[str]
    created_at: Mapped[datetime]


class ChoreRow(Table):
    """What one process of many does once a period, such as pruning: the last period it was done in."""

    __tablename__ = "chores"
    name: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime]


# What is added up of a roll's frames stands in the index, so that the rows, with their scores, need not be read.
_OF_ROLLS = ("camera", "session", "sequence", "position_mm", "length_mm", "x_offset_mm", "fabric_width_mm")


class FrameRow(Table):
    """One inspected frame. `scores` are the tiles' image scores, `grid` the map's maxima in coarse cells.

    On PostgreSQL, frames and fragments are partitioned by month, and their keys hold `captured_at` too
    (`storage.partitions`).
    """

    __tablename__ = "frames"
    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[str] = mapped_column(ForeignKey("lines.name"))
    camera: Mapped[str] = mapped_column(ForeignKey("cameras.name"))
    session: Mapped[str]
    sequence: Mapped[int]
    origin: Mapped[str]  # the file a frame came from, "" for a camera
    captured_at: Mapped[datetime]
    position_mm: Mapped[float]
    length_mm: Mapped[float]
    x_offset_mm: Mapped[float]
    fabric_width_mm: Mapped[float]
    mm_per_px: Mapped[float]
    tile_px: Mapped[int]
    overlap_px: Mapped[int]
    tiles: Mapped[int]
    model: Mapped[str]
    style: Mapped[str]
    threshold: Mapped[float]
    score_max: Mapped[float]
    score_p50: Mapped[float]  # median tile score
    scores: Mapped[bytes]  # (tiles,), see `storage.packed_scores`
    grid: Mapped[bytes]  # (grid_rows, grid_columns), likewise
    grid_rows: Mapped[int]
    grid_columns: Mapped[int]
    quality_flags: Mapped[list[Any]]
    inference_ms: Mapped[float]  # received -> scored
    latency_ms: Mapped[float]  # captured -> stored
    stored_at: Mapped[datetime]
    __table_args__ = (
        Unique("camera", "session", "sequence"),
        Index("ix_frames_line_time", "line", "captured_at", *_OF_ROLLS),
        Index("ix_frames_camera_time", "camera", "captured_at"),
    )


class GapRow(Table):
    """Cloth that was not inspected, with its reason."""

    __tablename__ = "gaps"
    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[str] = mapped_column(ForeignKey("lines.name"))
    camera: Mapped[str] = mapped_column(ForeignKey("cameras.name"))
    session: Mapped[str]
    sequence: Mapped[int]
    captured_at: Mapped[datetime]
    position_mm: Mapped[float]
    length_mm: Mapped[float]
    reason: Mapped[str]
    stored_at: Mapped[datetime]
    __table_args__ = (
        Unique("camera", "session", "sequence"),
        Index("ix_gaps_line_time", "line", "captured_at"),
        Index("ix_gaps_camera_time", "camera", "captured_at"),
    )


class CaptureRow(Table):
    """A camera session's own count of what it captured: the other side of `inspected + gaps = captured`."""

    __tablename__ = "captures"
    camera: Mapped[str] = mapped_column(ForeignKey("cameras.name"), primary_key=True)
    session: Mapped[str] = mapped_column(primary_key=True)
    line: Mapped[str] = mapped_column(ForeignKey("lines.name"))
    frames: Mapped[int]
    captured_mm: Mapped[float]
    started_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    ended: Mapped[bool]


class RollWidthRow(Table):
    """The widest that a roll's cloth was seen, in steps of `storage.defects.merging.WIDTH_STEP_MM`."""

    __tablename__ = "roll_widths"
    roll_id: Mapped[int] = mapped_column(ForeignKey("rolls.id", ondelete="CASCADE"), primary_key=True)
    width_mm: Mapped[float]


class FragmentRow(Table):
    """What one frame shows of a defect: a region over the threshold. Its mask (bit-packed PNG) covers its pixel box."""

    __tablename__ = "fragments"
    frame_id: Mapped[int] = mapped_column(ForeignKey("frames.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # in the frame, worst first
    defect_id: Mapped[int] = mapped_column(ForeignKey("defects.id", ondelete="CASCADE"), index=True)
    roll_id: Mapped[int] = mapped_column(ForeignKey("rolls.id"))  # of the moment; a corrected boundary changes it
    camera: Mapped[str] = mapped_column(ForeignKey("cameras.name"))
    counter: Mapped[str]  # positions of one camera compare within it
    captured_at: Mapped[datetime]
    x0_mm: Mapped[float]
    x1_mm: Mapped[float]
    y0_mm: Mapped[float]
    y1_mm: Mapped[float]
    x0_px: Mapped[int]
    x1_px: Mapped[int]
    y0_px: Mapped[int]
    y1_px: Mapped[int]
    right_mm: Mapped[float]  # the fabric's right edge in the frame
    score: Mapped[float]
    threshold: Mapped[float]
    style: Mapped[str]
    hole: Mapped[bool | None]  # background shows through it; None: could not be told
    warp_line: Mapped[bool]
    start_x_mm: Mapped[float]  # its middle across, at its beginning and its end along the roll
    end_x_mm: Mapped[float]
    outline: Mapped[bytes]  # `storage.defects.outline`
    mask: Mapped[bytes]  # 1-bit PNG
    crop: Mapped[str]  # key in the picture store, "" when the picture could not be kept
    heat: Mapped[str]  # the same place, score map
    likeness: Mapped[bytes | None]  # (N,) float16, little endian: `inspection.likeness`; None: not kept
    __table_args__ = (Index("ix_fragments_roll_place", "roll_id", "y0_mm"),)


# What screens choose defects by stands in the index, so that a choice which few or none fit reads no other row.
_OF_FILTERS = ("style", "geometry", "severity", "code", "camera", "fragments", "id")


class DefectRow(Table):
    """All fragments that belong together (`storage.defects.together`), as one defect of one roll.

    Everything but review, name and series is a function of the set of its fragments. `frame_id` and `fragment` name the
    strongest one, whose score, style, camera and picture stand for the defect.
    """

    __tablename__ = "defects"
    id: Mapped[int] = mapped_column(primary_key=True)
    roll_id: Mapped[int] = mapped_column(ForeignKey("rolls.id"))
    frame_id: Mapped[int] = mapped_column(ForeignKey("frames.id", ondelete="CASCADE"), index=True)
    fragment: Mapped[int]
    fragments: Mapped[int]  # how many
    line: Mapped[str] = mapped_column(ForeignKey("lines.name"))
    camera: Mapped[str] = mapped_column(ForeignKey("cameras.name"))
    counter: Mapped[str]
    captured_at: Mapped[datetime]  # of the first fragment
    x0_mm: Mapped[float]
    x1_mm: Mapped[float]
    y0_mm: Mapped[float]
    y1_mm: Mapped[float]
    area_mm2: Mapped[float]
    size_mm: Mapped[float]  # maximum Feret diameter
    length_mm: Mapped[float]  # along its principal axis
    width_mm: Mapped[float]  # across that
    angle_deg: Mapped[float]  # of that to the warp, 0 to 90
    geometry: Mapped[str]  # `storage.defects.geometry`
    hole: Mapped[bool | None]
    right_mm: Mapped[float]  # the farthest right fabric edge of its frames
    right_reach_mm: Mapped[float]  # from its frame's right edge to its farthest point
    lane: Mapped[int]  # across the cloth, where periodic defects are looked for
    score: Mapped[float]
    threshold: Mapped[float]
    style: Mapped[str]
    peak_x_mm: Mapped[float]  # where its strongest fragment begins
    peak_y_mm: Mapped[float]
    outline: Mapped[bytes]
    strength: Mapped[float] = mapped_column(server_default=text("0"))  # score in units of the threshold
    state: Mapped[str]  # unreviewed, confirmed, rejected: follows from the next three
    confirmed: Mapped[bool]  # staff confirmed it, or a part of it
    rejected_strength: Mapped[float | None]  # of what staff rejected, score in units of the threshold
    unseen_strength: Mapped[float | None]  # of what nobody has reviewed
    code: Mapped[str]  # the name that staff chose, "" until then
    severity: Mapped[str] = mapped_column(server_default="major")  # minor, major, critical: `storage.grading.severity`
    severity_set: Mapped[bool] = mapped_column(server_default=false())  # by staff, so that no rule changes it
    points: Mapped[float] = mapped_column(server_default="0")  # that it scores by itself, by the profile of its roll
    reviewed_at: Mapped[datetime | None]  # when staff decided about it, None while it is unreviewed
    series_id: Mapped[int | None] = mapped_column(ForeignKey("series.id", ondelete="SET NULL"), index=True)
    version: Mapped[int] = mapped_column(server_default=text("0"))  # acts of staff so far, of its parts too
    __table_args__ = (
        Index("ix_defects_line_time", "line", "captured_at"),
        Index("ix_defects_roll_lane", "roll_id", "lane", "y0_mm"),
        Index("ix_defects_strength", "strength", "state", *_OF_FILTERS),
        Index("ix_defects_state_strength", "state", "strength", *_OF_FILTERS),
    )


class ConfirmedDefectRow(Table):
    """What outlives a pruned roll of its confirmed defects: each of their fragments (`storage.confirmed_defects`)."""

    __tablename__ = "confirmed_defects"
    id: Mapped[int] = mapped_column(primary_key=True)
    defect_id: Mapped[int]  # the number it had
    strongest: Mapped[bool]  # the fragment whose picture is kept
    style: Mapped[str]
    line: Mapped[str]
    camera: Mapped[str]
    counter: Mapped[str]
    x0_mm: Mapped[float]
    x1_mm: Mapped[float]
    y0_mm: Mapped[float]
    y1_mm: Mapped[float]
    x0_px: Mapped[int]  # on the fabric of its frame, as the rest
    x1_px: Mapped[int]
    y0_px: Mapped[int]
    y1_px: Mapped[int]
    fabric_width_px: Mapped[int]
    fabric_length_px: Mapped[int]
    mm_per_px: Mapped[float]
    mask: Mapped[bytes]
    crop: Mapped[str]
    likeness: Mapped[bytes | None]
    captured_at: Mapped[datetime]
    __table_args__ = (Index("ix_confirmed_defects_place", "camera", "counter", "y0_mm"),)


class MergedDefectRow(Table):
    """A defect that became part of another: its number still leads there."""

    __tablename__ = "merged_defects"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    into_id: Mapped[int] = mapped_column(ForeignKey("defects.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]


class DefectCutRow(Table):
    """Staff parted a defect (`storage.defects.by_hand`): pieces that were taken out never again join the rest."""

    __tablename__ = "defect_cuts"
    id: Mapped[int] = mapped_column(primary_key=True)
    defect_id: Mapped[int] = mapped_column(ForeignKey("defects.id", ondelete="CASCADE"), index=True)  # taken out
    line: Mapped[str] = mapped_column(ForeignKey("lines.name"))
    y0_mm: Mapped[float]  # where along the roll it can matter
    y1_mm: Mapped[float]
    pieces: Mapped[list[Any]]  # [frame, number, taken out], a fragment each
    __table_args__ = (Index("ix_defect_cuts_line_place", "line", "y0_mm"),)


class DefectLinkRow(Table):
    """Staff joined two fragments, wherever they lie on their roll."""

    __tablename__ = "defect_links"
    id: Mapped[int] = mapped_column(primary_key=True)
    defect_id: Mapped[int] = mapped_column(ForeignKey("defects.id", ondelete="CASCADE"), index=True)
    frame_a: Mapped[int]
    number_a: Mapped[int]
    frame_b: Mapped[int]
    number_b: Mapped[int]


class SeriesRow(Table):
    """Defects at equal spaces, as a damaged roller makes them (`storage.defects.periodic`)."""

    __tablename__ = "series"
    id: Mapped[int] = mapped_column(primary_key=True)
    roll_id: Mapped[int] = mapped_column(ForeignKey("rolls.id", ondelete="CASCADE"))
    line: Mapped[str] = mapped_column(ForeignKey("lines.name"))
    camera: Mapped[str] = mapped_column(ForeignKey("cameras.name"))
    counter: Mapped[str]
    lane: Mapped[int]
    x_mm: Mapped[float]
    period_mm: Mapped[float]
    zero_mm: Mapped[float]  # the first hit's fitted place
    hits: Mapped[int]
    slots: Mapped[int]  # from the first hit to the last
    first_mm: Mapped[float]
    last_mm: Mapped[float]
    suspect: Mapped[str]  # the machine element that turns with this period, "" when none is known
    open: Mapped[bool]
    opened_at: Mapped[datetime]  # when its last needed hit was captured
    closed_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_series_roll", "roll_id", "open"),)


class MachineElementRow(Table):
    """A part of a line's machine that can leave marks at equal spaces."""

    __tablename__ = "machine_elements"
    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[str] = mapped_column(ForeignKey("lines.name"))
    name: Mapped[str]
    kind: Mapped[str]  # roller, screen, feeders
    values: Mapped[dict[str, Any]]  # diameter_mm; or repeat_mm; or feeders and courses_per_cm
    period_mm: Mapped[float]
    __table_args__ = (Unique("line", "name"),)


class ReviewRow(Table):
    """The history of a defect: each act of staff. The latest verdict is the defect's state."""

    __tablename__ = "reviews"
    id: Mapped[int] = mapped_column(primary_key=True)
    defect_id: Mapped[int] = mapped_column(ForeignKey("defects.id", ondelete="CASCADE"), index=True)
    act: Mapped[str] = mapped_column(server_default="verdict")  # verdict, name, severity, merge, split
    state: Mapped[str]  # what was chosen: a state, a name's code, a severity, numbers of defects
    previous: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime]
    __table_args__ = (Index("ix_reviews_by", "by", "act", "at", "defect_id"),)


class ClothTotalRow(Table):
    """What passed a camera in a minute or an hour, and the defects first captured then, as they are now
    (`storage.trends.totals`). Pruning takes nothing out of any total."""

    __tablename__ = "cloth_totals"
    line: Mapped[str] = mapped_column(primary_key=True)
    span: Mapped[int] = mapped_column(primary_key=True)  # 1 or 60 minutes
    start: Mapped[int] = mapped_column(primary_key=True)  # minutes since 1970, UTC; a multiple of the span
    camera: Mapped[str] = mapped_column(primary_key=True)
    style: Mapped[str] = mapped_column(primary_key=True)  # "" for gaps, of which nobody knows the style
    frames: Mapped[int]
    inspected_um: Mapped[int] = mapped_column(BigInteger)  # whole numbers add up to the same in any order
    inspected_mm2: Mapped[int] = mapped_column(BigInteger)
    gap_um: Mapped[int] = mapped_column(BigInteger)
    found: Mapped[int]  # with false alarms
    confirmed: Mapped[int]
    rejected: Mapped[int]
    points_1000: Mapped[int] = mapped_column(BigInteger)  # thousandths, of those not rejected
    reviewed: Mapped[int]  # of which the time of review is known
    review_s: Mapped[int] = mapped_column(BigInteger)  # from capture to review, all together
    minutes: Mapped[int] = mapped_column(BigInteger)  # one bit for each minute of the hour in which cloth passed


class DefectTotalRow(Table):
    """The same defects by their kind, of a minute, an hour or a day (UTC)."""

    __tablename__ = "defect_totals"
    line: Mapped[str] = mapped_column(primary_key=True)
    span: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[int] = mapped_column(primary_key=True)
    camera: Mapped[str] = mapped_column(primary_key=True)
    style: Mapped[str] = mapped_column(primary_key=True)
    geometry: Mapped[str] = mapped_column(primary_key=True)
    severity: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    found: Mapped[int]
    confirmed: Mapped[int]
    rejected: Mapped[int]
    points_1000: Mapped[int] = mapped_column(BigInteger)
    reviewed: Mapped[int]
    review_s: Mapped[int] = mapped_column(BigInteger)


class BandTotalRow(Table):
    """Defects of a day (UTC) that lie in a band across the cloth, false alarms and full-width ones left out."""

    __tablename__ = "band_totals"
    line: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True)  # since 1970
    style: Mapped[str] = mapped_column(primary_key=True)
    band: Mapped[int] = mapped_column(primary_key=True)  # of `storage.trends.totals.BAND_MM`, from the left edge
    found: Mapped[int]


class ScoreTotalRow(Table):
    """Frames of a day (UTC) by their median tile score in units of the threshold: normal fabric's scores."""

    __tablename__ = "score_totals"
    line: Mapped[str] = mapped_column(primary_key=True)
    camera: Mapped[str] = mapped_column(primary_key=True)
    style: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True)
    bin: Mapped[int] = mapped_column(primary_key=True)  # of `storage.trends.totals.BINS`
    frames: Mapped[int]


class DriftRow(Table):
    """A day's scores of a camera and style against those that its model began with (`storage.trends.drift`)."""

    __tablename__ = "drift"
    line: Mapped[str] = mapped_column(primary_key=True)
    camera: Mapped[str] = mapped_column(primary_key=True)
    style: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str]  # the last one of the day
    state: Mapped[str]  # gathering, steady, watch, drifted
    frames: Mapped[int]
    reference_frames: Mapped[int]
    psi: Mapped[float]
    ks: Mapped[float]
    p_value: Mapped[float]
    judged_at: Mapped[datetime]


class SampleRow(Table):
    """A picture of normal fabric to learn from, with where it came from. What was captured together (`roll_group`, and
    what shares its `day`) stays together in a split. Only what is `accepted` and `active` is learned."""

    __tablename__ = "samples"
    id: Mapped[int] = mapped_column(primary_key=True)
    style: Mapped[str] = mapped_column(ForeignKey("styles.name"), index=True)
    picture: Mapped[str] = mapped_column(unique=True)  # key in the picture store
    source: Mapped[str]  # `storage.samples.SOURCES`
    roll_group: Mapped[str]
    defect_id: Mapped[int | None] = mapped_column(ForeignKey("defects.id", ondelete="SET NULL"), index=True)
    mm_per_px: Mapped[float]
    active: Mapped[bool]
    by: Mapped[str]
    created_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(server_default="accepted", index=True)  # waits, held, accepted, refused
    reasons: Mapped[list[Any]] = mapped_column(insert_default=list)  # why it is held (`storage.samples.Reason`)
    decided_by: Mapped[str] = mapped_column(server_default=text("''"))  # "" for the guard
    decided_at: Mapped[datetime | None]
    why: Mapped[str] = mapped_column(server_default=text("''"))  # in the words of who gave it
    line: Mapped[str] = mapped_column(server_default=text("''"))  # "" for pictures that came as files, and so below
    roll: Mapped[str] = mapped_column(server_default=text("''"))
    day: Mapped[str] = mapped_column(server_default=text("''"))  # on which its roll was opened, UTC
    camera: Mapped[str] = mapped_column(server_default=text("''"))
    counter: Mapped[str] = mapped_column(server_default=text("''"))  # of its positions, as a fragment's
    x0_mm: Mapped[float | None]
    x1_mm: Mapped[float | None]
    y0_mm: Mapped[float | None]
    y1_mm: Mapped[float | None]
    captured_at: Mapped[datetime | None]
    model: Mapped[str] = mapped_column(server_default=text("''"))  # that scored it first
    score: Mapped[float | None]  # its highest
    threshold: Mapped[float | None]  # of the model then
    look: Mapped[str] = mapped_column(server_default=text("''"))  # `storage.near_duplicates`
    capture_id: Mapped[int | None] = mapped_column(ForeignKey("sample_captures.id"), index=True)
    priority: Mapped[float | None]  # of a reservoir's: the lowest stay


class SampleCaptureRow(Table):
    """What staff asked a running camera for: a golden roll, metre by metre, or its next frame."""

    __tablename__ = "sample_captures"
    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str]  # golden or frame
    line: Mapped[str]
    camera: Mapped[str]
    style: Mapped[str]
    metres: Mapped[int]  # asked for; of a frame 1
    state: Mapped[str]  # running, done, stopped, failed
    why: Mapped[str]
    by: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class SampleSetRow(Table):
    """What a training learned from, frozen: every picture with its checksum, and every setting
    (`storage.sample_sets`)."""

    __tablename__ = "sample_sets"
    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]
    sha256: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime]


class SensitivityRow(Table):
    """How a model's threshold of a style was moved, and why; the latest of a model and style holds."""

    __tablename__ = "sensitivities"
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    style: Mapped[str]
    factor: Mapped[float]  # of the threshold that the model came with
    per_100m: Mapped[float | None]  # false alarms that were asked for; None: the model's own threshold again
    metres: Mapped[float]  # of cloth that the change was replayed on
    reason: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime]


class ModelRow(Table):
    """A registered bundle. It runs when it is the latest promotion's."""

    __tablename__ = "models"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    path: Mapped[str]  # bundle folder
    sha256: Mapped[str]  # of the manifest
    manifest: Mapped[dict[str, Any]]
    source: Mapped[str]  # imported, trained or retrained
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    by: Mapped[str]
    created_at: Mapped[datetime]


class PromotionRow(Table):
    """An act that put a model in charge, of all styles or of one; what is in force follows from all of them
    (`storage.in_force`)."""

    __tablename__ = "promotions"
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    action: Mapped[str]  # promote or rollback
    style: Mapped[str] = mapped_column(server_default=text("''"))  # that it is for alone, "" for all
    reason: Mapped[str] = mapped_column(server_default=text("''"))
    by: Mapped[str]
    at: Mapped[datetime]


class ModelPolicyRow(Table):
    """One row: the rules of the gate, and when a model is promoted by rule (`storage.model_policy`)."""

    __tablename__ = "model_policy"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[dict[str, Any]]
    by: Mapped[str]
    updated_at: Mapped[datetime]


class GateRow(Table):
    """What the gate found of a model beside the one that ran (`storage.gates`); None: none ran."""

    __tablename__ = "gates"
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    against_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    verdict: Mapped[str]  # passed, failed
    rules: Mapped[list[Any]]
    by: Mapped[str]
    at: Mapped[datetime]


class ShadowRow(Table):
    """A candidate that scores a share of live frames beside the running model (`storage.shadow`)."""

    __tablename__ = "shadows"
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    against_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    share: Mapped[float]  # of frames, 0 to 1
    budget: Mapped[float]  # of a worker's time, 0 to 1
    metres: Mapped[float]  # after which it is done
    state: Mapped[str]  # running, done, stopped
    message: Mapped[str]  # how it ended, "" before
    by: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ShadowFrameRow(Table):
    """One frame by both models: alarms that both raised, and each alone."""

    __tablename__ = "shadow_frames"
    id: Mapped[int] = mapped_column(primary_key=True)
    shadow_id: Mapped[int] = mapped_column(ForeignKey("shadows.id", ondelete="CASCADE"))
    camera: Mapped[str]
    session: Mapped[str]
    sequence: Mapped[int] = mapped_column(BigInteger)
    style: Mapped[str]
    captured_at: Mapped[datetime]
    metres: Mapped[float]
    both: Mapped[int]
    only_running: Mapped[int]
    only_candidate: Mapped[int]
    spent_ms: Mapped[float]
    pictures: Mapped[list[Any]]  # of alarms that one alone raised: `storage.shadow.Apart`
    __table_args__ = (Unique("shadow_id", "camera", "session", "sequence"),)


class JobRow(Table):
    """A retraining, from request to its end (`storage.jobs`)."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]  # queued, running, done, failed, cancelled
    progress: Mapped[float]  # 0 to 1
    message: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    by: Mapped[str]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    style: Mapped[str] = mapped_column(server_default=text("''"))  # what it is meant for; "": all styles
    device: Mapped[str] = mapped_column(server_default=text("''"))  # cpu or cuda; "": any
    reason: Mapped[str] = mapped_column(server_default=text("''"))
    time_limit_s: Mapped[float] = mapped_column(server_default=text("86400"))
    tries: Mapped[int] = mapped_column(server_default=text("0"))  # begun so often
    not_before: Mapped[datetime | None]
    holder: Mapped[str] = mapped_column(server_default=text("''"))  # the trainer that runs it
    heartbeat_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]  # as it looks while it runs
    losses: Mapped[list[Any] | None]  # [run of the heads, epoch, loss]
    log: Mapped[list[Any] | None]  # [time, line], the last ones


class ScheduleRow(Table):
    """When trainings are asked for by themselves (`storage.schedules`)."""

    __tablename__ = "schedules"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    content: Mapped[dict[str, Any]]
    by: Mapped[str]
    updated_at: Mapped[datetime]
    last_run_at: Mapped[datetime | None]
    last_job_id: Mapped[str | None]
    next_run_at: Mapped[datetime | None]  # None: when something happens
    seen: Mapped[dict[str, Any]]  # what has been acted upon


class LeaseRow(Table):
    """Who acts, of several processes of which only one may."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    until: Mapped[datetime]


class AuditRow(Table):
    """Every change by a person: who, when, what."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    by: Mapped[str]
    action: Mapped[
        str
    ]  # roll.open, roll.close, profile.add, defect.review, sample.add, model.import, model.promote, ...
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]


class AlarmRuleRow(Table):
    """A rule of alarms (`storage.alarms.rules`); line "": for all lines that have none of this name."""

    __tablename__ = "alarm_rules"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    line: Mapped[str]
    content: Mapped[dict[str, Any]]
    by: Mapped[str]
    updated_at: Mapped[datetime]
    __table_args__ = (Unique("name", "line"),)


class AlarmSinkRow(Table):
    """Where notices of alarms go (`storage.alarms.sinks`)."""

    __tablename__ = "alarm_sinks"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    content: Mapped[dict[str, Any]]
    by: Mapped[str]
    updated_at: Mapped[datetime]


class AlarmRow(Table):
    """One alarm, from its first raise until it is acknowledged and over (`storage.alarms.life`)."""

    __tablename__ = "alarms"
    id: Mapped[int] = mapped_column(primary_key=True)
    rule: Mapped[str]
    kind: Mapped[str]
    line: Mapped[str]
    subject: Mapped[str]  # which camera, series, ...; "" where the line itself is meant
    priority: Mapped[str]
    message: Mapped[str]
    value: Mapped[float | None]
    active: Mapped[bool]
    open: Mapped[bool]
    occurrences: Mapped[int]
    raised_at: Mapped[datetime]
    waiting_since: Mapped[datetime | None]
    cleared_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    seen_by: Mapped[str]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str]
    note: Mapped[str]
    escalated_at: Mapped[datetime | None]
    noticed_at: Mapped[datetime | None]  # when sinks were last given a raise of it
    held: Mapped[bool]  # its latest event waits for the rate limit
    __table_args__ = (
        Index(
            "uq_alarms_open",
            "rule",
            "line",
            "subject",
            unique=True,
            sqlite_where=text("open"),
            postgresql_where=text("open"),
        ),
        Index("ix_alarms_rule_line", "rule", "line", "subject", "noticed_at"),
        Index("ix_alarms_open", "open", "raised_at"),
    )


class AlarmOccurrenceRow(Table):
    """A defect or series that an alarm stands for; it raises a rule once, whatever becomes of the alarm."""

    __tablename__ = "alarm_occurrences"
    rule: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    alarm_id: Mapped[int] = mapped_column(ForeignKey("alarms.id", ondelete="CASCADE"), index=True)


class AlarmEventRow(Table):
    """What happened to an alarm, when and by whom; `content` is what sinks are told. Its `uid` never changes."""

    __tablename__ = "alarm_events"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(unique=True)
    alarm_id: Mapped[int] = mapped_column(ForeignKey("alarms.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]  # raised, recurred, cleared, seen, acknowledged, escalated
    at: Mapped[datetime]
    by: Mapped[str]  # "" for the alarm service itself
    content: Mapped[dict[str, Any]]


class AlarmDeliveryRow(Table):
    """The outbox: an event that a sink is to be told. Told ones are kept for a while, missed ones as long as alarms."""

    __tablename__ = "alarm_deliveries"
    id: Mapped[int] = mapped_column(primary_key=True)
    sink: Mapped[str]
    event_id: Mapped[int] = mapped_column(ForeignKey("alarm_events.id", ondelete="CASCADE"), index=True)
    state: Mapped[str]  # waiting, delivered, missed
    attempts: Mapped[int]
    problem: Mapped[str]  # of the latest try, "" after one that went well
    queued_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_alarm_deliveries_sink", "sink", "state", "id"),)


class AlarmServiceRow(Table):
    """One row: who acts, until when, and how far the record is read."""

    __tablename__ = "alarm_service"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    holder: Mapped[str]
    until: Mapped[datetime]
    frame_id: Mapped[int]
    gap_id: Mapped[int]


class UserRow(Table):
    """Somebody who may use the screens (`storage.accounts`)."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)  # the name as names are compared
    role: Mapped[str]  # viewer, operator, quality, admin
    password: Mapped[str]  # argon2id; "" for an account that is signed in to in another way
    origin: Mapped[str]  # local, company, demo
    subject: Mapped[str | None] = mapped_column(
        unique=True, index=True
    )  # of the company's: its provider's name and number
    disabled: Mapped[bool]
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]
    language: Mapped[str] = mapped_column(default="", server_default=text("''"))  # "": as the browser asks
    units: Mapped[str] = mapped_column(default="", server_default=text("''"))  # metric, imperial; "": metric


class SessionRow(Table):
    """A browser that is signed in."""

    __tablename__ = "user_sessions"
    hash: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the browser's secret
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime]


class OneTimeLinkRow(Table):
    """A way in that works once (`storage.accounts.links`)."""

    __tablename__ = "one_time_links"
    hash: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str]  # first-admin, password, demo
    name: Mapped[str]  # of the user whose password it sets
    expires_at: Mapped[datetime]


class SignInTallyRow(Table):
    """Wrong passwords of an account, an address or both; or an address from which somebody has signed in before."""

    __tablename__ = "sign_in_tallies"
    key: Mapped[str] = mapped_column(primary_key=True)  # a hash (`storage.accounts.slowing`)
    failures: Mapped[int]
    last_at: Mapped[datetime]
