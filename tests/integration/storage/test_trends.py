"""Trends read from totals: figures by hand, days and shifts of the plant's clock, drift of a camera."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import insert, select

from inspection.errors import SettingsError
from storage.frames import store_gap, store_report
from storage.reviews import review_defect, set_severity
from storage.tables import CameraRow, ClothTotalRow, DefectRow, DefectTotalRow, LineRow
from storage.trends.drift import drift_states
from storage.trends.periods import Plant
from storage.trends.reads import (
    GROUPINGS,
    TrendFilter,
    chart_of,
    compare_cloth,
    read_drift,
    read_kinds,
    read_trends,
    read_width,
)
from storage.trends.totals import bin_of, count_frame, minute_of
from tests.integration.storage.test_merging import frame, region
from tests.records import FABRIC_PX, LENGTH_MM, LINE, MM_PER_PX, at, make_gap

pytestmark = pytest.mark.integration

SHIFTS = ("early=06:00", "late=14:00", "night=22:00")
UTC_PLANT = Plant(ZoneInfo("UTC"), SHIFTS)
DAY = date(2026, 3, 14)  # of all records, which begin at 08:00
AREA_M2 = LENGTH_MM * FABRIC_PX * MM_PER_PX / 1e6
LATER = datetime(2026, 6, 1, tzinfo=UTC)


def wanted(first=DAY, last=None, **changes):
    return TrendFilter(first=first, last=last or first, **changes)


def trends(database, by="day", plant=UTC_PLANT, now=LATER, **changes):
    return read_trends(database, plant, wanted(**changes), by=by, now=now)


def ids(database):
    with database.reading() as session:
        return list(session.scalars(select(DefectRow.id).order_by(DefectRow.id)))


def test_the_figures_of_a_day_are_those_of_its_records(database, pictures):
    for sequence in range(8):
        found = (region(40 + 50 * sequence, 40, 12, 12),) if sequence < 4 else ()
        store_report(database, pictures, frame(sequence, *found, minute=sequence))
    store_gap(database, make_gap(8, captured_at=at(20), camera="camera-1", session="session-1"))
    first, second, third, _ = ids(database)
    review_defect(database, pictures, first, state="rejected", by="eva")
    review_defect(database, pictures, second, state="confirmed", by="eva")
    review_defect(database, pictures, third, state="confirmed", by="eva")
    with database.reading() as session:
        waits = [
            (row.reviewed_at - row.captured_at) // timedelta(seconds=1)
            for row in session.scalars(select(DefectRow).where(DefectRow.reviewed_at.is_not(None)))
        ]
    [day] = trends(database)
    assert (day.name, day.frames, day.defects, day.confirmed, day.false_alarms) == ("2026-03-14", 8, 3, 2, 1)
    assert day.area_m2 == pytest.approx(8 * AREA_M2)
    assert day.defects_per_100_m2 == pytest.approx(3 / (8 * AREA_M2) * 100)
    assert day.points == 3
    assert day.points_per_100_m2 == pytest.approx(3 / (8 * AREA_M2) * 100)
    assert day.false_alarm_rate == pytest.approx(1 / 3)
    assert day.coverage == pytest.approx(8 / 9)
    assert day.uptime == pytest.approx(9 / 1440)
    assert day.hours_to_review == pytest.approx(sum(waits) / 3 / 3600)
    [early] = trends(database, "shift")
    assert (early.name, early.defects) == ("2026-03-14 early", 3)
    assert early.uptime == pytest.approx(9 / 480)
    assert trends(database, shift="late") == []
    [running] = trends(database, now=at(20))
    assert running.uptime == pytest.approx(9 / (8 * 60 + 21))


def random_year(database, *, days, seed):
    """Totals of two lines at random minutes, as the writers would leave them; (minute, line, camera, style, ...)."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(400):
        minute = minute_of(datetime(2026, 3, 14, tzinfo=UTC)) + int(rng.integers(0, days * 1440))
        line = str(rng.choice(["l1", "l2"]))
        rows.append(
            {
                "minute": minute, "line": line, "camera": f"{line}-{rng.integers(0, 2)}",
                "style": str(rng.choice(["twill", "plain"])), "geometry": str(rng.choice(["point", "area"])),
                "severity": str(rng.choice(["minor", "major"])), "code": str(rng.choice(["", "knot"])),
                "found": int(rng.integers(1, 9)), "rejected": 1,
            }
        )  # fmt: skip
    cloth, kinds = defaultdict(lambda: [0, 0, 0]), defaultdict(lambda: [0, 0])
    for row in rows:
        for span in (1, 60, 1440):
            start = row["minute"] // span * span
            place = (row["line"], span, start, row["camera"], row["style"])
            kind = kinds[*place, row["geometry"], row["severity"], row["code"]]
            kind[0] += row["found"]
            kind[1] += 1
            if span < 1440:
                total = cloth[place]
                total[0] += row["found"]
                total[1] += 1
                total[2] |= 1 << row["minute"] % 60
    rest = {"confirmed": 0, "reviewed": 0, "review_s": 0, "points_1000": 0}
    with database.session() as session:
        for line in ("l1", "l2"):
            session.execute(insert(LineRow).values(name=line, created_at=LATER))
            session.execute(insert(CameraRow).values(name=f"{line}-0", line=line, created_at=LATER))
        session.execute(
            insert(ClothTotalRow),
            [
                dict(zip(("line", "span", "start", "camera", "style"), key, strict=True))
                | {"frames": n, "inspected_um": n * 10**6, "inspected_mm2": n * 10**7, "gap_um": 0}
                | {"found": found, "rejected": n, "minutes": mask}
                | rest
                for key, (found, n, mask) in cloth.items()
            ],
        )
        names = ("line", "span", "start", "camera", "style", "geometry", "severity", "code")
        session.execute(
            insert(DefectTotalRow),
            [
                dict(zip(names, key, strict=True)) | {"found": found, "rejected": n} | rest
                for key, (found, n) in kinds.items()
            ],
        )
    return rows


