"""Looms side by side, from the rolls that ended: as the rolls' own summaries have them."""

from datetime import date

import pytest

from inspection.errors import SettingsError
from inspection.settings import ReportSettings
from storage.frames import store_gap, store_report
from storage.reads.roll_summary import roll_summary
from storage.reviews import review_defect
from storage.roll_details import find_roll, set_details
from storage.rolls import close_roll, open_roll
from storage.trends.periods import Plant
from storage.trends.reads import TrendFilter, read_trends
from tests.records import LINE, at, make_defect, make_gap, make_report

pytestmark = pytest.mark.integration
PLANT = Plant.of(ReportSettings())
WANTED = TrendFilter(first=date(2026, 3, 14), last=date(2026, 3, 14))


@pytest.fixture
def looms(database, pictures):
    """Rolls of looms 1, 2, 1 and of none; a roll of 5 frames has as many defects as its number."""
    for number, loom in enumerate(("1", "2", "1", "")):
        roll = open_roll(database, line=LINE, name=f"R{number}", style="twill", by="eva", at=at(60 * number))
        for sequence in range(5):
            found = (make_defect(),) if sequence < number else ()
            key = 10 * number + sequence
            store_report(database, pictures, make_report(key, captured_at=at(60 * number + sequence), defects=found))
        set_details(database, roll, by="eva", loom=loom)
        close_roll(database, line=LINE, by="eva", at=at(60 * number + 30))
    store_gap(database, make_gap(9, captured_at=at(10)))


def test_looms_add_up_their_rolls_and_the_worst_comes_first(database, pictures, looms):
    found = read_trends(database, PLANT, WANTED, by="loom")
    assert found[0].name == ""
    by_name = {trend.name: trend for trend in found}
    assert {name: trend.frames for name, trend in by_name.items()} == {"": 5, "1": 10, "2": 5}
    summaries = [roll_summary(database, find_roll(database, name=name)) for name in ("R0", "R2")]
    one = by_name["1"]
    assert one.inspected_m == pytest.approx(sum(each.inspected_mm for each in summaries) / 1000)
    assert one.missed_m == pytest.approx(sum(each.gap_mm for each in summaries) / 1000)
    assert one.defects == sum(each.defects for each in summaries)
    assert one.defects_per_100_m2 == pytest.approx(100 * one.defects / one.area_m2)
    assert one.area_m2 == pytest.approx(one.inspected_m * summaries[0].width_mm / 1000)
    assert one.uptime is None
    whole = read_trends(database, PLANT, WANTED, by="line")[0]
    for name in ("frames", "defects", "area_m2", "points", "inspected_m", "missed_m"):
        assert sum(getattr(trend, name) for trend in found) == pytest.approx(getattr(whole, name))


def test_looms_are_told_apart_by_style_severity_and_shift(database, pictures, looms):
    def names(**fields):
        wanted = TrendFilter(**{"first": WANTED.first, "last": WANTED.last, **fields})
        return {trend.name: trend.defects for trend in read_trends(database, PLANT, wanted, by="loom")}

    everything = names()
    assert names(style="denim") == {}
    parts = [names(severity=severity) for severity in ("minor", "major", "critical")]
    assert {loom: sum(part[loom] for part in parts) for loom in everything} == everything
    shifts = [names(shift=name) for name in PLANT.shift_names]
    assert sum(sum(each.values()) for each in shifts) == sum(everything.values())
    assert names(line="line-9") == {}


def test_a_verdict_on_a_roll_that_ended_is_told_at_once(database, pictures, looms):
    with database.reading() as session:
        from storage.tables import DefectRow

        number = session.query(DefectRow.id).order_by(DefectRow.id).first()[0]
    before = {trend.name: trend for trend in read_trends(database, PLANT, WANTED, by="loom")}
    review_defect(database, pictures, number, state="rejected", by="eva")
    after = {trend.name: trend for trend in read_trends(database, PLANT, WANTED, by="loom")}
    changed = [name for name in before if before[name] != after[name]]
    assert len(changed) == 1
    assert after[changed[0]].false_alarms == 1
    assert after[changed[0]].defects == before[changed[0]].defects - 1
    assert after[changed[0]].hours_to_review is not None


def test_looms_of_one_camera_are_refused(database, looms):
    with pytest.raises(SettingsError, match="not of one camera: leave out camera left"):
        read_trends(database, PLANT, TrendFilter(first=WANTED.first, last=WANTED.last, camera="left"), by="loom")
