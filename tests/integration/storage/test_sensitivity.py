"""What another threshold would have done, and how it is set."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from inspection.errors import StorageError
from storage import registry
from storage.frames import store_report
from storage.pictures import PictureStore
from storage.reads.replay import last_cloth
from storage.reviews import review_defect
from storage.sample_upload import MOST_BYTES, upload_sample
from storage.samples import list_samples
from storage.sensitivity import factors, sensitivities, set_sensitivity
from storage.tables import DefectRow
from tests.records import at, make_bundle, make_defect, make_header, make_png, make_report

pytestmark = pytest.mark.integration


@pytest.fixture
def pictures(tmp_path) -> PictureStore:
    return PictureStore(str(tmp_path / "pictures"))


def defects(database):
    from sqlalchemy import select

    with database.reading() as session:
        return list(session.scalars(select(DefectRow.id).order_by(DefectRow.score)))


def weave(database, pictures):
    """Ten frames of 32 mm by the model `first`, threshold 0.5: three alarms, and one cell that is nearly one."""
    grid = np.full((2, 6), 0.1, np.float32)
    for sequence in range(10):
        own = grid.copy()
        found = ()
        if sequence in (2, 5, 8):
            score = {2: 0.6, 5: 0.7, 8: 0.9}[sequence]
            found = (replace(make_defect(100), score=score),)
            own[0, 1] = score
        if sequence == 4:
            own[1, 4] = 0.45
        store_report(database, pictures, make_report(sequence, defects=found, score_grid=own))
    first, second, third = defects(database)
    review_defect(database, pictures, first, state="confirmed", by="eva")
    review_defect(database, pictures, second, state="rejected", by="eva")
    return first, second, third


def test_a_higher_limit_is_replayed_from_the_stored_defects(sqlite_database, pictures):
    first, _, _ = weave(sqlite_database, pictures)
    cloth = last_cloth(sqlite_database, "twill", model="first")
    assert cloth.metres == pytest.approx(0.32)
    now, then = cloth.at(0.5), cloth.at(0.65)
    assert (now.rejected, now.unreviewed, now.confirmed, now.lost, now.more) == (1, 1, 1, (), 0)
    assert (then.rejected, then.unreviewed, then.confirmed, then.lost, then.more) == (1, 1, 0, (first,), 0)
    assert now.per_100m == pytest.approx(100 * 2 / 0.32)


def test_a_lower_limit_is_replayed_from_the_grids_and_counts_no_stored_defect_twice(sqlite_database, pictures):
    weave(sqlite_database, pictures)
    cloth = last_cloth(sqlite_database, "twill", model="first")
    assert cloth.at(0.4).more == 1
    assert cloth.at(0.46).more == 0
    assert cloth.at(0.05).more == 7  # every frame without an alarm is one region then


def test_the_limit_for_a_rate_is_the_lowest_that_gives_it(sqlite_database, pictures):
    weave(sqlite_database, pictures)
    cloth = last_cloth(sqlite_database, "twill", model="first")
    one = 100 / 0.32
    assert cloth.threshold_for(one, own=0.5, least=0.5, most=3) == pytest.approx(0.7)
    assert cloth.threshold_for(0, own=0.5, least=0.5, most=3) == pytest.approx(0.9)
    assert cloth.threshold_for(2 * one, own=0.5, least=0.5, most=3) == pytest.approx(0.45)
    assert cloth.threshold_for(0, own=0.5, least=0.5, most=1.5) == pytest.approx(0.75)
    falling = [cloth.at(limit / 100).per_100m for limit in range(25, 150)]
    assert falling == sorted(falling, reverse=True)


def test_the_latest_cloth_of_the_last_days_is_replayed_of_all_lines(database, pictures, monkeypatch):
    monkeypatch.setattr("storage.reads.replay.FRAMES", 7)
    monkeypatch.setattr("storage.reads.replay.DAYS", 2)
    day = 24 * 60
    for number, (line, style, minute) in enumerate(
        [
            ("line-1", "twill", 0),
            *(("line-1", "twill", 4 * day + minute) for minute in range(4)),
            *(("line-2", "twill", 9 * day + minute) for minute in range(5)),
            *(("line-1", "denim", 10 * day + minute) for minute in range(3)),
        ]
    ):
        camera = f"camera-of-{line}"
        header = make_header(number, captured_at=at(minute), line=line, camera=camera, position_mm=number * 100.0)
        defects = (make_defect(100, score=0.6 + number / 100),)
        store_report(database, pictures, make_report(header=header, style=style, defects=defects))
    cloth = last_cloth(database, "twill", model="first")
    assert cloth.frames == 7  # all of the later day, the two latest of the one before
    assert sorted(score for _, score, _ in cloth.defects) == pytest.approx([0.63, 0.64, 0.65, 0.66, 0.67, 0.68, 0.69])
    assert last_cloth(database, "denim", model="first").frames == 3
    monkeypatch.setattr("storage.reads.replay.FRAMES", 100)
    assert last_cloth(database, "twill", model="first").frames == 9  # not the one of a third day


def test_another_models_cloth_is_not_replayed(sqlite_database, pictures):
    weave(sqlite_database, pictures)
    assert last_cloth(sqlite_database, "twill", model="second").frames == 0


def test_a_sensitivity_is_of_a_model_and_needs_a_reason(sqlite_database, tmp_path):
    with pytest.raises(StorageError, match="no model in charge knows style twill"):
        set_sensitivity(sqlite_database, "twill", factor=1.2, per_100m=1, metres=9, reason="calmer", by="eva")
    for name in ("a", "b"):
        registry.import_bundle(
            sqlite_database, make_bundle(tmp_path / name, name=name), tmp_path / "models", source="imported", by="eva"
        )
    model = registry.promote(sqlite_database, "a", by="eva")
    style = next(iter(model.manifest["styles"]))
    with pytest.raises(StorageError, match="needs a reason"):
        set_sensitivity(sqlite_database, style, factor=1.2, per_100m=1, metres=9, reason=" ", by="eva")
    with pytest.raises(StorageError, match=r"0\.5 to 3 times the model's own, got 9"):
        set_sensitivity(sqlite_database, style, factor=9, per_100m=1, metres=9, reason="calmer", by="eva")
    set_sensitivity(sqlite_database, style, factor=1.2, per_100m=1, metres=9, reason="calmer", by="eva")
    own = next(each for each in sensitivities(sqlite_database) if each.style == style)
    assert own.threshold == pytest.approx(1.2 * model.manifest["styles"][style]["threshold"])
    registry.promote(sqlite_database, "b", by="eva", override=True, reason="another")
    assert {each.factor for each in sensitivities(sqlite_database)} == {1.0}
    registry.rollback(sqlite_database, by="eva")
    assert factors(sqlite_database) == {model.id: {style: 1.2}}
    set_sensitivity(sqlite_database, style, factor=1.0, per_100m=None, metres=9, reason="as it came", by="eva")
    assert factors(sqlite_database) == {}


def claiming(width_px: int, height_px: int) -> bytes:
    """A small PNG whose header says it is large."""
    header = b"IHDR" + struct.pack(">II", width_px, height_px) + bytes((8, 0, 0, 0, 0))
    whole = make_png(1)
    return whole[:8] + whole[8:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"no picture", "not a picture of a known format"),
        (make_png(1)[:300], "truncated or damaged"),
        (b"\0" * (MOST_BYTES + 1), "30 at most are taken"),
        (claiming(20_000, 4_000), "20000 x 4000 px, too large for one sample"),
        (claiming(60_000, 60_000), "too large for one picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a picture of a known format"),
    ],
)
def test_an_upload_that_is_no_picture_is_refused_in_one_line(sqlite_database, pictures, data, said):
    with pytest.raises(StorageError, match=said):
        upload_sample(
            sqlite_database, pictures, data=data, name="x.png", style="twill", mm_per_px=0.2, why="", by="eva"
        )
    assert list_samples(sqlite_database, active_only=False) == []


def test_an_upload_is_written_anew_and_waits(sqlite_database, pictures):
    hidden = make_png(1) + b"something behind the picture"
    sample = upload_sample(
        sqlite_database, pictures, data=hidden, name="<b>x</b>.png", style="twill", mm_per_px=0.2, why="", by="eva"
    )
    assert (sample.state, sample.source, sample.why) == ("waits", "upload", "uploaded as <b>x</b>.png")
    assert b"something behind" not in pictures.get(sample.picture)
