"""Totals of each minute and hour, kept in the transaction that changes what they are totals of.

What a transaction adds and takes away is noted in its session (`count_frame`, `count_gap`, `enter`, `leave`) and
written once, before it commits (`write_totals`, which `Database.session` calls): a handful of upserts, whatever the
number of frames. A defect is counted where it was first captured, as it is now: who changes one takes it out before
(`leave`) and puts it in after (`enter`). So a total is at every moment what counting the rows would give, exactly:
everything is a whole number. Pruning rows takes nothing out of the totals: trends outlive frames.

Hours are the roll-up that days and shifts are made of (`storage.trends.reads`): stored days would be wrong as soon as
the plant's shifts, its zone or its clocks change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.roll_changes import note_cloth, note_roll
from storage.tables import BandTotalRow, ClothTotalRow, DefectRow, DefectTotalRow, ScoreTotalRow
from storage.tables import Table as Base
from storage.trends.drift import BINS_PER_UNIT, JUDGE_EVERY, LAST_BIN, judge_drift

SPANS = (1, 60)  # minutes
KIND_SPANS = (1, 60, 1440)
DAY_MIN = 1440
NO_DEFECTS = (0,) * 6
BAND_MM = 50.0  # across the cloth, for the heat map
Key = tuple[Any, ...]

_NOTED = "totals"


@dataclass(slots=True)
class Tally:
    """What one transaction changes: (key columns) -> sums, a table."""

    cloth: dict[Key, list[int]] = field(default_factory=dict)
    defects: dict[Key, list[int]] = field(default_factory=dict)
    bands: dict[Key, list[int]] = field(default_factory=dict)
    scores: dict[Key, list[int]] = field(default_factory=dict)
    judge: set[tuple[str, str, str, int]] = field(default_factory=set)  # line, camera, style, day


def tally_of(session: Session) -> Tally:
    tally: Tally = session.info.setdefault(_NOTED, Tally())
    return tally


# --- what is counted -----------------------------------------------------------------------------------------------


def count_frame(session: Session, values: Mapping[str, Any]) -> None:
    """Notes a frame that was just stored. values: the columns of its `FrameRow`."""
    tally, minute = tally_of(session), minute_of(values["captured_at"])
    note_cloth(session, line=values["line"], since=values["captured_at"], until=values["captured_at"])
    line, camera, style = values["line"], values["camera"], values["style"]
    length_mm, width_mm = values["length_mm"], values["fabric_width_mm"]
    _count_cloth(tally, line, camera, style, minute, (1, _whole(length_mm * 1000), _whole(length_mm * width_mm), 0))
    day = minute // DAY_MIN
    number = bin_of(values["score_p50"], values["threshold"])
    if number is not None:
        _add(tally.scores, (line, camera, style, values["model"], day, number), (1,))
    if values["sequence"] % JUDGE_EVERY == JUDGE_EVERY - 1:
        tally.judge.add((line, camera, style, day))


def count_gap(session: Session, *, line: str, camera: str, captured_at: datetime, length_mm: float) -> None:
    """Notes a gap that was just stored."""
    sums = (0, 0, 0, _whole(length_mm * 1000))
    _count_cloth(tally_of(session), line, camera, "", minute_of(captured_at), sums)
    note_cloth(session, line=line, since=captured_at, until=captured_at)


def enter(session: Session, defect: DefectRow | Mapping[str, Any]) -> None:
    """Puts a defect into the totals, as it is now."""
    _count_defect(session, defect, 1)


def leave(session: Session, defect: DefectRow | Mapping[str, Any]) -> None:
    """Takes a defect out of the totals, before it changes or goes."""
    _count_defect(session, defect, -1)


def minute_of(at: datetime) -> int:
    """Since 1970, UTC."""
    return int(at.timestamp() // 60)


def bin_of(score: float, threshold: float) -> int | None:
    """Of a median tile score; None where there is no threshold to measure it by."""
    return min(LAST_BIN, max(0, int(score / threshold * BINS_PER_UNIT))) if threshold > 0 else None


def _whole(value: float) -> int:
    """Nearest of what is not negative; halves up, as databases do."""
    return int(value + 0.5)


def _count_cloth(tally: Tally, line: str, camera: str, style: str, minute: int, sums: tuple[int, ...]) -> None:
    for span in SPANS:
        key = (line, span, minute - minute % span, camera, style)
        _add(tally.cloth, key, (*sums, *NO_DEFECTS, 0))
        tally.cloth[key][-1] |= 1 << minute % 60


def _count_defect(session: Session, defect: DefectRow | Mapping[str, Any], sign: int) -> None:
    tally = tally_of(session)
    values: Mapping[str, Any] = defect.__dict__ if isinstance(defect, DefectRow) else defect
    note_roll(session, values["roll_id"])
    minute, rejected = minute_of(values["captured_at"]), values["state"] == "rejected"
    reviewed_at = values["reviewed_at"]
    waited_s = 0 if reviewed_at is None else max(0, int((reviewed_at - values["captured_at"]).total_seconds()))
    sums = (
        sign,
        sign * (values["state"] == "confirmed"),
        sign * rejected,
        0 if rejected else sign * _whole(values["points"] * 1000),
        sign * (reviewed_at is not None),
        sign * waited_s,
    )
    for span in KIND_SPANS:
        key = (values["line"], span, minute - minute % span, values["camera"], values["style"])
        if span in SPANS:
            _add(tally.cloth, key, (0, 0, 0, 0, *sums, 0))
        _add(tally.defects, (*key, values["geometry"], values["severity"], values["code"]), sums)
    if not rejected and values["geometry"] != "full_width":
        band = max(0, int((values["x0_mm"] + values["x1_mm"]) / 2 // BAND_MM))
        _add(tally.bands, (values["line"], minute // DAY_MIN, values["style"], band), (sign,))


def _add(sums: dict[Key, list[int]], key: Key, more: tuple[int, ...]) -> None:
    there = sums.get(key)
    if there is None:
        sums[key] = list(more)
    else:
        for index, value in enumerate(more):
            there[index] += value


# --- writing -------------------------------------------------------------------------------------------------------


def write_totals(session: Session) -> None:
    """Adds what the session noted; in the order of the keys, so that two transactions wait for, and never block, each
    other."""
    tally: Tally | None = session.info.pop(_NOTED, None)
    if tally is None:
        return
    session.flush()
    connection = session.connection()
    for table, sums in (
        (ClothTotalRow, tally.cloth),
        (DefectTotalRow, tally.defects),
        (BandTotalRow, tally.bands),
        (ScoreTotalRow, tally.scores),
    ):
        upsert, names = _upsert(table, connection.dialect.name)
        rows = [dict(zip(names, (*key, *values), strict=True)) for key, values in sorted(sums.items()) if any(values)]
        if rows:
            connection.execute(upsert, rows)
    for line, camera, style, day in sorted(tally.judge):
        judge_drift(session, line=line, camera=camera, style=style, day=day)


_upserts: dict[tuple[type[Base], str], tuple[Executable, list[str]]] = {}


def _upsert(row: type[Base], dialect: str) -> tuple[Executable, list[str]]:
    """Made once: building a statement costs more than running it."""
    if (row, dialect) not in _upserts:
        table = row.__table__
        assert isinstance(table, Table)
        insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
        sums = {
            column.name: column.op("|")(insert.excluded[column.name])
            if column.name == "minutes"
            else column + insert.excluded[column.name]
            for column in table.columns
            if not column.primary_key
        }
        statement = insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=sums)
        _upserts[row, dialect] = statement, [column.name for column in table.columns]
    return _upserts[row, dialect]
