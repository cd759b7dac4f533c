"""What arrives from the line: inspected frames with their defects, gaps, and the cameras' own counts.

Each is one transaction and idempotent by (camera, session, sequence), so that a record sent twice, even to two workers
at once, is stored once. Frames and gaps share the sequence: a key stored as the one is not stored as the other. Crops
go to the picture store first, under keys made from the frame's; without the store the frame is kept, its crops are not.
"""

import logging
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import bindparam, event, exists, or_, select
from sqlalchemy.orm import Session

from inspection.errors import RecordRefused, StorageError
from inspection.types import Capture, Defect, FrameHeader, FrameKey, FrameReport, Gap
from storage.database import Database
from storage.defects.geometry import form
from storage.defects.merging import lock_line, place_fragments, widen_roll
from storage.defects.outline import encode_outline, measure, outline_of
from storage.defects.series import close_series, find_series
from storage.defects.together import ends_of
from storage.masks import encode_mask
from storage.pictures import PictureStore, picture_key
from storage.rolls import ensure_roll, roll_id_at
from storage.tables import CameraRow, CaptureRow, FrameRow, GapRow, LineRow, StyleRow
from storage.trends.totals import count_frame, count_gap

logger = logging.getLogger(__name__)

CLOCK_STEP = timedelta(seconds=2)

# Built once, over the tables: every frame asks them, and to build a statement costs more than to run it.
_FRAMES, _GAPS = FrameRow.__table__, GapRow.__table__
_OF_SESSION = (_FRAMES.c.camera == bindparam("camera")) & (_FRAMES.c.session == bindparam("session"))
_STORED = select(
    or_(
        *(
            exists().where(
                table.c.camera == bindparam("camera"),
                table.c.session == bindparam("session"),
                table.c.sequence == bindparam("sequence"),
            )
            for table in (_FRAMES, _GAPS)
        )
    )
)
_NEIGHBOURS = select(
    *(
        select(_FRAMES.c.captured_at).where(_OF_SESSION, side).order_by(order).limit(1).scalar_subquery()
        for side, order in (
            (_FRAMES.c.sequence < bindparam("sequence"), _FRAMES.c.sequence.desc()),
            (_FRAMES.c.sequence > bindparam("sequence"), _FRAMES.c.sequence),
        )
    )
)


def store_report(database: Database, pictures: PictureStore, report: FrameReport) -> bool:
    """Stores a frame and its defects; False when its key was there already.

    Its defects are placed on the roll as fragments and join those that they belong together with.

    Raises `RecordRefused` when the report contradicts itself or what is stored of its session, or holds what the
    database does not take, another `StorageError` when the database refuses for now; nothing is stored then.
    """
    _check(report)
    if report.crops:  # a frame sent again: spare its pictures
        with database.reading() as session:
            if _is_stored(session, report.header.key):
                return False
    crops = _put_crops(pictures, report)
    fragments = [
        _fragment_values(report, number, defect, mask=encode_mask(defect.mask), crop=crop, heat=heat)
        for number, (defect, (crop, heat)) in enumerate(zip(report.defects, crops, strict=True))
    ]
    with database.session() as session:
        if not _claim(database, session, report.header.key):
            return False
        header, now = report.header, datetime.now(UTC)
        _refuse_clock(session, header)
        styles = {report.style, *(defect.style for defect in report.defects)} - {""}
        _ensure_names(database, session, line=header.line, camera=header.camera, styles=styles)
        roll_id = ensure_roll(database, session, line=header.line, at=header.captured_at)
        values = _frame_values(report, stored_at=now)
        frame_id = database.insert_new(session, FrameRow, **values)
        if frame_id is None:
            return False
        count_frame(session, values)
        widen_roll(database, session, line=header.line, roll_id=roll_id, right_mm=_right_mm(header))
        if fragments:
            if lock_line(database, session, header.line):  # until then the roll's boundary may have moved
                roll_id = roll_id_at(session, line=header.line, at=header.captured_at)
            placed = [{**values, "frame_id": frame_id} for values in fragments]
            defects = place_fragments(session, line=header.line, roll_id=roll_id, fragments=placed)
            find_series(session, defects)
        close_series(session, roll_id=roll_id, counter=header.session, end_mm=header.position_mm + header.length_mm)
    return True


def store_gap(database: Database, gap: Gap) -> bool:
    """Stores a gap; False when its key was there already. Raises `StorageError`."""
    if not math.isfinite(gap.position_from_mm) or not math.isfinite(gap.position_to_mm) or gap.length_mm < 0:
        raise RecordRefused(
            f"gap {_name(gap.key)} cannot reach from {gap.position_from_mm} mm to {gap.position_to_mm} mm"
        )
    with database.session() as session:
        if not _claim(database, session, gap.key):
            return False
        _ensure_names(database, session, line=gap.line, camera=gap.camera, styles=set())
        ensure_roll(database, session, line=gap.line, at=gap.captured_at)
        stored = database.insert_new(
            session,
            GapRow,
            line=gap.line,
            camera=gap.camera,
            session=gap.session,
            sequence=gap.sequence,
            captured_at=gap.captured_at,
            position_mm=gap.position_from_mm,
            length_mm=gap.length_mm,
            reason=gap.reason,
            stored_at=datetime.now(UTC),
        )
        if stored is not None:
            count_gap(session, line=gap.line, camera=gap.camera, captured_at=gap.captured_at, length_mm=gap.length_mm)
        return stored is not None


