"""A roll as a map: what was found where, and what was not inspected and why."""

from dataclasses import dataclass

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.types import Roll
from storage.database import Database
from storage.defects.series import standing
from storage.reads.gap_words import reason_in_words
from storage.reads.roll_runs import Run, runs_in
from storage.reads.roll_summary import RollSummary, summarize
from storage.rolls import in_roll
from storage.tables import DefectRow, GapRow

MAP_DEFECTS = 10_000  # the map draws at most so many, worst first
PLACE = ("y0_mm", "y1_mm", "x0_mm", "x1_mm")


@dataclass(frozen=True, slots=True, kw_only=True)
class RollMap:
    """Everything the roll map draws; columns in mm from the roll's start (y) and the cloth's left edge (x).

    defects: id, y0_mm, y1_mm, x0_mm, x1_mm, area_mm2, size_mm, geometry, severity, code, series (0: none), strength,
    state, style, camera, captured_at; worst first.
    gaps: y0_mm, y1_mm, x0_mm, x1_mm, camera, code, reason, captured_at; along the roll, with what waits or nobody saw.
    """

    summary: RollSummary
    defects: pd.DataFrame
    gaps: pd.DataFrame


def roll_map(database: Database, roll: Roll) -> RollMap:
    """All of one moment."""
    with database.reading() as session:
        runs = runs_in(session, roll)
        summary = summarize(session, roll, runs)
        by_key = {(run.camera, run.session): run for run in runs}
        lanes = {camera.camera: (camera.x0_mm, camera.x1_mm) for camera in summary.cameras}
        return RollMap(
            summary=summary,
            defects=_map_defects(session, roll, by_key),
            gaps=_map_gaps(session, roll, by_key, lanes, summary),
        )


def _map_defects(session: Session, roll: Roll, runs: dict[tuple[str, str], Run]) -> pd.DataFrame:
    series = standing(session, roll.id)
    rows = session.execute(
        select(
            DefectRow.id,
            DefectRow.camera,
            DefectRow.counter.label("session"),
            DefectRow.y0_mm,
            DefectRow.y1_mm,
            DefectRow.x0_mm,
            DefectRow.x1_mm,
            DefectRow.area_mm2,
            DefectRow.size_mm,
            DefectRow.geometry,
            DefectRow.severity,
            DefectRow.code,
            DefectRow.series_id,
            DefectRow.strength,
            DefectRow.state,
            DefectRow.style,
            DefectRow.captured_at,
        )
        .where(in_roll(roll, DefectRow))
        .order_by(DefectRow.strength.desc(), DefectRow.id)
        .limit(MAP_DEFECTS)
    )
    return pd.DataFrame(
        [
            (
                row.id,
                runs[row.camera, row.session].place(row.y0_mm),
                runs[row.camera, row.session].place(row.y1_mm),
                row.x0_mm,
                row.x1_mm,
                row.area_mm2,
                row.size_mm,
                row.geometry,
                row.severity,
                row.code,
                row.series_id if row.series_id in series and row.state != "rejected" else 0,
                row.strength,
                row.state,
                row.style,
                row.camera,
                row.captured_at,
            )
            for row in rows
        ],
        columns=[
            *("id", *PLACE, "area_mm2", "size_mm", "geometry", "severity", "code", "series"),
            *("strength", "state", "style", "camera", "captured_at"),
        ],
    ).astype(
        {"id": int, "series": int, "area_mm2": float, "size_mm": float, "strength": float} | dict.fromkeys(PLACE, float)
    )


def _map_gaps(
    session: Session,
    roll: Roll,
    runs: dict[tuple[str, str], Run],
    lanes: dict[str, tuple[float, float]],
    summary: RollSummary,
) -> pd.DataFrame:
    rows = session.execute(
        select(
            GapRow.camera, GapRow.session, GapRow.position_mm, GapRow.length_mm, GapRow.reason, GapRow.captured_at
        ).where(in_roll(roll, GapRow))
    )
    table = pd.DataFrame(
        [
            (
                runs[row.camera, row.session].place(row.position_mm),
                runs[row.camera, row.session].place(row.position_mm) + row.length_mm,
                *lanes[row.camera],
                row.camera,
                row.reason.partition(":")[0].strip(),
                reason_in_words(row.reason),
                row.captured_at,
            )
            for row in rows
        ]
        + [
            (
                each.y0_mm,
                each.y1_mm,
                *lanes[each.camera],
                each.camera,
                each.reason,
                reason_in_words(each.reason),
                each.since,
            )
            for each in summary.unseen
        ],
        columns=[*PLACE, "camera", "code", "reason", "captured_at"],
    ).astype(dict.fromkeys(PLACE, float))
    return table.sort_values(["y0_mm", "camera"]).reset_index(drop=True)
