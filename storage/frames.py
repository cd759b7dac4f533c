"""What arrives from the line: inspected frames with their defects, gaps, and the cameras' own counts.

Each is stored in one transaction, frames that are ready together in one for all of them, and is idempotent by (camera,
session, sequence), so that a record sent twice, even to two workers at once, is stored once. Frames and gaps share the
sequence: a key stored as the one is not stored as the other. Crops go to the picture store first, under keys made from
the frame's; without the store the frame is kept, its crops are not.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import bindparam, event, select, union_all
from sqlalchemy.orm import Session

from inspection.errors import RecordRefused
from inspection.types import Capture, Defect, FrameHeader, FrameKey, FrameReport, Gap
from storage.bulk import take_numbers, write_rows
from storage.database import Database
from storage.defects.geometry import form
from storage.defects.merging import lock_line, place_fragments, widen_roll
from storage.defects.outline import encode_outline, measure, outline_of
from storage.defects.series import close_series, find_series
from storage.defects.together import ends_of
from storage.masks import encode_mask
from storage.packed_scores import pack_scores
from storage.pictures import PictureStore, picture_key
from storage.roll_changes import note_cloth
from storage.rolls import ensure_rolls, rolls_of
from storage.tables import CameraRow, CaptureRow, FrameRow, GapRow, LineRow, StyleRow
from storage.trends.totals import count_frame, count_gap

logger = logging.getLogger(__name__)

CLOCK_STEP = timedelta(seconds=2)
LONGEST_LIKENESS = 512  # bytes

# Built once, over the tables: every batch asks them, and to build a statement costs more than to run it.
_FRAMES, _GAPS = FrameRow.__table__, GapRow.__table__
_STORED = union_all(
    *(
        select(table.c.sequence).where(
            table.c.camera == bindparam("camera"),
            table.c.session == bindparam("session"),
            table.c.sequence.in_(bindparam("sequences", expanding=True)),
        )
        for table in (_FRAMES, _GAPS)
    )
)


def _nearest(table: Any, *, before: bool) -> Any:
    """The record of a session that is nearest to a sequence number, on one side of it."""
    sequence = table.c.sequence
    side = sequence < bindparam("sequence") if before else sequence > bindparam("sequence")
    of_session = (table.c.camera == bindparam("camera")) & (table.c.session == bindparam("session"))
    order = sequence.desc() if before else sequence
    nearest = select(sequence, table.c.captured_at).where(of_session, side).order_by(order).limit(1).subquery()
    return select(*nearest.c)


_NEIGHBOURS = union_all(*(_nearest(table, before=before) for table in (_FRAMES, _GAPS) for before in (True, False)))

_At = tuple[int, datetime]  # a record's sequence number and time of capture
Outcome = bool | RecordRefused  # stored; False: it was there already; or why it never will be
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A report and the columns of its fragments, but for those that are known once it is placed."""

    report: FrameReport
    fragments: list[Values]


def store_report(database: Database, pictures: PictureStore, report: FrameReport) -> bool:
    """Stores a frame and its defects; False when its key was there already.

    Raises `RecordRefused` when the report contradicts itself or what is stored of its session, or holds what the
    database does not take, another `StorageError` when the database refuses for now; nothing is stored then.
    """
    (outcome,) = store_reports(database, pictures, [report])
    if isinstance(outcome, RecordRefused):
        raise outcome
    return outcome


def store_reports(database: Database, pictures: PictureStore, reports: Sequence[FrameReport]) -> list[Outcome]:
    """Stores frames and their defects in one transaction; what became of each.

    A defect of a frame is a fragment, placed on the frame's roll and joined with those that it belongs together with.
    A report that is refused leaves the others as they are. Raises another `StorageError` than `RecordRefused` when the
    database refuses for now; nothing of any report is stored then.
    """
    try:
        return _store(database, pictures, reports)
    except RecordRefused as error:  # the database does not take one of them, and does not say which
        if len(reports) == 1:
            return [error]
        return [outcome for report in reports for outcome in store_reports(database, pictures, [report])]


def _store(database: Database, pictures: PictureStore, reports: Sequence[FrameReport]) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    sound: dict[FrameKey, int] = {}
    for index, report in enumerate(reports):
        try:
            _check(report)
        except RecordRefused as error:
            outcomes[index] = error
            continue
        if sound.setdefault(report.header.key, index) != index:
            outcomes[index] = False  # twice in one batch
    if sound and any(
        any(map(any, reports[index].crops)) for index in sound.values()
    ):  # a frame sent again: spare its pictures
        with database.reading() as session:
            _leave_out(sound, _stored_keys(session, sound), outcomes)
    prepared = _prepare(pictures, {index: reports[index] for index in sound.values()})
    if prepared:
        database.make_room({prepared[index].report.header.captured_at for index in prepared})
        with database.session() as session:
            database.lock_all(session, [_lock_of(key) for key in sound])
            _leave_out(sound, _stored_keys(session, sound), outcomes)
            outcomes |= _insert(database, session, {index: prepared[index] for index in sound.values()})
    return [outcomes[index] for index in range(len(reports))]


