"""A four-hour roll of 10,000 defects, for `loomwatch bench`: merged from its fragments, searched for periodic defects,
graded, and its map read. The roll is stored as a worker stores it; timed is what is done with all of it at once."""

import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from inspection.types import Defect, FrameHeader, FrameReport
from storage.database import Database, open_database, upgrade
from storage.defects.merging import components
from storage.defects.series import check_roll
from storage.defects.whole import columns_of, join, whole_of_fragment
from storage.frames import store_reports
from storage.grading.stored import grade_roll
from storage.pictures import PictureStore
from storage.reads.roll_map import roll_map
from storage.rolls import close_roll, list_rolls, open_roll
from storage.tables import FragmentRow

LINE, STYLE = "bench", "plain"
MM_PER_PX, HEIGHT_PX, WIDTH_PX = 0.2, 1024, 8000
SPEED_M_MIN, HOURS = 20.0, 4.0
PERIOD_MM = 628.3
TOGETHER = 16  # frames in one transaction, as a worker stores them


def time_roll(url: str = "", *, defects: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """Seconds to merge, to check for periodic defects and to read the map of a roll of so many defects.

    url: a database, to which the roll is added unless it is there; "": a SQLite file of its own, which is taken away
    again.
    """
    with tempfile.TemporaryDirectory(prefix="loomwatch-bench-") as place:
        url = url or f"sqlite:///{Path(place) / 'loomwatch.db'}"
        upgrade(url)
        with open_database(url) as database:
            started = time.perf_counter()
            if not (known := list_rolls(database, line=LINE)):
                fill_roll(database, PictureStore(f"{place}/pictures"), defects=defects, seed=seed)
                close_roll(database, line=LINE, by="bench", at=datetime(2026, 1, 1, 12, tzinfo=UTC))
            filled_s = time.perf_counter() - started
            (roll,) = known or list_rolls(database, line=LINE)
            with database.reading() as session:
                stored = session.scalar(select(func.count()).where(FragmentRow.roll_id == roll.id)) or 0
            times: dict[str, float] = {}
            merged = _timed(times, "merged_s", lambda: merge(database, roll.id))
            with database.reading() as session:
                series = _timed(times, "periodic_s", lambda: check_roll(session, roll.id))
            graded = _timed(times, "graded_s", lambda: grade_roll(database, roll))
            drawn = _timed(times, "map_s", lambda: roll_map(database, roll))
    return {
        "fragments": stored,
        "defects": merged,
        "series": len(series),
        "on_map": len(drawn.defects),
        "points": graded.grade.points.total,
        "stored_fragments_per_s": None if known else stored / filled_s,
        **times,
        "total_s": sum(times.values()),
    }


def merge(database: Database, roll_id: int) -> int:
    """All of a roll's fragments into defects with their forms, from nothing; how many they are."""
    with database.reading() as session:
        rows = session.execute(select(*FragmentRow.__table__.columns).where(FragmentRow.roll_id == roll_id)).mappings()
        fragments = [dict(row) for row in rows]
    wholes = [join([whole_of_fragment(values) for values in group]) for group in components(fragments)]
    return len([columns_of(whole, cloth_width_mm=WIDTH_PX * MM_PER_PX) for whole in wholes])


def fill_roll(database: Database, pictures: PictureStore, *, defects: int, seed: int) -> int:
    """Stores frames along four hours of cloth: spots, short lines, a roller's mark, and a warp line of 40 m. Returns
    how many fragments; frames without any are left out."""
    rng = np.random.default_rng(seed)
    start = datetime(2026, 1, 1, 8, tzinfo=UTC)
    open_roll(database, line=LINE, name="four hours", style=STYLE, by="bench", at=start)
    length_mm = SPEED_M_MIN * 1000 * 60 * HOURS
    frame_mm = HEIGHT_PX * MM_PER_PX
    marks = [100_000 + n * PERIOD_MM + rng.normal(0, 2) for n in range(30)]
    places: dict[int, list[Defect]] = {}
    for y_mm in [*marks, *rng.uniform(0, length_mm, defects - len(marks) - 1)]:
        x_px = 1500 if y_mm in marks else int(rng.integers(100, WIDTH_PX - 400))
        width, height = (12, 12) if y_mm in marks else rng.integers(4, 300, 2) if rng.random() < 0.2 else (10, 10)
        _put(places, y_mm, x_px, int(width), int(height), frame_mm, score=float(rng.uniform(0.6, 2)))
    for number in range(round(40_000 / frame_mm)):
        _put(places, 2_000_000 + number * frame_mm, 5000, 6, HEIGHT_PX, frame_mm, score=0.9)
    reports = [
        _report(
            sequence, start + timedelta(seconds=frame * frame_mm / 1000 / SPEED_M_MIN * 60), found, frame * frame_mm
        )
        for sequence, (frame, found) in enumerate(sorted(places.items()))
    ]
    for first in range(0, len(reports), TOGETHER):
        store_reports(database, pictures, reports[first : first + TOGETHER])
    return sum(len(found) for found in places.values())


def _put(
    places: dict[int, list[Defect]], y_mm: float, x_px: int, width: int, height: int, frame_mm: float, *, score: float
) -> None:
    sequence = int(y_mm // frame_mm)
    y_px = min(round((y_mm - sequence * frame_mm) / MM_PER_PX), HEIGHT_PX - height)
    top = sequence * frame_mm
    places.setdefault(sequence, []).append(
        Defect(
            x0_mm=x_px * MM_PER_PX,
            x1_mm=(x_px + width) * MM_PER_PX,
            y0_mm=top + y_px * MM_PER_PX,
            y1_mm=top + (y_px + height) * MM_PER_PX,
            x0_px=x_px,
            x1_px=x_px + width,
            y0_px=y_px,
            y1_px=y_px + height,
            area_mm2=width * height * MM_PER_PX**2,
            area_px=width * height,
            score=score,
            threshold=0.5,
            style=STYLE,
            mask=np.ones((height, width), np.bool_),
        )
    )


def _report(sequence: int, at: datetime, found: Sequence[Defect], position_mm: float) -> FrameReport:
    at_ns = round(at.timestamp() * 1e6) * 1000
    header = FrameHeader(
        line=LINE,
        camera="bench-1",
        session="bench",
        sequence=sequence,
        origin="",
        captured_at_ns=at_ns,
        position_mm=position_mm,
        mm_per_px=MM_PER_PX,
        height_px=HEIGHT_PX,
        width_px=WIDTH_PX,
        fabric_left_px=0,
        fabric_right_px=WIDTH_PX,
        x_offset_mm=0.0,
        exposure_us=0.0,
        gain=0.0,
        quality_flags=(),
    )
    return FrameReport(
        header=header,
        model="bench",
        style=STYLE,
        tile_px=256,
        overlap_px=0,
        tile_scores=np.full(50, 0.3, np.float32),
        score_grid=np.full((8, 64), 0.3, np.float32),
        threshold=0.5,
        received_at_ns=at_ns,
        scored_at_ns=at_ns,
        defects=tuple(found),
        crops=tuple((b"", b"") for _ in found),
    )


def _timed(times: dict[str, float], name: str, act: Any) -> Any:
    started = time.perf_counter()
    result = act()
    times[name] = time.perf_counter() - started
    return result
