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
_READ = (
    *("id", "camera", "counter", *PLACE, "area_mm2", "size_mm", "geometry", "severity", "code", "series_id"),
    *("strength", "state", "style", "captured_at"),
)


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
    """By columns: ten thousand rows one by one would take several times as long."""
    standing_series = standing(session, roll.id)
    rows = session.connection().execute(
        select(*(DefectRow.__table__.c[name] for name in _READ))
        .where(in_roll(roll, DefectRow))
        .order_by(DefectRow.strength.desc(), DefectRow.id)
        .limit(MAP_DEFECTS)
    )
    columns = list(zip(*rows, strict=True)) or [()] * len(_READ)
    table = pd.DataFrame(dict(zip(_READ, columns, strict=True))).rename(columns={"series_id": "series"})
    zeros = [runs[key].zero_mm for key in zip(table["camera"], table["counter"], strict=True)]
    stands = table["series"].isin(list(standing_series)) & (table["state"] != "rejected")
    table = table.assign(
        y0_mm=table["y0_mm"] - zeros, y1_mm=table["y1_mm"] - zeros, series=table["series"].where(stands, 0)
    )
    return table.drop(columns="counter").astype(
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