def _leave_out(sound: dict[FrameKey, int], stored: set[FrameKey], outcomes: dict[int, Outcome]) -> None:
    for key in stored:
        outcomes[sound.pop(key)] = False


def _prepare(pictures: PictureStore, reports: dict[int, FrameReport]) -> dict[int, _Prepared]:
    """All that needs no database: it is done before the transaction begins, which others wait for."""
    crops = _put_crops(pictures, list(reports.values()))
    return {
        index: _Prepared(
            report,
            [
                fragment_values(report, number, defect, mask=encode_mask(defect.mask), crop=crop, heat=heat)
                for number, (defect, (crop, heat)) in enumerate(zip(report.defects, keys, strict=True))
            ],
        )
        for (index, report), keys in zip(reports.items(), crops, strict=True)
    }


def _insert(database: Database, session: Session, prepared: dict[int, _Prepared]) -> dict[int, Outcome]:
    """The frames of a batch, whose keys are held and not stored yet."""
    outcomes: dict[int, Outcome] = _refuse_clocks(session, {index: each.report for index, each in prepared.items()})
    taken = {index: each for index, each in prepared.items() if index not in outcomes}
    if not taken:
        return outcomes
    reports = [each.report for each in taken.values()]
    _ensure_names(database, session, reports)
    lines = sorted({report.header.line for report in reports})
    for line in lines:
        times = [report.header.captured_at for report in reports if report.header.line == line]
        ensure_rolls(database, session, line=line, times=times)
    now = datetime.now(UTC)
    connection = session.connection()
    numbers = take_numbers(connection, FrameRow, len(reports))
    rows = [
        {"id": number, **frame_values(report, stored_at=now)} for number, report in zip(numbers, reports, strict=True)
    ]
    write_rows(connection, FrameRow, rows)
    for values in rows:
        count_frame(session, values)
    outcomes |= dict.fromkeys(taken, True)
    ids = {report.header.key: number for number, report in zip(numbers, reports, strict=True)}
    for line in lines:
        _place(database, session, line, [each for each in taken.values() if each.report.header.line == line], ids)
    return outcomes


def _place(
    database: Database, session: Session, line: str, prepared: Sequence[_Prepared], ids: dict[FrameKey, int]
) -> None:
    """Puts the fragments of one line's frames on their rolls, roll by roll."""
    times = [each.report.header.captured_at for each in prepared]
    rolls = rolls_of(session, line=line, times=times)
    # until the line is held, a roll's boundary may have moved
    if any(each.fragments for each in prepared) and lock_line(database, session, line):
        rolls = rolls_of(session, line=line, times=times)
    by_roll: dict[int, list[_Prepared]] = {}
    for each, roll_id in zip(prepared, rolls, strict=True):
        by_roll.setdefault(roll_id, []).append(each)
    for roll_id, own in by_roll.items():
        headers = [each.report.header for each in own]
        width_mm = widen_roll(
            database, session, line=line, roll_id=roll_id, right_mm=max(_right_mm(header) for header in headers)
        )
        placed = [{**values, "frame_id": ids[each.report.header.key]} for each in own for values in each.fragments]
        if placed:
            defects = place_fragments(session, line=line, roll_id=roll_id, width_mm=width_mm, fragments=placed)
            find_series(session, defects)
        ends: dict[str, float] = {}
        for header in headers:
            ends[header.session] = max(ends.get(header.session, -math.inf), header.position_mm + header.length_mm)
        close_series(session, roll_id=roll_id, ends_mm=ends)


def store_gap(database: Database, gap: Gap) -> bool:
    """Stores a gap; False when its key was there already. One whose time contradicts its session's other records is put
    with the record beside it. Raises `StorageError`."""
    if not math.isfinite(gap.position_from_mm) or not math.isfinite(gap.position_to_mm) or gap.length_mm < 0:
        raise RecordRefused(
            f"gap {_name(gap.key)} cannot reach from {gap.position_from_mm} mm to {gap.position_to_mm} mm"
        )
    with database.session() as session:
        if not _claim(database, session, gap.key):
            return False
        _ensure_names(database, session, [gap])
        captured_at = _in_order(session, gap)
        ensure_rolls(database, session, line=gap.line, times=[captured_at])
        stored = database.insert_new(
            session,
            GapRow,
            line=gap.line,
            camera=gap.camera,
            session=gap.session,
            sequence=gap.sequence,
            captured_at=captured_at,
            position_mm=gap.position_from_mm,
            length_mm=gap.length_mm,
            reason=gap.reason,
            stored_at=datetime.now(UTC),
        )
        if stored is not None:
            count_gap(session, line=gap.line, camera=gap.camera, captured_at=captured_at, length_mm=gap.length_mm)
        return stored is not None


