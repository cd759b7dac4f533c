"""Promotion, roll back and shadow with real workers, real models and real traffic."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sqlalchemy import func, select

from cras_core.bundle import load_model, save_bundle
from inference_worker.slot import ModelSlot
from inference_worker.worker import Worker
from ingest.service import run_ingest
from inspection.settings import CameraSettings, IngestSettings, StoreSettings, WorkerSettings, load
from storage import registry
from storage.database import Database
from storage.gates import RuleResult, save_gate
from storage.model_policy import ShadowPlan
from storage.pictures import PictureStore
from storage.rolls import open_roll
from storage.sensitivity import set_sensitivity
from storage.shadow import alarms_apart, shadow_figures, start_shadow
from storage.tables import FrameRow, GapRow
from tests.waiting import wait_for

pytestmark = pytest.mark.integration

FRAMES = 24


@contextmanager
def working(store: StoreSettings, endpoint: str, *names: str) -> Iterator[None]:
    stop = threading.Event()
    threads = []
    for name in names:
        settings = load(WorkerSettings, ingestors=endpoint, name=name, device="cpu", model_poll_s=0.05)
        threads.append(threading.Thread(target=Worker(store, settings, stop).run))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def ingest(folder: Path, *, frames: int = FRAMES, line: str = "line-1") -> IngestSettings:
    source = f"sim://plain?seed=7&width_mm=110&margin_mm=4&speed_m_min=0&length_m={frames * 0.0512:g}&defects_per_m=0"
    camera = CameraSettings(name="c", source=source, mm_per_px=0.2, frame_lines=256)
    return load(
        IngestSettings, line=line, cameras=[camera], endpoint=f"ipc://{folder / 'i.ipc'}", spool_dir=folder / "spool",
        spool_memory_mb=1, spool_disk_mb=0, drain_s=120,
    )  # fmt: skip


@contextmanager
def traffic(settings: IngestSettings) -> Iterator[None]:
    """Until the block ends and every frame is done."""
    thread = threading.Thread(target=run_ingest, args=(settings, threading.Event()))
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.fixture
def alarmed(line_store: StoreSettings, line_database: Database, bundles: Path, tmp_path: Path) -> str:
    """A model as `plain`, whose threshold is so low that it alarms everywhere."""
    model = load_model(bundles / "plain")
    facts = model.styles["plain"]
    low = replace(facts, threshold=replace(facts.threshold, value=1e-3))
    save_bundle(replace(model, styles={"plain": low}), tmp_path / "low", name="low", provenance={}, metrics={})
    registry.import_bundle(line_database, tmp_path / "low", line_store.models_dir, source="imported", by="test")
    return "low"


def models_of(database: Database) -> dict[int, str]:
    with database.reading() as session:
        return {row.sequence: row.model for row in session.execute(select(FrameRow.sequence, FrameRow.model))}


def check(database: Database, frames: int) -> dict[int, str]:
    """Every frame is there, none is a gap, and each was scored by one whole model: its threshold is that model's."""
    found = models_of(database)
    assert sorted(found) == list(range(frames))
    thresholds = {
        model.name: model.manifest["styles"]["plain"]["threshold"] for model in registry.list_models(database)
    }
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(GapRow)) == 0
        for name, threshold in session.execute(select(FrameRow.model, FrameRow.threshold)):
            assert threshold == pytest.approx(thresholds[name])
    return found


def test_promotion_and_roll_back_under_traffic_lose_no_frame(
    line_store: StoreSettings, line_database: Database, alarmed: str, tmp_path: Path
) -> None:
    frames = 10 * FRAMES
    settings = ingest(tmp_path, frames=frames)

    def went_back() -> bool:
        """A frame of `plain` came behind all that the other model inspected."""
        found = models_of(line_database)
        last = {name: max(number for number, own in found.items() if own == name) for name in set(found.values())}
        return last["plain"] > last[alarmed]

    with working(line_store, settings.endpoint, "w1", "w2"), traffic(settings):
        wait_for(lambda: len(models_of(line_database)) > 2)
        registry.promote(line_database, alarmed, by="test")
        wait_for(lambda: alarmed in models_of(line_database).values())
        registry.rollback(line_database, by="test")
        wait_for(went_back)
    assert set(check(line_database, frames).values()) == {"plain", alarmed}
    assert went_back()


