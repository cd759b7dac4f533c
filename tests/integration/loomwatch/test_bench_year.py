"""The year that the store's bench fills: as the ordinary write path would have stored it, gone on with, used again."""

import pytest
from sqlalchemy import func, select

from inspection.errors import SettingsError
from loomwatch import bench_year
from loomwatch.bench_year import CAMERAS, DEFECTS, FRAMES, ROLLS, WIDTH_MM, fill_year
from storage.defects.merging import severity_by
from storage.defects.whole import Verdict, columns_of, strength, whole_of_fragment
from storage.frames import store_report
from storage.grading.in_force import profile_in_force
from storage.tables import (
    ClothTotalRow,
    DefectRow,
    DefectTotalRow,
    DriftRow,
    FragmentRow,
    FrameRow,
    ReviewRow,
    RollRow,
    RollWidthRow,
)
from tests.records import make_report

pytestmark = pytest.mark.integration
SCALE = 0.001


def count(database, table):
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def columns(row):
    return {column.name: getattr(row, column.name) for column in row.__table__.columns}


def test_a_small_year_holds_what_it_says_and_is_filled_once(database):
    frames = fill_year(database, scale=SCALE, tell=str)
    found = [count(database, table) for table in (FrameRow, DefectRow, RollRow)]
    assert found[0] == frames
    assert found == [pytest.approx(SCALE * all_, rel=0.02) for all_ in (FRAMES, DEFECTS, ROLLS)]
    with database.reading() as session:
        assert set(session.scalars(select(FrameRow.camera).distinct())) == set(CAMERAS)
        totals = session.execute(select(func.sum(ClothTotalRow.frames), func.sum(ClothTotalRow.found)).where(
            ClothTotalRow.span == 1)).one()  # fmt: skip
        decided = session.scalar(select(func.count()).where(DefectRow.state != "unreviewed"))
    assert tuple(totals) == (found[0], found[1])
    assert count(database, ReviewRow) == decided > 0
    assert count(database, DriftRow) > 0
    assert fill_year(database, scale=SCALE, tell=str) == frames
    assert [count(database, table) for table in (FrameRow, DefectRow, RollRow)] == found


def test_its_rows_are_those_of_the_ordinary_write_path(database):
    fill_year(database, scale=SCALE, tell=str)
    with database.reading() as session:
        for fragment in session.scalars(select(FragmentRow)).all():
            defect = session.get(DefectRow, fragment.defect_id)
            own = strength(fragment.score, fragment.threshold)
            verdict = Verdict(
                confirmed=defect.state == "confirmed",
                rejected_strength=own if defect.state == "rejected" else None,
                unseen_strength=own if defect.state == "unreviewed" else None,
            )
            wanted = columns_of(whole_of_fragment(columns(fragment), verdict), cloth_width_mm=WIDTH_MM)
            wanted |= severity_by(
                profile_in_force(session, defect.roll_id), wanted | {"code": ""}, width_mm=WIDTH_MM, chosen=None
            )
            stored = {name: value for name, value in columns(defect).items() if name in wanted}
            for name, value in wanted.items():
                assert stored[name] == (pytest.approx(value) if isinstance(value, float) else value), name
        assert set(session.scalars(select(RollWidthRow.width_mm))) == {WIDTH_MM}


def test_a_year_that_was_broken_off_is_gone_on_with(sqlite_database, monkeypatch):
    made = bench_year._roll

    def broken(number, *rest):
        if number == 2:
            raise KeyboardInterrupt
        return made(number, *rest)

    monkeypatch.setattr(bench_year, "ROLLS_AT_ONCE", 1)
    monkeypatch.setattr(bench_year, "_roll", broken)
    with pytest.raises(KeyboardInterrupt):
        fill_year(sqlite_database, scale=SCALE, tell=str)
    assert count(sqlite_database, RollRow) == 2
    assert count(sqlite_database, DefectTotalRow) == 0
    monkeypatch.undo()
    frames = fill_year(sqlite_database, scale=SCALE, tell=str)
    assert count(sqlite_database, FrameRow) == frames
    assert count(sqlite_database, DefectTotalRow) > 0


def test_a_store_of_something_else_is_refused(sqlite_database, pictures):
    store_report(sqlite_database, pictures, make_report())
    with pytest.raises(SettingsError, match="name an empty one"):
        fill_year(sqlite_database, scale=SCALE, tell=str)


def test_a_year_of_another_size_is_refused(sqlite_database):
    fill_year(sqlite_database, scale=2 * SCALE, tell=str)
    with pytest.raises(SettingsError, match="wanted are 3 of"):
        fill_year(sqlite_database, scale=SCALE, tell=str)