def _in_order(session: Session, gap: Gap) -> datetime:
    """When a gap was captured: by its host's clock or, where that contradicts its neighbour in the session, with that,
    so that it lies on the roll that lost the cloth."""
    before, after = _beside(gap.sequence, _stored_beside(session, gap.key))
    at = gap.captured_at
    if before is not None and at < before - CLOCK_STEP:
        at = before
    elif after is not None and at > after + CLOCK_STEP:
        at = after
    _note_beside(session, gap.line, before, at, after)
    return at


def store_capture(database: Database, capture: Capture) -> None:
    """Stores a camera session's count; one that comes late never sets a later one back. Raises `StorageError`."""
    for field, value in (("captured_mm", capture.captured_mm), ("frames", capture.frames)):
        if not math.isfinite(value) or value < 0:
            raise RecordRefused(
                f"session {capture.session} of camera {capture.camera}: {field} must be at least 0, got {value}"
            )
    now, started_at = datetime.now(UTC), datetime.fromtimestamp(capture.started_at_ns / 1e9, tz=UTC)
    with database.session() as session:
        _ensure_names(database, session, [capture])
        new = database.insert_new(
            session,
            CaptureRow,
            camera=capture.camera,
            session=capture.session,
            line=capture.line,
            frames=capture.frames,
            captured_mm=capture.captured_mm,
            started_at=started_at,
            updated_at=now,
            ended=capture.ended,
        )
        if new is not None:
            note_cloth(session, line=capture.line, since=started_at)
            return
        row = session.get_one(CaptureRow, (capture.camera, capture.session), with_for_update=True)
        if capture.frames > row.frames:
            note_cloth(session, line=row.line, since=_told_until(session, row))
        if capture.frames >= row.frames:
            row.frames, row.captured_mm, row.updated_at = capture.frames, capture.captured_mm, now
        row.ended = row.ended or capture.ended


def _told_until(session: Session, row: CaptureRow) -> datetime:
    """What a count newly tells of was captured after the last record of the count before it."""
    before, _ = _beside(row.frames, _stored_beside(session, FrameKey(row.camera, row.session, row.frames)))
    return row.started_at if before is None else before


def _lock_of(key: FrameKey) -> str:
    return f"record:{key.camera}:{key.session}:{key.sequence}"


def _stored_keys(session: Session, keys: Iterable[FrameKey]) -> set[FrameKey]:
    """Those of the keys that are there, as a frame or as a gap."""
    by_session: dict[tuple[str, str], list[int]] = {}
    for key in keys:
        by_session.setdefault((key.camera, key.session), []).append(key.sequence)
    connection = session.connection()
    return {
        FrameKey(camera, name, sequence)
        for (camera, name), sequences in by_session.items()
        for sequence in connection.execute(
            _STORED, {"camera": camera, "session": name, "sequences": sequences}
        ).scalars()
    }


def _claim(database: Database, session: Session, key: FrameKey) -> bool:
    """Holds the key for this transaction; False when it is stored already. Two tables share the keys, so a unique
    constraint alone would not do."""
    database.lock(session, _lock_of(key))
    return not _stored_keys(session, [key])


def _refuse_clocks(session: Session, reports: dict[int, FrameReport]) -> dict[int, Outcome]:
    """Within a session time goes on with the sequence; a host's clock that is set back would put cloth on another roll.

    Small steps, as clocks are kept right with, are let through. Of a batch the first that fit are taken, as if each
    had come by itself.
    """
    refused: dict[int, Outcome] = {}
    seen: dict[tuple[str, str], list[_At]] = {}  # of a session: what is stored beside, and taken now
    last: dict[tuple[str, str], int] = {}  # nothing is stored of a session behind this sequence number
    for index, report in reports.items():
        header, at = report.header, report.header.captured_at
        taken = seen.setdefault((header.camera, header.session), [])
        if header.sequence <= last.get((header.camera, header.session), header.sequence):
            found = _stored_beside(session, header.key)
            taken += found
            if all(sequence < header.sequence for sequence, _ in found):
                last[header.camera, header.session] = header.sequence
        before, after = _beside(header.sequence, taken)
        if before is not None and at < before - CLOCK_STEP:
            neighbour, word = before, "before"
        elif after is not None and at > after + CLOCK_STEP:
            neighbour, word = after, "after"
        else:
            taken.append((header.sequence, at))
            _note_beside(session, header.line, before, at, after)
            continue
        refused[index] = RecordRefused(
            f"frame {_name(header.key)}: captured_at {at.isoformat()} is {word} its neighbour's in the session, "
            f"{neighbour.isoformat()}: the clock of the camera's host went back, set it right"
        )
    return refused


