from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select

from inspection.errors import StorageError
from inspection.pictures import decode_picture
from storage.sample_parts import add_part
from storage.samples import (
    Captured,
    Scored,
    add_sample,
    decide_samples,
    get_sample,
    list_samples,
    move_samples,
    picture_size,
)
from storage.tables import AuditRow, SampleRow
from tests.records import START, make_png

pytestmark = pytest.mark.integration


def add(database, pictures, **changes):
    values = {
        "style": "twill",
        "png": make_png(),
        "source": "golden",
        "roll_group": "g1",
        "mm_per_px": 0.2,
        "by": "eva",
    }
    return add_sample(database, pictures, **(values | changes))


def test_a_sample_is_kept_with_where_it_came_from(database, pictures):
    sample = add(database, pictures)
    assert list_samples(database) == [sample]
    assert (sample.style, sample.source, sample.roll_group, sample.by) == ("twill", "golden", "g1", "eva")
    assert pictures.get(sample.picture) == make_png()


def test_the_same_picture_twice_is_one_sample(database, pictures):
    assert add(database, pictures) == add(database, pictures)
    with database.reading() as session:
        assert [row.action for row in session.scalars(select(AuditRow))] == ["sample.add"]


def test_the_same_picture_of_another_group_or_style_is_another_sample(database, pictures):
    add(database, pictures)
    add(database, pictures, roll_group="g2")
    add(database, pictures, style="plain")
    assert [(sample.style, sample.roll_group) for sample in list_samples(database)] == [
        ("plain", "g1"),
        ("twill", "g1"),
        ("twill", "g2"),
    ]


def test_adding_a_sample_that_was_taken_out_puts_it_back(database, pictures):
    sample = add(database, pictures)
    with database.session() as session:
        session.get_one(SampleRow, sample.id).active = False
    assert list_samples(database) == []
    assert [each.id for each in list_samples(database, active_only=False)] == [sample.id]
    add(database, pictures)
    assert [each.id for each in list_samples(database)] == [sample.id]


@pytest.mark.parametrize(
    "wrong", [{"png": b"no picture"}, {"style": ""}, {"mm_per_px": 0.0}, {"mm_per_px": float("nan")}]
)
def test_what_is_no_sample_is_refused(sqlite_database, pictures, wrong):
    with pytest.raises(StorageError):
        add(sqlite_database, pictures, **wrong)
    assert list_samples(sqlite_database, active_only=False) == []


def test_a_pictures_size_is_read_from_its_first_bytes():
    assert picture_size(make_png(size_px=96)[:24], "it") == (96, 96)


AT = Captured(
    line="line-1", roll="R1", day="2026-03-14", camera="cam-1", counter="s", x0_mm=10.0, x1_mm=35.6, y0_mm=500.0,
    y1_mm=525.6, captured_at=START,
)  # fmt: skip


def test_a_sample_of_the_wrong_style_is_moved_and_waits_for_the_guard_again(database, pictures):
    scored = Scored(model="m1", score=0.4, threshold=0.5)
    wrong, right = add(database, pictures, scored=scored), add(database, pictures, style="denim")
    decide_samples(database, [wrong.id], state="refused", by="eva")
    assert move_samples(database, [wrong.id, right.id], style="denim", by="ben") == 1
    moved = get_sample(database, wrong.id)
    assert (moved.style, moved.state, moved.active, moved.scored) == ("denim", "waits", True, None)
    assert pictures.get(moved.picture) == make_png()
    with database.reading() as session:
        (entry,) = session.scalars(select(AuditRow).where(AuditRow.action == "sample.move"))
        assert (entry.by, entry.subject) == ("ben", f"sample {wrong.id}")
        assert entry.detail == {"style": "denim", "previous": "twill", "state": "taken out"}
    for ids, style, problem in (([wrong.id], "linen", "no style linen"), ([wrong.id, 99], "twill", "no sample 99")):
        with pytest.raises(StorageError, match=problem):
            move_samples(database, ids, style=style, by="ben")
    assert get_sample(database, wrong.id).style == "denim"


def test_a_part_is_a_sample_with_its_own_place_and_its_whole_is_refused(database, pictures):
    png = make_png(size_px=128)
    whole = add(database, pictures, png=png, source="frame", roll_group="line-1/R1", captured=AT)
    part = add_part(database, pictures, whole.id, box_px=(10, 100, 50, 128), by="ben")
    assert (part.source, part.style, part.roll_group, part.by, part.state) == (
        "part", "twill", "line-1/R1", "ben", "waits",
    )  # fmt: skip
    assert part.captured == replace(AT, x0_mm=12.0, x1_mm=30.0, y0_mm=510.0, y1_mm=525.6)
    assert part.why == f"a part of sample {whole.id}"
    pixels = [decode_picture(data, name="it") for data in (png, pictures.get(part.picture))]
    np.testing.assert_array_equal(pixels[0][50:128, 10:100], pixels[1])
    assert not get_sample(database, whole.id).active
    assert get_sample(database, whole.id).state == "refused"


@pytest.mark.parametrize(
    ("source", "box", "problem"),
    [
        ("golden", (0, 200, 0, 64), "a part lies inside its picture of 128 x 128 px"),
        ("golden", (0, 128, 0, 128), "a part is less than the whole picture"),
        ("golden", (20, 20, 0, 64), "a part is at least a tile of 1 px, got 0 x 64 px"),
        ("review", (0, 64, 0, 64), "it is learned as a whole, or not at all"),
    ],
)
def test_what_is_no_part_is_refused_and_changes_nothing(sqlite_database, pictures, source, box, problem):
    whole = add(sqlite_database, pictures, png=make_png(size_px=128), source=source)
    with pytest.raises(StorageError, match=problem):
        add_part(sqlite_database, pictures, whole.id, box_px=box, by="ben")
    assert list_samples(sqlite_database, active_only=False) == [whole]
