import pytest
from sqlalchemy import select

from inspection.errors import StorageError
from storage.samples import add_sample, list_samples, picture_size
from storage.tables import AuditRow, SampleRow
from tests.records import make_png

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