def store_capture(database: Database, capture: Capture) -> None:
    """Stores a camera session's count; one that comes late never sets a later one back. Raises `StorageError`."""
    if not math.isfinite(capture.captured_mm):
        raise RecordRefused(f"session {capture.session} of camera {capture.camera}: captured_mm {capture.captured_mm}")
    now = datetime.now(UTC)
    with database.session() as session:
        _ensure_names(database, session, line=capture.line, camera=capture.camera, styles=set())
        new = database.insert_new(
            session,
            CaptureRow,
            camera=capture.camera,
            session=capture.session,
            line=capture.line,
            frames=capture.frames,
            captured_mm=capture.captured_mm,
            started_at=datetime.fromtimestamp(capture.started_at_ns / 1e9, tz=UTC),
            updated_at=now,
            ended=capture.ended,
        )
        if new is not None:
            return
        row = session.get_one(CaptureRow, (capture.camera, capture.session), with_for_update=True)
        if capture.frames >= row.frames:
            row.frames, row.captured_mm, row.updated_at = capture.frames, capture.captured_mm, now
        row.ended = row.ended or capture.ended


def _is_stored(session: Session, key: FrameKey) -> bool:
    return bool(session.connection().execute(_STORED, key._asdict()).scalar())


def _claim(database: Database, session: Session, key: FrameKey) -> bool:
    """Holds the key for this transaction; False when it is stored already. Two tables share the keys, so a unique
    constraint alone would not do."""
    database.lock(session, f"record:{key.camera}:{key.session}:{key.sequence}")
    return not _is_stored(session, key)


def _refuse_clock(session: Session, header: FrameHeader) -> None:
    """Within a session time goes on with the sequence; a host's clock that is set back would put cloth on another roll.

    Small steps, as clocks are kept right with, are let through.
    """
    earlier, later = session.connection().execute(_NEIGHBOURS, header.key._asdict()).one()
    at = header.captured_at
    if earlier is not None and at < earlier - CLOCK_STEP:
        neighbour, word = earlier, "before"
    elif later is not None and at > later + CLOCK_STEP:
        neighbour, word = later, "after"
    else:
        return
    raise RecordRefused(
        f"frame {_name(header.key)}: captured_at {at.isoformat()} is {word} its neighbour's in the session, "
        f"{neighbour.isoformat()}: the clock of the camera's host went back, set it right"
    )


def _ensure_names(database: Database, session: Session, *, line: str, camera: str, styles: set[str]) -> None:
    """Always in this order: two transactions that add the same names then wait for, and never block, each other."""
    now, wanted = datetime.now(UTC), {("line", line), ("camera", camera), *(("style", style) for style in styles)}
    if wanted <= database.known_names:
        return
    database.insert_new(session, LineRow, name=line, created_at=now)
    database.insert_new(session, CameraRow, name=camera, line=line, created_at=now)
    for style in sorted(styles):
        database.insert_new(session, StyleRow, name=style, created_at=now)
    event.listen(session, "after_commit", lambda _: database.known_names.update(wanted), once=True)


def _put_crops(pictures: PictureStore, report: FrameReport) -> list[tuple[str, str]]:
    """Keys of each defect's crop and heat; "" for what could not be kept."""
    header = report.header
    place = ("defects", header.line, header.camera, header.session, f"{header.sequence:09d}")
    keys = []
    for index, (crop, heat) in enumerate(report.crops):
        wanted = ((picture_key(*place, f"{index}.png"), crop), (picture_key(*place, f"{index}_heat.png"), heat))
        keys.append(tuple(_put(pictures, key, data) for key, data in wanted))
    return [(crop, heat) for crop, heat in keys]


def _put(pictures: PictureStore, key: str, data: bytes) -> str:
    try:
        pictures.put(key, data)
    except StorageError as error:
        logger.warning("a defect is stored without its picture: %s", error)
        return ""
    return key


def _frame_values(report: FrameReport, *, stored_at: datetime) -> dict[str, Any]:
    header = report.header
    rows, columns = report.score_grid.shape
    return {
        "line": header.line,
        "camera": header.camera,
        "session": header.session,
        "sequence": header.sequence,
        "origin": header.origin,
        "captured_at": header.captured_at,
        "position_mm": header.position_mm,
        "length_mm": header.length_mm,
        "x_offset_mm": header.x_offset_mm,
        "fabric_width_mm": (header.fabric_right_px - header.fabric_left_px) * header.mm_per_px,
        "mm_per_px": header.mm_per_px,
        "tile_px": report.tile_px,
        "overlap_px": report.overlap_px,
        "tiles": len(report.tile_scores),
        "model": report.model,
        "style": report.style,
        "threshold": report.threshold,
        "score_max": float(report.tile_scores.max()),
        "score_p50": float(np.median(report.tile_scores)),
        "scores": report.tile_scores.astype("<f4").tobytes(),
        "grid": report.score_grid.astype("<f4").tobytes(),
        "grid_rows": rows,
        "grid_columns": columns,
        "quality_flags": list(header.quality_flags),
        "inference_ms": (report.scored_at_ns - report.received_at_ns) / 1e6,
        "latency_ms": max(0.0, stored_at.timestamp() * 1e3 - header.captured_at_ns / 1e6),  # two hosts' clocks
        "stored_at": stored_at,
    }


