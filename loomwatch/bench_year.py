"""A year of one line, made in bulk for `loomwatch bench storage`: rolls one behind the other, two cameras, frames of 50
tiles, a defect in every second frame, reviews, gaps, and the totals over all of it.

Rows are what the ordinary write path would have stored, column by column (a test reads them back and compares): the
columns of a frame, its fragment and its defect are made by `storage` itself for some patterns, and moved along the
roll. They are written past the ORM, by SQLite's `executemany` and PostgreSQL's `COPY`. A year that was broken off is
gone on with, a whole one is used again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import func, insert, select, text

from inspection.errors import SettingsError
from inspection.types import Defect, FrameHeader, FrameReport, Roll
from storage.bulk import write_rows
from storage.database import Database
from storage.defects.merging import severity_by, step_mm
from storage.defects.outline import Outline, decode_outline, encode_outline
from storage.defects.whole import columns_of, whole_of_fragment
from storage.frames import fragment_values, frame_values
from storage.grading.profile import AnyProfile
from storage.grading.profile_store import profile_of
from storage.masks import encode_mask
from storage.tables import (
    CameraRow,
    CaptureRow,
    ClothTotalRow,
    DefectRow,
    FragmentRow,
    FrameRow,
    GapRow,
    LineRow,
    ReviewRow,
    RollRow,
    RollWidthRow,
    ScoreTotalRow,
    StyleRow,
    Table,
)
from storage.trends.drift import judge_drift
from storage.trends.recount import recount_totals

LINE, STYLES, CAMERAS = "line-1", ("denim", "twill", "poplin"), ("left", "right")
FRAMES, DEFECTS, ROLLS = 2_000_000, 1_000_000, 3_000
START = datetime(2025, 1, 1, tzinfo=UTC)
WHOLE_ROLL = timedelta(days=365) / ROLLS
MM_PER_PX, HEIGHT_PX, WIDTH_PX = 0.2, 1280, 2560  # 50 tiles of 256 px
LENGTH_MM, CAMERA_MM = HEIGHT_PX * MM_PER_PX, WIDTH_PX * MM_PER_PX
WIDTH_MM = step_mm(CAMERA_MM * len(CAMERAS))
PATTERNS = 64  # a camera
ROLLS_AT_ONCE = 10  # a transaction
STATES = ("unreviewed", "confirmed", "rejected")
REVIEWED_AFTER = timedelta(minutes=20)

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Columns of a frame at the line's zero, of the one fragment in it, and of that as a defect."""

    frame: Values
    fragment: Values
    outline: Outline
    defect: Values


