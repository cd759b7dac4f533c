"""What the pages' bench adds to a year: every picture that a page asks for is there, and a second run adds nothing."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from inspection.pictures import decode_picture
from loomwatch.bench_content import ALARMS, MODELS, SAMPLES, TRAININGS, fill_content
from loomwatch.bench_year import fill_year
from storage import registry
from storage.alarms.alarm_store import list_alarms
from storage.pictures import PictureStore
from storage.reads.defects import DefectFilter, list_defects
from storage.samples import SampleFilter, page_of_samples
from storage.tables import JobRow
from tests.records import make_bundle

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("runs", [1, 2])
def test_a_year_gets_pictures_samples_models_alarms_and_trainings(database, tmp_path, runs):
    fill_year(database, scale=0.001, tell=str)
    bundle = make_bundle(tmp_path / "bundle")
    for run in range(runs):  # its pictures are new ones each time
        folder = tmp_path / str(run)
        fill_content(database, folder, rolls=[1, 2], bundle=bundle, tell=str)
    pictures = PictureStore(str(folder))
    defects, _ = list_defects(database, DefectFilter(), limit=1000)
    assert len({each.crop for each in defects if each.roll and each.roll.id in (1, 2)}) == len(
        [each for each in defects if each.roll and each.roll.id in (1, 2)]
    )
    for each in defects[::50]:
        assert (
            decode_picture(pictures.get(each.crop), name="crop").shape
            == decode_picture(pictures.get(each.heat), name="heat").shape
        )
    kept, total = page_of_samples(database, SampleFilter(), limit=SAMPLES, offset=0)
    assert total == SAMPLES
    assert sum(each.state == "accepted" for each in kept) == 0.9 * SAMPLES
    assert len({pictures.get(each.picture) for each in kept}) == SAMPLES
    models = registry.list_models(database)
    assert len(models) == MODELS
    assert [model.running for model in sorted(models, key=lambda each: each.id)] == [False, False, True, False]
    assert len(list_alarms(database)) == ALARMS
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(JobRow)) == TRAININGS
        assert session.scalar(select(func.max(JobRow.created_at))) < datetime.now(UTC)