def _fragment_values(
    report: FrameReport, number: int, defect: Defect, *, mask: bytes, crop: str, heat: str
) -> dict[str, Any]:
    mm_per_px = report.header.mm_per_px
    outline = outline_of(defect.mask, x0_mm=defect.x0_mm, y0_mm=defect.y0_mm, mm_per_px=mm_per_px)
    start_x_mm, end_x_mm = ends_of(defect.mask, x0_mm=defect.x0_mm, mm_per_px=mm_per_px)
    return {
        "number": number,
        "camera": report.header.camera,
        "counter": report.header.session,
        "captured_at": report.header.captured_at,
        "x0_mm": defect.x0_mm,
        "x1_mm": defect.x1_mm,
        "y0_mm": defect.y0_mm,
        "y1_mm": defect.y1_mm,
        "x0_px": defect.x0_px,
        "x1_px": defect.x1_px,
        "y0_px": defect.y0_px,
        "y1_px": defect.y1_px,
        "right_mm": _right_mm(report.header),
        "score": defect.score,
        "threshold": defect.threshold,
        "style": defect.style,
        "hole": defect.hole,
        "warp_line": form(measure(outline)) == "warp_line",
        "start_x_mm": start_x_mm,
        "end_x_mm": end_x_mm,
        "outline": encode_outline(outline),
        "mask": mask,
        "crop": crop,
        "heat": heat,
    }


def _right_mm(header: FrameHeader) -> float:
    """The fabric's right edge, from the cloth's left one."""
    return header.x_offset_mm + (header.fabric_right_px - header.fabric_left_px) * header.mm_per_px


def _check(report: FrameReport) -> None:
    """A report that contradicts itself is refused at the door: a not-a-number would be found only by its readers."""
    header, name = report.header, f"frame {_name(report.header.key)}"
    if len(report.tile_scores) == 0 or report.score_grid.ndim != 2 or report.score_grid.size == 0:
        raise RecordRefused(f"{name} has no scores")
    if len(report.crops) != len(report.defects):
        raise RecordRefused(f"{name} has {len(report.defects)} defects and crops of {len(report.crops)}")
    numbers: dict[str, float] = {
        "position_mm": header.position_mm,
        "mm_per_px": header.mm_per_px,
        "x_offset_mm": header.x_offset_mm,
        "threshold": report.threshold,
        "tile_scores": float(report.tile_scores.sum(dtype=np.float64)),
        "score_grid": float(report.score_grid.sum(dtype=np.float64)),
    }
    for index, defect in enumerate(report.defects):
        box = (defect.y1_px - defect.y0_px, defect.x1_px - defect.x0_px)
        if defect.mask.shape != box or min(box) < 1:
            raise RecordRefused(f"{name}: the mask of defect {index} is {defect.mask.shape}, its box {box}")
        places = (defect.x0_mm, defect.x1_mm, defect.y0_mm, defect.y1_mm, defect.area_mm2)
        numbers[f"defect {index}"] = sum((*places, defect.score, defect.threshold))
    for field, value in numbers.items():
        if not math.isfinite(value):
            raise RecordRefused(f"{name}: {field} must be a finite number, got {value}")
    for index, defect in enumerate(report.defects):
        _check_place(header, defect, f"{name}: defect {index}")


def _check_place(header: FrameHeader, defect: Defect, name: str) -> None:
    """A mask lies on its frame, and in mm where it lies in pixels."""
    if not defect.mask.any():
        raise RecordRefused(f"{name}: its mask is empty")
    left, scale = header.fabric_left_px, header.mm_per_px
    expected = {
        "x0_mm": header.x_offset_mm + (defect.x0_px - left) * scale,
        "x1_mm": header.x_offset_mm + (defect.x1_px - left) * scale,
        "y0_mm": header.position_mm + defect.y0_px * scale,
        "y1_mm": header.position_mm + defect.y1_px * scale,
    }
    sides = (("x0_px", header.width_px), ("x1_px", header.width_px), ("y0_px", header.height_px))
    for field, limit in (*sides, ("y1_px", header.height_px)):
        if not 0 <= (value := getattr(defect, field)) <= limit:
            raise RecordRefused(f"{name}: {field} must lie on its frame, in [0, {limit}], got {value}")
    for field, wanted in expected.items():
        if abs((value := getattr(defect, field)) - wanted) > scale / 2:
            raise RecordRefused(f"{name}: {field} must be {wanted:.3f} mm where its pixels lie, got {value:.3f}")


def _name(key: FrameKey) -> str:
    return f"{key.camera}/{key.session}/{key.sequence}"
