"""The worker with real parts: a model, a database, an ingestor at the other end of real sockets."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import select

from inference_worker.constant import ConstantScorer
from inference_worker.slot import ModelSlot
from inference_worker.worker import Worker
from ingest.service import run_ingest
from inspection.errors import SettingsError
from inspection.settings import CameraSettings, IngestSettings, StoreSettings, WorkerSettings, load
from inspection.types import Pixels, TileResult
from storage import registry
from storage.database import Database, open_database, upgrade
from storage.tables import CaptureRow, DefectRow, FrameRow, GapRow
from tests.waiting import wait_for

pytestmark = pytest.mark.integration

SOURCE = "sim://plain?seed=7&speed_m_min=0&start_m=40&length_m=0.2048"  # 4 frames of 256 lines


@contextmanager
def working(store: StoreSettings, endpoint: str, *, constant_ms: float = -1) -> Iterator[None]:
    stop = threading.Event()
    settings = load(
        WorkerSettings, ingestors=endpoint, name="w", device="cpu", model_poll_s=0.1, constant_ms=constant_ms
    )
    thread = threading.Thread(target=Worker(store, settings, stop).run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def ingest(tmp_path: Path, *, tile_px: int = 256, mm_per_px: float = 0.2) -> IngestSettings:
    camera = CameraSettings(name="c", source=SOURCE, mm_per_px=mm_per_px, frame_lines=256)
    return load(
        IngestSettings,
        cameras=[camera],
        endpoint=f"ipc://{tmp_path / 'i.ipc'}",
        spool_dir=tmp_path / "spool",
        tile_px=tile_px,
    )


def rows(database: Database, table: type) -> list:
    with database.reading() as session:
        return list(session.scalars(select(table)))


def test_what_the_ingestor_captured_is_what_is_stored(
    line_store: StoreSettings, line_database: Database, tmp_path: Path
) -> None:
    settings = ingest(tmp_path)
    with working(line_store, settings.endpoint):
        run_ingest(settings, threading.Event())
    frames = rows(line_database, FrameRow)
    assert sorted(frame.sequence for frame in frames) == list(range(len(frames)))
    (capture,) = rows(line_database, CaptureRow)
    assert capture.ended
    assert capture.captured_mm == pytest.approx(sum(frame.length_mm for frame in frames))
    assert {frame.style for frame in frames} == {"plain"}
    assert {frame.model for frame in frames} == {"plain"}


@pytest.mark.parametrize(("tile_px", "mm_per_px", "words"), [(128, 0.2, "128 px"), (256, 0.4, "0.4 mm/px")])
def test_frames_the_model_was_not_trained_for_become_gaps_that_say_so(
    line_store: StoreSettings, line_database: Database, tmp_path: Path, tile_px: int, mm_per_px: float, words: str
) -> None:
    settings = ingest(tmp_path, tile_px=tile_px, mm_per_px=mm_per_px)
    with working(line_store, settings.endpoint):
        run_ingest(settings, threading.Event())
    gaps = rows(line_database, GapRow)
    assert rows(line_database, FrameRow) == []
    assert gaps
    assert all(gap.reason.startswith("model_mismatch: ") and words in gap.reason for gap in gaps)
    (capture,) = rows(line_database, CaptureRow)
    assert capture.captured_mm == pytest.approx(sum(gap.length_mm for gap in gaps))


def test_a_result_that_cannot_be_stored_is_a_gap_and_not_tried_for_ever(
    line_store: StoreSettings, line_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = ConstantScorer.score

    def nonsense(self: ConstantScorer, tiles: Pixels, *, style: str = "") -> TileResult:
        result = score(self, tiles, style=style)
        return replace(result, scores=np.full_like(result.scores, np.nan))

    monkeypatch.setattr(ConstantScorer, "score", nonsense)
    settings = ingest(tmp_path)
    with working(line_store, settings.endpoint, constant_ms=0):
        run_ingest(settings, threading.Event())
    gaps = rows(line_database, GapRow)
    assert len(gaps) == 4
    assert all(gap.reason.startswith("refused: ") and "finite" in gap.reason for gap in gaps)
    (capture,) = rows(line_database, CaptureRow)
    assert capture.captured_mm == pytest.approx(sum(gap.length_mm for gap in gaps))


def test_a_constant_in_place_of_the_model_needs_no_model_and_finds_nothing(
    line_store: StoreSettings, tmp_path: Path
) -> None:
    line_store.data_dir.mkdir()
    upgrade(line_store.database)
    settings = ingest(tmp_path, tile_px=128, mm_per_px=0.4)
    with open_database(line_store.database) as database:
        with working(line_store, settings.endpoint, constant_ms=0):
            run_ingest(settings, threading.Event())
        frames = rows(database, FrameRow)
        assert frames
        assert {frame.model for frame in frames} == {"constant"}
        assert rows(database, GapRow) == rows(database, DefectRow) == []


def test_plain_tcp_to_another_machine_is_refused_unless_a_setting_says_so(
    line_store: StoreSettings, line_database: Database
) -> None:
    for ingestors in ("tcp://cams.plant:5701", "ipc:///x,tcp://10.0.0.7:5701"):
        settings = load(WorkerSettings, ingestors=ingestors)
        with pytest.raises(SettingsError, match="LOOMWATCH_WORKER_ALLOW_PLAIN_TCP=true"):
            Worker(line_store, settings, threading.Event())
        Worker(line_store, settings.model_copy(update={"allow_plain_tcp": True}), threading.Event())


def test_a_promoted_model_takes_over_between_two_frames(
    line_store: StoreSettings, line_database: Database, bundles: Path, tmp_path: Path
) -> None:
    registry.import_bundle(line_database, bundles / "plain-2", line_store.models_dir, source="imported", by="test")
    with ModelSlot(line_database, device=torch.device("cpu"), poll_s=0.02, memory=tmp_path / "runtimes") as slot:

        def running() -> str:
            scorer = slot.scorer()
            return scorer.name if scorer else ""

        wait_for(lambda: running() == "plain")
        registry.promote(line_database, "plain-2", by="test")
        wait_for(lambda: running() == "plain-2")
        assert slot.problem == ""

        registry.rollback(line_database, by="test")
        wait_for(lambda: running() == "plain")


def test_a_model_that_does_not_load_is_told_and_the_old_one_runs_on(
    line_store: StoreSettings, line_database: Database, bundles: Path, tmp_path: Path
) -> None:
    registry.import_bundle(line_database, bundles / "plain-2", line_store.models_dir, source="imported", by="test")
    with ModelSlot(line_database, device=torch.device("cpu"), poll_s=0.02, memory=tmp_path / "runtimes") as slot:
        wait_for(lambda: slot.scorer() is not None)
        registry.promote(line_database, "plain-2", by="test")
        wait_for(lambda: slot.scorer().name == "plain-2")
    weights = line_store.models_dir / "plain-2" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with ModelSlot(line_database, device=torch.device("cpu"), poll_s=0.02, memory=tmp_path / "runtimes") as slot:
        wait_for(lambda: slot.problem)
        assert "plain-2 does not load" in slot.problem
        assert "weights.safetensors" in slot.problem
        assert slot.scorer() is None
        registry.rollback(line_database, by="test")
        wait_for(lambda: slot.scorer() is not None)
        assert slot.scorer().name == "plain"
        assert slot.problem == ""


def test_a_running_model_gets_the_fastest_runtime_that_agrees(
    line_store: StoreSettings, line_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cras_core.runtimes.selection.worth_a_trial", lambda _device: ["openvino-f32"])
    memory = tmp_path / "runtimes"
    with ModelSlot(line_database, device=torch.device("cpu"), poll_s=0.02, runtime="auto", memory=memory) as slot:
        wait_for(lambda: slot.scorer() is not None)
        wait_for(lambda: slot.scorer().runtime_name == "openvino-f32")
        assert slot.problem == ""


def test_a_runtime_that_cannot_be_had_is_told_and_the_model_runs_without_it(
    line_store: StoreSettings, line_database: Database, tmp_path: Path
) -> None:
    with ModelSlot(
        line_database, device=torch.device("cpu"), poll_s=0.02, runtime="torch-float16", memory=tmp_path / "r.json"
    ) as slot:
        wait_for(lambda: slot.problem)
        assert "torch-float16 does not work on this machine" in slot.problem
        assert slot.scorer().runtime_name == "torch-float32"


def test_without_a_promoted_model_no_frame_is_asked_for(line_store: StoreSettings, tmp_path: Path) -> None:
    line_store.data_dir.mkdir()
    upgrade(line_store.database)
    with (
        open_database(line_store.database) as database,
        ModelSlot(database, device=torch.device("cpu"), poll_s=0.02, memory=tmp_path / "runtimes") as slot,
    ):
        wait_for(lambda: slot.problem)
        assert slot.problem == "no model is promoted"
        assert slot.scorer() is None
