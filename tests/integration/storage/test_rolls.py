"""Which cloth belongs to which roll: boundaries, late frames, corrections, and the automatic roll of the rest."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from inspection.errors import StorageError
from storage.frames import store_gap, store_report
from storage.rolls import close_roll, correct_roll, in_roll, list_rolls, open_roll, roll_at, roll_figures
from storage.tables import AuditRow, DefectRow, FrameRow, GapRow, RollRow
from tests.records import LENGTH_MM, LINE, at, make_defect, make_gap, make_header, make_report

pytestmark = pytest.mark.integration


def start(database, name, minutes, style="twill"):
    return open_roll(database, line=LINE, name=name, style=style, by="eva", at=at(minutes))


def end(database, minutes):
    return close_roll(database, line=LINE, by="eva", at=at(minutes))


def frames_of(database, name):
    roll = next((roll for roll in list_rolls(database) if roll.name == name), None)
    if roll is None:
        return []
    with database.reading() as session:
        return list(
            session.scalars(select(FrameRow.sequence).where(in_roll(roll, FrameRow)).order_by(FrameRow.sequence))
        )


def test_a_roll_covers_its_opening_and_not_its_closing(database, pictures):
    for sequence, minutes in enumerate((9.99999, 10, 15, 19.99999, 20)):
        store_report(database, pictures, make_report(sequence, captured_at=at(minutes)))
    start(database, "R1", 10)
    end(database, 20)
    assert frames_of(database, "R1") == [1, 2, 3]
    assert frames_of(database, "auto 2026-03-14") == [0, 4]


def test_of_two_rolls_that_touch_the_boundary_belongs_to_the_later(database, pictures):
    start(database, "R1", 0)
    end(database, 10)
    start(database, "R2", 10)
    store_report(database, pictures, make_report(0, captured_at=at(10)))
    assert frames_of(database, "R1") == []
    assert frames_of(database, "R2") == [0]
    assert roll_at(database, line=LINE, at=at(10)).name == "R2"
    assert roll_at(database, line=LINE, at=at(9.9)).name == "R1"


def test_a_late_frame_lands_on_its_own_roll(database, pictures):
    start(database, "R1", 0)
    end(database, 10)
    start(database, "R2", 10)
    store_report(database, pictures, make_report(1, captured_at=at(12)))
    store_report(database, pictures, make_report(0, captured_at=at(5)))
    assert frames_of(database, "R1") == [0]
    assert frames_of(database, "R2") == [1]


def test_a_corrected_boundary_takes_its_frames_with_it(database, pictures):
    start(database, "R1", 0)
    end(database, 10)
    start(database, "R2", 12)
    for sequence, minutes in enumerate((5, 9, 11, 13)):
        store_report(database, pictures, make_report(sequence, captured_at=at(minutes), defects=(make_defect(),)))
    assert frames_of(database, "auto 2026-03-14") == [2]
    correct_roll(database, line=LINE, name="R1", by="eva", closed_at=at(8))
    correct_roll(database, line=LINE, name="R2", by="eva", opened_at=at(8))
    assert frames_of(database, "R1") == [0]
    assert frames_of(database, "R2") == [1, 2, 3]
    assert "auto 2026-03-14" not in [roll.name for roll in list_rolls(database)]
    assert [roll_figures(database, roll).defects for roll in list_rolls(database)] == [3, 1]


def test_cloth_a_correction_uncovers_goes_to_the_automatic_rolls_of_its_days(database, pictures):
    day = 24 * 60
    start(database, "R1", 0)
    end(database, 3 * day)
    for sequence, minutes in enumerate((5, day, 2 * day, 3 * day - 1)):
        store_report(database, pictures, make_report(sequence, captured_at=at(minutes)))
    store_gap(database, make_gap(0, session="other", captured_at=at(2 * day + 1)))
    assert [roll.name for roll in list_rolls(database)] == ["R1"]
    correct_roll(database, line=LINE, name="R1", by="eva", closed_at=at(10))
    assert frames_of(database, "R1") == [0]
    names = ["auto 2026-03-17", "auto 2026-03-16", "auto 2026-03-15"]
    assert [roll.name for roll in list_rolls(database)] == [*names, "R1"]
    assert [frames_of(database, name) for name in names] == [[3], [2], [1]]
    assert roll_figures(database, list_rolls(database)[1]).gaps == 1


def test_closing_earlier_than_now_uncovers_what_came_since(database, pictures):
    start(database, "R1", 0)
    store_report(database, pictures, make_report(0, captured_at=at(20)))
    end(database, 10)
    assert frames_of(database, "auto 2026-03-14") == [0]


def test_lines_do_not_mix(database, pictures):
    start(database, "R1", 0)
    store_report(database, pictures, make_report(header=make_header(0, captured_at=at(5), line="line-2")))
    assert frames_of(database, "R1") == []
    assert [roll.line for roll in list_rolls(database, line="line-2")] == ["line-2"]
    assert open_roll(database, line="line-2", name="R1", style="", by="eva", at=at(0)).name == "R1"


def test_figures_add_up_to_what_was_captured(database, pictures):
    roll = start(database, "R1", 0)
    assert roll_figures(database, roll).coverage == 0.0
    for sequence in range(3):
        store_report(database, pictures, make_report(sequence, captured_at=at(1), defects=(make_defect(),)))
    store_gap(database, make_gap(3, captured_at=at(1), length_mm=LENGTH_MM / 2))
    with database.session() as session:
        session.scalars(select(DefectRow)).first().state = "rejected"
    figures = roll_figures(database, roll)
    assert (figures.frames, figures.tiles, figures.defects, figures.rejected, figures.gaps) == (3, 48, 2, 1, 1)
    assert figures.inspected_mm == pytest.approx(3 * LENGTH_MM)
    assert figures.captured_mm == pytest.approx(3.5 * LENGTH_MM)
    assert figures.coverage == pytest.approx(3 / 3.5)


def test_opening_while_a_roll_is_open_says_which_to_close(database):
    start(database, "R1", 0)
    with pytest.raises(StorageError, match=r"roll R1 is open on line line-1: close it first \(loomwatch rolls close"):
        start(database, "R2", 5)
    assert [roll.name for roll in list_rolls(database)] == ["R1"]


@pytest.mark.parametrize("wrong", ["R-1\x00", "R-1\n", "\u202eR-1", "\ud800", "x" * 121])
@pytest.mark.parametrize("what", ["line", "name", "style"])
def test_a_name_that_papers_could_not_show_is_refused(sqlite_database, what, wrong):
    names = {"line": LINE, "name": "R-1", "style": "twill"} | {what: wrong}
    with pytest.raises(StorageError, match=r"has at most 120 printable characters, got '"):
        open_roll(sqlite_database, **names, by="eva")
    assert list_rolls(sqlite_database) == []


def test_closing_when_none_is_open_says_so(database):
    with pytest.raises(StorageError, match="no roll is open on line line-1"):
        end(database, 5)
    start(database, "R1", 0)
    end(database, 5)
    closed = r"no roll is open on line line-1 \(the last one, R1, closed at 2026-03-14T08:05:00\+00:00\): open one"
    with pytest.raises(StorageError, match=closed):
        end(database, 6)


@pytest.mark.parametrize("field", ["opened_at", "closed_at"])
@pytest.mark.parametrize(
    ("time", "message"),
    [
        (datetime(2026, 3, 14, 8), "must have a time zone, got 2026-03-14T08:00:00"),
        (datetime.now(UTC) + timedelta(days=2), "must be at most a day ahead of now, got 20"),
    ],
    ids=["zoneless", "ahead"],
)
def test_a_time_that_cannot_be_is_refused_with_its_field(database, field, time, message):
    start(database, "R1", 0)
    acts = {
        "opened_at": lambda: open_roll(database, line="line-2", name="R2", style="", by="eva", at=time),
        "closed_at": lambda: close_roll(database, line=LINE, by="eva", at=time),
    }
    for act in (acts[field], lambda: correct_roll(database, line=LINE, name="R1", by="eva", **{field: time})):
        with pytest.raises(StorageError, match=f"{field} of a roll {message}|which is still to come"):
            act()
    assert [(roll.name, roll.opened_at, roll.closed_at) for roll in list_rolls(database)] == [("R1", at(0), None)]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda database: start(database, "R1", 30), "already has a roll R1"),
        (lambda database: start(database, "R2", 5), "R2 would overlap roll R1"),
        (lambda database: start(database, "R2", -5), "R2 would overlap roll R1"),
        (lambda database: start(database, "auto 2026-03-14", 30), "kept for automatic rolls"),
        (lambda database: start(database, " ", 30), "needs a line and a name"),
        (lambda database: [start(database, "R2", 30), end(database, 30)], "R2 opened at .* cannot close at"),
        (lambda database: correct_roll(database, line=LINE, name="R1", by="eva", closed_at=at(0)), "cannot close"),
        (lambda database: correct_roll(database, line=LINE, name="R9", by="eva"), "no roll R9"),
        (
            lambda database: [
                start(database, "R2", 20),
                correct_roll(database, line=LINE, name="R1", by="eva", closed_at=at(21)),
            ],
            "R1 would overlap roll R2",
        ),
    ],
)
def test_impossible_rolls_are_refused_and_change_nothing(database, act, message):
    start(database, "R1", 0)
    end(database, 10)
    with pytest.raises(StorageError, match=message):
        act(database)
    roll = next(roll for roll in list_rolls(database) if roll.name == "R1")
    assert (roll.opened_at, roll.closed_at) == (at(0), at(10))


def test_what_staff_did_is_in_the_audit(database):
    start(database, "R1", 0)
    end(database, 10)
    correct_roll(database, line=LINE, name="R1", by="max", closed_at=at(11))
    with database.reading() as session:
        rows = list(session.scalars(select(AuditRow).order_by(AuditRow.id)))
    assert [(row.by, row.action, row.subject) for row in rows] == [
        ("eva", "roll.open", "R1"),
        ("eva", "roll.close", "R1"),
        ("max", "roll.correct", "R1"),
    ]
    assert rows[2].detail["before"]["closed_at"] == at(10).isoformat()


minutes = st.integers(0, 3 * 24 * 60)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bounds=st.lists(minutes, max_size=8, unique=True),
    captured=st.lists(minutes, min_size=1, max_size=12),
    data=st.data(),
)
def test_every_piece_of_cloth_belongs_to_just_one_roll(sqlite_database, pictures, bounds, captured, data):
    """Whatever rolls there are, in whatever order frames and rolls come, and however a boundary is moved."""
    database = sqlite_database
    with database.session() as session:
        for table in (DefectRow, FrameRow, GapRow, RollRow):
            session.execute(delete(table))
    spans = list(zip(sorted(bounds)[::2], sorted(bounds)[1::2], strict=False))
    acts = [("roll", span) for span in spans] + [("cloth", moment) for moment in captured]
    for number, (kind, value) in enumerate(data.draw(st.permutations(acts))):
        if kind == "cloth":
            place = {"captured_at": at(value), "session": f"session-{number}"}  # in any order
            if number % 2:
                store_report(database, pictures, make_report(header=make_header(number, **place)))
            else:
                store_gap(database, make_gap(number, **place))
        else:
            with database.session() as session:  # in any order, as corrections leave them
                name = f"R{number}"
                session.add(
                    RollRow(
                        line=LINE, name=name, style="", opened_at=at(value[0]), closed_at=at(value[1]), automatic=False
                    )
                )
    moved = [roll for roll in list_rolls(database) if not roll.automatic]
    if moved:
        earlier = moved[0].opened_at + (moved[0].closed_at - moved[0].opened_at) / 2
        correct_roll(database, line=LINE, name=moved[0].name, by="eva", closed_at=earlier)
    rolls = list_rolls(database)
    figures = [roll_figures(database, roll) for roll in rolls]
    assert sum(each.frames + each.gaps for each in figures) == len(captured)
    assert sum(each.captured_mm for each in figures) == pytest.approx(len(captured) * LENGTH_MM)
    for moment in captured:
        found = roll_at(database, line=LINE, at=at(moment))
        assert found in rolls
        assert all(each.frames + each.gaps > 0 for each, roll in zip(figures, rolls, strict=True) if roll.automatic)