@pytest.mark.parametrize(
    "plant",
    [
        UTC_PLANT,
        Plant(ZoneInfo("Europe/Istanbul"), SHIFTS),
        Plant(ZoneInfo("Asia/Kolkata"), ("a=05:45", "b=17:50")),
        Plant(ZoneInfo("Europe/Berlin"), SHIFTS),  # whose clocks change on 29 March
    ],
    ids=lambda plant: plant.zone.key,
)
def test_days_and_shifts_are_the_plants_whatever_its_clock(database, plant):
    rows = random_year(database, days=30, seed=1)
    first, last = date(2026, 3, 16), date(2026, 4, 10)
    for chosen in (
        {},
        {"style": "twill"},
        {"severity": "minor"},
        {"geometry": "point"},
        {"camera": "l1-1", "line": "l1"},
    ):
        kept = [row for row in rows if all(row[name] == value for name, value in chosen.items())]
        by_day, by_shift, kinds = defaultdict(int), defaultdict(int), defaultdict(int)
        for row in kept:
            local = datetime.fromtimestamp(row["minute"] * 60, UTC).astimezone(plant.zone)
            if first <= local.date() <= last:
                by_day[local.date().isoformat()] += row["found"] - 1
                kinds[row["geometry"], row["code"]] += row["found"] - 1
            begins = sorted((shift.partition("=")[2], shift.partition("=")[0]) for shift in plant.shifts)
            clock = f"{local:%H:%M}"
            name = next((name for begin, name in reversed(begins) if begin <= clock), begins[-1][1])
            day = local.date() if clock >= begins[0][0] else local.date() - timedelta(days=1)
            if first <= day <= last:
                by_shift[f"{day} {name}"] += row["found"] - 1
        found = read_trends(database, plant, wanted(first, last, **chosen), by="day", now=LATER)
        assert {each.name: each.defects for each in found if each.defects} == {k: n for k, n in by_day.items() if n}
        found = read_trends(database, plant, wanted(first, last, **chosen), by="shift", now=LATER)
        assert {each.name: each.defects for each in found if each.defects} == {k: n for k, n in by_shift.items() if n}
        assert [each.start for each in found] == sorted(each.start for each in found)
        found = read_kinds(database, plant, wanted(first, last, **chosen))
        assert {(each.geometry, each.code): each.defects for each in found} == {k: n for k, n in kinds.items() if n}
        for by in set(GROUPINGS) - {"loom"}:  # which asks the kept grades of rolls
            sides = read_trends(database, plant, wanted(first, last, **chosen), by=by, now=LATER)
            expected = by_shift if by in ("shift", "shift_name") else by_day
            assert sum(each.defects for each in sides) == sum(expected.values())
    one = plant.shift_names[0]
    late = read_kinds(database, plant, wanted(first, last, shift=one))
    expected = read_trends(database, plant, wanted(first, last, shift=one), by="line", now=LATER)
    assert sum(each.defects for each in late) == sum(each.defects for each in expected)
    assert sum(each.defects for each in late) > 0


def test_a_gap_belongs_to_the_styles_of_its_hour(database, pictures):
    for sequence, style in enumerate(["twill", "twill", "plain"]):
        store_report(database, pictures, frame(sequence, style=style, minute=sequence))
    store_gap(database, make_gap(3, camera="camera-1", session="session-1", captured_at=at(4)))
    store_gap(database, make_gap(4, camera="camera-1", session="session-1", captured_at=at(180)))
    found = {each.name: each for each in trends(database, "style")}
    assert found["twill"].coverage == pytest.approx(2 / (2 + 2 / 3))
    assert found["plain"].coverage == pytest.approx(1 / (1 + 1 / 3))
    assert found[""].coverage == 0
    assert found["twill"].uptime is None
    [plain] = trends(database, style="plain")
    assert plain.coverage == pytest.approx(3 / 4)