def fill_year(database: Database, *, scale: float, tell: Callable[[str], None]) -> int:
    """Fills a database with so much of a year, or goes on where that was broken off; how many frames there are.

    Raises `SettingsError` for a database that holds anything else.
    """
    rolls, frames, wanted = (max(1, round(scale * all_)) for all_ in (ROLLS, FRAMES, DEFECTS))
    each, defects_each = max(4, frames // rolls), max(1, wanted // rolls)
    each -= each % len(CAMERAS)
    profile = _begin(database, rolls=rolls, each=each)
    patterns = {camera: [_pattern(camera, number) for number in range(PATTERNS)] for camera in CAMERAS}
    with database.reading() as session:
        done = session.scalar(select(func.count()).select_from(RollRow).where(_made_here())) or 0
    for first in range(done, rolls, ROLLS_AT_ONCE):
        numbers = range(first, min(rolls, first + ROLLS_AT_ONCE))
        database.make_room({START + WHOLE_ROLL * number for number in (numbers[0], numbers[-1] + 1)})
        with database.session() as session:
            connection = session.connection()
            for number in numbers:
                for table, rows in _roll(number, each, defects_each, patterns, profile).items():
                    write_rows(connection, table, rows)
        if first // ROLLS_AT_ONCE % 30 == 0:
            tell(f"{numbers[-1] + 1:,} of {rolls:,} rolls")
    _add_up(database, tell)
    return rolls * each


def _begin(database: Database, *, rolls: int, each: int) -> AnyProfile:
    """Names, and the profile that grades; refuses a store that is no year of this size."""
    with database.session() as session:
        lines = list(session.scalars(select(LineRow.name)))
        if not lines:
            names = {"created_at": START}
            session.execute(insert(LineRow), [{"name": LINE, **names}])
            session.execute(insert(CameraRow), [{"name": camera, "line": LINE, **names} for camera in CAMERAS])
            session.execute(insert(StyleRow), [{"name": style, **names} for style in STYLES])
        made = session.scalar(select(func.count()).select_from(RollRow).where(_made_here())) or 0
        of_first = (FrameRow.camera == CAMERAS[0]) & (FrameRow.session == _session_of(0))
        there = session.scalar(select(func.count()).select_from(FrameRow).where(of_first)) or 0
        other = LINE not in lines if lines else False
        other |= not made and session.scalar(select(RollRow.id).limit(1)) is not None
        if other or made > rolls or (made and there != each // len(CAMERAS)):
            raise SettingsError(
                f"database {database} holds something else than a year of this scale ({made:,} rolls of {there:,} "
                f"frames a camera, wanted are {rolls:,} of {each // len(CAMERAS):,}): name an empty one"
            )
        first = Roll(**_roll_columns(0))
        return profile_of(session, first).profile


def _made_here() -> Any:
    return (RollRow.line == LINE) & ~RollRow.automatic & RollRow.name.like("R-%")


def _session_of(roll: int) -> str:
    return f"s{roll:05d}"


# --- a roll --------------------------------------------------------------------------------------------------------


def _roll(
    number: int, each: int, defects_each: int, patterns: dict[str, list[Pattern]], profile: AnyProfile
) -> dict[type[Table], list[Values]]:
    """All rows of a roll, by table in the order of writing. The same whenever it is made."""
    rng = np.random.default_rng([0, number])
    start, roll_id, style, counter = START + WHOLE_ROLL * number, number + 1, _style_of(number), _session_of(number)
    step = WHOLE_ROLL * 0.95 / (each // len(CAMERAS))
    chosen = set(rng.choice(each, min(each, defects_each), replace=False).tolist())
    which = rng.integers(PATTERNS, size=each).tolist()
    scores = rng.uniform(0.5, 1.5, each).tolist()
    states = rng.integers(len(STATES), size=each).tolist()
    frame_id, defect_id = number * each, number * min(each, defects_each)
    frames: list[Values] = []
    fragments: list[Values] = []
    defects: list[Values] = []
    reviews: list[Values] = []
    for index in range(each):
        camera, sequence = CAMERAS[index % len(CAMERAS)], index // len(CAMERAS)
        pattern, at, y_mm = patterns[camera][which[index]], start + step * sequence, sequence * LENGTH_MM
        frame_id += 1
        record = {"id": frame_id, "session": counter, "sequence": sequence, "position_mm": y_mm, "style": style}
        frames.append({**pattern.frame, **record, "captured_at": at, "stored_at": at})
        if index not in chosen:
            continue
        defect_id += 1
        place = {"counter": counter, "captured_at": at, "roll_id": roll_id, "frame_id": frame_id, "style": style}
        place |= {"score": scores[index], "outline": encode_outline(moved_along(pattern.outline, round(y_mm * 1000)))}
        fragment = {**pattern.fragment, **place, "defect_id": defect_id}
        fragment |= {name: pattern.fragment[name] + y_mm for name in ("y0_mm", "y1_mm")}
        fragments.append(fragment)
        state, strong = STATES[states[index]], scores[index] / pattern.fragment["threshold"]
        defect = {
            **pattern.defect,
            **place,
            **{name: pattern.defect[name] + y_mm for name in ("y0_mm", "y1_mm", "peak_y_mm")},
            "id": defect_id,
            "strength": strong,
            "state": state,
            "confirmed": state == "confirmed",
            "rejected_strength": strong if state == "rejected" else None,
            "unseen_strength": strong if state == "unreviewed" else None,
            "reviewed_at": None if state == "unreviewed" else at + REVIEWED_AFTER,
        }
        defects.append(defect | severity_by(profile, defect, width_mm=WIDTH_MM, chosen=None))
        if state != "unreviewed":
            seen = {"defect_id": defect_id, "state": state, "previous": "unreviewed", "by": "eva"}
            reviews.append({**seen, "at": at + REVIEWED_AFTER})
    frames_each = each // len(CAMERAS)
    ended_at = start + step * frames_each
    return {
        RollRow: [_roll_columns(number)],
        RollWidthRow: [{"roll_id": roll_id, "width_mm": WIDTH_MM}],
        FrameRow: frames,
        DefectRow: defects,
        FragmentRow: fragments,
        ReviewRow: reviews,
        GapRow: [_gap(camera, counter, captured_at=ended_at, sequence=frames_each) for camera in CAMERAS],
        CaptureRow: [_capture(camera, counter, start, frames_each + 1) for camera in CAMERAS],
    }


def _style_of(roll: int) -> str:
    return STYLES[roll % len(STYLES)]


def _roll_columns(number: int) -> Values:
    return {
        "id": number + 1,
        "line": LINE,
        "name": f"R-{number:05d}",
        "style": _style_of(number),
        "opened_at": START + WHOLE_ROLL * number,
        "closed_at": START + WHOLE_ROLL * (number + 1),
        "automatic": False,
    }


def _gap(camera: str, counter: str, *, captured_at: datetime, sequence: int) -> Values:
    return {
        "line": LINE,
        "camera": camera,
        "session": counter,
        "sequence": sequence,
        "captured_at": captured_at,
        "position_mm": sequence * LENGTH_MM,
        "length_mm": LENGTH_MM,
        "reason": "blurred",
        "stored_at": captured_at,
    }


def _capture(camera: str, counter: str, start: datetime, records: int) -> Values:
    return {
        "camera": camera,
        "session": counter,
        "line": LINE,
        "frames": records,
        "captured_mm": records * LENGTH_MM,
        "started_at": start,
        "updated_at": start + WHOLE_ROLL,
        "ended": True,
    }


def moved_along(outline: Outline, along_um: int) -> Outline:
    """The outline of the same mask so much farther along the roll, exactly."""
    weight, x, y, xx, xy, yy = outline.sums
    return Outline(
        hull=tuple((px, py + along_um) for px, py in outline.hull),
        sums=(
            weight,
            x,
            y + weight * along_um,
            xx,
            xy + x * along_um,
            yy + 2 * y * along_um + weight * along_um * along_um,
        ),
    )


# --- patterns ------------------------------------------------------------------------------------------------------


def _pattern(camera: str, number: int) -> Pattern:
    rng = np.random.default_rng([1, CAMERAS.index(camera), number])
    report = make_report(camera, "pattern", 0, START, rng, crops=False)
    report = replace(report, tile_scores=rng.normal(0.2, 0.03, 50).clip(0, 0.5).astype(np.float32))
    defect = report.defects[0]
    fragment = fragment_values(report, 0, defect, mask=encode_mask(defect.mask), crop="", heat="")
    key = f"defects/{LINE}/{camera}/s00000/000000/{number:09d}-0"
    fragment |= {"crop": f"{key}.png", "heat": f"{key}_heat.png"}
    whole = columns_of(whole_of_fragment(fragment | {"frame_id": 0}), cloth_width_mm=WIDTH_MM)
    whole |= {"line": LINE, "code": "", "series_id": None, "severity_set": False}
    return Pattern(
        frame=frame_values(report, stored_at=START) | {"latency_ms": 140.0},
        fragment=fragment,
        outline=decode_outline(fragment["outline"]),
        defect=whole,
    )


def make_report(
    camera: str, session: str, sequence: int, at: datetime, rng: np.random.Generator, *, crops: bool
) -> FrameReport:
    """A frame of 50 tiles with two defects."""
    at_ns = round(at.timestamp() * 1e6) * 1000
    header = FrameHeader(
        line=LINE,
        camera=camera,
        session=session,
        sequence=sequence,
        origin="",
        captured_at_ns=at_ns,
        position_mm=sequence * LENGTH_MM,
        mm_per_px=MM_PER_PX,
        height_px=HEIGHT_PX,
        width_px=WIDTH_PX,
        fabric_left_px=0,
        fabric_right_px=WIDTH_PX,
        x_offset_mm=CAMERA_MM * CAMERAS.index(camera),
        exposure_us=0.0,
        gain=0.0,
        quality_flags=(),
    )
    found = tuple(_defect(header, rng) for _ in range(2))
    return FrameReport(
        header=header,
        model="bench",
        style=STYLES[0],
        tile_px=256,
        overlap_px=0,
        tile_scores=rng.uniform(0, 0.5, 50).astype(np.float32),
        score_grid=rng.uniform(0, 0.5, (11, 21)).astype(np.float32),
        threshold=0.5,
        received_at_ns=at_ns,
        scored_at_ns=at_ns + 20_000_000,
        defects=found,
        crops=tuple((rng.bytes(20_000), rng.bytes(5_000)) if crops else (b"", b"") for _ in found),
    )


def _defect(header: FrameHeader, rng: np.random.Generator) -> Defect:
    width, height = (int(side) for side in rng.integers(6, 60, 2))
    x, y = int(rng.integers(0, WIDTH_PX - width)), int(rng.integers(0, HEIGHT_PX - height))
    rows, columns = np.ogrid[:height, :width]
    mask = ((rows - height / 2 + 0.5) / height) ** 2 + ((columns - width / 2 + 0.5) / width) ** 2 <= 0.25
    return Defect(
        x0_mm=header.x_offset_mm + x * MM_PER_PX,
        x1_mm=header.x_offset_mm + (x + width) * MM_PER_PX,
        y0_mm=header.position_mm + y * MM_PER_PX,
        y1_mm=header.position_mm + (y + height) * MM_PER_PX,
        x0_px=x,
        x1_px=x + width,
        y0_px=y,
        y1_px=y + height,
        area_mm2=float(mask.sum()) * MM_PER_PX**2,
        area_px=int(mask.sum()),
        score=float(rng.uniform(0.5, 1.5)),
        threshold=0.5,
        style=STYLES[0],
        mask=mask,
    )


def _add_up(database: Database, tell: Callable[[str], None]) -> None:
    """The totals of a year that has none yet, and each day's drift."""
    with database.session() as session:
        if session.scalar(select(ClothTotalRow.line).limit(1)) is not None:
            return
        tell("adding up the totals")
        connection = session.connection()
        recount_totals(connection)
        key = (ScoreTotalRow.line, ScoreTotalRow.camera, ScoreTotalRow.style, ScoreTotalRow.day)
        for line, camera, style, day in session.execute(select(*key).distinct().order_by(*key)).all():
            judge_drift(session, line=line, camera=camera, style=style, day=day)
        if connection.dialect.name != "sqlite":
            for table in (FrameRow, DefectRow, RollRow):
                name = table.__tablename__
                session.execute(text(f"SELECT setval('{name}_id_seq', (SELECT max(id) + 1 FROM {name}), false)"))