def test_a_worker_that_was_away_comes_back_to_the_version_in_charge(
    line_store: StoreSettings, line_database: Database, alarmed: str, tmp_path: Path
) -> None:
    settings = ingest(tmp_path, frames=4)
    with working(line_store, settings.endpoint, "w1"):
        pass  # it has run `plain`
    registry.promote(line_database, alarmed, by="test")
    with working(line_store, settings.endpoint, "w1"), traffic(settings):
        pass
    assert set(check(line_database, 4).values()) == {alarmed}


def test_a_style_promoted_by_itself_inspects_only_rolls_of_that_style(
    line_store: StoreSettings, line_database: Database, alarmed: str, tmp_path: Path
) -> None:
    registry.promote(line_database, alarmed, by="test", style="plain")
    settings = ingest(tmp_path, frames=3)
    with working(line_store, settings.endpoint, "w1"), traffic(settings):
        pass
    assert set(models_of(line_database).values()) == {"plain"}  # nobody entered a style
    open_roll(line_database, line="line-2", name="R-1", style="plain", by="test")
    other = tmp_path / "second"
    other.mkdir()
    settings = ingest(other, frames=3, line="line-2").model_copy(
        update={"cameras": (settings.cameras[0].model_copy(update={"name": "d"}),)}
    )
    with working(line_store, settings.endpoint, "w1"), traffic(settings):
        pass
    with line_database.reading() as session:
        assert set(session.scalars(select(FrameRow.model).where(FrameRow.camera == "d"))) == {alarmed}


@pytest.mark.parametrize("inspected_by", ["plain", "plain-2"])
def test_a_shadow_sees_frames_and_touches_no_result(
    line_store: StoreSettings,
    line_database: Database,
    bundles: Path,
    alarmed: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    inspected_by: str,
) -> None:
    caplog.set_level(logging.INFO, logger="inference_worker.shadow")
    passed = RuleResult(rule="recall", style="", verdict="passed", value=1.0, limit=1.0, words="")
    save_gate(line_database, model=alarmed, against="plain", rules=[passed], by="test")
    if inspected_by != "plain":  # a model of the style's own
        registry.import_bundle(
            line_database, bundles / inspected_by, line_store.models_dir, source="imported", by="test"
        )
        registry.promote(line_database, inspected_by, by="test", style="plain")
        open_roll(line_database, line="line-1", name="R-1", style="plain", by="test")
    shadow = start_shadow(line_database, alarmed, ShadowPlan(share=1, budget=1, metres=1e6), by="test")
    settings = ingest(tmp_path)

    def seen() -> int:
        return shadow_figures(line_database, shadow.id)[0].frames

    with working(line_store, settings.endpoint, "w1"):
        wait_for(lambda: "runs as shadow" in caplog.text)
        with traffic(settings):
            wait_for(seen)
    assert set(check(line_database, FRAMES).values()) == {inspected_by}
    whole = shadow_figures(line_database, shadow.id)[0]
    assert whole.metres == pytest.approx(whole.frames * 0.0512)
    assert whole.only_candidate >= whole.frames
    assert whole.only_running == 0
    apart = alarms_apart(line_database, shadow.id)
    assert {each.side for each in apart} == {"candidate"}
    assert PictureStore(line_store.pictures).get(apart[0].crop).startswith(b"\x89PNG")


def test_a_sensitivity_is_taken_between_two_frames_and_given_back(
    line_store: StoreSettings, line_database: Database, bundles: Path, tmp_path: Path
) -> None:
    registry.import_bundle(line_database, bundles / "plain", line_store.models_dir, source="imported", by="eva")
    model = registry.promote(line_database, "plain", by="eva")
    own = model.manifest["styles"]["plain"]["threshold"]
    slot = ModelSlot(line_database, device=torch.device("cpu"), poll_s=0.05, memory=tmp_path / "runtimes")
    with slot:
        wait_for(lambda: slot.scorer() is not None)
        for factor in (1.5, 1.0):
            set_sensitivity(line_database, "plain", factor=factor, per_100m=None, metres=1, reason="a trial", by="eva")
            wait_for(lambda wanted=factor: _threshold(slot) == pytest.approx(wanted * own))


def _threshold(slot: ModelSlot) -> float:
    now = slot.scorer()
    assert now is not None
    return float(now.main.thresholds[0])
