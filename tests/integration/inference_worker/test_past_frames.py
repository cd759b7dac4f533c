"""The ring of past frames that workers keep, and what staff take of it."""

from pathlib import Path

import numpy as np
import pytest

from inference_worker.collecting import Collector
from inference_worker.inspect import Inspected, grid_cell_px, score_grid
from inspection.errors import StorageError
from inspection.pictures import decode_picture
from inspection.types import TiledFrame
from retraining.guard import guard_samples
from storage.frames import store_report
from storage.past_frames import Ring, past_frames, take_past_frame
from storage.samples import list_samples
from tests.records import CAMERA, LINE, MM_PER_PX, make_defect, make_header, make_report

pytestmark = pytest.mark.integration
RING = Ring(frames=4, every_mm=2000.0)
HEIGHT, WIDTH = 128, 512


def inspected(sequence, *, position_mm, channels=1, highest=0.4, **changes):
    header = make_header(sequence, position_mm=position_mm, **changes)
    tiles = np.random.default_rng(sequence).integers(0, 255, (16, 64, 64, channels), np.uint8)
    tiled = TiledFrame(header=header, tile_px=64, overlap_px=0, tiles=tiles)
    scores = np.random.default_rng(sequence).uniform(0, highest, (HEIGHT, WIDTH)).astype(np.float32)
    grid = score_grid(scores, cell_px=grid_cell_px(MM_PER_PX))
    report = make_report(header=header, tile_scores=np.full(16, 0.3, np.float32), threshold=0.5, score_grid=grid)
    return Inspected(report=report, tiled=tiled, ratios=scores), scores


def collector(database, pictures, *, past=RING):
    return Collector(database, pictures, poll_s=1.0, reservoir=0, past=past)


def run_by(worker, metres, *, step_m=0.5):
    for sequence, position_m in enumerate(np.arange(0, metres, step_m)):
        frame, _ = inspected(sequence, position_mm=1000 * position_m)
        if worker.wants(frame):
            worker.see(frame)


def test_the_last_stretches_stay_one_frame_each_and_never_more(sqlite_database, pictures):
    run_by(collector(sqlite_database, pictures), 21)
    found = past_frames(pictures, CAMERA)
    assert sorted(frame.captured.y0_mm for frame in found) == [14_000.0, 16_000.0, 18_000.0, 20_000.0]
    assert len(list(Path(pictures.folder).rglob("*.png"))) == RING.frames


def test_a_smaller_ring_takes_away_what_it_has_no_place_for(sqlite_database, pictures):
    run_by(collector(sqlite_database, pictures), 21)
    run_by(collector(sqlite_database, pictures, past=Ring(frames=2, every_mm=2000.0)), 5)
    assert len(past_frames(pictures, CAMERA)) == 2


def test_no_frame_is_kept_when_the_settings_say_so(sqlite_database, pictures):
    run_by(collector(sqlite_database, pictures, past=Ring(frames=0, every_mm=2000.0)), 5)
    assert past_frames(pictures, CAMERA) == []


def test_a_full_disk_leaves_the_ring_as_it_is_and_is_tried_once_a_stretch(sqlite_database, pictures):
    worker = collector(sqlite_database, pictures)
    run_by(worker, 3)
    before = [frame.key for frame in past_frames(pictures, CAMERA)]
    folder = Path(pictures.folder) / "past" / CAMERA
    aside = folder.rename(folder.with_name("aside"))
    folder.write_bytes(b"")  # nothing can be written below it, as on a full disk
    frame, _ = inspected(50, position_mm=6_100.0)
    with pytest.raises(StorageError):  # one that costs a frame in the worker's thread
        worker.see(frame)
    assert not worker.wants(inspected(51, position_mm=6_600.0)[0])
    folder.unlink()
    aside.rename(folder)
    assert [frame.key for frame in past_frames(pictures, CAMERA)] == before


@pytest.mark.parametrize("channels", [1, 3])
def test_a_part_is_learned_pixel_for_pixel_with_where_it_came_from_and_its_own_score(
    sqlite_database, pictures, channels
):
    frame, scores = inspected(7, position_mm=3_000.0, channels=channels)
    collector(sqlite_database, pictures).see(frame)
    (past,) = past_frames(pictures, CAMERA)
    left, right, top, bottom = 100, 300, 10, 110
    sample = take_past_frame(
        sqlite_database, pictures, past, style="denim", by="eva", box_px=(left, right, top, bottom), why="new yarn"
    )
    cloth = frame.fabric()[top:bottom, left:right]
    assert np.array_equal(decode_picture(pictures.get(sample.picture), name="it"), cloth.squeeze())
    assert (sample.style, sample.source, sample.state, sample.by, sample.why) == (
        "denim", "past", "waits", "eva", "new yarn"
    )  # fmt: skip
    at = sample.captured
    assert (at.line, at.camera, at.captured_at) == (LINE, CAMERA, frame.report.header.captured_at)
    assert (at.x0_mm, at.x1_mm) == pytest.approx((left * MM_PER_PX, right * MM_PER_PX))
    assert (at.y0_mm, at.y1_mm) == pytest.approx((3_000 + top * MM_PER_PX, 3_000 + bottom * MM_PER_PX))
    cell = grid_cell_px(MM_PER_PX)
    touched = scores[top // cell * cell : -(-bottom // cell) * cell, left // cell * cell : -(-right // cell) * cell]
    assert (sample.scored.model, sample.scored.threshold) == ("first", 0.5)
    assert sample.scored.score == pytest.approx(touched.max(), abs=1e-4)


def test_a_frame_that_other_cloth_replaced_is_refused_and_so_is_a_part_that_is_none(sqlite_database, pictures):
    worker = collector(sqlite_database, pictures)
    run_by(worker, 3)
    frame = past_frames(pictures, CAMERA)[0]
    for box_px, why in (((0, 600, 0, 64), "inside its picture"), ((5, 5, 0, 64), "at least a tile")):
        with pytest.raises(StorageError, match=why):
            take_past_frame(sqlite_database, pictures, frame, style="denim", by="eva", box_px=box_px)
    with pytest.raises(StorageError, match="name of its style"):
        take_past_frame(sqlite_database, pictures, frame, style=" ", by="eva")
    run_by(worker, 21)
    with pytest.raises(StorageError, match="other cloth took its place"):
        take_past_frame(sqlite_database, pictures, frame, style="denim", by="eva")
    assert list_samples(sqlite_database) == []


def test_the_guard_holds_a_past_frame_in_which_a_defect_waits_for_review(sqlite_database, pictures):
    worker = collector(sqlite_database, pictures)
    for sequence in (0, 1):
        frame, _ = inspected(sequence, position_mm=2_000.0 * sequence, highest=0.04)
        worker.see(frame)
        defects = (make_defect(100),) if sequence else ()
        store_report(sqlite_database, pictures, make_report(header=frame.report.header, defects=defects))
    for frame in past_frames(pictures, CAMERA):
        take_past_frame(sqlite_database, pictures, frame, style="twill", by="eva")
    guard_samples(sqlite_database, pictures, share=0.02, device="cpu")
    samples = list_samples(sqlite_database)
    found = {sample.captured.y0_mm: [reason.code for reason in sample.reasons] for sample in samples}
    assert found == {0.0: [], 2_000.0: ["unreviewed"]}
