"""Totals equal what counting the rows gives, after whatever was done, in both databases."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from storage.database import Database
from storage.frames import store_gap, store_report
from storage.grading.profile import parse_profile
from storage.grading.profile_store import add_profile
from storage.reviews import name_defect, review_defect, set_severity
from storage.roll_details import find_roll, set_details
from storage.rolls import close_roll, correct_roll, open_roll
from storage.tables import (
    BandTotalRow,
    ClothTotalRow,
    DefectRow,
    DefectTotalRow,
    FrameRow,
    GapRow,
    GradingProfileRow,
    RollDetailRow,
    RollRow,
    SampleRow,
    ScoreTotalRow,
)
from storage.trends.recount import recount_totals
from storage.trends.totals import count_gap
from tests.integration.storage.test_merging import frame, region
from tests.records import HEIGHT_PX, LINE, at, make_gap, make_report

pytestmark = pytest.mark.integration

TOTALS = (ClothTotalRow, DefectTotalRow, BandTotalRow, ScoreTotalRow)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STRICT = json.dumps(
    {
        "name": "strict",
        "system": "four_point",
        "bands_mm": [5.0, 10.0, 20.0],
        "minor_max_mm": 0.0,
        "grades": [{"grade": "first", "max_points": 28.0, "outcome": "first", "value": 1.0}],
    }
)


def minute_of(time):
    return (time - EPOCH) // timedelta(minutes=1)


def totals(database: Database):
    """Table -> {key: sums}; rows whose sums are all zero say nothing."""
    found = {}
    with database.reading() as session:
        for table in TOTALS:
            keys = [column.name for column in table.__table__.primary_key.columns]
            sums = [column.name for column in table.__table__.columns if column.name not in keys]
            rows = session.scalars(select(table)).all()
            found[table.__tablename__] = {
                tuple(getattr(row, name) for name in keys): [getattr(row, name) for name in sums]
                for row in rows
                if any(getattr(row, name) for name in sums)
            }
    return found


def counted(database: Database):
    """The same, one row after the other."""
    cloth, defects = defaultdict(lambda: [0] * 11), defaultdict(lambda: [0] * 6)
    bands, scores = defaultdict(lambda: [0]), defaultdict(lambda: [0])

    def pass_by(row, style, minute, *sums):
        for span in (1, 60):
            total = cloth[row.line, span, minute // span * span, row.camera, style]
            for place, value in enumerate(sums):
                total[place] += value
            total[10] |= 2 ** (minute % 60)

    with database.reading() as session:
        for row in session.scalars(select(FrameRow)):
            minute = minute_of(row.captured_at)
            pass_by(row, row.style, minute, 1, round(row.length_mm * 1000), round(row.length_mm * row.fabric_width_mm))
            place = min(127, int(row.score_p50 / row.threshold * 80))
            scores[row.line, row.camera, row.style, row.model, minute // 1440, place][0] += 1
        for row in session.scalars(select(GapRow)):
            pass_by(row, "", minute_of(row.captured_at), 0, 0, 0, round(row.length_mm * 1000))
        for row in session.scalars(select(DefectRow)):
            minute, rejected = minute_of(row.captured_at), row.state == "rejected"
            assert (row.reviewed_at is None) == (row.state == "unreviewed")
            waited = (row.reviewed_at - row.captured_at) // timedelta(seconds=1) if row.reviewed_at else 0
            sums = (1, row.state == "confirmed", rejected, 0 if rejected else round(row.points * 1000))
            sums += (row.reviewed_at is not None, waited)
            for span in (1, 60, 1440):
                place = (row.line, span, minute // span * span, row.camera, row.style)
                for number, value in enumerate(sums):
                    defects[*place, row.geometry, row.severity, row.code][number] += value
                    if span < 1440:
                        cloth[place][4 + number] += value
            if not rejected and row.geometry != "full_width":
                bands[row.line, minute // 1440, row.style, int((row.x0_mm + row.x1_mm) / 2 // 50)][0] += 1
    return {
        "cloth_totals": dict(cloth),
        "defect_totals": dict(defects),
        "band_totals": dict(bands),
        "score_totals": dict(scores),
    }


def empty(database: Database) -> None:
    with database.session() as session:
        for table in (SampleRow, DefectRow, FrameRow, GapRow, RollDetailRow, RollRow, *TOTALS):
            session.execute(delete(table))
        session.execute(delete(GradingProfileRow).where(GradingProfileRow.name == "strict"))


boxes = st.lists(
    st.tuples(st.integers(0, 470), st.integers(0, 90), st.sampled_from([3, 20, 40]), st.sampled_from([8, 30, 38])),
    max_size=2,
)
acts = st.one_of(
    st.tuples(st.just("frame"), st.integers(1, 2), st.integers(0, 12), boxes, st.sampled_from(["twill", ""])),
    st.tuples(st.just("frame"), st.integers(1, 2), st.integers(0, 12), boxes, st.sampled_from(["twill", ""])),
    st.tuples(st.just("line"), st.integers(0, 12)),
    st.tuples(st.just("gap"), st.integers(0, 12)),
    st.tuples(st.just("review"), st.integers(0, 9), st.sampled_from(["confirmed", "rejected", "unreviewed"])),
    st.tuples(st.just("name"), st.integers(0, 9), st.sampled_from(["knot", "crease", ""])),
    st.tuples(st.just("severity"), st.integers(0, 9), st.sampled_from(["minor", "major", "critical"])),
    st.tuples(st.just("roll"), st.integers(0, 7)),
    st.tuples(st.just("profile")),
)


def do(database, pictures, act) -> None:
    kind, *values = act
    with database.reading() as session:
        ids = list(session.scalars(select(DefectRow.id).order_by(DefectRow.id)))
    match kind:
        case "frame":
            camera, sequence, found, style = values
            regions = [region(x, y, width, height, style=style) for x, y, width, height in found]
            report = frame(sequence, *regions, camera=camera, minute=sequence * 5, style=style)
            store_report(database, pictures, report)
        case "line":  # across the whole cloth, and grows with the next one
            (sequence,) = values
            report = frame(sequence, region(0, 0, 512, HEIGHT_PX), camera=1, minute=sequence * 5)
            store_report(database, pictures, report)
        case "gap":
            sequence = values[0]
            store_gap(database, make_gap(sequence, captured_at=at(sequence * 5)))
        case "roll":
            edge = at(values[0] * 10 + 1)
            if find_rolls(database):
                correct_roll(database, line=LINE, name="R", by="eva", opened_at=edge, closed_at=at(91))
            else:
                open_roll(database, line=LINE, name="R", style="twill", by="eva", at=edge)
                close_roll(database, line=LINE, by="eva", at=at(90))
        case "profile":
            add_profile(database, parse_profile(STRICT, source="test"), by="eva")
            if find_rolls(database):
                set_details(database, find_roll(database, name="R"), by="eva", profile="strict", profile_version=1)
        case _ if not ids:
            return
        case "review":
            review_defect(database, pictures, ids[values[0] % len(ids)], state=values[1], by="eva")
        case "name":
            name_defect(database, ids[values[0] % len(ids)], code=values[1], by="eva")
        case "severity":
            set_severity(database, ids[values[0] % len(ids)], severity=values[1], by="eva")


def find_rolls(database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(RollRow.name).where(RollRow.name == "R")))


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(acts, min_size=4, max_size=16))
def test_totals_are_what_counting_gives_after_every_act(database, pictures, steps):
    empty(database)
    for step in steps:
        do(database, pictures, step)
        assert totals(database) == counted(database), step


def a_day(database, pictures) -> None:
    """All acts, in an order that repeats."""
    for sequence in (3, 1, 0, 4, 2, 1, 3, 7, 6):
        do(database, pictures, ("frame", 1 + sequence % 2, sequence, [(100, 60, 3, 38), (300, 10, 40, 30)], "twill"))
        do(database, pictures, ("frame", 1, sequence, [(460, 0, 40, 38)], ""))
    for sequence in (8, 10, 9):
        do(database, pictures, ("line", sequence))
    for act in (
        ("gap", 11), ("gap", 11), ("gap", 3), ("review", 0, "rejected"), ("review", 1, "confirmed"),
        ("review", 2, "confirmed"), ("review", 2, "unreviewed"), ("name", 3, "crease"), ("severity", 4, "minor"),
        ("roll", 2), ("severity", 1, "critical"), ("roll", 3), ("profile",),
        ("frame", 1, 5, [(300, 0, 40, 38)], "twill"),
        ("review", 5, "rejected"),
    ):  # fmt: skip
        do(database, pictures, act)


def test_a_day_of_all_acts_adds_up_in_both_databases(database, pictures):
    a_day(database, pictures)
    kept = totals(database)
    assert kept == counted(database)
    assert len(kept["defect_totals"]) > 6
    assert {key[6] for key in kept["defect_totals"]} == {"minor", "major", "critical"}
    assert any(sums[2] for sums in kept["defect_totals"].values())
    with database.session() as session:
        recount_totals(session.connection())
    assert totals(database) == kept


def test_a_frame_that_is_refused_or_rolled_back_leaves_no_total(database, pictures):
    def fail() -> None:
        with database.session() as session:
            count_gap(session, line=LINE, camera="camera-1", captured_at=at(0), length_mm=1.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not any(totals(database).values())


def test_totals_stay_when_rows_are_pruned(database, pictures):
    store_report(database, pictures, frame(0, region(100, 40, 20, 20)))
    before = totals(database)
    with database.session() as session:
        session.execute(delete(FrameRow))
    assert totals(database) == before
    assert before["cloth_totals"]


def test_a_running_hour_counts_each_of_its_minutes_once(database, pictures):
    for sequence in range(8):
        store_report(database, pictures, make_report(sequence, captured_at=at(sequence / 2), crops=()))
    [hour] = [sums for key, sums in totals(database)["cloth_totals"].items() if key[1] == 60]
    assert hour[10].bit_count() == 4
    assert hour[0] == 8
