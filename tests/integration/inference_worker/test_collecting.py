"""What the running line gives as samples: metres of a golden roll, a frame, a bounded fair reservoir."""

from pathlib import Path

import numpy as np
import pytest

from inference_worker.collecting import LOW, Collector, priority_of
from inference_worker.inspect import Inspected
from inspection.errors import StorageError
from inspection.types import TiledFrame
from storage.frames import store_report
from storage.pictures import PictureStore
from storage.sample_captures import list_captures, start_capture, stop_capture
from storage.samples import list_samples
from tests.records import CAMERA, make_defect, make_header, make_report

pytestmark = pytest.mark.integration
FEW = 4


@pytest.fixture
def pictures(tmp_path) -> PictureStore:
    return PictureStore(str(tmp_path / "pictures"))


def inspected(sequence, *, position_mm=None, defects=(), low=True):
    changes = {} if position_mm is None else {"position_mm": position_mm}
    header = make_header(sequence, **changes)
    tiles = np.random.default_rng(sequence).integers(0, 255, (16, 64, 64, 1), np.uint8)
    tiled = TiledFrame(header=header, tile_px=64, overlap_px=0, tiles=tiles)
    scores = np.full(16, 0.1 if low else 0.45, np.float32)
    report = make_report(header=header, tile_scores=scores, threshold=0.5, defects=defects)
    return Inspected(report=report, tiled=tiled, ratios=np.zeros((128, 512), np.float32))


def collector(database, pictures, *, reservoir=0):
    made = Collector(database, pictures, poll_s=1.0, reservoir=reservoir)
    made._captures = tuple(list_captures(database, running=True))
    return made


def seen(database, pictures):
    store_report(database, pictures, make_report(1000))  # a camera is known by its first frame


def test_a_golden_roll_gives_one_frame_a_metre_whoever_sees_it_and_ends(sqlite_database, pictures):
    seen(sqlite_database, pictures)
    capture = start_capture(sqlite_database, camera=CAMERA, style="denim", metres=20, by="eva")
    workers = [collector(sqlite_database, pictures) for _ in range(2)]
    for sequence in range(80):
        workers[sequence % 8 > 3].see(inspected(sequence, position_mm=sequence * 300.0))
    samples = [sample for sample in list_samples(sqlite_database) if sample.capture_id == capture.id]
    assert len(samples) == 20
    assert {(sample.style, sample.source, sample.state, sample.by) for sample in samples} == {
        ("denim", "roll", "waits", "eva")
    }
    metres = [int(sample.captured.y0_mm // 1000) for sample in samples]
    assert sorted(metres) == list(range(20))
    assert list_captures(sqlite_database)[0].state == "done"
    assert list_captures(sqlite_database, running=True) == []


def test_a_frame_that_was_asked_for_is_one_sample(sqlite_database, pictures):
    seen(sqlite_database, pictures)
    start_capture(sqlite_database, camera=CAMERA, style="denim", by="eva", why="new yarn")
    worker = collector(sqlite_database, pictures)
    for sequence in range(3):
        worker.see(inspected(sequence))
    (sample,) = list_samples(sqlite_database)
    assert (sample.source, sample.why, sample.scored.model) == ("frame", "new yarn", "first")


def test_a_capture_is_refused_with_what_to_do(sqlite_database, pictures):
    with pytest.raises(StorageError, match="there is no camera nobody"):
        start_capture(sqlite_database, camera="nobody", style="denim", metres=30, by="eva")
    seen(sqlite_database, pictures)
    with pytest.raises(StorageError, match="a golden roll has 20 m to 50 m, got 60 m"):
        start_capture(sqlite_database, camera=CAMERA, style="denim", metres=60, by="eva")
    with pytest.raises(StorageError, match="needs the name of its style"):
        start_capture(sqlite_database, camera=CAMERA, style=" ", metres=30, by="eva")
    capture = start_capture(sqlite_database, camera=CAMERA, style="denim", metres=30, by="eva")
    with pytest.raises(StorageError, match="takes a golden roll of denim already: stop it first"):
        start_capture(sqlite_database, camera=CAMERA, style="twill", metres=30, by="eva")
    stop_capture(sqlite_database, capture.id, by="eva")
    with pytest.raises(StorageError, match="does not run any more"):
        stop_capture(sqlite_database, capture.id, by="eva")


def test_the_reservoir_keeps_the_lowest_priorities_and_never_grows(sqlite_database, pictures):
    worker = collector(sqlite_database, pictures, reservoir=FEW)
    frames = [inspected(sequence) for sequence in range(30)]
    for frame in frames:
        worker.see(frame)
    samples = list_samples(sqlite_database)
    lowest = sorted(priority_of(frame.report.header) for frame in frames)[:FEW]
    kept = {sample.captured.y0_mm // 32 for sample in samples}
    assert len(samples) == FEW
    assert kept == {frame.report.header.sequence for frame in frames if priority_of(frame.report.header) in lowest}
    assert all(sample.scored.ratio < LOW and sample.source == "reservoir" for sample in samples)
    assert all(pictures.exists(sample.picture) for sample in samples)
    assert len(list(Path(pictures.folder).rglob("*.png"))) == FEW


def test_nothing_of_a_frame_with_a_defect_or_of_high_score_goes_into_the_reservoir(sqlite_database, pictures):
    worker = collector(sqlite_database, pictures, reservoir=FEW)
    worker.see(inspected(0, defects=(make_defect(100),)))
    worker.see(inspected(1, low=False))
    assert list_samples(sqlite_database) == []