def test_a_bad_place_across_the_cloth_is_a_stripe(database, pictures):
    for sequence in range(5):
        regions = (region(240, 40, 8, 8), region(30 + 90 * sequence, 90, 8, 8), region(0, 0, FABRIC_PX, 3))
        store_report(database, pictures, frame(sequence, *regions, minute=1440 * sequence))
    table = read_width(database, wanted(DAY, DAY + timedelta(days=9)))
    stripe = table[table["x_mm"] == 50]
    assert len(stripe) == 5
    assert set(table["day"]) == {DAY + timedelta(days=number) for number in range(5)}
    assert table["defects"].sum() == 10


def test_severities_are_told_apart_and_staffs_word_counts(database, pictures):
    store_report(database, pictures, frame(0, region(140, 40, 12, 12), region(300, 40, 12, 12)))
    set_severity(database, ids(database)[0], severity="critical", by="eva")
    [critical] = trends(database, severity="critical")
    [every] = trends(database)
    assert (critical.defects, every.defects) == (1, 2)
    assert critical.area_m2 == every.area_m2
    set_severity(database, ids(database)[1], severity="minor", by="eva")
    [every] = trends(database)
    assert (every.defects, every.points) == (2, 1)


def test_two_periods_are_compared_by_rate_with_the_chance_of_it(database, pictures):
    for sequence in range(4):
        store_report(database, pictures, frame(sequence, region(40, 40, 12, 12), minute=sequence))
    many = [region(40 + 40 * place, 40, 12, 12) for place in range(10)]
    for sequence in range(4, 8):
        store_report(database, pictures, frame(sequence, *many, minute=1440 + sequence))
    found = compare_cloth(database, UTC_PLANT, wanted(), wanted(DAY + timedelta(days=1)))
    assert found is not None
    assert (found.first.defects, found.second.defects) == (4, 40)
    assert found.ratio == pytest.approx(10)
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert compare_cloth(database, UTC_PLANT, wanted(date(2020, 1, 1)), wanted()) is None


def test_an_impossible_range_is_refused(sqlite_database):
    with pytest.raises(SettingsError, match="the last day must not be before the first"):
        trends(sqlite_database, last=DAY - timedelta(days=1))
    with pytest.raises(SettingsError, match="at most 1098 days"):
        trends(sqlite_database, last=DAY + timedelta(days=4000))


def weave(database, *, days, mean, per_day=400, model="first", first_sequence=0):
    """Normal frames of a camera, each day's scores around `mean(day)`; through the writer's own function."""
    rng = np.random.default_rng(3)
    sequence = first_sequence
    for day in days:
        for _ in range(4):
            with database.session() as session:
                for _ in range(per_day // 4):
                    values = {
                        "line": LINE, "camera": "camera-1", "style": "twill", "model": model, "sequence": sequence,
                        "captured_at": at(1440 * day + sequence % per_day), "length_mm": 100.0,
                        "fabric_width_mm": 1000.0, "threshold": 0.5, "score_p50": 0.5 * rng.normal(mean(day), 0.05),
                    }  # fmt: skip
                    count_frame(session, values)
                    sequence += 1


def test_a_camera_whose_scores_creep_up_is_seen_drifting(database):
    with database.session() as session:
        session.execute(insert(LineRow).values(name=LINE, created_at=LATER))
    weave(database, days=range(8), mean=lambda day: 0.5 if day < 5 else 0.5 + 0.02 * (day - 4))
    states = read_drift(database, wanted(DAY, DAY + timedelta(days=9)))
    assert [each.state for each in states[:5]] == ["steady"] * 5
    assert states[-1].state == "drifted"
    assert {each.reference_frames for each in states[3:]} == {1200}
    with database.reading() as session:
        [latest] = drift_states(session, LINE)
    assert latest == states[-1]
    assert (latest.day, latest.frames, latest.model) == (DAY + timedelta(days=7), 400, "first")
    weave(database, days=[8], mean=lambda _: 0.56, model="second", first_sequence=3200)
    with database.reading() as session:
        [latest] = drift_states(session, LINE)
    assert (latest.model, latest.state) == ("second", "steady")  # its reference begins with it


def test_scores_are_counted_in_units_of_their_threshold():
    assert (bin_of(0.25, 0.5), bin_of(0.0, 0.5), bin_of(9.0, 0.5), bin_of(0.3, 0.0)) == (40, 0, 127, None)


def test_the_control_chart_of_days_marks_the_bad_one(database, pictures):
    for day in range(8):
        many = 9 if day == 5 else 1
        found = [region(20 + 50 * place, 40, 12, 12) for place in range(many)]
        store_report(database, pictures, frame(day, *found, minute=1440 * day))
    chart = chart_of(trends(database, last=DAY + timedelta(days=9)), "defects_per_100_m2")
    assert chart.kind == "u"
    assert [number for number, signal in enumerate(chart.signals) if signal] == [5]