def _stored_beside(session: Session, key: FrameKey) -> list[_At]:
    """Frames and gaps of its session next to a record: at most two on each side."""
    of_session = {"camera": key.camera, "session": key.session, "sequence": key.sequence}
    return [(row.sequence, row.captured_at) for row in session.connection().execute(_NEIGHBOURS, of_session)]


def _beside(sequence: int, records: Sequence[_At]) -> tuple[datetime | None, datetime | None]:
    """When the next record before and the next one after a sequence number were captured."""
    before = max((each for each in records if each[0] < sequence), default=None)
    after = min((each for each in records if each[0] > sequence), default=None)
    return before and before[1], after and after[1]


def _note_beside(session: Session, line: str, before: datetime | None, at: datetime, after: datetime | None) -> None:
    """What waited between a record and its neighbours counted for their rolls, too (`storage.coverage`)."""
    note_cloth(session, line=line, since=min(before or at, at), until=max(after or at, at))


def _ensure_names(database: Database, session: Session, records: Iterable[FrameReport | Gap | Capture]) -> None:
    """Always in this order: two transactions that add the same names then wait for, and never block, each other."""
    wanted: set[tuple[str, str]] = set()
    lines: dict[str, str] = {}
    for record in records:
        source = record.header if isinstance(record, FrameReport) else record
        wanted |= {("line", source.line), ("camera", source.camera)}
        lines[source.camera] = source.line
        if isinstance(record, FrameReport):
            styles = {record.style, *(defect.style for defect in record.defects)} - {""}
            wanted |= {("style", style) for style in styles}
    if wanted <= database.known_names:
        return
    now = datetime.now(UTC)
    for line in sorted(set(lines.values())):
        database.insert_new(session, LineRow, name=line, created_at=now)
    for camera in sorted(lines):
        database.insert_new(session, CameraRow, name=camera, line=lines[camera], created_at=now)
    for style in sorted(name for kind, name in wanted if kind == "style"):
        database.insert_new(session, StyleRow, name=style, created_at=now)
    event.listen(session, "after_commit", lambda _: database.known_names.update(wanted), once=True)


def _put_crops(pictures: PictureStore, reports: Sequence[FrameReport]) -> list[list[tuple[str, str]]]:
    """Of each report keys of each defect's crop and heat; "" for what could not be kept."""
    keys = [
        _picture_keys(report) if any(map(any, report.crops)) else [("", "")] * len(report.crops) for report in reports
    ]
    data = {
        key: picture
        for report, own in zip(reports, keys, strict=True)
        for pair, both in zip(own, report.crops, strict=True)
        for key, picture in zip(pair, both, strict=True)
        if picture
    }
    if not data:
        return keys
    failed = pictures.put_all(data)
    for reason in sorted(set(failed.values())):
        logger.warning("defects are stored without their pictures: %s", reason)
    kept = data.keys() - failed.keys()
    return [[(crop if crop in kept else "", heat if heat in kept else "") for crop, heat in own] for own in keys]


def _picture_keys(report: FrameReport) -> list[tuple[str, str]]:
    """A folder holds a thousand frames: of a folder each, making them would cost more than writing what is in them."""
    header = report.header
    place = ("defects", header.line, header.camera, header.session, f"{header.sequence // 1000:06d}")
    name = f"{header.sequence:09d}"
    return [
        (picture_key(*place, f"{name}-{index}.png"), picture_key(*place, f"{name}-{index}_heat.png"))
        for index in range(len(report.crops))
    ]


def frame_values(report: FrameReport, *, stored_at: datetime) -> dict[str, Any]:
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
        "scores": pack_scores(report.tile_scores),
        "grid": pack_scores(report.score_grid),
        "grid_rows": rows,
        "grid_columns": columns,
        "quality_flags": list(header.quality_flags),
        "inference_ms": (report.scored_at_ns - report.received_at_ns) / 1e6,
        "latency_ms": max(0.0, stored_at.timestamp() * 1e3 - header.captured_at_ns / 1e6),  # two hosts' clocks
        "stored_at": stored_at,
    }


def fragment_values(
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
        "likeness": report.likenesses[number] if report.likenesses else None,
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
    if report.likenesses and (
        len(report.likenesses) != len(report.defects) or max(map(len, report.likenesses)) > LONGEST_LIKENESS
    ):
        raise RecordRefused(
            f"{name}: its likenesses must be one a defect, of at most {LONGEST_LIKENESS} bytes, got "
            f"{[len(each) for each in report.likenesses]}"
        )
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
